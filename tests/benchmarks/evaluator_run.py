"""Run one evaluator on one data set; `evaluators.py` starts it with the Python of the evaluator's environment.

    python tests/benchmarks/evaluator_run.py EVALUATOR {json,array} FOLDER 1,10,100 RESULT.json

The result has the seconds of each phase and the twelve numbers. Phases: `import`; `truth` and `detections`, from files
or columns to the evaluator's own objects; `evaluate`, up to the twelve numbers. In array mode `columns` is the time
until the arrays are in memory. Imports only NumPy and the evaluator.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import time
from typing import Any


class Task:
    """Input of an evaluation, and a clock.

    Attributes:
        evaluator: name of the evaluator.
        from_files: read JSON files rather than arrays.
        folder: folder of a synthetic data set.
        max_dets: three numbers of detections per image and class.
        phases: seconds of each phase.
    """

    def __init__(self, evaluator: str, mode: str, folder: str, max_dets: str) -> None:
        self.evaluator = evaluator
        self.from_files = mode == "json"
        self.folder = folder
        self.truth_file, self.detections_file = f"{folder}/truth.json", f"{folder}/detections.json"
        self.max_dets = [int(limit) for limit in max_dets.split(",")]
        self.phases: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """Add the time since the last call to a phase."""
        last, self._last = self._last, time.perf_counter()
        self.phases[phase] = self.phases.get(phase, 0.0) + self._last - last

    def columns(self) -> Any:
        """Arrays by name, as a user has them in memory."""
        import numpy as np

        file = np.load(f"{self.folder}/arrays.npz")
        arrays = {name: file[name] for name in file.files}
        self.lap("columns")
        return arrays

    def detection_rows(self, data: Any) -> Any:
        """Detections as (N, 7): image, xywh, score, class; the form in which other evaluators take arrays."""
        import numpy as np

        names = ("image", "box", "score", "class")
        rows = np.column_stack([data[f"detection_{name}"] for name in names])
        self.lap("columns")
        return rows


def coco_dict(data: Any) -> dict[str, Any]:
    """Ground truth as the content of a COCO file."""
    plain = {name: column.tolist() for name, column in data.items() if not name.startswith("detection")}
    objects = (plain[f"object_{name}"] for name in ("image", "class", "box", "area", "crowd"))
    return {
        "info": {},
        "images": _images(data),
        "categories": _categories(data),
        "annotations": [
            {"id": row, "image_id": i, "category_id": k, "bbox": b, "area": a, "iscrowd": c}
            for row, (i, k, b, a, c) in enumerate(zip(*objects, strict=True), start=1)
        ],
    }


def _images(data: Any) -> list[dict[str, Any]]:
    sides = zip(data["image_id"].tolist(), data["side"].tolist(), strict=True)
    return [{"id": i, "width": side, "height": side} for i, side in sides]


def _categories(data: Any) -> list[dict[str, Any]]:
    return [{"id": k, "name": str(k)} for k in data["class_id"].tolist()]


def detbench(task: Task) -> list[float]:
    import numpy as np

    from metrics.evaluator import evaluate
    from metrics.formats.coco import read_detections, read_truth
    from metrics.formats.identity import positions
    from metrics.match_rule import MatchRule
    from metrics.tables import AnnotationTable, Catalog, DetectionTable

    task.lap("import")
    if task.from_files:
        truth = read_truth(task.truth_file)
        task.lap("truth")
        detections = read_detections(task.detections_file, truth)
    else:
        data = task.columns()
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
        task.lap("truth")
        detections = DetectionTable(
            catalog,
            positions(data["detection_image"], catalog.image_ids),
            positions(data["detection_class"], catalog.class_ids),
            data["detection_box"],
            data["detection_score"],
        )
    task.lap("detections")
    evaluation = evaluate(truth, detections, rule=MatchRule(max_dets=tuple(task.max_dets)))
    names = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large"]
    names += [*(f"ar_{limit}" for limit in task.max_dets), "ar_small", "ar_medium", "ar_large"]
    stats = [evaluation.value(name) for name in names]
    task.lap("evaluate")
    return stats


def with_pycocotools_interface(task: Task, coco: Any, coco_eval: Any) -> list[float]:
    """Evaluators with the classes and methods of pycocotools."""
    detections: Any = task.detections_file
    if task.from_files:
        truth = coco(task.truth_file)
    else:
        data = task.columns()
        detections = task.detection_rows(data)
        if coco.__module__ == "pycocotools.coco":
            truth = coco()
            truth.dataset = coco_dict(data)
            truth.createIndex()
        else:
            truth = coco(coco_dict(data))
    task.lap("truth")
    results = truth.loadRes(detections)
    task.lap("detections")
    run = coco_eval(truth, results, "bbox")
    run.params.maxDets = task.max_dets
    return _summary(task, run)


def _summary(task: Task, run: Any) -> list[float]:
    run.evaluate()
    run.accumulate()
    run.summarize()
    task.lap("evaluate")
    return [float(number) for number in run.stats[:12]]


def pycocotools(task: Task) -> list[float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    task.lap("import")
    return with_pycocotools_interface(task, COCO, COCOeval)


def detbench_cocoeval(task: Task) -> list[float]:
    from pycocotools.coco import COCO

    from metrics.cocoeval import COCOeval

    task.lap("import")
    return with_pycocotools_interface(task, COCO, COCOeval)


def faster_coco_eval(task: Task) -> list[float]:
    from faster_coco_eval import COCO, COCOeval_faster

    task.lap("import")
    return with_pycocotools_interface(task, COCO, COCOeval_faster)


def ultrafast(task: Task) -> list[float]:
    from ultrafast_pycocotools import COCO, COCOeval

    task.lap("import")
    return with_pycocotools_interface(task, COCO, COCOeval)


def hotcoco(task: Task) -> list[float]:
    import numpy  # noqa: F401  # every evaluator needs it in array mode
    from hotcoco import COCO, COCOeval

    task.lap("import")
    detections: Any = task.detections_file
    if task.from_files:
        truth = COCO(task.truth_file)
    else:
        data = task.columns()
        detections = task.detection_rows(data)
        truth = COCO.from_arrays(
            _images(data),
            _categories(data),
            data["object_image"],
            data["object_class"],
            data["object_box"],
            area=data["object_area"],
            iscrowd=data["object_crowd"],
        )
    task.lap("truth")
    results = truth.load_res(detections)
    task.lap("detections")
    run = COCOeval(truth, results, "bbox")
    run.params.max_dets = task.max_dets
    return _summary(task, run)


def vernier(task: Task) -> list[float]:
    import numpy as np
    from vernier.instance import Bbox, CocoDataset, Evaluator

    task.lap("import")
    if task.from_files:
        with open(task.truth_file, "rb") as file:
            truth = CocoDataset.from_json(file.read())
        task.lap("truth")
        with open(task.detections_file, "rb") as file:  # parsed in `evaluate`
            detections: Any = file.read()
    else:
        data = task.columns()
        detections = task.detection_rows(data)
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
            _categories(data),
        )
        task.lap("truth")
    task.lap("detections")
    run = Evaluator(iou=Bbox(), parity_mode="strict", max_dets=tuple(task.max_dets))
    stats = run.evaluate(truth, detections, num_threads=2).stats
    task.lap("evaluate")
    return [float(number) for number in stats[:12]]


EVALUATORS = {
    "detbench": detbench,
    "detbench-cocoeval": detbench_cocoeval,
    "pycocotools": pycocotools,
    "faster-coco-eval": faster_coco_eval,
    "hotcoco": hotcoco,
    "ultrafast-pycocotools": ultrafast,
    "vernier": vernier,
}


def main() -> None:
    """Read the command line, evaluate, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("evaluator", choices=EVALUATORS)
    parser.add_argument("mode", choices=["json", "array"])
    parser.add_argument("folder", help="folder of a synthetic data set")
    parser.add_argument("max_dets", help="three limits of detections per image, as 1,10,100")
    parser.add_argument("result", help="JSON file to write")
    args = parser.parse_args()
    task = Task(args.evaluator, args.mode, args.folder, args.max_dets)
    with contextlib.redirect_stdout(io.StringIO()):
        stats = EVALUATORS[args.evaluator](task)
    with open(args.result, "w") as file:
        json.dump(
            {"phases": task.phases, "stats": [-1 if math.isnan(value) else value for value in stats]}, file
        )


if __name__ == "__main__":
    main()
