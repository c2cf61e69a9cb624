"""COCO data sets in the usual layouts."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_data import pictures, write_coco

from bench.datasets import locate_data, open_dataset
from metrics.errors import InputError, InputNote, InputWarning


def sizes(path: Path, **options: object) -> dict[str, int]:
    return {name: len(split) for name, split in open_dataset(path, **options).splits.items()}


def test_the_layout_of_coco_2017_is_detected(tmp_path):
    for name, content in {"train2017": pictures(8), "val2017": pictures(6, 10)}.items():
        write_coco(tmp_path / "annotations" / f"instances_{name}.json", content, images=tmp_path / name)
        shutil.copy(
            tmp_path / "annotations" / f"instances_{name}.json",
            tmp_path / "annotations" / f"captions_{name}.json",
        )
    without = {"images": [{"id": 1, "file_name": "x.jpg", "width": 1, "height": 1}], "categories": []}
    (tmp_path / "annotations" / "image_info_test2017.json").write_text(json.dumps(without))
    assert locate_data(tmp_path).format.name == "coco"
    found = sizes(tmp_path)
    assert found["train"] == 8
    assert found["val"] + found["test"] == 6


def test_files_beside_those_called_instances_are_reported_and_can_be_given(tmp_path):
    write_coco(tmp_path / "annotations" / "instances_train.json", pictures(8), images=tmp_path / "images")
    other = write_coco(tmp_path / "annotations" / "night.json", pictures(5, 20), images=tmp_path / "images")
    shutil.copy(other, tmp_path / "annotations" / "captions_train.json")
    with pytest.warns(
        InputNote, match=r"1 annotation file is not read.*: night\.json; to use one, give its path"
    ):
        assert sum(sizes(tmp_path).values()) == 8
    assert sum(sizes(other).values()) == 5


@pytest.mark.parametrize("folder", ["{}", "images/{}", "images", ""])
def test_images_are_found_in_the_usual_folders(tmp_path, folder):
    for k, name in enumerate(("train", "val", "test")):
        images = tmp_path / folder.format(name)
        write_coco(tmp_path / "annotations" / f"instances_{name}.json", pictures(4, 10 * k), images=images)
    data = open_dataset(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 4, "val": 4, "test": 4}
    assert data.splits["test"].load(3).shape == (48, 64, 3)


def test_one_file_beside_its_images_is_opened_by_its_path(tmp_path):
    file = write_coco(tmp_path / "annotations" / "mine.json", pictures(30), images=tmp_path / "images")
    data = open_dataset(file)
    assert data.name == "mine"
    assert sum(len(split) for split in data.splits.values()) == 30


def test_one_split_of_several_is_opened_by_its_path_and_split(tmp_path):
    for k, name in enumerate(("train", "val")):
        write_coco(tmp_path / f"{name}.json", pictures(30, 30 * k))
    assert sum(sizes(tmp_path / "val.json").values()) == 30


def test_a_field_split_of_the_images_gives_the_splits(tmp_path):
    file = write_coco(tmp_path / "all.json", pictures(9))
    document = json.loads(file.read_text())
    for k, image in enumerate(document["images"]):
        image["split"] = ("train", "train", "valid")[k % 3] if k < 7 else "test"
    file.write_text(json.dumps(document))
    data = open_dataset(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 5, "val": 2, "test": 2}
    assert data.splits["test"].truth.catalog.file_names == ("img007.png", "img008.png")
    del document["images"][4]["split"]
    file.write_text(json.dumps(document))
    with pytest.raises(
        InputError, match="1 image has no field 'split', but others have; add it to all images"
    ):
        open_dataset(tmp_path)


def test_every_split_has_the_videos_of_its_images(tmp_path):
    file = write_coco(tmp_path / "all.json", pictures(30))
    document = json.loads(file.read_text())
    videos = {image["file_name"]: f"v{at // 3}" for at, image in enumerate(document["images"])}
    for image in document["images"]:
        image["video"] = videos[image["file_name"]]
    file.write_text(json.dumps(document))
    with pytest.warns(InputWarning, match=r"keep them together with --set data\.groups=video"):
        data = open_dataset(file)
    for split in data.splits.values():
        catalog = split.truth.catalog
        assert catalog.image_columns["video"] == tuple(videos[name] for name in catalog.file_names)


def test_the_advice_for_several_files_without_a_split_joins_them(tmp_path):
    folder = tmp_path / "two batches"
    write_coco(folder / "first.json", pictures(6))
    write_coco(folder / "second.json", pictures(6, 6))
    with pytest.raises(InputError, match=r"for no split: first\.json, second\.json; ") as refused:
        open_dataset(folder)
    joined = open_dataset(*shlex.split(str(refused.value).rpartition("--data ")[2]))
    assert sum(len(split) for split in joined.splits.values()) == 12


def test_several_files_of_one_split_or_of_no_split_are_refused(tmp_path):
    write_coco(tmp_path / "train_a.json", pictures(3))
    write_coco(tmp_path / "train_b.json", pictures(3, 3))
    with pytest.raises(
        InputError, match=r"annotations for train: train_a\.json, train_b\.json; give the path of one"
    ):
        open_dataset(tmp_path)
    (tmp_path / "train_b.json").rename(tmp_path / "other.json")
    with pytest.raises(InputError, match=r"cannot tell the splits of other\.json, train_a\.json apart"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '[{"image_id": 1, "score": 1}]', '{"images": []}', "\0\0"]
)
def test_other_json_is_not_detected_as_coco(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(InputError, match="unknown data set format"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match="no coco data set; looked for"):
        open_dataset(tmp_path, format="coco")


def test_crowds_are_ground_truth_but_not_targets(shared_data):
    data = open_dataset(shared_data / "coco" / "train33", "coco")
    truth = [split.truth for split in data.splits.values()]
    document = json.loads((shared_data / "coco" / "train33" / "instances.json").read_text())
    assert sum(map(len, truth)) == len(document["annotations"]) == 246
    assert sum(int(table.crowd.sum()) for table in truth) == sum(
        a["iscrowd"] for a in document["annotations"]
    )
    assert len(data.classes) == 80


def test_real_images_have_their_annotated_sizes(shared_data):
    data = open_dataset(shared_data / "coco" / "train33", "coco", check="whole")
    for split in data.splits.values():
        for index in range(len(split)):
            assert split.load(index).shape[:2] == tuple(split.truth.catalog.sizes[index])


def test_the_same_real_boxes_are_read_in_every_variant_of_the_format(shared_data):
    root = shared_data / "formats100"
    opened = [
        open_dataset(root / "coco_format_v1"),
        open_dataset(root / "coco_format_v2"),
        open_dataset(root / "pascalvoc_format"),
        open_dataset(root / "yolo_format", images=str(root / "images")),
    ]
    assert [data.format for data in opened] == ["coco", "coco", "voc", "yolo"]

    def boxes(data) -> dict[tuple[str, str, str], np.ndarray]:
        found = {}
        for name, split in data.splits.items():
            truth = split.truth
            for row, box in enumerate(truth.boxes):
                key = (
                    name,
                    Path(truth.catalog.file_names[truth.image[row]]).stem,
                    data.classes[truth.label[row]],
                )
                found.setdefault(key, []).append(box)
        return {key: np.array(sorted(map(tuple, rows))) for key, rows in found.items()}

    first, *others = map(boxes, opened)
    assert sum(map(len, first.values())) == 273
    for other in others:
        assert first.keys() == other.keys()
        for key, rows in first.items():
            # Dialects round, and disagree on whether a pixel's edge or its centre is meant: a pixel and a half.
            np.testing.assert_allclose(other[key], rows, atol=1.5)


def with_ids(file: Path, ids: dict[int, int], kept: set[int]) -> None:
    """Give the categories of a file other ids, and leave out those that are not kept."""
    document = json.loads(file.read_text())
    rows = [row for row in document["categories"] if row["id"] in kept]
    document["annotations"] = [row for row in document["annotations"] if row["category_id"] in kept]
    for row, key in [(row, "id") for row in rows] + [(a, "category_id") for a in document["annotations"]]:
        row[key] = ids[row[key]]
    file.write_text(json.dumps(document | {"categories": rows}))


@pytest.mark.parametrize(
    ("ids", "kept"),
    [({1: 2, 2: 1}, {1, 2}), ({1: 11, 2: 12}, {1, 2}), ({2: 1}, {2})],
    ids=["in another order", "other numbers", "without a class"],
)
def test_classes_that_splits_number_differently_are_matched_by_name(tmp_path, ids, kept):
    for k, name in enumerate(("train", "val", "test")):
        write_coco(tmp_path / name / f"{name}.json", pictures(8, 10 * k))
    expected = {}
    for name, split in open_dataset(tmp_path).splits.items():
        classes = [split.truth.catalog.classes[label] for label in split.truth.label.tolist()]
        expected[name] = [one for one in classes if name != "val" or one == "dog" or 1 in kept]
    with_ids(tmp_path / "val" / "val.json", ids, kept)
    data = open_dataset(tmp_path)
    assert [note.text for note in data.notes if note.kind == "united_classes"] == [
        f"classes of the splits are matched by name: 2 classes, {len(kept)} of them in all splits"
        + "; only in some: 'cat'" * (len(kept) < 2)
        + "; their ids differ, so classes are numbered from 0 in the order of their names"
    ]
    for name, split in data.splits.items():
        catalog = split.truth.catalog
        assert (catalog.class_ids, catalog.classes) == ((0, 1), ("cat", "dog"))
        assert [catalog.classes[label] for label in split.truth.label.tolist()] == expected[name]


def test_images_that_the_annotations_do_not_list_are_counted(tmp_path):
    """A folder of splits has its images together; those of another split are annotated."""
    for k, name in enumerate(("train", "val", "test")):
        write_coco(tmp_path / "annotations" / f"{name}.json", pictures(8, 10 * k), images=tmp_path / "images")
    assert not [note for note in open_dataset(tmp_path).notes if note.kind == "unannotated_images"]
    for picture in pictures(2, 50):
        picture.save(tmp_path / "images")
    (note,) = [note for note in open_dataset(tmp_path).notes if note.kind == "unannotated_images"]
    assert note.values == {"images": 2}
    assert "img050.png" in note.text
    one = open_dataset(tmp_path / "annotations" / "val.json")
    assert not [note for note in one.notes if note.kind == "unannotated_images"]


@pytest.mark.parametrize(
    ("folder", "file"),
    [
        ("{}", "annotations/{}_annotations.json"),
        ("{}2017", "annotations/{}.json"),
        ("images/{}", "annotations/instances_{}2017.json"),
        ("{}/images", "{}.json"),
        ("images_{}", "annotations/{}.json"),
    ],
)
def test_images_of_equal_names_are_those_of_the_folder_of_the_split(tmp_path, folder, file):
    """Numbers count from 0 in each split; the folder of val may be called valid."""
    for k, name in enumerate(("train", "val", "test")):
        shown = pictures(8)
        for picture in shown:
            picture.objects = [(0, (2 + 9 * k, 4, 20 + 9 * k, 20))]
        place = folder.format("valid" if name == "val" else name)
        write_coco(tmp_path / file.format(name), shown, images=tmp_path / place)
    for name, split in open_dataset(tmp_path).splits.items():
        assert {name in str(path.relative_to(tmp_path)) for path in split.files} == {True}
        assert len(split) == 8
    only = open_dataset(tmp_path / file.format("val"))
    assert {"val" in str(path.relative_to(tmp_path)) for path in only.splits["train"].files} == {True}
