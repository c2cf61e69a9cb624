"""A split that is a data set of its own: replaced splits, and classes matched by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from joined_data import notes, sizes, write_two_parts
from tiny_data import pictures, write_coco

from bench.datasets import open_dataset
from bench.settings.resolution import resolve
from metrics.errors import InputError


@pytest.fixture
def two_parts(tmp_path: Path) -> tuple[Path, Path]:
    return write_two_parts(tmp_path)


def test_a_test_set_of_ones_own_replaces_the_test_split_and_has_the_classes_by_name(tmp_path):
    write_coco(tmp_path / "main" / "instances.json", pictures(30))
    for name, shown in (("train", pictures(5, 40)), ("test", pictures(3, 45))):
        write_coco(tmp_path / "new" / f"{name}.json", shown, classes=["dog", "cat"])
    data = open_dataset(tmp_path / "main", test=str(tmp_path / "new"))
    truth = data.splits["test"].truth
    assert sizes(data)["test"] == 3
    assert sizes(data)["train"] + sizes(data)["val"] == 30
    assert truth.catalog.classes == ("cat", "dog") == data.classes
    assert [data.classes[label] for label in truth.label] == ["cat", "dog", "cat"]  # img045: 1 is cat here
    assert notes(data, "own_split") == [
        f"data.test: 3 images of {tmp_path / 'new'} are the test split; its other 5 images are not used"
    ]
    assert data.fingerprint != open_dataset(tmp_path / "main").fingerprint


def test_any_split_can_be_ones_own_and_existing_ones_are_replaced_with_a_note(two_parts):
    farm, yard = two_parts
    data = open_dataset(yard, val=str(farm), classes={"cat": "hen"})
    assert sizes(data) == {"train": 6, "val": 30, "test": 3}
    assert notes(data, "replaced_split") == [
        "data.val replaces the val split of the data set, whose 3 images are not used"
    ]


def test_a_missing_split_is_not_taken_from_ones_own(two_parts):
    farm, yard = two_parts
    (yard / "ImageSets" / "Main" / "test.txt").unlink()
    data = open_dataset(yard, val=str(farm), classes={"cat": "hen"})
    assert sizes(data)["val"] == 30
    assert sizes(data)["train"] + sizes(data)["test"] == 6
    (yard / "ImageSets" / "Main" / "val.txt").unlink()
    (yard / "ImageSets" / "Main" / "test.txt").write_text("img031\n")
    with pytest.raises(InputError, match=r"no val split, and no other .*--set data\.val=PATH"):
        open_dataset(yard, train=str(farm), classes={"cat": "hen"})


def test_fault_94_unknown_classes_of_a_test_set_are_refused_with_fixes_that_work(tmp_path):
    write_coco(tmp_path / "main" / "instances.json", pictures(30))
    write_coco(tmp_path / "new" / "a.json", pictures(8, 40), classes=["cat", "dogs"])
    new = str(tmp_path / "new")
    with pytest.raises(
        InputError, match=r"data\.test: classes that the data set does not have: 'dogs' \(4 objects\)"
    ) as caught:
        open_dataset(tmp_path / "main", test=new)
    fixes = re.findall("--set '(.*?)'", str(caught.value))
    assert len(fixes) == 3
    objects = []
    for fix in fixes:
        config = resolve("ssd", data=str(tmp_path / "main"), sets=[f"data.test={new}", fix])
        data = open_dataset(config.data.path, config.data.format, **config.data_options)
        objects.append(len(data.splits["test"].truth))
        assert data.classes == ("cat", "dog")
    assert objects == [8, 4, 4]


def test_a_class_of_a_test_set_without_objects_is_left_out_with_a_note(tmp_path):
    write_coco(tmp_path / "main" / "instances.json", pictures(30))
    write_coco(tmp_path / "new" / "a.json", pictures(8, 40), classes=["cat", "dog", "emu"])
    data = open_dataset(tmp_path / "main", test=str(tmp_path / "new"))
    assert data.classes == ("cat", "dog")
    assert notes(data, "unused_classes") == [
        "data.test: 1 class without objects is left out, because the data set does not have it: 'emu'"
    ]


def test_fault_94_a_test_set_of_several_splits_must_say_which(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_coco(tmp_path / "main" / "instances.json", pictures(30))
    for name, start in (("train", 40), ("valid", 50)):
        write_coco(tmp_path / "new" / name / "_annotations.coco.json", pictures(5, start))
    with pytest.raises(InputError, match="has the splits train, val, but no test") as caught:
        open_dataset(tmp_path / "main", test=str(tmp_path / "new"))
    advice = re.search(
        r"TOML file: (parts = .*), saved as (\S+), and --set data\.test=(\S+)", str(caught.value)
    )
    assert advice
    Path(advice[2]).write_text(advice[1])
    assert sizes(open_dataset(tmp_path / "main", test=advice[3]))["test"] == 5
