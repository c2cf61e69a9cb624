"""The check of a data set: each finding on data with exactly that defect and on a clean twin; counts by brute force."""

from __future__ import annotations

from collections import Counter, defaultdict
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
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_data import CLASSES, split_of

from bench.cli import main
from bench.data.types import Split
from bench.pipeline.input_settings import ImageConfig
from bench.survey.box_defects import box_findings
from bench.survey.class_balance import class_findings, skeleton
from bench.survey.split_counts import SIZE_EDGES, distribution, split_facts
from bench.survey.subject import SplitSubject
from metrics.tables import AnnotationTable, Catalog
from reports.analysis.data_findings import FINDING_TEXTS, example_text, finding_text
from reports.records.data_check import ClassFacts, DataCheck, SplitFacts

BCCD = Path(__file__).parents[2] / "../shared/data/bccd"


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
        (outside, "outside_boxes", "error", {(3,)}),
        (beyond, "boxes_beyond_image", "error", {(3,)}),
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


@pytest.mark.parametrize(("others", "severity"), [(98, "error"), (99, "warning")])
def test_more_than_one_in_a_hundred_misplaced_boxes_is_an_error(others, severity):
    boxes = [(2, 3, 20, 20)] * others + [(50, 3, 70, 20)]
    split = split_of([np.zeros((48, 64, 3), np.uint8)] * len(boxes), [[(0, box)] for box in boxes])
    subject = SplitSubject(split, ImageConfig(size=(48, 64)))
    (finding,) = [each for each in box_findings(subject, 8, 1) if each.kind == "boxes_beyond_image"]
    assert (finding.severity, finding.count, finding.of) == (severity, 1, others + 1)


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


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_counts_of_a_split_are_those_of_brute_force(data):
    images = data.draw(st.integers(1, 4))
    sizes = [(data.draw(st.integers(0, 3)) * 40, 60) for _ in range(images)]
    box = st.tuples(st.integers(-10, 70), st.integers(-10, 70), st.integers(-2, 40), st.integers(-2, 40))
    row = st.tuples(
        st.integers(0, images - 1), st.integers(0, 1), box, st.sampled_from(["", "crowd", "ignored"])
    )
    rows = data.draw(st.lists(row, max_size=12))
    catalog = Catalog.of(range(images), CLASSES, sizes)
    truth = AnnotationTable.of(
        catalog, [image for image, *_ in rows], [label for _, label, *_ in rows], [xywh for _, _, xywh, _ in rows],
        crowd=[kind == "crowd" for *_, kind in rows], ignored=[kind == "ignored" for *_, kind in rows],
    )  # fmt: skip
    subject = SplitSubject(Split("train", truth, lambda index: None, ""), ImageConfig(size=(120, 120)))
    facts = split_facts(subject, "given")
    valid = [row for row in rows if not row[3]]
    assert facts.objects_by_class == tuple(sum(row[1] == label for row in valid) for label in (0, 1))
    assert facts.images_by_class == tuple(
        len({row[0] for row in valid if row[1] == label}) for label in (0, 1)
    )
    per_image = Counter(sum(row[0] == image for row in valid) for image in range(images))
    assert facts.objects_per_image == dict(per_image)
    assert facts.empty_images == sum(all(row[0] != image for row in rows) for image in range(images))
    assert (facts.crowd, facts.ignored) == tuple(
        sum(row[3] == kind for row in rows) for kind in ("crowd", "ignored")
    )
    assert facts.unknown_sizes == sum(height == 0 for height, _ in sizes)
    assert sum(size.images for size in facts.sizes) == images - facts.unknown_sizes
    trained = [
        (image, (x, y, w, h))
        for image, _, (x, y, w, h), kind in valid
        if not kind and w > 0 and h > 0
        and (0 in sizes[image] or (x < sizes[image][1] and y < sizes[image][0] and x + w > 0 and y + h > 0))
        and (0 not in sizes[image] or (x + w > 0 and y + h > 0))
    ]  # fmt: skip
    assert facts.box_size.count == len(trained)
    assert sum(facts.box_size.counts) == len(trained)
    assert facts.box_input_size.count == sum(0 not in sizes[image] for image, _ in trained)
    expected = sorted(w / h for _, (_, _, w, h) in trained)
    if expected:
        assert facts.box_aspect.quantiles[0] == expected[0]
        assert facts.box_aspect.quantiles[-1] == expected[-1]
    inputs = [
        (w * h) ** 0.5 * min(120 / sizes[image][0], 120 / sizes[image][1])
        for image, (_, _, w, h) in trained
        if 0 not in sizes[image]
    ]
    if inputs:
        assert facts.box_input_size.quantiles[-1] == pytest.approx(max(inputs), rel=0.02)
    findings = {f.kind: f for f in box_findings(subject, 8, 2.0)}
    degenerate_rows = [row for row in rows if row[2][2] <= 0 or row[2][3] <= 0]
    assert ("degenerate_boxes" in findings) == bool(degenerate_rows)
    keys = Counter((image, label, xywh) for image, label, xywh, kind in rows if kind != "crowd")
    surplus = sum(count - 1 for count in keys.values())
    assert (findings["duplicate_boxes"].count if "duplicate_boxes" in findings else 0) == surplus
    labels = defaultdict(set)
    for image, label, xywh in keys:
        labels[image, xywh].add(label)
    contradictory_count = sum(
        count for (image, _, xywh), count in keys.items() if len(labels[image, xywh]) > 1
    )
    assert (
        findings["contradictory_boxes"].count if "contradictory_boxes" in findings else 0
    ) == contradictory_count


