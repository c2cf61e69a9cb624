"""A finished run applied to images: detections equal to its evaluation, tables that read back, continuation, errors."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_data import Picture, write_coco
from tiny_runs import tiny_sets

import bench
from bench.cli import main
from bench.data.opening import open_dataset
from bench.prediction.image_files import find_images
from bench.prediction.job import predict_files
from bench.prediction.pixels import rgb_pixels
from bench.process.interrupts import Stopped, StopRequest
from metrics import evaluate, read_detections, read_truth
from metrics.errors import InputError
from metrics.matching import match
from metrics.measures.operating_point import operating_point
from metrics.tables import DetectionTable
from reports.records.run import RunFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A COCO data set of 24 pictures."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    pictures = []
    for k in range(24):
        x, y = draw.integers(2, 20, 2).tolist()
        pictures.append(Picture(f"p{k:02}", objects=[(k % 2, (x, y, x + 24, y + 20))]))
    write_coco(folder / "annotations.json", pictures, folder / "images")
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> RunFolder:
    out = tmp_path_factory.mktemp("runs")
    sets = [each for each in tiny_sets() if not each.startswith("data.")]
    arguments = ["run", "--variant", "ssd", "--data", str(data), "--out", str(out), "--quiet", "--set", *sets]
    assert main([*arguments, "nms.score=0", "candidates.score=0", "train.epochs=3"]) == 0
    (folder,) = out.iterdir()
    return RunFolder.open(folder)


@pytest.fixture
def photos(data) -> Path:
    return data / "images"


def test_detections_equal_those_of_the_evaluation(run, data):
    catalog = run.truth.catalog
    paths = [data / "images" / name for name in catalog.file_names]
    found = bench.load(run.path, score=0, device="cpu").predict(paths)
    again = DetectionTable.from_images(
        catalog,
        [each.boxes for each in found],
        [each.scores for each in found],
        [each.labels for each in found],
    )
    assert len(again) > 50
    assert again.fingerprint == run.detections.fingerprint


def test_an_image_is_the_same_as_path_pillow_image_array_and_tensor(run, photos):
    path = photos / "p03.png"
    array = np.array(Image.open(path))
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    detect = bench.load(run.path, score=0, device="cpu")
    expected = detect(path)
    assert len(expected)
    assert expected.size == (48, 64)
    for image in (str(path), Image.open(path), array, tensor, tensor / 255):
        found = detect(image)
        for name in ("boxes", "scores", "labels"):
            np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_threshold_has_the_best_f1_on_the_validation_images(run, data):
    val = open_dataset(data).splits["val"]
    found = bench.load(run.path, score=0, device="cpu").predict([val.load(k) for k in range(len(val))])
    table = DetectionTable.from_images(
        val.truth.catalog, *zip(*((each.boxes, each.scores, each.labels) for each in found), strict=True)
    )

    matches = match(val.truth, table)

    def f1(score: float) -> float:
        values = operating_point(matches, score=score)
        return next(each.value for each in values if (each.name, each.class_name) == ("f1", ""))

    detector = bench.load(run.path)
    assert detector.score_source == "validation"
    best = max(f1(score) for score in np.unique(table.score).tolist())
    assert f1(detector.score) == pytest.approx(best)
    without = run.replace(result=run.result.model_copy(update={"score_threshold": None}))
    assert bench.prediction.trained_detector.TrainedDetector(without).score_source == "evaluated"


def test_only_detections_with_at_least_the_score_are_returned(run, photos):
    every = bench.load(run.path, score=0, device="cpu")(photos / "p00.png")
    middle = float(np.median(every.scores))
    assert bench.load(run.path, score=middle, device="cpu")(photos / "p00.png").scores.min() >= middle
    kept = bench.load(run.path, score=1, device="cpu")(photos / "p00.png", score=middle)
    assert len(kept) == (every.scores >= middle).sum()
    assert [name for name, _, _ in kept] == kept.names


def predict(run: RunFolder, *arguments: object) -> int:
    return main(["predict", str(run.path), *map(str, arguments), "--device", "cpu", "--quiet"])


@pytest.mark.filterwarnings("ignore:.*no width or no height")  # random boxes, clipped to their image
def test_tables_read_back_as_the_same_detections(run, data, tmp_path, capsys):
    assert (
        predict(
            run, data / "images", "--out", tmp_path, "--score", 0, "--write", "json", "csv", "yolo", "--json"
        )
        == 0
    )
    facts = json.loads(capsys.readouterr().out)
    truth = read_truth(data / "annotations.json")
    tables = [
        read_detections(tmp_path / name, truth) for name in ("detections.json", "detections.csv", "labels")
    ]
    assert facts["images"] == 24
    for table in tables:
        assert len(table) == sum(facts["detections"].values()) > 100
        assert table.catalog.classes == tuple(facts["detections"])
        np.testing.assert_allclose(np.sort(table.score), np.sort(tables[0].score), atol=1e-6)
        order, first = (np.lexsort((each.score, each.label, each.image)) for each in (table, tables[0]))
        np.testing.assert_array_equal(table.image[order], tables[0].image[first])
    evaluations = [evaluate(truth, table, ["average_precision"]).headline["ap"] for table in tables]
    assert evaluations == pytest.approx([evaluations[0]] * 3, abs=1e-3)


def test_pictures_show_boxes_and_crops_are_parts_of_the_image(run, photos, tmp_path):
    assert predict(run, photos / "p05.png", "--out", tmp_path, "--score", 0, "--write", "drawn", "crops") == 0
    original, drawn = Image.open(photos / "p05.png"), Image.open(tmp_path / "drawn/p05.jpg")
    assert drawn.size == original.size
    assert np.abs(np.asarray(drawn).astype(int) - np.asarray(original)).max() > 100
    (found,) = [bench.load(run.path, score=0, device="cpu")(photos / "p05.png")]
    x1, y1, x2, y2 = found.boxes[0]
    with Image.open(tmp_path / "crops" / found.names[0] / "p05-1.jpg") as crop:
        assert crop.size == (np.ceil(x2) - np.floor(x1), np.ceil(y2) - np.floor(y1))


class StopAfter(StopRequest):
    """A request that arrives after some batches."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def raise_if_stopped(self, saved: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped(2, saved)


