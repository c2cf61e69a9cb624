"""The check of a data set: each finding on data with exactly that defect and on a clean twin; counts by brute force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from checked_data import (
    beyond,
    contradictory,
    crowd,
    degenerate,
    look_at,
    noise,
    outside,
    repeated,
    tiny,
    too_small,
    without_objects,
    write_data,
)
from PIL import Image

from bench.cli import main
from bench.survey.class_balance import class_findings, skeleton
from bench.survey.split_counts import SIZE_EDGES, distribution
from reports.analysis.data_findings import FINDING_TEXTS, example_text, finding_text
from reports.records.data_check import ClassFacts, DataCheck, SplitFacts


def check_of(folder: Path, fast: bool = False, sets: Sequence[str] = ()) -> DataCheck:
    return look_at(folder, fast, sets).check


def kinds(found: DataCheck) -> Counter[str]:
    return Counter({f.kind: f.count for f in found.findings})


def test_clean_data_has_no_findings(tmp_path, capsys):
    found = check_of(write_data(tmp_path))
    assert found.findings == ()
    assert [note for note in found.notes if note.warning] == []
    assert main(["data", str(tmp_path), "--strict", "--quiet"]) == 0
    assert "no errors and no warnings" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "kind", "severity", "ids"),
    [
        (degenerate, "degenerate_boxes", "warning", {(3,)}),
        (outside, "outside_boxes", "warning", {(3,)}),
        (beyond, "boxes_beyond_image", "warning", {(3,)}),
        (repeated, "duplicate_boxes", "warning", {(2, 3)}),
        (contradictory, "contradictory_boxes", "warning", {(1, 3)}),
        (crowd, "crowd_objects", "information", {(3,)}),
        (too_small, "dropped_boxes", "warning", {(3,)}),
        (tiny, "tiny_boxes", "information", {(3,)}),
        (without_objects, "empty_images", "information", {()}),
    ],
)
def test_defects_of_annotations_are_found(tmp_path, change, kind, severity, ids):
    found = check_of(write_data(tmp_path, train=change), fast=True)
    (finding,) = found.findings
    assert (finding.kind, finding.severity, finding.subject) == (kind, severity, "train")
    assert {example.objects for example in finding.examples} == ids
    assert finding.examples[0].images[0].file == "train0.png"
    assert finding.count == (2 if kind == "contradictory_boxes" else 1)
    words = finding_text(finding)
    assert words is FINDING_TEXTS[kind]
    assert words.sentence(finding).startswith("train: ")
    assert "train0.png" in example_text(finding.examples[0])


def test_strict_fails_with_code_5_only_for_warnings_and_errors(tmp_path, capsys):
    assert main(["data", str(write_data(tmp_path / "a", train=degenerate)), "--strict", "--fast"]) == 5
    assert main(["data", str(write_data(tmp_path / "b", train=crowd)), "--strict", "--fast"]) == 0
    assert "1 object is a crowd region" in capsys.readouterr().out


def test_identical_files_are_repeated_or_leaked(tmp_path):
    write_data(tmp_path)
    copy(tmp_path / "train/train1.png", tmp_path / "train/train0.png")
    copy(tmp_path / "train/train2.png", tmp_path / "test/test3.png")
    found = check_of(tmp_path)
    assert kinds(found) == {"repeated_images": 1, "leakage": 1}
    leakage, repeated = found.findings
    assert (leakage.severity, leakage.subject, leakage.of) == ("error", "train, test", 4)
    assert [image.file for image in leakage.examples[0].images] == ["train2.png", "test3.png"]
    assert [image.file for image in repeated.examples[0].images] == ["train0.png", "train1.png"]
    assert main(["data", str(tmp_path), "--fast", "--strict"]) == 5


def copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())


@pytest.mark.parametrize("change", ["jpeg", "smaller", "mirrored", "turned"])
def test_similar_images_in_two_splits_are_found(tmp_path, change):
    write_data(tmp_path)
    image = Image.open(tmp_path / "train/train2.png")
    target = tmp_path / "val/val1.png"
    if change == "jpeg":
        image.save(target, "JPEG", quality=40)
    elif change == "smaller":
        image.resize((96, 72)).resize((128, 96)).save(target)
    elif change == "mirrored":
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(target)
    else:
        image.transpose(Image.Transpose.ROTATE_180).save(target)
    (finding,) = check_of(tmp_path).findings
    assert (finding.kind, finding.subject, finding.count) == ("similar_leakage", "train, val", 1)
    (example,) = finding.examples
    assert [image.file for image in example.images] == ["train2.png", "val1.png"]
    expected = {"mirrored": ("mirrored",), "turned": ("turned by 180 degrees",)}
    assert example.names == expected.get(change, ())
    assert "looks like an image of train" in finding_text(finding).sentence(finding)


def test_unreadable_images_are_named(tmp_path):
    write_data(tmp_path)
    truncated = tmp_path / "train/train3.png"
    truncated.write_bytes(truncated.read_bytes()[:2000])
    (tmp_path / "val/val2.png").write_text("<html>not found</html>")
    found = check_of(tmp_path)
    by_split = {finding.subject: finding for finding in found.findings}
    assert {f.kind for f in found.findings} == {"unreadable_images"}
    assert by_split["train"].examples[0].images[0].file == "train3.png"
    assert "truncated" in by_split["train"].examples[0].problem
    assert "a web page" in by_split["val"].examples[0].problem
    assert (by_split["val"].count, by_split["val"].of) == (1, 4)
    # The suggested fix works.
    fixed = check_of(tmp_path, sets=["data.check=whole"])
    assert found.split("train").images == 6
    assert fixed.split("train").images == 5


def test_files_of_another_size_rotation_and_colour_are_found(tmp_path):
    write_data(tmp_path)
    Image.fromarray(noise(50, (60, 70))).save(tmp_path / "train/train0.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(noise(51)).save(tmp_path / "val/val0.png", exif=exif)
    Image.fromarray(noise(52)).convert("L").save(tmp_path / "test/test0.png")
    Image.new("RGB", (128, 96), (90, 90, 90)).save(tmp_path / "test/test1.png")
    found = check_of(tmp_path)
    assert kinds(found) == {
        "other_size": 1,
        "rotated_images": 1,
        "converted_images": 1,
        "blank_images": 1,
        "boxes_beyond_image": 1,
        "outside_boxes": 1,
    }
    other = next(finding for finding in found.findings if finding.kind == "other_size")
    assert "train0.png is 70x60, annotated as 128x96" in other.examples[0].problem
    assert found.split("val").orientations == {1: 3, 3: 1}
    assert found.split("test").modes == {"RGB": 3, "L": 1}
    assert found.split("train").formats == {"PNG": 6}


def test_the_record_is_printed_as_json_and_read_back(tmp_path, capsys):
    write_data(tmp_path, train=degenerate)
    assert main(["data", str(tmp_path), "--json", "--quiet", "--strict"]) == 5
    printed = DataCheck.from_json(capsys.readouterr().out, "stdout")
    assert printed == check_of(tmp_path)
    assert DataCheck.from_json(printed.to_json(), "again") == printed


@pytest.mark.parametrize(
    "names", [("cat", "Cat"), ("cat", "cat "), ("traffic light", "traffic_light"),
              ("car", "c\u0430r"), ("pool", "p00l")]
)  # fmt: skip
def test_names_that_look_alike_have_one_skeleton(names):
    assert skeleton(names[0]) == skeleton(names[1])


def test_classes_are_reported_by_name():
    def findings(names: Sequence[str], *counts: Sequence[int]) -> dict[tuple[str, str], list[str]]:
        classes = [ClassFacts(id=at, name=name) for at, name in enumerate(names)]
        splits = [facts(name, of) for name, of in zip(("train", "val", "test"), counts, strict=True)]
        found = class_findings(classes, splits)
        for finding in found:
            assert all(
                repr(name) in finding_text(finding).sentence(finding)
                for e in finding.examples
                for name in e.names
            )
        return {(f.kind, f.subject): [name for e in f.examples for name in e.names] for f in found}

    assert findings(["cat", "dog"], [5, 9], [2, 2], [2, 2]) == {}
    assert findings(["cat", "dog", "Cat"], [5, 9, 3], [2, 2, 2], [2, 2, 2]) == {
        ("similar_classes", ""): ["cat", "Cat"]
    }
    assert findings(["cat", "dog"], [5, 9], [2, 0], [0, 2]) == {
        ("absent_classes", "val"): ["dog"],
        ("absent_classes", "test"): ["cat"],
    }
    assert findings(["cat", "dog", "owl"], [5, 9, 0], [2, 2, 0], [2, 2, 0]) == {
        ("unused_classes", ""): ["owl"]
    }
    assert findings(["cat", "dog"], [500, 5], [2, 2], [2, 2]) == {
        ("class_imbalance", "train"): ["dog", "cat"]
    }
    assert findings(["cat", "dog"], [499, 5], [2, 2], [2, 2]) == {}
    assert findings([" cat", "dog"], [5, 5], [2, 2], [2, 2]) == {("invisible_in_class_names", ""): [" cat"]}
    single = findings(["cat", "dog"], [5, 1], [2, 0], [2, 0])
    assert single[("one_object_classes", "")] == ["dog"]


def facts(name: str, objects: Sequence[int]) -> SplitFacts:
    none = distribution(np.zeros(0), SIZE_EDGES)
    return SplitFacts(
        name=name, origin="given", images=9, objects=sum(objects), crowd=0, ignored=0, empty_images=0,
        objects_by_class=tuple(objects), images_by_class=tuple(objects), objects_per_image={}, sizes=(), other_sizes=0,
        unknown_sizes=0, box_size=none, box_input_size=none, box_aspect=none, centers=(),
    )  # fmt: skip
