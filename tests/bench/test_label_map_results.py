"""Label maps that a run predicts: in original pixels, on disk, and measured against the masks of the data set."""

from __future__ import annotations

import json
from io import StringIO

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tiny_runs import tiny_config

from bench.commands.results_table import results_json
from bench.pipeline.inference import wrap_predictor
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.label_maps import original_label_map
from bench.pipeline.placement import place_all
from bench.pipeline.predict import predict
from bench.runs import label_maps
from bench.runs.detector import build_detector
from bench.runs.run import run
from bench.settings.resolution import open_run_data
from bench.settings.sections import EvaluateConfig
from metrics.errors import InputError, InputNote
from metrics.evaluator import evaluate
from metrics.mask_files import score_masks
from metrics.segmentation import LabelMaps
from reports.analysis.leaderboard import run_tables
from reports.records.mask_counts import load_mask_record
from reports.records.run import RunFolder

SIZES = np.array([[30, 60], [64, 64], [90, 45], [33, 71]])


def probabilities_of(labels: torch.Tensor, classes: int = 4) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels.long(), classes).permute(2, 0, 1).float()


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("image", range(len(SIZES)))
def test_a_map_comes_back_to_the_original_pixels(resize, image):
    """Four quadrants of the original, drawn in the network's input, are the quadrants again; padding leaves no trace."""
    config = ImageConfig(size=(64, 64), resize=resize)
    placement = place_all(SIZES, config)
    height, width = SIZES[image].tolist()
    scale, offset = placement.scale[image], placement.offset[image]
    x = (torch.arange(64) + 0.5 - offset[0]) / scale[0]
    y = (torch.arange(64) + 0.5 - offset[1]) / scale[1]
    drawn = (x > width / 2).long()[None, :] + 2 * (y > height / 2).long()[:, None]
    outside = ((x < 0) | (x > width))[None, :] | ((y < 0) | (y > height))[:, None]
    found = original_label_map(probabilities_of(torch.where(outside, 3, drawn)), placement, image)
    assert found.shape == (height, width)
    rows, columns = np.mgrid[:height, :width]
    expected = (columns + 0.5 > width / 2) + 2 * (rows + 0.5 > height / 2)
    clear = (abs(columns + 0.5 - width / 2) > 2) & (abs(rows + 0.5 - height / 2) > 2)
    assert (found == expected)[clear].all()


def test_a_map_of_the_same_size_is_the_most_probable_class():
    drawn = torch.rand(5, 20, 30, generator=torch.Generator().manual_seed(0))
    placement = place_all(np.array([[20, 30]]), ImageConfig(size=(20, 30)))
    assert np.array_equal(original_label_map(drawn, placement, 0), drawn.argmax(dim=0).numpy())


def test_a_run_saves_its_label_maps_and_their_measures(tmp_path):
    config = tiny_config("unet", train__epochs=1)
    done = run(config, tmp_path)
    data = open_run_data(config).splits["test"]
    folder = done.path / RunFolder.LABEL_MAPS
    assert sorted(file.stem for file in folder.iterdir()) == sorted(data.truth.catalog.image_ids)
    classes = ("background", *data.truth.catalog.classes)
    total = LabelMaps(classes)
    for index, name in enumerate(data.truth.catalog.image_ids):
        total.update(data.label_maps(index), np.asarray(Image.open(folder / f"{name}.png")))
        Image.fromarray(data.label_maps(index)).save(tmp_path / f"{name}.png")
    overlap = total.compute()
    masks = done.result.masks
    assert masks["miou"] == pytest.approx(overlap.mean_iou)
    assert masks["pixel_accuracy"] == pytest.approx(overlap.pixel_accuracy)
    again = RunFolder.open(done.path)
    assert again.result.masks == masks
    assert again.mask_counts.classes == classes
    np.testing.assert_array_equal(again.mask_counts.overlap().intersection, overlap.intersection)
    assert RunFolder.MASK_COUNTS in again.result.files
    assert json.loads(json.dumps(results_json([again])["runs"][0]["masks"])) == masks
    tables = run_tables([again], [evaluate(again.truth, again.detections)])
    (row,) = pd.read_csv(StringIO(tables["leaderboard.csv"])).to_dict("records")
    assert row["miou"] == masks["miou"]
    values = pd.read_csv(StringIO(tables["metrics.csv"]))
    values = values[values["metric"] == "miou"]
    by_class = dict(zip(values["class_name"].fillna(""), values["value"], strict=True))
    assert by_class[""] == masks["miou"]
    np.testing.assert_array_equal([by_class[name] for name in classes], overlap.iou)
    for file in tmp_path.glob("*.png"):
        (tmp_path / "truth").mkdir(exist_ok=True)
        file.rename(tmp_path / "truth" / file.name)
    assert score_masks(tmp_path / "truth", folder, classes).value("miou") == pytest.approx(masks["miou"])


def test_only_the_first_label_maps_are_saved_and_all_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(label_maps, "MAX_SAVED", 2)
    with pytest.warns(InputNote, match="predicted label maps are saved for the first 2 of 6 images"):
        done = run(tiny_config("unet", train__epochs=0), tmp_path)
    assert len(list((done.path / RunFolder.LABEL_MAPS).iterdir())) == 2
    assert len(done.mask_counts.pixels) == 6


def test_fused_detections_have_no_label_maps(tmp_path):
    with pytest.warns(InputNote, match="label maps are not predicted with evaluate.flip or evaluate.tile"):
        done = run(tiny_config("unet", train__epochs=0, evaluate__flip=True), tmp_path)
    assert done.result.masks == {}


def test_mixed_precision_has_label_maps():
    config = tiny_config("unet")
    split = open_run_data(config).splits["test"]
    detector = build_detector(config, 5).eval()
    found = {}
    for precision in ("no", "bf16"):
        maps = []
        wrapped = wrap_predictor(detector, EvaluateConfig(precision=precision))
        predict(wrapped, split, config.image, label_maps=lambda _, each, to=maps: to.append(each))
        found[precision] = np.stack(maps)
    assert found["no"].shape == (6, 64, 64)
    assert (found["no"] == found["bf16"]).mean() > 0.8  # random weights: pixels near a tie may differ


def test_a_run_of_boxes_has_no_masks(tmp_path):
    done = run(tiny_config("ssd", train__epochs=0), tmp_path)
    assert done.result.masks == {}
    assert done.mask_counts is None
    assert not (done.path / RunFolder.LABEL_MAPS).exists()


def test_fault_112_a_damaged_file_of_counts_is_an_error_of_one_line(tmp_path):
    (tmp_path / "mask_counts.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match=r"mask_counts.parquet: not a readable file of mask counts"):
        load_mask_record(tmp_path / "mask_counts.parquet")