def test_a_stopped_prediction_continues_to_the_same_tables(run, photos, tmp_path):
    detector, files = bench.load(run.path, score=0, device="cpu"), find_images([photos])
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    predict_files(detector, files, whole, ["json", "csv"], batch=8)
    with pytest.raises(Stopped, match="16 of 24 images"):
        predict_files(detector, files, parts, ["json", "csv"], batch=8, stop=StopAfter(2))
    record = parts / "detections.jsonl"
    record.write_bytes(record.read_bytes()[:-20])  # killed while it wrote the last line
    calls = []
    predict_one = detector.predict
    detector.predict = lambda images, score=None: calls.extend(images) or predict_one(images, score)
    again = predict_files(detector, files, parts, ["json", "csv"], batch=8)
    assert (again.reused, len(calls)) == (15, 9)
    for name in ("detections.json", "detections.csv"):
        ours, theirs = ((folder / name).read_text() for folder in (parts, whole))
        assert len(ours.splitlines()) == len(theirs.splitlines())
    assert [file.name for file, _ in again.found] == [file.name for file in files]


def test_changed_images_and_other_settings_are_predicted_again(run, photos, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("p00.png", "p01.png"):
        (source / name).write_bytes((photos / name).read_bytes())
    detector = bench.load(run.path, score=0, device="cpu")

    def reused(detector) -> int:
        return predict_files(detector, find_images([source]), tmp_path / "out", ["csv"]).reused

    assert [reused(detector), reused(detector)] == [0, 2]
    os.utime(source / "p00.png", ns=(1, 1))
    assert reused(detector) == 1
    assert reused(bench.load(run.path, score=0.2, device="cpu")) == 0


def test_unreadable_images_are_named_and_the_others_are_predicted(run, photos, tmp_path, capsys):
    source = tmp_path / "source"
    source.mkdir()
    (source / "good.png").write_bytes((photos / "p00.png").read_bytes())
    (source / "bad.png").write_bytes((photos / "p00.png").read_bytes()[:100])
    assert predict(run, source, "--out", tmp_path / "out", "--score", 0) == 4
    message = capsys.readouterr().err
    assert "1 of 2 images cannot be read" in message
    assert "bad.png" in message
    assert (tmp_path / "out/drawn/good.jpg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["{empty}"], "no images in this folder"),
        (["{photos}/*.gif"], "no file matches this pattern"),
        (["{photos}/p00.png", "{other}/p00.png"], "two images named p00.png"),
        (["{photos}", "--write", "xml"], "--write: 'xml' is not a kind of output; choose from json, csv"),
        (["{photos}", "--score", "2"], "'--score': Input should be less than or equal to 1"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(run, photos, tmp_path, capsys, arguments, message):
    other, empty = tmp_path / "other", tmp_path / "empty"
    other.mkdir(), empty.mkdir()
    (other / "p00.png").write_bytes((photos / "p01.png").read_bytes())
    given = [each.format(photos=photos, other=other, empty=empty) for each in arguments]
    assert predict(run, *given, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_patterns_and_folders_name_each_file_once(photos):
    whole = find_images([photos])
    assert [each.name for each in whole] == sorted(each.name for each in whole)
    assert find_images([photos, photos / "p00.png", f"{photos}/p0*.png"]) == whole
    assert len(find_images([f"{photos}/p0*.png"])) == 10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied_to_files_and_pillow_images(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(1).integers(0, 255, (12, 20, 3), dtype=np.uint8)
    file = tmp_path / "a.png"
    Image.fromarray(pixels).save(file, exif=exif)
    with Image.open(file) as image:
        np.testing.assert_array_equal(rgb_pixels(image), rgb_pixels(file))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3)), "expected \\(H, W, 3\\) in RGB"),
        (np.zeros((3, 4, 4), np.uint8), "expected \\(H, W, 3\\) in RGB"),
        (np.zeros((0, 4, 3), np.uint8), "without pixels"),
        (torch.full((3, 4, 4), 2.0), "from 2 to 2; expected floating point in \\[0, 1\\]"),
        (torch.zeros(4, 4, 3), "expected \\(3, H, W\\)"),
        (torch.full((3, 4, 4), float("nan")), "expected floating point"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "expected \\(H, W, 3\\) in RGB"),
        (7, "int; expected a path"),
    ],
)
def test_images_of_another_form_are_refused(image, message):
    with pytest.raises(InputError, match=message):
        rgb_pixels(image)


def test_grey_images_have_three_equal_channels():
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for image in (grey, torch.from_numpy(grey)[None], Image.fromarray(grey)):
        np.testing.assert_array_equal(rgb_pixels(image), np.stack([grey] * 3, axis=-1))
