"""Stored detections as entries of a comparison: the numbers of `python -m metrics`, beside those of models."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_data import Picture, write_coco

from bench.runs.context import RunContext
from bench.runs.finished_run import load_predictor
from bench.runs.run import run
from bench.settings.resolution import open_entries, resolve_entry
from metrics.errors import InputError
from metrics.evaluated_files import score_files
from reports.records.run import RunFolder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, split in enumerate(("train", "val", "test")):
        pictures = [
            Picture(f"{split}{k}", (48, 64), [(k % 2, (12, 12, 32, 28)), (1, (30 + number, 16, 54, 40))])
            for k in range(6)
        ]
        write_coco(folder / "annotations" / f"{split}.json", pictures, folder / split)
    return folder


@pytest.fixture(scope="module")
def found(data, tmp_path_factory) -> Path:
    """COCO results near the objects of the test split, some of another class."""
    truth = json.loads((data / "annotations" / "test.json").read_text())
    rng = np.random.default_rng(0)
    results = []
    for number, row in enumerate(truth["annotations"] * 2):
        box = (np.array(row["bbox"]) + rng.normal(0, 1.5, 4)).round(2)
        category = row["category_id"] if rng.random() < 0.8 else 3 - row["category_id"]
        results.append(
            {
                "image_id": row["image_id"],
                "category_id": category,
                "bbox": box.tolist(),
                "score": 0.01 + number / 100,
            }
        )
    file = tmp_path_factory.mktemp("found") / "theirs.json"
    file.write_text(json.dumps(results))
    return file


def evaluated(file: Path, data: Path, out: Path, **sets: str) -> RunFolder:
    config = resolve_entry(
        f"detections/{file}", data=str(data), sets=[f"{name}={value}" for name, value in sets.items()]
    )
    return run(config, out, context=RunContext(page=False))


def test_the_numbers_are_those_of_metrics(data, found, tmp_path):
    done = evaluated(found, data, tmp_path)
    expected = score_files(data / "annotations" / "test.json", found)
    numbers = {name: None if math.isnan(value) else value for name, value in expected.headline.items()}
    assert dict(done.result.headline) == numbers
    assert 0 < done.result.headline["ap"] < 1
    assert done.result.budget.parameters is None
    assert done.result.variant_source.startswith("sha256 ")
    assert "not trained here" in done.result.variant_source


def test_detections_of_a_run_have_its_numbers_again(data, found, tmp_path):
    first = evaluated(found, data, tmp_path / "runs")
    again = evaluated(first.path / "detections.parquet", data, tmp_path / "runs")
    assert dict(again.result.headline) == dict(first.result.headline)


def test_classes_are_mapped(data, found, tmp_path):
    rows = json.loads(found.read_text())
    for row in rows:
        row["category_id"] -= 1
    (tmp_path / "indices.json").write_text(json.dumps(rows))
    mapped = evaluated(tmp_path / "indices.json", data, tmp_path, class_map="from-0")
    assert dict(mapped.result.headline) == dict(evaluated(found, data, tmp_path).result.headline)


def test_a_copy_is_the_same_run_and_an_edited_file_another(data, found, tmp_path):
    first = evaluated(found, data, tmp_path / "runs")
    (tmp_path / "copy").mkdir()
    copy = tmp_path / "copy" / found.name
    shutil.copy(found, copy)
    assert evaluated(copy, data, tmp_path / "runs").path == first.path
    copy.write_text(json.dumps(json.loads(copy.read_text())[1:]))
    assert evaluated(copy, data, tmp_path / "runs").path != first.path


def test_a_row_is_named_after_its_file_without_folders(data, found, tmp_path):
    assert evaluated(found, data, tmp_path).result.variant == "detections/theirs.json"


def test_several_files_and_a_variant_are_entries_of_one_command(data, found, tmp_path):
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(json.loads(found.read_text())[::2]))
    names = [f"detections/{found}", f"detections/{worse}", "ssd"]
    sources = {"data": str(data), "sets": [f"detections/{worse}.class_map=drop"]}
    _, configs = open_entries([(name, None) for name in names], sources)
    assert [config.variant for config in configs] == names
    assert [config.model_settings.class_map for config in configs[:2]] == [None, "drop"]


def test_stored_detections_cannot_predict(data, found, tmp_path):
    done = evaluated(found, data, tmp_path)
    with pytest.raises(InputError, match="stored detections cannot predict"):
        load_predictor(done)


def test_a_missing_file_is_named(data, tmp_path):
    with pytest.raises(InputError, match=r"detections/.*none.json: there is no such file or folder"):
        evaluated(tmp_path / "none.json", data, tmp_path)