def test_versions_of_one_original_in_two_splits_are_found(tmp_path):
    def rename(split):
        def change(content):
            for image in content["images"]:
                old = tmp_path / split / image["file_name"]
                original = image["file_name"].replace("test0", "train1").removesuffix(".png")
                image["file_name"] = f"{original}_png.rf.{split.encode().hex():0>32}.png"
                old.rename(tmp_path / split / image["file_name"])

        return change

    write_data(tmp_path, **{split: rename(split) for split in ("train", "val", "test")})
    (finding,) = check_of(tmp_path).findings
    assert (finding.kind, finding.severity, finding.subject, finding.count) == (
        "source_leakage",
        "error",
        "train, test",
        1,
    )
    assert [image.file[:10] for image in finding.examples[0].images] == ["train1_png", "train1_png"]


@pytest.mark.skipif(not BCCD.is_dir(), reason="../shared/data/bccd is absent")
def test_bccd():
    check = check_of(BCCD)
    assert [(s.name, s.origin, s.images, s.objects) for s in check.splits] == [
        ("train", "given", 205, 2805), ("val", "given", 87, 1138), ("test", "given", 72, 945),
    ]  # fmt: skip
    found = {
        (f.kind, f.subject): [image.file for e in f.examples for image in e.images] for f in check.findings
    }
    assert found == {
        ("degenerate_boxes", "train"): ["BloodImage_00343.jpg"],
        ("degenerate_boxes", "val"): ["BloodImage_00338.jpg"],
        ("similar_leakage", "train, val"): ["BloodImage_00038.jpg", "BloodImage_00037.jpg"],
    }
    text = [path.read_text() for path in sorted((BCCD / "Annotations").glob("*.xml"))]
    for label, of in enumerate(check.classes):
        total = sum(one.count(f"<name>{of.name}</name>") for one in text)
        assert sum(split.objects_by_class[label] for split in check.splits) == total


def test_the_suggested_fixes_remove_what_was_found(tmp_path, capsys):
    def defects(content):
        boxes = {2: [60, 60, 0, 30], 4: [200, 10, 20, 20], 7: [100, 10, 40, 20], 11: [50, 20, 50, 40]}
        for row, box in boxes.items():
            content["annotations"][row] |= {"bbox": box, "area": box[2] * box[3]}

    def rename(content):
        content["categories"][0]["name"] = "cat "

    source, out = tmp_path / "data", tmp_path / "fixed"
    write_data(source, train=lambda content: (defects(content), rename(content)), val=rename, test=rename)
    copy(source / "train/train1.png", source / "train/train5.png")
    copy(source / "train/train2.png", source / "test/test3.png")
    (source / "val/val2.png").write_bytes((source / "val/val2.png").read_bytes()[:2000])
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(noise(51)).save(source / "val/val0.png", exif=exif)
    before = check_of(source)
    fixable = {kind for kind, words in FINDING_TEXTS.items() if "--fix" in words.fix}
    assert fixable == {finding.kind for finding in before.findings if finding.kind in fixable}
    assert main(["data", str(source), str(out), "--fix", "--quiet"]) == 0
    after = check_of(out)
    assert not fixable & {finding.kind for finding in after.findings}, after.findings
    drawn = check_of(source, sets=["data.splits=drawn"])
    assert "leakage" in kinds(before)
    assert "leakage" not in kinds(drawn)


def test_larger_input_leaves_no_box_too_small(tmp_path):
    write_data(tmp_path, train=too_small)
    assert kinds(check_of(tmp_path, fast=True)) == {"dropped_boxes": 1}
    assert kinds(check_of(tmp_path, fast=True, sets=["image.size=640,640"])) == {}
    write_data(tmp_path / "b", train=tiny)
    assert kinds(check_of(tmp_path / "b", fast=True)) == {"tiny_boxes": 1}
    assert kinds(check_of(tmp_path / "b", fast=True, sets=["image.size=640,640"])) == {}
