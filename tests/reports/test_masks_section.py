"""The section on masks: when it is there, its pictures, its files, and what happens to label maps that are not usable."""

from __future__ import annotations

import base64
import io
import json
import re
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM
from drawn_masks import (
    CLASSES,
    HEIGHT,
    WIDTH,
    draw_maps,
    found_maps,
    mask_report,
    mask_run,
    plain_miou,
    saved_maps,
)
from pages import cells, every, parsed, part, words
from PIL import Image
from test_browser import AXE, axe_violations

from metrics.pixel_labels import IGNORED
from reports.analysis.mask_gallery import LEAST_SIDE, describe_map, draw_overlay
from reports.analysis.mask_results import mask_results
from reports.analysis.shared_images import on_shared_images
from reports.elements.palette import PHOTO
from reports.pages import write_comparison
from reports.records.mask_counts import load_mask_record, save_mask_record
from reports.records.run import RunFolder
from reports.sections import masks


@pytest.fixture(scope="module")
def truth():
    return draw_maps(np.random.default_rng(0), 60)


@pytest.fixture(scope="module")
def runs(truth, tmp_path_factory):
    """A detector of boxes, and two models with label maps, the second with two seeds."""
    folder, rng = tmp_path_factory.mktemp("runs"), np.random.default_rng(1)
    return [
        mask_run(folder, truth, None, "boxes"),
        mask_run(folder, truth, found_maps(rng, truth, 0.3), "fair"),
        *(mask_run(folder, truth, found_maps(rng, truth, 0.1), "good", seed) for seed in range(2)),
    ]


@pytest.fixture(scope="module")
def page(truth, runs, tmp_path_factory):
    return write_comparison(mask_report(runs, truth), tmp_path_factory.mktemp("page"))


def pixels_of(url: str) -> np.ndarray:
    data = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def test_the_page_has_the_section_with_every_map(truth, runs, page):
    section = part(parsed(page), "masks")
    text = words(section)
    assert "good has the highest mIoU" in text
    assert "It beats fair by" in text
    assert "Note. boxes has no label maps and is left out." in text
    rows = cells(parsed(page), "masks-models")
    assert [row[0] for row in rows] == ["good 2 seeds", "fair"]
    value = np.mean([plain_miou(truth, saved_maps(run)) for run in runs[2:]])
    assert rows[0][1].startswith(f"{100 * value:.1f} [")
    pairs = cells(parsed(page), "masks-pairs-table")
    assert [row[:2] for row in pairs] == [
        ["good − fair", name] for name in ("mIoU", "Dice", "Pixel accuracy")
    ]
    assert pairs[0][-1] == "good is better"
    shots = [element for element in every(section, "article") if element.get("class") == "shot"]
    assert len(shots) == 7
    for shot in shots:
        titles = [words(element) for element in every(shot, "b")]
        assert titles == ["Image", "Ground truth", "good", "fair"]
        labels = [svg.get("aria-label") for svg in every(shot, "svg") if svg.get("role") == "img"]
        assert len(labels) == 4
        assert all(re.search(r": .*background \d+\.\d%", label) for label in labels[1:])
    legend = [words(item) for item in every(section, "li")]
    assert legend == [*CLASSES[1:], "ignored"]
    assert len({element.get("id") for element in section.iter() if element.get("id")}) == sum(
        element.get("id") is not None for element in section.iter()
    )


def test_numbers_of_maps_in_tiles_are_those_of_the_image(truth, runs, page):
    section = part(parsed(page), "masks")
    for shot in [element for element in every(section, "article") if element.get("class") == "shot"]:
        at = int(re.search(r"p(\d+)\.png", words(shot))[1])
        for run, title in ((runs[2], "good"), (runs[1], "fair")):
            value = plain_miou([truth[at]], [saved_maps(run)[at]])
            captions = [words(each) for each in every(shot, "figcaption")]
            assert any(each.startswith(f"{title} mIoU {100 * value:.1f} ") for each in captions)


