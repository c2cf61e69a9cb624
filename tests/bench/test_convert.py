"""Written data sets read back as what was written, up to the losses that are reported."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from written_sets import image_sets

from bench.convert.folder import FORMATS, planned_files, write_dataset
from bench.convert.image_set import ImageSet
from bench.data.opening import open_dataset
from bench.data.types import Dataset
from metrics import evaluate
from metrics.tables import AnnotationTable, DetectionTable

SPLITS = ("train", "val", "test")

Object = tuple[str, tuple[float, ...], bool, bool]
"""Class, xywh, crowd, ignored."""


def opened(folder: Path, format: str) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return open_dataset(folder, format)


def objects_by_image(table: AnnotationTable) -> dict[str, list[Object]]:
    """The objects of each image by its file's own name, in their order."""
    names = [PurePosixPath(name).name for name in table.catalog.file_names]
    found: dict[str, list[Object]] = {name: [] for name in names}
    for k in range(len(table)):
        row = (
            table.catalog.classes[table.label[k]],
            tuple(table.xywh[k].tolist()),
            bool(table.crowd[k]),
            bool(table.ignored[k]),
        )
        found[names[table.image[k]]].append(row)
    assert len(found) == len(names)
    return found


def written_names(sets: list[ImageSet], format: str) -> dict[tuple[str | None, str], str]:
    """The name of each written image by split and path in the data set."""
    targets = [PurePosixPath(target).name for _, target in planned_files(sets, format).pictures]
    paths = [(one.purpose, picture.name) for one in sets for picture in one.pictures]
    return dict(zip(paths, targets, strict=True))


def expected_objects(sets: list[ImageSet], format: str) -> dict[str, dict[str, list[Object]]]:
    """What reads back, by split and image."""
    names = written_names(sets, format)
    expected: dict[str, dict[str, list[Object]]] = {}
    for one in sets:
        assert one.purpose is not None
        of_split = expected[one.purpose] = {names[one.purpose, picture.name]: [] for picture in one.pictures}
        for row, label in enumerate(one.truth.label.tolist()):
            crowd, ignored = bool(one.truth.crowd[row]), bool(one.truth.ignored[row])
            if format == "coco":
                crowd, ignored = crowd or ignored, False
            elif format == "voc":
                crowd, ignored = False, crowd or ignored
            elif crowd or ignored:
                continue
            picture = one.pictures[one.truth.image[row]]
            of_split[names[one.purpose, picture.name]].append(
                (one.truth.catalog.classes[label], tuple(one.truth.xywh[row].tolist()), crowd, ignored)
            )
    return expected


def original_class(name: str, sets: list[ImageSet]) -> set[str]:
    """The classes that a class which was read can be: VOC has no spaces around names, and distinct ones get their ids."""
    catalog = sets[0].truth.catalog
    return {
        written
        for written, identity in zip(catalog.classes, catalog.class_ids, strict=True)
        if name in (written, written.strip(), f"{written.strip()} ({identity})")
    }


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=15, deadline=None)
@given(sets=image_sets(purposes=SPLITS))
def test_a_written_data_set_reads_back(format: str, sets: list[ImageSet]) -> None:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        notes = write_dataset(sets, format, out)
        dataset = opened(out, format)
        expected = expected_objects(sets, format)
        for name in SPLITS:
            found = objects_by_image(dataset.splits[name].truth)
            assert set(found) == set(expected[name])
            for image, rows in expected[name].items():
                assert len(found[image]) == len(rows)
                for (read, box, *flags), (wanted, given_box, *given_flags) in zip(
                    found[image], rows, strict=True
                ):
                    assert wanted in original_class(read, sets) if format == "voc" else read == wanted
                    assert flags == given_flags
                    assert (
                        box == given_box if format == "coco" else box == pytest.approx(given_box, abs=1e-12)
                    )
        assert_pixels(sets, format, dataset)
        counted = {note.kind: note.values for note in notes}
        crowd = sum(int(one.truth.crowd.sum()) for one in sets)
        ignored = sum(int((one.truth.ignored & ~one.truth.crowd).sum()) for one in sets)
        kinds = {
            "coco": ("", "ignored_as_crowd"),
            "voc": ("crowd_as_ignored", ""),
            "yolo": ("lost_crowd", "lost_ignored"),
        }
        for kind, count in zip(kinds[format], (crowd, ignored), strict=True):
            assert counted.get(kind, {"objects": 0})["objects"] == (count if kind else 0)


