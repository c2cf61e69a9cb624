"""The page of a data check: its sentences against counts from the files, its samples, its size, and axe-core."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from browser import CHROMIUM, ask, browse
from checked_data import CheckedData, degenerate, look_at, write_data
from test_browser import AXE
from undrawn import undrawn

from bench.pipeline.loader import make_loader
from bench.survey.samples import AUGMENTED, INPUT_IMAGES, choose_samples
from reports.analysis.data_findings import finding_text
from reports.pages import write_data_page
from reports.records.data_check import GRID, DataCheck
from reports.sections import data_boxes, data_images, data_splits, data_verdict


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with a box without width in training and a copy of a training image in test."""
    path = write_data(tmp_path_factory.mktemp("data"), train=degenerate)
    (path / "test/test1.png").write_bytes((path / "train/train2.png").read_bytes())
    return path


@pytest.fixture(scope="module")
def checked(folder: Path) -> CheckedData:
    return look_at(folder)


@pytest.fixture(scope="module")
def written(checked: CheckedData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(checked, tmp_path_factory.mktemp("page"))


def write(checked: CheckedData, out: Path, max_mb: float = 5.0) -> Path:
    samples = choose_samples(
        checked.check, checked.subjects, checked.settings.image, checked.settings.augment
    )
    return write_data_page(checked.check, samples, out, max_mb=max_mb)


def annotations(folder: Path, split: str) -> dict:
    return json.loads((folder / f"instances_{split}.json").read_text())


def test_sentences_agree_with_the_files(folder, checked):
    check = checked.check
    contents = {split: annotations(folder, split) for split in ("train", "val", "test")}
    parts = [f"{len(c['images'])} images with {len(c['annotations'])} objects" for c in contents.values()]
    sentence = data_splits.split_finding(check)
    assert [re.sub(r"\D+", " ", part).split() for part in parts] == [
        re.sub(r"\D+", " ", part).split() for part in re.split(r",| and (?=\w+ has)", sentence.split(".")[0])
    ]
    names = {c["id"]: c["name"] for c in contents["train"]["categories"]}
    boxes = [(split, row) for split, c in contents.items() for row in c["annotations"]]
    classes = Counter(names[row["category_id"]] for _, row in boxes)
    (most, high), *_, (least, low) = classes.most_common()
    sentence = data_splits.class_finding(check)
    assert (
        sentence
        == f"{most} has {high} objects ({high / len(boxes):.0%} of all), {high / low:.2f} times as many as {least} ({low})."
    )
    per_image = Counter((split, row["image_id"]) for split, row in boxes)
    images = sum(len(c["images"]) for c in contents.values())
    assert data_images.object_finding(check) == (
        f"{len(boxes) / images:.2f} objects per image on average, at most {max(per_image.values())}."
    )
    assert data_images.size_finding(check) == f"All {images} images have 128 x 96 pixels."
    assert data_images.file_finding(check) == f"File formats: {images} PNG; colour modes: {images} RGB."
    trained = [row["bbox"] for _, row in boxes if row["bbox"][2] > 0]
    inner = sum(
        1 / 4 <= (x + w / 2) / 128 < 3 / 4 and 1 / 4 <= (y + h / 2) / 96 < 3 / 4 for x, y, w, h in trained
    )
    assert data_boxes.center_finding(check).startswith(f"{inner / len(trained):.0%} of the centres")
    scale = 320 / 128
    small = sum((w * h) ** 0.5 * scale < 8 for *_, w, h in trained)
    assert data_boxes.below_stride(check) == (small, len(trained))
    sizes = [(row["bbox"][2] * row["bbox"][3]) ** 0.5 * scale for split, row in boxes if split == "val"]
    assert f"{np.median(sizes):.1f} px" in data_boxes.size_finding(check)
    assert data_verdict.summary(check) == "1 error and 1 warning: leakage and boxes without width or height."
    assert sum(map(sum, check.split("train").centers)) == sum(
        row["bbox"][2] > 0 for row in contents["train"]["annotations"]
    )
    assert len(check.split("train").centers) == GRID


def test_suspicious_images_come_first_and_their_boxes_are_marked(checked):
    samples = list(
        choose_samples(checked.check, checked.subjects, checked.settings.image, checked.settings.augment)
    )
    groups = [sample.group for sample in samples]
    assert groups[:3] == ["suspicious"] * 3
    assert {(s.split, s.name) for s in samples[:3]} == {
        ("train", "train2.png"),
        ("test", "test1.png"),
        ("train", "train0.png"),
    }
    assert samples[0].reason == "leakage: test test1.png"
    (flat,) = [s for s in samples if s.name == "train0.png"]
    assert [(box.suspect, box.w) for box in flat.views[0].boxes] == [(False, 30), (False, 50), (True, 0)]
    assert len({(s.split, s.name) for s in samples if s.group != "input"}) == groups.count(
        "suspicious"
    ) + groups.count("class")


def test_views_of_the_input_are_what_a_run_trains_on(checked):
    settings, split = checked.settings, checked.subjects[0].split
    samples = choose_samples(checked.check, checked.subjects, settings.image, settings.augment, seed=3)
    shown = [sample for sample in samples if sample.group == "input"]
    assert len(shown) == INPUT_IMAGES
    plain = list(make_loader(split, settings.image, None, 1, seed=3, workers=0))
    loader = make_loader(split, settings.image, settings.augment, 1, seed=3, workers=0)
    epochs = [plain, *(list(loader) for _ in range(AUGMENTED))]
    ids = split.truth.catalog.file_names
    for sample in shown:
        index = ids.index(sample.name)
        for view, batches in zip(sample.views, epochs, strict=True):
            np.testing.assert_array_equal(
                view.pixels, (batches[index].images[0] * 255).round().byte().permute(1, 2, 0)
            )
            corners = [(box.x, box.y, box.x + box.w, box.y + box.h) for box in view.boxes]
            np.testing.assert_allclose(
                np.reshape(corners, (-1, 4)), batches[index].targets[0].boxes, atol=1e-3
            )


def test_the_page_stays_within_its_limit_and_says_what_it_left_out(checked, written, tmp_path):
    size = written.stat().st_size
    limit = size - 60_000
    with undrawn():
        small = write(checked, tmp_path / "small", limit / 1e6)
    text = small.read_text()
    assert small.stat().st_size <= limit
    assert "left out to limit the size of this page" in text
    assert "left out to limit" not in written.read_text()
    assert written.stat().st_size < 5e6


def test_each_finding_says_what_to_do(checked, written):
    page = written.read_text()
    advice = [fix for finding in checked.check.findings if (fix := finding_text(finding).fix)]
    assert len(advice) >= 2
    for fix in advice:
        assert f"<b>What to do:</b> <bdi>{fix}.</bdi>" in page


def test_the_same_check_gives_the_same_bytes(checked, tmp_path):
    with undrawn():
        one, other = (write(checked, tmp_path / name).read_bytes() for name in ("a", "b"))
    assert one == other
    assert DataCheck.load(tmp_path / "a/check.json") == checked.check


def test_names_from_files_are_escaped(tmp_path):
    def rename(content):
        content["categories"][0]["name"] = "<script>alert(1)</script>"

    path = write_data(tmp_path / "data", train=rename, val=rename, test=rename)
    with undrawn():
        text = write(look_at(path, fast=True), tmp_path / "page").read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "not decoded" in text


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_class_chooser_hides_other_images(written, tmp_path):
    assert 'id="sample-chooser" hidden' not in browse(written, tmp_path)
    shown = ask(
        written,
        tmp_path,
        """
        await wait(50);
        const [ofClass, ofSplit] = all("#sample-chooser select");
        const count = () => all(".shot").filter(seen).length;
        const before = count();
        ofSplit.value = "test";
        ofSplit.dispatchEvent(new Event("change"));
        answer([before, count(), all('.shot[data-split="test"]').length]);
        """,
    )
    assert shown[0] > shown[1] == shown[2] > 0


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.skipif(not AXE, reason="AXE_CORE does not name axe.min.js of the npm package axe-core")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_reports_no_violations(written, tmp_path, theme):
    found = ask(
        written,
        tmp_path,
        f"""
        document.documentElement.dataset.theme = "{theme}";
        for (const details of all("details")) details.open = true;
        const result = await axe.run(document, {{ resultTypes: ["violations"], iframes: false }});
        answer(result.violations.map(({{ id, nodes }}) => [id, nodes.slice(0, 3).map((node) => [node.html.slice(0, 200), node.failureSummary])]));
        """,
        before=Path(AXE).read_text(encoding="utf-8"),
    )
    assert found == []
