"""LVIS's protocol against lvis-api, and the fields of its files from reader to writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metrics import AnnotationTable, evaluate, read_detections, read_truth
from metrics.command_line import main
from metrics.errors import InputError, InputNote
from metrics.evaluated_files import score_files
from metrics.formats import coco
from metrics.kernels.json_columns import SMALLEST

NAMES = {
    "AP": "ap", "AP50": "ap50", "AP75": "ap75", "APs": "ap_small", "APm": "ap_medium", "APl": "ap_large",
    "APr": "ap_rare", "APc": "ap_common", "APf": "ap_frequent", "AR@300": "ar_300",
    "ARs@300": "ar_small", "ARm@300": "ar_medium", "ARl@300": "ar_large",
}  # fmt: skip
"""lvis-api's names of the numbers, and ours."""


def federated_files(
    seed: int, folder: Path, images: int = 12, classes: int = 9, crowded: bool = False
) -> tuple[Path, Path]:
    """Ground truth in which each image has verified classes, and detections of all classes on it.

    Args:
        seed: of the numbers.
        folder: for the files.
        images: how many.
        classes: how many.
        crowded: whether images have more than 300 detections.
    """
    rng = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    records, results = [], []
    ids = rng.permutation(1000)[:images] + 1
    for identity in ids.tolist():
        present = rng.choice(classes, rng.integers(0, 4), replace=False) + 1
        others = np.setdiff1d(np.arange(1, classes + 1), present)
        negative = rng.choice(others, min(3, len(others)), replace=False)
        open_classes = rng.permutation(np.concatenate([present, negative]))[: rng.integers(0, 3)]
        records.append(
            {
                "id": identity, "width": 300, "height": 300, "coco_url": f"http://x/val2017/{identity:012}.jpg",
                "neg_category_ids": negative.tolist(), "not_exhaustive_category_ids": open_classes.tolist(),
            }
        )  # fmt: skip
        for category in present.tolist():
            for _ in range(rng.integers(1, 5)):
                box = [*rng.integers(0, 120, 2).tolist(), *rng.integers(5, 130, 2).tolist()]
                annotations.append(
                    {
                        "id": len(annotations) + 1, "image_id": identity, "category_id": category, "bbox": box,
                        "area": box[2] * box[3] * float(rng.choice([1, 0.6])), "segmentation": [],
                    }
                )  # fmt: skip
                for _ in range(rng.integers(0, 3)):
                    near = (np.array(box) + rng.integers(-4, 5, 4)).clip(1)
                    score = float(rng.integers(0, 40)) / 40
                    results.append(
                        {"image_id": identity, "category_id": category, "bbox": near.tolist(), "score": score}
                    )
        for _ in range(400 if crowded and rng.random() < 0.5 else 20):
            box = [*rng.integers(0, 120, 2).tolist(), *rng.integers(5, 130, 2).tolist()]
            category = int(rng.integers(1, classes + 1))
            score = float(rng.integers(0, 40)) / 40
            results.append({"image_id": identity, "category_id": category, "bbox": box, "score": score})
    categories = [
        {"id": k, "name": f"class {k}", "frequency": "rcf"[(k + seed) % 3], "image_count": 1} for k in range(1, classes + 1)
    ]  # fmt: skip
    results = [results[row] for row in rng.permutation(len(results))]
    truth, found = folder / "gt.json", folder / "dt.json"
    truth.write_text(json.dumps({"images": records, "annotations": annotations, "categories": categories}))
    found.write_text(json.dumps(results))
    return truth, found


