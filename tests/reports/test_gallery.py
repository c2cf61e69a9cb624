"""The gallery: informative images, boxes that agree with the counts, and the size limit of the page."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import every, parsed, part, words
from PIL import Image
from plain_taxonomy import overlap_of, plain_errors
from strategies import scenes
from synthetic_runs import found_in, picture, run_in, run_in_memory, truth_of

from metrics.iou import box_iou
from metrics.measures.error_types import FALSE_POSITIVES
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.analysis import gallery_choice, gallery_images
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.models import Model
from reports.analysis.report_data import ReportData
from reports.pages import write_report

HERE = [0.0, 0.0, 10.0, 10.0]

pytestmark = pytest.mark.usefixtures("no_drawing")


@pytest.fixture
def report(runs):
    return ReportData.from_runs(
        runs, lambda image: picture(runs[0].truth, image), options=ComparisonOptions(resamples=100)
    )


def test_images_are_chosen_once_with_the_largest_difference_first(report):
    choices = gallery_choice.choose(report)
    images = [choice.image for choice in choices]
    assert 10 < len(images) == len(set(images))
    errors = np.stack([model[0].image_counts.errors for model in report.evaluated])
    assert choices[0].group == "differ"
    assert np.ptp(errors, axis=0)[choices[0].image] == np.ptp(errors, axis=0).max()
    worst = [choice.image for choice in choices if choice.group == "worst"]
    rest = sorted(set(range(16)) - {choices[0].image}, key=lambda at: (-errors.sum(0)[at], at))
    assert worst[0] == rest[0]


def evaluated(truth, rows):
    """Detections as (image, label, xywh), all with the score 0.9."""
    image, label, xywh = zip(*rows, strict=True) if rows else ((), (), ())
    boxes = np.array(xywh, float).reshape(-1, 4)
    labels = np.array(label, np.int32)
    return EvaluatedRun(
        run_in_memory(
            truth,
            DetectionTable(truth.catalog, np.array(image, np.int32), labels, boxes, np.full(len(rows), 0.9)),
        )
    )


def test_errors_shared_by_all_models_are_counted_per_image():
    catalog = Catalog.of([0, 1, 2], ["a", "b"])
    truth = AnnotationTable.of(
        catalog, [0, 0, 1], [0, 0, 0], [[0.0, 0, 10, 10], [50, 0, 10, 10], [0, 0, 10, 10]]
    )
    # Both detect the first object only. In image 2 both have a false positive a; in image 1 an a and a b.
    found = [(0, 0, [0, 0, 10, 10]), (2, 0, [30, 0, 20, 20]), (1, 0, [30, 0, 20, 20])]
    other = [(0, 0, [0, 0, 10, 10]), (2, 0, [31, 0, 20, 20]), (1, 1, [30, 0, 20, 20])]
    for runs in ((found, other), (other, found)):
        both = [evaluated(truth, rows) for rows in runs]
        assert gallery_choice.undetected_by_all(both).tolist() == [1, 1, 0]
        assert gallery_choice.unannotated_by_all(both) == [(1, 1)]


def test_each_detection_is_shared_once():
    truth = AnnotationTable.of(Catalog.of([0], ["a"]), [0], [0], [[0.0, 0, 10, 10]])
    right = (0, 0, [0, 0, 10, 10])
    twice = [right, (0, 0, [30, 0, 20, 20]), (0, 0, [32, 0, 20, 20])]
    once = [right, (0, 0, [32, 0, 20, 20])]
    assert gallery_choice.unannotated_by_all([evaluated(truth, twice), evaluated(truth, once)]) == [(2, 1)]
    assert gallery_choice.unannotated_by_all([evaluated(truth, once), evaluated(truth, twice)]) == [(1, 2)]


@pytest.mark.parametrize("mark", ["", "crowd", "ignored"])
def test_a_detection_that_names_the_wrong_class_of_an_annotation_is_not_unannotated(mark):
    """As on playing cards, where nearly all shared false positives lie on a card."""
    truth = AnnotationTable.of(
        Catalog.of([0], ["a", "b", "c"]), [0, 0], [0, 1], [[0.0, 0, 10, 10], [30, 0, 20, 20]],
        crowd=[False, mark == "crowd"], ignored=[False, mark == "ignored"],
    )  # fmt: skip
    rows = [(0, 0, [0, 0, 10, 10]), (0, 2, [30, 0, 20, 20]), (0, 2, [32, 2, 5, 5]), (0, 2, [80, 80, 9, 9])]
    both = [evaluated(truth, rows), evaluated(truth, rows)]
    # The third lies within the second object: a crowd covers it, and with the others its IoU is 25 / 400.
    assert gallery_choice.unannotated_by_all(both) == ([(3, 3)] if mark == "crowd" else [(2, 2), (3, 3)])


@st.composite
def two_runs(draw):
    """A scene, and the same detections with other scores, other classes, and some left out, as a second run."""
    scene = draw(scenes(most_objects=8, most_detections=16, ignored=True))
    found = scene.detections
    kept = np.array(draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found))), bool)
    rows = np.flatnonzero(kept)
    score = np.array(
        draw(st.lists(st.sampled_from((0.2, 0.9)), min_size=len(rows), max_size=len(rows))), float
    )
    label = found.label[rows].copy()
    label[::3] = (label[::3] + 1) % len(found.catalog.classes)
    return scene, DetectionTable(found.catalog, found.image[rows], label, found.xywh[rows], score)


@given(two_runs())
def test_unannotated_detections_of_all_models_overlap_nothing(drawn):
    """Each shared detection passes a plain test, and no pair of detections that passes it is left."""
    scene, other = drawn
    truth, tables = scene.truth, (scene.detections, other)
    runs = [EvaluatedRun(run_in_memory(truth, table)) for table in tables]
    shared = gallery_choice.unannotated_by_all(runs)
    candidates = []
    for run, table in zip(runs, tables, strict=True):
        kept = run.best_point.score
        plain = plain_errors(truth, table, kept)
        candidates.append(
            {
                row
                for row in plain.fp
                if all(overlap_of(truth, table, row, g) < 0.1 for g in range(len(truth)))
            }
        )

    def alike(row, at):
        one, two = tables
        near = one.image[row] == two.image[at] and one.label[row] == two.label[at]
        return near and box_iou(one.boxes[row : row + 1], two.boxes[at : at + 1])[0, 0] >= 0.5

    assert all(row in candidates[0] and at in candidates[1] and alike(row, at) for row, at in shared)
    used = [{row for row, _ in shared}, {at for _, at in shared}]
    assert len(used[0]) == len(used[1]) == len(shared)
    left = [(row, at) for row in candidates[0] - used[0] for at in candidates[1] - used[1] if alike(row, at)]
    assert not left


def test_only_detections_that_overlap_no_annotation_are_marked_as_not_annotated(tmp_path):
    """Two models share a detection in an empty image, and one that names the wrong class of an object."""
    truth = truth_of(16, ["a", "b", "c"])
    runs = []
    for name, skill in (("one", 0.6), ("two", 0.7)):
        found = found_in(truth, skill, 0)
        wrong = (truth.label[:1] + 1) % 3
        table = DetectionTable(
            truth.catalog,
            np.r_[found.image, 7, truth.image[:1]].astype(np.int32),
            np.r_[found.label, 0, wrong].astype(np.int32),
            np.r_[found.xywh, [[40.0, 50, 60, 70]], truth.xywh[:1]],
            np.r_[found.score, 0.99, 0.99],
        )
        runs.append(run_in(tmp_path, truth, name, skill, found=table))
    options = ComparisonOptions(resamples=0)
    report = ReportData.from_runs(runs, lambda image: picture(truth, image), options=options)
    marked = {}
    for choice in gallery_choice.choose(report):
        assert bool(choice.unannotated) == (choice.group == "all_detect")
        for number, tile in enumerate(gallery_images.load_image(report, choice).tiles):
            found = report.evaluated[number][0].run.detections
            rows = sorted(choice.unannotated[number]) if choice.unannotated else []
            texts = [box.text.endswith(", not annotated") for box in tile.boxes]
            assert texts == [box.unannotated for box in tile.boxes]
            assert sum(texts) == len(rows)
            for row in rows:
                assert max(overlap_of(truth, found, row, g) for g in range(len(truth))) < 0.1
                marked.setdefault(choice.image, []).append(number)
    assert marked[7] == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=1, max_size=12))
def test_most_and_fewest_errors_never_cross(images):
    """Images with so many undetected and detected objects: few images, ties, and images without errors."""
    catalog = Catalog.of(range(len(images)), ["a"])
    place, found = [], []
    for image, (undetected, detected) in enumerate(images):
        boxes = [[20.0 * at, 0, 10, 10] for at in range(undetected + detected)]
        place += [(image, box) for box in boxes]
        found += [(image, 0, box) for box in boxes[:detected]]
    truth = AnnotationTable.of(
        catalog, [at for at, _ in place], [0] * len(place), np.array([box for _, box in place]).reshape(-1, 4)
    )
    run = evaluated(truth, found)
    model = Model("m", 0, (run.run,))
    report = ReportData((model,), ((run,),), options=ComparisonOptions(resamples=0))
    errors = {at: undetected for at, (undetected, _) in enumerate(images)}
    groups = {}
    for choice in gallery_choice.choose(report):
        groups.setdefault(choice.group, []).append(choice.image)
    for best in groups.get("best", []):
        assert all(errors[best] < errors[worst] for worst in groups.get("worst", []))
        assert images[best][1]
    if groups.get("worst"):
        assert errors[groups["worst"][0]] == max(errors.values())
    shown = [at for group in groups.values() for at in group]
    assert len(set(shown)) == len(shown)
    low, high = np.percentile(list(errors.values()), [25, 75])
    assert all(low <= errors[at] <= high for at in groups.get("typical", []))


def test_models_of_equal_ap_have_no_image_that_decides_a_lead(tmp_path):
    """Each misses one object, in different images: both images decide, but neither model leads."""
    images = np.arange(12)
    truth = AnnotationTable.of(
        Catalog.of(range(12), ["a"], np.full((12, 2), 100)), images, np.zeros(12, int), np.tile(HERE, (12, 1))
    )
    runs = []
    for lost, name in enumerate(("one", "two")):
        rows = images[images != lost]
        found = DetectionTable(
            truth.catalog, rows, np.zeros(11, int), np.tile(HERE, (11, 1)), np.full(11, 0.9)
        )
        runs.append(run_in(tmp_path, truth, name, 0.7, found=found))
    report = ReportData.from_runs(runs, options=ComparisonOptions(resamples=50))
    assert report.influence.delta == 0
    assert report.influence.top()
    assert "decides" not in {choice.group for choice in gallery_choice.choose(report)}


def test_boxes_agree_with_the_counts(report):
    for choice in gallery_choice.choose(report):
        image = gallery_images.load_image(report, choice)
        for tile, model in zip(image.tiles, report.evaluated, strict=True):
            kinds = [box.kind for box in tile.boxes]
            counts = model[0].image_counts
            assert kinds.count("tp") == tile.tp == counts.tp[choice.image]
            assert kinds.count("fp") == tile.fp == counts.fp[choice.image]
            assert kinds.count("fn") == tile.fn == counts.fn[choice.image]
            assert kinds.count("truth") == tile.tp
            types = [box.text.rpartition(", ")[2] for box in tile.boxes if box.kind == "fp"]
            types = ["background" if name == "not annotated" else name for name in types]
            typed = [(types.count(kind), kind) for kind in FALSE_POSITIVES]
            assert tile.types == ", ".join(f"{count} {kind}" for count, kind in typed if count)


def test_of_too_many_boxes_the_errors_are_drawn_and_the_others_counted(report, monkeypatch):
    monkeypatch.setattr(gallery_images, "MAX_BOXES", 2)
    choice = gallery_choice.choose(report)[0]
    for tile in gallery_images.load_image(report, choice).tiles:
        assert len(tile.boxes) == 2
        assert tile.undrawn == 2 * tile.tp + tile.fp + tile.fn - 2
        errors = min(2, tile.fp + tile.fn)
        assert sum(box.kind in ("fp", "fn") for box in tile.boxes) == errors


def test_a_large_picture_is_scaled_down():
    pixels = np.zeros((100, 3000, 3), np.uint8)
    address, size = gallery_images.embed(pixels)
    assert size == (100, 3000)
    kind, data = re.fullmatch(r"data:image/(\w+);base64,(.*)", address).groups()
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.format.lower(), image.size) == (kind, (gallery_images.MAX_SIDE, 24))


@pytest.mark.parametrize(
    "pixels", [None, np.zeros((3, 4)), np.zeros((3, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_arrays_that_are_not_images_are_refused(pixels):
    with pytest.raises(ValueError, match="expected an"):
        gallery_images.embed(pixels)


def test_unreadable_images_are_reported_and_the_others_shown(runs, tmp_path, report):
    chosen = [choice.image for choice in gallery_choice.choose(report)]
    broken = set(chosen[:4])

    def images(image):
        if image - 1 in broken:
            raise FileNotFoundError(f"/home/alice/cells/{image}.jpg is gone")
        return picture(runs[0].truth, image)

    section = part(parsed(write_report(runs, tmp_path, images)), "gallery")
    assert re.search(r"4 chosen images could not be read; the first is scene_0\d\d\.jpg", words(section))
    assert "alice" not in words(section)
    assert len(every(section, "article")) == len(chosen) - 4


def test_a_page_without_images_has_no_gallery(runs, tmp_path):
    assert "No images were given" in words(part(parsed(write_report(runs, tmp_path)), "gallery"))


def test_fault_57_a_page_over_its_limit_leaves_out_images_and_reports_how_many(
    runs, tmp_path, report, no_drawing
):
    def noise(image):
        return np.random.default_rng(image).integers(0, 256, (400, 600, 3), np.uint8)

    page = write_report(runs, tmp_path, noise, max_mb=1.2)
    assert page.stat().st_size < 1.2e6
    section = part(parsed(page), "gallery")
    kept = len(every(section, "article"))
    chosen = len(gallery_choice.choose(report))
    assert 0 < kept < chosen
    assert f"{chosen - kept} chosen images were left out to limit the size of this page" in words(section)
    # The same images are left out each time.
    assert write_report(runs, tmp_path / "again", noise, max_mb=1.2).read_bytes() == page.read_bytes()
    # Every group still has its first image.
    assert {article.get("data-group") for article in every(section, "article")} >= {"differ", "worst"}