def assert_pixels(sets: list[ImageSet], format: str, dataset: Dataset) -> None:
    """Assert that each image has the pixels that were drawn for it."""
    names = written_names(sets, format)
    for one in sets:
        split = dataset.splits[one.purpose or ""]
        index = {PurePosixPath(name).name: k for k, name in enumerate(split.truth.catalog.file_names)}
        for picture in one.pictures:
            assert picture.draw is not None
            pixels = split.load(index[names[one.purpose, picture.name]])
            assert np.array_equal(pixels, picture.draw())


@settings(max_examples=15, deadline=None)
@given(sets=image_sets(purposes=SPLITS))
def test_coco_keeps_ids_areas_and_classes(sets: list[ImageSet]) -> None:
    sets = [with_areas(one) for one in sets]
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        write_dataset(sets, "coco", out)
        dataset = opened(out, "coco")
        for one in sets:
            read = dataset.splits[one.purpose or ""].truth
            assert np.array_equal(read.area, one.truth.area)
            assert np.array_equal(read.object_id, one.truth.object_id)
            assert np.array_equal(read.image, one.truth.image)
            assert np.array_equal(read.label, one.truth.label)
            assert read.catalog.class_ids == one.truth.catalog.class_ids
            assert read.catalog.classes == one.truth.catalog.classes
            if isinstance(one.truth.catalog.image_ids[0], int):
                assert read.catalog.image_ids == one.truth.catalog.image_ids
        if isinstance(sets[0].truth.catalog.image_ids[0], str):
            ids = [i for split in dataset.splits.values() for i in split.truth.catalog.image_ids]
            assert sorted(ids) == list(range(1, len(ids) + 1))


def with_areas(one: ImageSet) -> ImageSet:
    return replace(one, truth=replace(one.truth, area=one.truth.area * 0.7 + 1 / 3))


@settings(max_examples=15, deadline=None)
@given(sets=image_sets(purposes=("val",)))
def test_pycocotools_reads_the_written_coco(sets: list[ImageSet]) -> None:
    (one,) = sets
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        write_dataset(sets, "coco", out)
        coco = COCO(str(out / "annotations" / "instances_val.json"))
        table = one.truth
        assert len(coco.imgs) == len(one.pictures)
        for image in coco.imgs.values():
            assert (out / "images" / "val" / image["file_name"]).is_file()
            assert (image["height"], image["width"]) == (32, 48)
        for k in range(len(table)):
            annotation = coco.anns[int(table.object_id[k])]
            assert annotation["bbox"] == table.xywh[k].tolist()
            assert annotation["iscrowd"] == int(table.crowd[k] or table.ignored[k])
            assert annotation.get("ignore", 0) == int(table.ignored[k])
            assert coco.cats[annotation["category_id"]]["name"] == table.catalog.classes[table.label[k]]


@settings(max_examples=15, deadline=None)
@given(sets=image_sets(purposes=("train", "test"), awkward=False))
def test_another_parser_reads_the_written_voc(sets: list[ImageSet]) -> None:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        write_dataset(sets, "voc", out)
        for one in sets:
            stems = (out / "ImageSets" / "Main" / f"{one.purpose}.txt").read_text().split("\n")[:-1]
            assert len(stems) == len(one.pictures)
            for k, stem in enumerate(stems):
                root = ElementTree.parse(out / "Annotations" / f"{stem}.xml").getroot()
                assert (out / "JPEGImages" / str(root.findtext("filename"))).is_file()
                assert (root.findtext("size/width"), root.findtext("size/height")) == ("48", "32")
                rows = np.flatnonzero(one.truth.image == k)
                elements = root.findall("object")
                assert len(elements) == len(rows)
                for element, row in zip(elements, rows.tolist(), strict=True):
                    x, y, w, h = one.truth.xywh[row].tolist()
                    corners = [
                        float(element.findtext(f"bndbox/{tag}") or "")
                        for tag in ("xmin", "ymin", "xmax", "ymax")
                    ]
                    assert corners == pytest.approx([x + 1, y + 1, x + w, y + h])
                    flagged = bool(one.truth.crowd[row] or one.truth.ignored[row])
                    assert element.findtext("difficult") == str(int(flagged))


