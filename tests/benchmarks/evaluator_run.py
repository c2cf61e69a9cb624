"""One evaluator, one data set, one process: run by `evaluators.py` with the evaluator's own interpreter.

    python evaluator_run.py EVALUATOR json|array FOLDER 1,10,100 RESULT.json

Phases, in seconds: ``import``; ``truth`` and ``found``, from files or columns to the evaluator's own objects;
``evaluate``, until the twelve numbers are there. The columns are read before the clock runs. Nothing but NumPy and the
evaluator is imported.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from typing import Any

EVALUATOR, MODE, FOLDER, MAX_DETS, RESULT = sys.argv[1:6]
CUTS = [int(cut) for cut in MAX_DETS.split(",")]
TRUTH, FOUND = f"{FOLDER}/truth.json", f"{FOLDER}/found.json"
phases: dict[str, float] = {}
now = time.perf_counter()


def lap(phase: str) -> None:
    """Book the time since the last lap."""
    global now
    before, now = now, time.perf_counter()
    phases[phase] = phases.get(phase, 0.0) + now - before


def columns() -> Any:
    """The arrays, as a user has them in memory."""
    import numpy as np

    loaded = np.load(f"{FOLDER}/arrays.npz")
    kept = {name: loaded[name] for name in loaded.files}
    lap("columns")
    return kept


def table(data: Any) -> Any:
    """Detections as (N, 7): image, xywh, score, class; the form in which the others take arrays."""
    import numpy as np

    seven = np.column_stack(
        [data["found_image"], data["found_box"], data["found_score"], data["found_class"]]
    )
    lap("columns")
    return seven


def document(data: Any) -> dict[str, Any]:
    """Truth as the dict of a COCO file."""
    plain = {name: column.tolist() for name, column in data.items() if not name.startswith("found")}
    names = ("image", "class", "box", "area", "crowd")
    return {
        "info": {},
        "images": [
            {"id": i, "width": side, "height": side}
            for i, side in zip(plain["image_id"], plain["side"])  # noqa: B905
        ],
        "categories": [{"id": k, "name": str(k)} for k in plain["class_id"]],
        "annotations": [
            {"id": row, "image_id": i, "category_id": k, "bbox": b, "area": a, "iscrowd": c}
            for row, (i, k, b, a, c) in enumerate(zip(*(plain[f"object_{name}"] for name in names)), start=1)  # noqa: B905
        ],
    }


def detbench() -> list[float]:
    import numpy as np

    from metrics.evaluator import evaluate
    from metrics.formats.coco import read_detections, read_truth
    from metrics.formats.identity import positions
    from metrics.matching import MatchRule
    from metrics.tables import AnnotationTable, Catalog, DetectionTable

    lap("import")
    if MODE == "json":
        truth = read_truth(TRUTH)
        lap("truth")
        found = read_detections(FOUND, truth)
        lap("found")
    else:
        data = columns()
        class_ids = data["class_id"].tolist()
        sides = np.stack([data["side"]] * 2, axis=1)
        catalog = Catalog.of(
            data["image_id"].tolist(), [str(k) for k in class_ids], sides, class_ids=class_ids
        )
        truth = AnnotationTable.of(
            catalog,
            positions(data["object_image"], catalog.image_ids),
            positions(data["object_class"], catalog.class_ids),
            data["object_box"],
            area=data["object_area"],
            crowd=data["object_crowd"],
        )
        lap("truth")
        found = DetectionTable(
            catalog,
            positions(data["found_image"], catalog.image_ids),
            positions(data["found_class"], catalog.class_ids),
            data["found_box"],
            data["found_score"],
        )
        lap("found")
    evaluation = evaluate(truth, found, rule=MatchRule(max_dets=tuple(CUTS)))
    numbers = [evaluation.value(name) for name in NAMES]
    lap("evaluate")
    return numbers


NAMES = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", *(f"ar_{cut}" for cut in CUTS)]
NAMES += ["ar_small", "ar_medium", "ar_large"]


def like_pycocotools(coco: Any, evaluation: Any) -> list[float]:
    """Evaluators with pycocotools' interface."""
    if MODE == "json":
        truth = coco(TRUTH)
        lap("truth")
        found = truth.loadRes(FOUND)
    else:
        data = columns()
        seven = table(data)
        if EVALUATOR == "pycocotools":
            truth = coco()
            truth.dataset = document(data)
            truth.createIndex()
        else:
            truth = coco(document(data))
        lap("truth")
        found = truth.loadRes(seven)
    lap("found")
    run = evaluation(truth, found, "bbox")
    run.params.maxDets = CUTS
    run.evaluate()
    run.accumulate()
    run.summarize()
    lap("evaluate")
    return [float(number) for number in run.stats[:12]]


