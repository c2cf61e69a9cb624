"""Data sets of several parts: paths joined by +, and TOML files that list parts."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joined_data import Row, all_rows, notes, rows, sizes, warnings_ignored, write_two_parts
from tiny_data import Picture, pictures, write_coco, write_yolo

from bench.data.names import dataset_name
from bench.datasets import locate_data, open_dataset
from bench.settings.resolution import resolve
from metrics.errors import InputError, InputWarning


@pytest.fixture
def two_parts(tmp_path: Path) -> tuple[Path, Path]:
    return write_two_parts(tmp_path)


def test_parts_joined_by_plus_have_the_objects_of_both_matched_by_name(two_parts):
    farm, yard = two_parts
    data = open_dataset(f"{farm}+{yard}")
    assert (data.name, data.format, data.path) == ("farm+yard", "coco+voc", None)
    assert data.classes == ("cat", "dog", "hen")
    assert all_rows(data) == sorted(all_rows(open_dataset(farm)) + all_rows(open_dataset(yard)))
    for split in data.splits.values():
        assert all(re.match("(farm|yard)/", str(image)) for image in split.truth.catalog.image_ids)
        for index in range(len(split)):
            first = split.truth.boxes[split.truth.image == index][0].astype(int)
            assert split.load(index)[first[1] : first[3], first[0] : first[2]].max() == 255
    # The splits of yard, and those drawn of farm as it is drawn alone.
    alone = sizes(open_dataset(farm))
    assert sizes(data) == {"train": alone["train"] + 6, "val": alone["val"] + 3, "test": alone["test"] + 3}
    (united,) = notes(data, "united_classes")
    assert "3 classes, 1 of them in all parts; only in some: 'cat', 'hen'" in united


def test_the_order_of_parts_does_not_change_the_data_set_and_its_contents_do(two_parts):
    farm, yard = two_parts
    one, other = open_dataset(f"{farm}+{yard}"), open_dataset(f"{yard}+{farm}")
    assert one.fingerprint == other.fingerprint
    assert one.name == other.name
    for name in one.splits:
        assert one.splits[name].truth.fingerprint == other.splits[name].truth.fingerprint
    third = farm.parent / "third"
    write_coco(third / "instances.json", pictures(10, 60), classes=["emu", "cat"])
    drawn = [open_dataset(f"{a}+{b}") for a, b in ((farm, third), (third, farm))]
    assert drawn[0].fingerprint == drawn[1].fingerprint != one.fingerprint
    image = next((farm).glob("*.png"))
    Picture(image.stem, objects=[(1, (1, 1, 9, 9))]).save(farm)
    assert open_dataset(f"{farm}+{yard}").fingerprint != one.fingerprint


def test_a_toml_file_lists_parts_relative_to_itself_with_formats_splits_and_options(two_parts, monkeypatch):
    farm, _ = two_parts
    (farm.parent / "both").mkdir()
    file = farm.parent / "both" / "animals.toml"
    file.write_text(
        'seed = 3\nparts = [{path = "../farm", split = "train"}, {path = "../yard", format = "voc", pixels = "edges", '
        'name = "field"}]\n'
    )
    data = open_dataset(file)
    assert (data.name, data.path) == ("animals", file)
    assert sizes(data) == {"train": 36, "val": 3, "test": 3}
    assert {str(i).split("/")[0] for i in data.splits["train"].truth.catalog.image_ids} == {"farm", "field"}
    # edges: boxes of VOC start one pixel later, and end where they ended
    assert (data.splits["test"].truth.boxes[:, :2] == 9).all()
    monkeypatch.chdir(file.parent)
    assert open_dataset("animals.toml").fingerprint == data.fingerprint
    config = resolve("ssd", data=str(file), sets=["data.shares=0.5,0.25,0.25"])
    assert config.data.seed == 3
    assert config.origin("data.seed") == str(file)
    assert resolve("ssd", data=str(file), sets=["data.seed=4"]).data.seed == 4


def test_a_part_may_be_taken_from_one_split_and_used_for_another(two_parts):
    farm, _ = two_parts
    file = farm.parent / "data.toml"
    file.write_text('parts = [{path = "farm"}, {path = "yard", take = "train", split = "test"}]\n')
    data = open_dataset(file)
    yard_images = [i for i in data.splits["test"].truth.catalog.image_ids if str(i).startswith("yard/")]
    assert len(yard_images) == 6
    assert sizes(data)["train"] + sizes(data)["val"] + sizes(data)["test"] == 36
    file.write_text('parts = [{path = "farm", take = "val"}, {path = "yard"}]\n')
    with pytest.raises(InputError, match=r"farm: no split 'val' to take; .*farm has no splits"):
        open_dataset(file)


def test_a_part_has_its_own_names_of_classes_and_groups(two_parts):
    farm, _ = two_parts
    file = farm.parent / "data.toml"
    file.write_text(
        'parts = [{path = "farm", classes = {cat = "hen", dog = ""}, groups = "img0(.)"}, {path = "yard"}]\n'
    )
    data = open_dataset(file)
    assert data.classes == ("dog", "hen")
    assert len(all_rows(data)) == 15 + 12
    groups = {group for s in data.splits.values() for group in s.truth.catalog.image_columns["data.groups"]}
    assert {"0", "1", "2"} < groups
    assert sum(str(group).startswith("image yard/") for group in groups) == 12


def test_groups_of_the_whole_may_be_missing_in_some_parts_but_not_in_all(two_parts):
    farm, yard = two_parts
    for image in sorted(farm.glob("*.png")):
        image.rename(farm / f"clip{image.stem[-1]}_{image.name}")
    document = json.loads((farm / "instances.json").read_text())
    for image in document["images"]:
        image["file_name"] = f"clip{image['file_name'][5]}_{image['file_name']}"
    (farm / "instances.json").write_text(json.dumps(document))
    data = open_dataset(f"{farm}+{yard}", groups="^(clip.)")
    assert notes(data, "ungrouped_part") == [
        "part yard: '^(clip.)' gives no image a group, so each is on its own"
    ]
    farms = [
        {group for group in s.truth.catalog.image_columns["data.groups"] if str(group).startswith("clip")}
        for s in data.splits.values()
    ]
    assert sum(map(len, farms)) == len(set.union(*farms)) == 10
    with pytest.raises(InputError, match=r"'\^\(zebra\)' gives no image of .* a group"):
        open_dataset(f"{farm}+{yard}", groups="^(zebra)")


def test_parts_with_the_same_image_name_stay_two_images(tmp_path):
    write_coco(tmp_path / "a" / "data" / "instances.json", pictures(10))
    write_yolo(tmp_path / "b" / "data", {"train": pictures(10)}, folder="images/{}")
    data = open_dataset(f"{tmp_path}/a/data+{tmp_path}/b/data/data.yaml")
    ids = [str(i) for split in data.splits.values() for i in split.truth.catalog.image_ids]
    assert len(ids) == len(set(ids)) == 20
    assert {i.split("/")[0] for i in ids} == {"a", "b"}
    # The same bytes under two names are in one split.
    assert not [note for note in data.notes if note.kind == "leakage"]
    assert data.leaked == {"val": 0, "test": 0}
    assert notes(data, "equal_images")[0].startswith("10 of these images have the same content")


def test_parts_of_equal_names_are_told_apart_by_the_folders_above(tmp_path):
    for lab in ("lab1", "lab2"):
        write_coco(tmp_path / lab / "cells" / "instances.json", pictures(10, 10 * int(lab[-1])))
    paths = [tmp_path / lab / "cells" for lab in ("lab1", "lab2")]
    assert locate_data("+".join(map(str, paths))).parts == ("lab1-cells", "lab2-cells")
    with pytest.raises(InputError, match=r"two parts are called .*; give each path once") as caught:
        open_dataset(f"{paths[0]}+{paths[0]}")
    example = re.search(r"as in (\{.*\})", str(caught.value))
    assert example
    file = tmp_path / "data.toml"  # the advice, although it is the same part twice
    file.write_text(f'parts = [{{path = "{paths[0]}"}}, {example[1]}]\n')
    with pytest.warns(InputWarning, match="image files? ha(s|ve) more than one id"):
        assert sum(sizes(open_dataset(file)).values()) == 20


def test_two_files_of_one_folder_are_two_parts(tmp_path):
    for at, name in enumerate(("train", "val")):
        write_coco(
            tmp_path / "annotations" / f"{name}.json", pictures(10, 10 * at), images=tmp_path / "images"
        )
    joined = "+".join(str(tmp_path / "annotations" / f"{name}.json") for name in ("train", "val"))
    assert locate_data(joined).parts == tuple(f"{tmp_path.name}-{name}" for name in ("train", "val"))
    assert sum(sizes(open_dataset(joined)).values()) == 20


def test_a_path_with_a_plus_in_its_name_opens(tmp_path):
    write_coco(tmp_path / "cats+dogs" / "instances.json", pictures(10))
    write_coco(tmp_path / "hens" / "instances.json", pictures(10, 20))
    assert open_dataset(tmp_path / "cats+dogs").name == "cats+dogs"
    both = open_dataset(f"{tmp_path}/cats+dogs+{tmp_path}/hens")
    assert locate_data(f"{tmp_path}/cats+dogs+{tmp_path}/hens").parts == ("cats+dogs", "hens")
    assert sum(sizes(both).values()) == 20


def test_fault_93_an_ambiguous_or_missing_part_is_refused_with_a_fix_that_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for at, name in enumerate(("a", "b", "c", "a+b", "b+c")):
        write_coco(tmp_path / name / "instances.json", pictures(5, 10 * at))
    with pytest.raises(InputError, match=r"a\+b\+c: may be a and b and c or a and b\+c") as caught:
        open_dataset("a+b+c")
    example = re.search("TOML file: (parts = .*), saved as (.*), and --data (.*)", str(caught.value))
    assert example
    Path(example[2]).write_text(example[1])
    assert sum(sizes(open_dataset(example[3])).values()) == 15
    with pytest.raises(InputError, match=r"a\+d: d: no such folder or file; \+ joins several"):
        open_dataset("a+d")
    (tmp_path / "data.toml").write_text('parts = [{path = "a", format = "shapes"}]')
    with pytest.raises(InputError, match="shapes is drawn, not read, and cannot be a part"):
        open_dataset("data.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = 'x'", r'data\.toml: expected the parts of a data set, as in parts = \[\{path = "photos"'),
        ("parts = [{format = 'coco'}]", r"data\.toml: parts\[0\]\.path: must be given"),
        ("parts = [{path = 'b'}]", r"data\.toml: parts\[0\]: b: no such folder or file"),
        ("parts = [{path = 'a', splt = 'x'}]", r"data\.toml: parts\[0\]\.splt: no such setting of coco"),
        ("parts = [{path = 'a', split = 'tra'}]", r"data\.toml: parts\[0\]\.split: .*'train'"),
        (
            "parts = [{path = 'a', seed = 3}]",
            r"parts\[0\]\.seed: concerns the whole data set; set it outside",
        ),
        ("shres = [1, 1, 1]\nparts = [{path = 'a'}]", r"data\.toml: shres: no such .*did you mean 'shares'"),
        ("parts = [{path = 'data.toml'}]", "lists itself as a part"),
    ],
)
def test_fault_93_a_mistake_in_a_list_of_parts_is_reported_with_its_place(tmp_path, text, message):
    write_coco(tmp_path / "a" / "instances.json", pictures(5))
    (tmp_path / "data.toml").write_text(text)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path / "data.toml")


def test_a_list_of_data_sets_is_refused_with_two_ways_out(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    write_coco(a / "instances.json", pictures(10))
    write_coco(b / "instances.json", pictures(10, 20))
    file = tmp_path / "settings.toml"
    file.write_text(f'[data]\npath = ["{a}", "{b}"]\n')
    with pytest.raises(InputError, match="a list of 2 data sets; a command takes one") as caught:
        resolve("ssd", file=file)
    advice = re.search(r"Join them to one data set with (\S+),", str(caught.value))
    assert advice
    assert sum(sizes(open_dataset(advice[1])).values()) == 20


@settings(max_examples=20)
@given(
    parts=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(2, 40)), min_size=1, max_size=6),
        min_size=1,
        max_size=3,
    ),
    order=st.randoms(use_true_random=False),
)
def test_a_union_has_the_objects_of_its_parts_in_any_order(tmp_path_factory, parts, order):
    root = tmp_path_factory.mktemp("union")
    expected: list[Row] = []
    for at, objects in enumerate(parts):
        shown = [
            Picture(f"p{at}{k}", objects=[(label, (1, 1, side, side))])
            for k, (label, side) in enumerate(objects)
        ]
        classes = [["cat", "dog", "hen"], ["hen", "cat", "fox"], ["Cat", "dog", "emu"]][at]
        write_coco(root / f"part{at}" / "instances.json", shown, classes=classes)
        expected += [
            (f"{picture.name}.png", classes[label], tuple(map(float, box)), False)
            for picture in shown
            for label, box in picture.objects
        ]
    paths = [str(root / f"part{at}") for at in range(len(parts))]
    order.shuffle(paths)
    file = root / "all.toml"
    file.write_text(
        "parts = [" + ", ".join(f'{{path = "{path}", split = "train"}}' for path in paths) + "]\n"
    )
    with_test = {"test": str(root / "part0"), "val": str(root / "part0")}
    with warnings_ignored():
        truth = open_dataset(file, **with_test).splits["train"].truth
    shutil.rmtree(root)
    assert rows(truth) == sorted(expected)
    assert len(set(truth.object_id.tolist())) == len(truth)


def test_names_that_differ_only_in_case_stay_distinct_in_a_union_with_a_warning(tmp_path):
    write_coco(tmp_path / "a" / "instances.json", pictures(20), classes=["cat", "dog"])
    write_coco(tmp_path / "b" / "instances.json", pictures(20, 30), classes=["Cat", "dog "])
    with pytest.warns(InputWarning, match="classes look alike but are distinct: 'Cat' and 'cat'"):
        data = open_dataset(f"{tmp_path / 'a'}+{tmp_path / 'b'}")
    assert data.classes == ("Cat", "cat", "dog", "dog ")
    merged = open_dataset(f"{tmp_path / 'a'}+{tmp_path / 'b'}", classes={"Cat": "cat", "dog ": "dog"})
    assert merged.classes == ("cat", "dog")  # without the warning


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("blood/images", "blood"),
        ("blood/train", "blood"),
        ("blood/data.yaml", "blood"),
        ("blood/annotations/instances_val2017.json", "blood"),
        ("blood/valid/_annotations.coco.json", "blood"),
        ("VOCdevkit/VOC2007", "VOC2007"),
        ("my_training_notes", "my_training_notes"),
        ("train33", "train33"),
        ("blood/gt.json", "blood"),
        ("blood/ground_truth/val_gt.json", "blood"),
        ("été/images", "été"),
    ],
)
def test_the_default_name_is_never_that_of_a_kind_of_content(tmp_path, path, name):
    assert dataset_name(tmp_path / path) == name


def test_a_data_set_has_the_name_that_is_given(tmp_path):
    write_coco(tmp_path / "images" / "instances.json", pictures(20))
    assert open_dataset(tmp_path / "images").name == tmp_path.name
    assert open_dataset(tmp_path / "images", name="mine").name == "mine"
    assert open_dataset("shapes", train=5, val=5, test=5, name="drawn").name == "drawn"
    one, other = (open_dataset("shapes", train=5, val=5, test=5, name=name) for name in ("a", None))
    assert one.fingerprint == other.fingerprint


def test_real_data_sets_of_two_formats_are_one(shared_data):
    with pytest.warns(InputWarning, match="no width or no height"):
        data = open_dataset(f"{shared_data / 'bccd'}+{shared_data / 'coco' / 'train33'}")
    assert data.name == "bccd+train33"
    # counted in the official lists of BCCD and in the JSON file of COCO
    assert sum(sizes(data).values()) == 364 + 33
    assert sum(len(split.truth) for split in data.splits.values()) == 2805 + 1138 + 945 + 246
    assert len(data.classes) == 83
    bccd = {
        name: sum(str(i).startswith("bccd/") for i in s.truth.catalog.image_ids)
        for name, s in data.splits.items()
    }
    assert bccd == {"train": 205, "val": 87, "test": 72}


@pytest.mark.parametrize("layout", ["coco_format_v1", "coco_format_v2", "pascalvoc_format", "yolo_format"])
def test_four_layouts_of_the_same_photographs_are_the_same_part(shared_data, tmp_path, layout):
    """The numbers of objects by class are counted in one of the JSON files."""
    folder = shared_data / "formats100"
    document = json.loads((folder / "coco_format_v2" / "instances_v2.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    expected = Counter(names[row["category_id"]] for row in document["annotations"])
    file = tmp_path / "data.toml"
    file.write_text(
        f'parts = [{{path = "{folder / layout}", images = "{folder / "images"}", split = "test"}}, '
        f'{{path = "{shared_data / "coco" / "train33"}"}}]\n'
    )
    same = {"motorbike": "motorcycle", "aeroplane": "airplane", "tvmonitor": "tv", "sofa": "couch"}
    same |= {"diningtable": "dining table", "pottedplant": "potted plant"}
    data = open_dataset(file, classes=same)
    assert len(data.classes) == 80  # all classes of VOC are classes of COCO
    truth = data.splits["test"].truth
    found = Counter(truth.catalog.classes[label] for label in truth.label)
    for old, new in same.items():
        expected[new] = expected.pop(old)
    assert found == expected
    assert len(data.splits["test"]) == 100
    assert len(data.splits["train"]) + len(data.splits["val"]) == 33