def test_tables_beside_the_page_have_every_number(truth, runs, page):
    folder = page.parent
    standings = pd.read_csv(folder / "mask-standings.csv")
    assert set(standings["model"]) == {"good", "fair"}
    pairs = pd.read_csv(folder / "mask-pairs.csv")
    assert {"miou", "mdice", "pixel_accuracy"} <= set(pairs["metric"])
    assert {"all", "background", "cat", "dog", "emu"} == set(pairs["scope"])
    classes = pd.read_csv(folder / "mask-classes.csv")
    emu = classes[(classes["class_name"] == "emu") & (classes["measure"] == "miou")]
    assert set(emu["images"]) == {sum((each == 3).any() for each in truth)}
    images = pd.read_csv(folder / "mask-images.csv")
    assert len(images) == 3 * 60
    for run in runs[1:]:
        of_run = images[images["run_id"] == run.result.name]
        maps = saved_maps(run)
        expected = [plain_miou([t], [f]) for t, f in zip(truth, maps, strict=True)]
        np.testing.assert_allclose(of_run["miou"], expected)
        shares = [(f == t)[t != IGNORED].mean() for t, f in zip(truth, maps, strict=True)]
        np.testing.assert_allclose(of_run["pixel_accuracy"], shares)
    values = pd.read_csv(folder / "metrics.csv")
    row = values[(values["model_id"] == "fair") & (values["metric"] == "miou") & values["class_name"].isna()]
    standing = standings[(standings["model"] == "fair") & (standings["measure"] == "miou")]
    assert row["ci_low"].item() == standing["ci_low"].item()
    linked = {link.get("href") for link in every(part(parsed(page), "masks"), "a")}
    assert {"mask-standings.csv", "mask-pairs.csv", "mask-classes.csv", "mask-images.csv"} <= linked
    assert all((folder / name).is_file() for name in linked)


def test_without_label_maps_there_is_no_section(truth, tmp_path, no_drawing):
    page = write_comparison(mask_report([mask_run(tmp_path, truth, None, "boxes")], truth, 0), tmp_path)
    assert 'id="masks"' not in page.read_text(encoding="utf-8")
    assert not list(tmp_path.glob("mask-*.csv"))


def test_without_resamples_values_are_shown_and_nothing_is_called_better(truth, runs):
    report = mask_report(runs, truth, 0)
    section = masks.section(report, mask_results(report), 10**6)
    assert section.finding.startswith("good has the highest mIoU")
    assert "the uncertainty of the differences is not known" in section.finding
    assert [table.slug for table in section.tables] == ["masks-models", "masks-classes-table"]
    assert "beat" not in section.finding


def test_fault_112_label_maps_of_different_masks_are_not_compared(truth, runs, tmp_path):
    changed = [each.copy() for each in truth]
    changed[3][0, 0] = 2 if changed[3][0, 0] != 2 else 1
    other = mask_run(tmp_path, changed, changed, "other")
    report = mask_report([runs[1], other], truth)
    section = masks.section(report, mask_results(report), 10**6)
    assert re.match(
        r"The label maps cannot be compared: (fair and other|other and fair) were measured on different masks in 1 of 60 images",
        section.finding,
    )
    assert not section.figures
    assert not section.extra["groups"]


def test_fault_112_images_whose_maps_are_not_those_that_were_measured_are_named(truth, tmp_path):
    run = mask_run(tmp_path, truth, found_maps(np.random.default_rng(3), truth, 0.2), "m0")
    report = mask_report([run], truth)
    whole = masks.section(report, mask_results(report), 10**6)
    shown = [image.name for _, _, images in whole.extra["groups"] for image in images]
    assert len(shown) == 3
    folder = run.path / RunFolder.LABEL_MAPS
    (folder / shown[0]).write_bytes(b"no")
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(folder / shown[1])
    (folder / shown[2]).unlink()
    section = masks.section(report, mask_results(report), 10**6)
    assert not section.extra["groups"]
    (warning,) = [text for text in section.warnings if "could not be shown" in text]
    assert warning.startswith("3 chosen images could not be shown; the first is p")


def test_fault_112_a_changed_map_is_told_from_the_measured_one(truth, tmp_path):
    run = mask_run(tmp_path, truth, found_maps(np.random.default_rng(3), truth, 0.2), "m0")
    report = mask_report([run], truth)
    for file in (run.path / RunFolder.LABEL_MAPS).iterdir():
        Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8)).save(file)
    section = masks.section(report, mask_results(report), 10**6)
    assert any("is not the label map that was measured" in text for text in section.warnings)


def test_only_images_with_saved_maps_are_chosen_and_bytes_are_limited(truth, tmp_path):
    run = mask_run(tmp_path, truth, found_maps(np.random.default_rng(4), truth, 0.2), "m0", saved=4)
    report = mask_report([run], truth)
    section = masks.section(report, mask_results(report), 10**6)
    names = [image.name for _, _, images in section.extra["groups"] for image in images]
    assert set(names) <= {f"p{at:03d}.png" for at in range(4)}
    small = masks.section(report, mask_results(report), 4000)
    assert not small.extra["groups"]
    assert any("left out to limit the size" in text for text in small.warnings)


