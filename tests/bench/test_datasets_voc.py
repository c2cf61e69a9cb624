"""Pascal VOC data sets in the usual layouts."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_data import Picture, pictures, write_voc

from bench.datasets import locate_data, open_dataset
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from metrics.errors import InputError, InputWarning


def names(count: int, start: int = 0) -> list[str]:
    return [picture.name for picture in pictures(count, start)]


def sizes(path, **options) -> dict[str, int]:
    return {name: len(split) for name, split in open_dataset(path, **options).splits.items()}


def test_lists_of_images_are_the_splits(tmp_path):
    lists = {
        "train": names(5),
        "val": names(3, 5),
        "test": names(2, 8),
        "trainval": names(8),
        "cat_train": names(1),
    }
    write_voc(tmp_path, pictures(12), lists)
    data = open_dataset(tmp_path)
    assert {name: list(split.truth.catalog.image_ids) for name, split in data.splits.items()} == {
        "train": names(5),
        "val": names(3, 5),
        "test": names(2, 8),
    }
    assert "2 annotated images are in no list of ImageSets/Main and not used" in map(str, data.notes)


def test_trainval_is_split_if_there_is_no_train(tmp_path):
    write_voc(tmp_path, pictures(40), {"trainval": names(30), "test": names(10, 30)})
    found = sizes(tmp_path)
    assert found["test"] == 10
    assert found["train"] + found["val"] == 30
    assert found["train"] > found["val"] > 0


def test_fault_22_a_second_column_of_a_list_is_skipped(tmp_path):
    lists = {
        "train": [f"{n}  1" for n in names(5)],
        "val": [f"{n} -1" for n in names(3, 5)],
        "test": names(2, 8),
    }
    write_voc(tmp_path, [*pictures(9), Picture("img009")], lists)
    assert sizes(tmp_path) == {"train": 5, "val": 3, "test": 2}


def test_names_may_contain_spaces(tmp_path):
    content = [Picture(f"a picture {k}") for k in range(6)]
    lists = {
        "train": [p.name for p in content[:3]],
        "val": [p.name for p in content[3:5]],
        "test": ["a picture 5"],
    }
    write_voc(tmp_path, content, lists)
    assert sizes(tmp_path) == {"train": 3, "val": 2, "test": 1}


def test_a_listed_image_without_annotation_is_named(tmp_path):
    write_voc(
        tmp_path, pictures(6), {"train": [*names(3), "img099"], "val": names(2, 3), "test": names(1, 5)}
    )
    message = (
        r"train: 1 of 4 images cannot be read: train.txt names 'img099', but Annotations has no img099\.xml"
    )
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)
    with pytest.warns(InputWarning, match="They are left out"):
        assert sizes(tmp_path, allow_missing=True) == {"train": 3, "val": 2, "test": 1}


def test_a_list_without_any_annotation_is_not_used(tmp_path):
    write_voc(tmp_path, pictures(20), {"train": names(10), "val": names(10, 10), "test": ["x1", "x2"]})
    data = open_dataset(tmp_path)
    assert "test.txt: none of its 2 images is annotated; the list is not used" in map(str, data.notes)
    assert len(data.splits["val"]) + len(data.splits["test"]) == 10


def test_fault_22_the_pixel_convention_is_noted_and_can_be_set(tmp_path):
    write_voc(tmp_path, [Picture(f"p{k}", objects=[(0, (8, 4, 32, 24))]) for k in range(5)])
    data = open_dataset(tmp_path)
    assert data.splits["train"].truth.boxes[0].tolist() == [8, 4, 32, 24]
    assert any(
        note.startswith("box coordinates count pixels from 1, the last one included")
        for note in map(str, data.notes)
    )
    data = open_dataset(tmp_path, pixels="edges")
    assert data.splits["train"].truth.boxes[0].tolist() == [9, 5, 32, 24]
    with pytest.raises(InputError, match=r"data\.pixels"):
        open_dataset(tmp_path, pixels="centres")


def test_fault_22_difficult_objects_are_ignored_and_not_targets(tmp_path):
    write_voc(tmp_path, pictures(8))
    for k in range(4):
        file = tmp_path / "Annotations" / f"img{k:03d}.xml"
        file.write_text(file.read_text().replace("<difficult>0", "<difficult>1"))
    data = open_dataset(tmp_path, shares=(0.5, 0.25, 0.25))
    difficult = {f"img{k:03d}" for k in range(4)}
    notes = []
    for split in data.splits.values():
        truth = split.truth
        for row, image in enumerate(truth.image):
            assert truth.ignored[row] == (truth.catalog.image_ids[image] in difficult)
        notes += make_loader(split, ImageConfig(size=(32, 32))).notes
    assert any("ignored" in note for note in notes)


def test_xml_beside_images_is_found_without_lists(tmp_path):
    write_voc(tmp_path / "made", pictures(10))
    flat = tmp_path / "flat"
    flat.mkdir()
    for file in [
        *(tmp_path / "made" / "Annotations").iterdir(),
        *(tmp_path / "made" / "JPEGImages").iterdir(),
    ]:
        file.rename(flat / file.name)
    assert locate_data(flat).format.name == "voc"
    assert sum(sizes(flat).values()) == 10


def test_folders_are_splits(tmp_path):
    for name, content in {"train": pictures(5), "valid": pictures(4, 5), "test": pictures(3, 9)}.items():
        write_voc(tmp_path / "made" / name, content)
        (tmp_path / "set" / name).mkdir(parents=True)
        for file in (tmp_path / "made" / name).rglob("*.*"):
            file.rename(tmp_path / "set" / name / file.name)
    assert locate_data(tmp_path / "set").format.name == "voc"
    assert sizes(tmp_path / "set") == {"train": 5, "val": 4, "test": 3}


def test_the_parts_of_a_data_set_share_their_classes(tmp_path):
    content = [Picture(f"p{k}", objects=[(k // 2, (4, 4, 20, 20))]) for k in range(6)]
    lists = {"train": ["p2", "p3"], "val": ["p0", "p1"], "test": ["p4", "p5"]}
    write_voc(tmp_path, content, lists, classes=("zebra", "ant", "bee"))
    data = open_dataset(tmp_path)
    assert data.classes == ("ant", "bee", "zebra")
    assert [set(data.splits[name].truth.label.tolist()) for name in ("train", "val", "test")] == [
        {0},
        {2},
        {1},
    ]


def test_vocdevkit_is_opened_and_several_years_are_refused(tmp_path):
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", pictures(6))
    assert sum(sizes(tmp_path).values()) == 6
    write_voc(tmp_path / "VOCdevkit" / "VOC2012", pictures(6))
    with pytest.raises(InputError, match="several data sets: VOC2007, VOC2012; give the path of one"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("written", ["other.png", "C:\\photos\\img000.png", "", "../../../etc/passwd"])
def test_fault_25_the_stem_of_the_xml_replaces_a_wrong_file_name(tmp_path, written):
    write_voc(tmp_path, pictures(4))
    file = tmp_path / "Annotations" / "img000.xml"
    file.write_text(file.read_text().replace("img000.png", written))
    data = open_dataset(tmp_path)
    loaded = {
        image_id: split.load(k)
        for split in data.splits.values()
        for k, image_id in enumerate(split.truth.catalog.image_ids)
    }
    np.testing.assert_array_equal(loaded["img000"], Picture("img000").pixels())


def test_fault_22_a_missing_size_is_read_from_the_file(tmp_path):
    write_voc(tmp_path, pictures(4))
    for file in (tmp_path / "Annotations").iterdir():
        text = file.read_text()
        file.write_text(text[: text.index("<size>")] + text[text.index("</size>") + 7 :])
    for split in open_dataset(tmp_path).splits.values():
        assert split.truth.catalog.sizes.tolist() == [[48, 64]] * len(split)


@pytest.mark.parametrize("content", ["<html/>", "<annotations><image/></annotations>", ""])
def test_other_xml_is_not_detected_as_voc(tmp_path, content):
    (tmp_path / "a.xml").write_text(content.replace("annotations", "cvat"))
    with pytest.raises(InputError, match="unknown data set format"):
        open_dataset(tmp_path)


def test_bccd_has_its_own_splits(shared_data):
    with pytest.warns(InputWarning, match="1 of .* have no width or no height") as caught:
        data = open_dataset(shared_data / "bccd")
    assert [w.category for w in caught].count(InputWarning) == 2  # one box without size in train, one in val
    assert data.format == "voc"
    assert data.classes == ("Platelets", "RBC", "WBC")
    assert {name: (len(s), len(s.truth)) for name, s in data.splits.items()} == {
        "train": (205, 2805),
        "val": (87, 1138),
        "test": (72, 945),
    }
    loader = make_loader(data.splits["train"], ImageConfig(size=(240, 320)))
    assert loader.notes[0] == "train: of 2,805 objects not trained on: 1 without width or height"
    batch = next(iter(loader))
    assert batch.images.shape == (16, 3, 240, 320)