@settings(max_examples=15, deadline=None)
@given(sets=image_sets(purposes=("train", "val"), awkward=False))
def test_another_parser_reads_the_written_yolo(sets: list[ImageSet]) -> None:
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        write_dataset(sets, "yolo", out)
        description = yaml.safe_load((out / "data.yaml").read_text())
        classes = sets[0].truth.catalog.classes
        assert description["names"] == dict(enumerate(classes))
        assert description["nc"] == len(classes)
        for one in sets:
            images = sorted((out / description[one.purpose]).iterdir())
            assert len(images) == len(one.pictures)
            names = written_names(sets, "yolo")
            for k, picture in enumerate(one.pictures):
                stem = PurePosixPath(names[one.purpose, picture.name]).stem
                lines = (out / "labels" / str(one.purpose) / f"{stem}.txt").read_text().splitlines()
                rows = np.flatnonzero((one.truth.image == k) & ~one.truth.crowd & ~one.truth.ignored)
                assert len(lines) == len(rows)
                for line, row in zip(lines, rows.tolist(), strict=True):
                    label, cx, cy, w, h = line.split()
                    assert int(label) == one.truth.label[row]
                    box = [
                        (float(cx) - float(w) / 2) * 48,
                        (float(cy) - float(h) / 2) * 32,
                        float(w) * 48,
                        float(h) * 32,
                    ]
                    assert box == pytest.approx(one.truth.xywh[row].tolist())


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=10, deadline=None)
@given(sets=image_sets(purposes=SPLITS, flags=False, awkward=False), seed=st.integers(0, 99))
def test_the_same_detections_have_the_same_ap(format: str, sets: list[ImageSet], seed: int) -> None:
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        write_dataset(sets, format, out)
        dataset = opened(out, format)
        names = written_names(sets, format)
        for one in sets:
            truth, read = one.truth, dataset.splits[one.purpose or ""].truth
            rows = np.repeat(np.arange(len(truth)), 3)
            image, label = truth.image[rows], rng.permutation(truth.label[rows])
            boxes = truth.xywh[rows] + np.array([1, 1, 1, 1]) * rng.normal(0, 0.6, (len(rows), 4))
            boxes[:, 2:] = np.abs(boxes[:, 2:]) + 0.1
            score = rng.permutation(np.linspace(0.1, 0.9, len(rows)))
            of_name = {PurePosixPath(name).name: k for k, name in enumerate(read.catalog.file_names)}
            new_image = np.array([of_name[names[one.purpose, picture.name]] for picture in one.pictures])
            # A class without objects is lost in VOC; its detections do not count, because its AP is undefined.
            known = np.array([name in read.catalog.classes for name in truth.catalog.classes])
            new_label = np.array(
                [
                    read.catalog.classes.index(n) if n in read.catalog.classes else 0
                    for n in truth.catalog.classes
                ]
            )
            kept = known[label]
            before = evaluate(truth, DetectionTable(truth.catalog, image, label, boxes, score))
            after = evaluate(
                read,
                DetectionTable(
                    read.catalog, new_image[image[kept]], new_label[label[kept]], boxes[kept], score[kept]
                ),
            )
            for measure in ("ap", "ap50", "ar_100"):
                assert after.value(measure) == pytest.approx(before.value(measure), abs=1e-12, nan_ok=True)
