"""The gallery: informative images, boxes that agree with the counts, and the size limit of the page."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from pages import every, parsed, part, words
from PIL import Image
from synthetic_runs import picture, run_in_memory

from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.analysis import gallery_images
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.report_data import ComparisonOptions, ReportData
from reports.pages import write_report

pytestmark = pytest.mark.usefixtures("no_drawing")


@pytest.fixture
def report(runs):
    return ReportData.from_runs(
        runs, lambda image: picture(runs[0].truth, image), options=ComparisonOptions(resamples=100)
    )


def test_images_are_chosen_once_with_the_largest_difference_first(report):
    choices = gallery_images.choose(report)
    images = [choice.image for choice in choices]
    assert 10 < len(images) == len(set(images))
    errors = np.stack([model[0].image_counts.errors for model in report.evaluated])
    assert choices[0].group == "differ"
    assert np.ptp(errors, axis=0)[choices[0].image] == np.ptp(errors, axis=0).max()
    worst = [choice.image for choice in choices if choice.group == "worst"]
    rest = sorted(set(range(16)) - {choices[0].image}, key=lambda at: (-errors.sum(0)[at], at))
    assert worst[0] == rest[0]


def test_errors_shared_by_all_models_are_counted_per_image():
    catalog = Catalog.of([0, 1, 2], ["a", "b"])
    truth = AnnotationTable.of(
        catalog, [0, 0, 1], [0, 0, 0], [[0.0, 0, 10, 10], [50, 0, 10, 10], [0, 0, 10, 10]]
    )
    # Both detect the first object only. In image 2 both have a false positive a; in image 1 an a and a b.
    found = [(0, 0, [0, 0, 10, 10]), (2, 0, [30, 0, 20, 20]), (1, 0, [30, 0, 20, 20])]
    other = [(0, 0, [0, 0, 10, 10]), (2, 0, [31, 0, 20, 20]), (1, 1, [30, 0, 20, 20])]

    def evaluated(rows):
        image, label, xywh = (np.array(column) for column in zip(*rows, strict=True))
        return EvaluatedRun(
            run_in_memory(truth, DetectionTable(catalog, image, label, xywh.astype(float), np.full(3, 0.9)))
        )

    assert gallery_images.shared_errors([evaluated(found), evaluated(other)]).tolist() == [
        [1, 1, 0],
        [0, 0, 1],
    ]
    assert gallery_images.shared_errors([evaluated(other), evaluated(found)]).tolist() == [
        [1, 1, 0],
        [0, 0, 1],
    ]


def test_boxes_agree_with_the_counts(report):
    for choice in gallery_images.choose(report):
        image = gallery_images.load_image(report, choice)
        for tile, model in zip(image.tiles, report.evaluated, strict=True):
            kinds = [box.kind for box in tile.boxes]
            counts = model[0].image_counts
            assert kinds.count("tp") == tile.tp == counts.tp[choice.image]
            assert kinds.count("fp") == tile.fp == counts.fp[choice.image]
            assert kinds.count("fn") == tile.fn == counts.fn[choice.image]
            assert kinds.count("truth") == tile.tp


def test_of_too_many_boxes_the_errors_are_drawn_and_the_others_counted(report, monkeypatch):
    monkeypatch.setattr(gallery_images, "MAX_BOXES", 2)
    choice = gallery_images.choose(report)[0]
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
    chosen = [choice.image for choice in gallery_images.choose(report)]
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
    chosen = len(gallery_images.choose(report))
    assert 0 < kept < chosen
    assert f"{chosen - kept} chosen images were left out to limit the size of this page" in words(section)
    # The same images are left out each time.
    assert write_report(runs, tmp_path / "again", noise, max_mb=1.2).read_bytes() == page.read_bytes()
    # Every group still has its first image.
    assert {article.get("data-group") for article in every(section, "article")} >= {"differ", "worst"}