def numbers_of_lvis_api(truth: Path, found: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """lvis-api's numbers by name; -1 is NaN."""
    lvis = pytest.importorskip("lvis", reason="lvis-api is not installed")
    monkeypatch.setattr(np, "float", float, raising=False)  # removed from NumPy; lvis 0.5.3 still uses it
    reference = lvis.LVISEval(str(truth), str(found), "bbox")
    reference.run()
    return {name: np.nan if value == -1 else float(value) for name, value in reference.get_results().items()}


@pytest.mark.parametrize(("seed", "crowded"), [(0, False), (1, False), (2, False), (3, True), (4, True)])
def test_the_numbers_are_those_of_lvis_api(
    seed: int, crowded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = federated_files(seed, tmp_path, crowded=crowded)
    expected = numbers_of_lvis_api(*files, monkeypatch)
    ours = score_files(*files, protocol="lvis")
    for name, value in expected.items():
        assert ours.value(NAMES[name]) == pytest.approx(value, abs=1e-12, nan_ok=True), name
    assert ours.value("ap") != pytest.approx(score_files(*files, protocol="coco").value("ap"), abs=1e-3)


def test_the_protocol_is_chosen_where_a_file_has_verified_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = federated_files(5, tmp_path)
    by_lvis = score_files(*files, protocol="lvis")
    assert main([*map(str, files), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["headline"]["ap"] == by_lvis.headline["ap"]
    assert "evaluated by the protocol 'lvis'; --protocol coco evaluates by COCO's rules" in printed.err
    assert main([*map(str, files), "--protocol", "coco", "--json"]) == 0  # the advice
    printed = capsys.readouterr()
    assert json.loads(printed.out)["headline"]["ap"] == evaluate(*tables(files)).headline["ap"]
    assert "protocol" not in printed.err
    assert main([*map(str, files), "--verify"]) == 0  # pycocotools' rule


def tables(files: tuple[Path, Path]) -> Any:
    truth = read_truth(files[0])
    return truth, read_detections(files[1], truth)


def test_the_published_case_is_evaluated_by_lvis_rule(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shared_data.parent / "cases" / "36-lvis-eval"
    expected = numbers_of_lvis_api(folder / "gt.json", folder / "dt.json", monkeypatch)
    with pytest.warns(InputNote, match="evaluated by the protocol 'lvis'"):
        ours = score_files(folder / "gt.json", folder / "dt.json")
    for name, value in expected.items():
        assert ours.value(NAMES[name]) == pytest.approx(value, abs=1e-12, nan_ok=True), name


def test_ground_truth_without_verified_classes_is_refused(tmp_path: Path) -> None:
    files = federated_files(6, tmp_path)
    document = json.loads(files[0].read_text())
    for image in document["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    files[0].write_text(json.dumps(document))
    with pytest.raises(
        InputError, match=r"protocol .lvis.: the ground truth has no neg_category_ids.*--protocol coco"
    ):
        score_files(*files, protocol="lvis")
    assert score_files(*files, protocol="coco").value("ap") > 0  # the advice


def test_groups_come_from_image_count_or_the_images_where_frequency_is_absent(tmp_path: Path) -> None:
    files = federated_files(7, tmp_path)
    document = json.loads(files[0].read_text())
    expected = score_files(*files, protocol="lvis")
    for category in document["categories"]:
        category["image_count"] = {"r": 10, "c": 100, "f": 101}[category.pop("frequency")]
    files[0].write_text(json.dumps(document))
    ours = score_files(*files, protocol="lvis")
    for name in ("ap_rare", "ap_common", "ap_frequent"):
        assert ours.value(name) == pytest.approx(expected.value(name), nan_ok=True)
    for category in document["categories"]:
        del category["image_count"]
    files[0].write_text(json.dumps(document))
    with pytest.warns(InputNote, match="the groups count images of this ground truth"):
        assert score_files(*files, protocol="lvis").value("ap_rare") > 0


@pytest.mark.parametrize("large", [False, True])
def test_verified_classes_survive_reading_writing_and_selection(tmp_path: Path, large: bool) -> None:
    files = federated_files(8, tmp_path)
    document = json.loads(files[0].read_text())
    first = document["images"][0]
    del first["neg_category_ids"], first["not_exhaustive_category_ids"]  # no custom key in the first image
    first["file_name"] = "a" * (SMALLEST + 1 if large else 1)
    files[0].write_text(json.dumps(document))
    by_id = {image["id"]: image for image in document["images"]}
    truth = read_truth(files[0])
    catalog = truth.catalog
    for name, key in (("negative", "neg_category_ids"), ("not_exhaustive", "not_exhaustive_category_ids")):
        expected = [tuple(by_id[identity].get(key, ())) for identity in catalog.image_ids]  # type: ignore[index]
        assert list(catalog.image_classes[name]) == expected
    assert catalog.class_columns["frequency"] == tuple(each["frequency"] for each in document["categories"])
    coco.write_truth(truth, tmp_path / "again.json")
    truth.save(tmp_path / "truth.parquet")
    half = np.arange(len(catalog.image_ids)) % 2 == 0
    for again in (read_truth(tmp_path / "again.json"), AnnotationTable.load(tmp_path / "truth.parquet")):
        assert again.catalog.image_classes == catalog.image_classes
        assert again.catalog.class_columns == catalog.class_columns
        assert again.fingerprint == truth.fingerprint
        assert again.select(half).catalog.image_classes["negative"] == catalog.image_classes["negative"][::2]


def test_fault_92_verified_classes_that_are_no_list_are_refused(tmp_path: Path) -> None:
    files = federated_files(9, tmp_path)
    document = json.loads(files[0].read_text())
    document["images"][2]["neg_category_ids"] = [1, "2"]
    files[0].write_text(json.dumps(document))
    with pytest.raises(
        InputError, match=r"images\[2\] \(id \d+\): neg_category_ids: expected a list of category ids"
    ):
        read_truth(files[0])