def pycocotools() -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    lap("import")
    return like_pycocotools(COCO, COCOeval)


def faster_coco_eval() -> list[float]:
    from faster_coco_eval import COCO, COCOeval_faster

    lap("import")
    return like_pycocotools(COCO, COCOeval_faster)


def ultrafast() -> list[float]:
    from ultrafast_pycocotools import COCO, COCOeval

    lap("import")
    return like_pycocotools(COCO, COCOeval)


def hotcoco() -> list[float]:
    import numpy  # noqa: F401  # which all need in array mode
    from hotcoco import COCO, COCOeval

    lap("import")
    if MODE == "json":
        truth = COCO(TRUTH)
        lap("truth")
        found = truth.load_res(FOUND)
    else:
        data = columns()
        seven = table(data)
        sides = zip(data["image_id"].tolist(), data["side"].tolist())  # noqa: B905
        truth = COCO.from_arrays(
            [{"id": i, "width": side, "height": side} for i, side in sides],
            [{"id": k, "name": str(k)} for k in data["class_id"].tolist()],
            data["object_image"],
            data["object_class"],
            data["object_box"],
            area=data["object_area"],
            iscrowd=data["object_crowd"],
        )
        lap("truth")
        found = truth.load_res(seven)
    lap("found")
    run = COCOeval(truth, found, "bbox")
    run.params.max_dets = CUTS
    run.evaluate()
    run.accumulate()
    run.summarize()
    lap("evaluate")
    return [float(number) for number in run.stats[:12]]


def vernier() -> list[float]:
    import numpy as np
    from vernier.instance import Bbox, CocoDataset, Evaluator

    lap("import")
    if MODE == "json":
        with open(TRUTH, "rb") as file:
            truth = CocoDataset.from_json(file.read())
        lap("truth")
        with open(FOUND, "rb") as file:  # which is read within evaluate
            found: Any = file.read()
    else:
        data = columns()
        found = table(data)
        truth = CocoDataset.from_arrays(
            {"id": data["image_id"], "width": data["side"], "height": data["side"]},
            {
                "id": np.arange(1, len(data["object_image"]) + 1),
                "image_id": data["object_image"],
                "category_id": data["object_class"],
                "bbox": data["object_box"],
                "area": data["object_area"],
                "iscrowd": data["object_crowd"],
            },
            [{"id": k, "name": str(k)} for k in data["class_id"].tolist()],
        )
        lap("truth")
    lap("found")
    run = Evaluator(iou=Bbox(), parity_mode="strict", max_dets=tuple(CUTS))
    numbers = run.evaluate(truth, found, num_threads=2).stats
    lap("evaluate")
    return [float(number) for number in numbers[:12]]


EVALUATORS = {
    "detbench": detbench,
    "pycocotools": pycocotools,
    "faster-coco-eval": faster_coco_eval,
    "hotcoco": hotcoco,
    "ultrafast-pycocotools": ultrafast,
    "vernier": vernier,
}

if __name__ == "__main__":
    with contextlib.redirect_stdout(io.StringIO()):
        stats = EVALUATORS[EVALUATOR]()
    with open(RESULT, "w") as file:
        json.dump(
            {"phases": phases, "stats": [-1.0 if number != number else number for number in stats]}, file
        )