def test_runs_of_shared_images_keep_their_counts(truth, runs, tmp_path):
    part_of = mask_run(tmp_path, truth[::-1][:20], saved_maps(runs[1])[::-1][:20], "m0")
    part_of.truth = part_of.truth.__class__.of(
        part_of.truth.catalog, part_of.truth.image, part_of.truth.label, part_of.truth.xywh
    )
    reduced, _ = on_shared_images([part_of, runs[1]])
    assert reduced[1].mask_counts is not None
    np.testing.assert_array_equal(reduced[1].mask_counts.truth, runs[1].mask_counts.truth[:20])
    assert reduced[1].mask_record.files == runs[1].mask_record.files[:20]
    expected = plain_miou(truth[:20], saved_maps(runs[1])[:20])
    assert reduced[1].result.masks["miou"] == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(5, 7), (3, 400), (900, 1000)])
def test_an_overlay_has_the_colour_of_each_class(shape):
    labels = np.zeros(shape, np.uint8)
    labels[:, shape[1] // 2 :] = 2
    labels[: shape[0] // 2, : shape[1] // 4] = 10
    labels[-1, 0] = IGNORED
    drawn = pixels_of(draw_overlay(labels))
    assert max(drawn.shape[:2]) <= 720
    assert max(drawn.shape[:2]) > LEAST_SIDE / 2
    rows = ((np.arange(drawn.shape[0]) + 0.5) * shape[0] / drawn.shape[0]).astype(int)
    columns = ((np.arange(drawn.shape[1]) + 0.5) * shape[1] / drawn.shape[1]).astype(int)
    expected = labels[np.ix_(rows, columns)]
    assert set(drawn[expected == 0][:, 3].tolist()) <= {0, 200}  # clear, and the outlines of the areas
    assert (drawn[expected == 0][:, 3] == 0).mean() > 0.4
    rgb = [tuple(int(PHOTO[1][at : at + 2], 16) for at in (1, 3, 5))]
    for label in (2, 10):  # ten differs from two by the number of colours
        area = drawn[expected == label]
        assert {tuple(each[:3]) for each in area.tolist()} == set(rgb)
        assert set(area[:, 3].tolist()) <= {110, 255}
    assert not {tuple(each) for each in drawn[expected == IGNORED][:, :3].tolist()} & set(rgb)


def test_a_map_is_described_by_its_shares():
    whole = np.zeros((100, 100), np.uint8)
    whole[0, :4] = 1
    assert describe_map(whole, ("ground", "cat")) == "ground 100.0% and cat <0.1%"
    labels = np.array([[0, 0, 0, 1], [0, 0, 2, IGNORED]], np.uint8)
    assert (
        describe_map(labels, ("ground", "cat", "dog"))
        == "ground 62.5%, cat 12.5%, dog 12.5% and ignored 12.5%"
    )


def test_the_record_of_masks_survives_the_disk_and_records_without_files_are_read(runs, tmp_path):
    import pyarrow.parquet as pq

    record = runs[1].mask_record
    save_mask_record(tmp_path / "new.parquet", record)
    again = load_mask_record(tmp_path / "new.parquet")
    assert again.files == record.files
    np.testing.assert_array_equal(again.counts.intersection, record.counts.intersection)
    table = pq.read_table(tmp_path / "new.parquet")
    metadata = json.loads(table.schema.metadata[b"detbench"])
    del metadata["files"]
    pq.write_table(
        table.replace_schema_metadata({b"detbench": json.dumps(metadata)}), tmp_path / "old.parquet"
    )
    assert load_mask_record(tmp_path / "old.parquet").files == ("",) * 60


def test_the_same_runs_give_the_same_section(truth, runs, page, tmp_path):
    again = write_comparison(mask_report(runs[::-1], truth), tmp_path)
    assert again.read_bytes() == page.read_bytes()
    for file in page.parent.glob("mask-*.csv"):
        assert (tmp_path / file.name).read_bytes() == file.read_bytes()
        assert pd.read_csv(StringIO(file.read_text(encoding="utf-8"))).shape[0]


@pytest.mark.skipif(CHROMIUM is None or not AXE, reason="Chromium or axe-core is missing")
def test_axe_reports_no_violations_of_the_section(page, tmp_path):
    assert axe_violations(page, tmp_path, "light") == []
