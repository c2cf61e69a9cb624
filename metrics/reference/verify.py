"""Comparison of our numbers with those of pycocotools on the same input."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from metrics.errors import PartialError
from metrics.evaluation import Evaluation
from metrics.messages import message_line

LARGEST_DIFFERENCE = 1e-12
"""Largest difference between two correct evaluators: the rounding of a mean."""


@dataclass(frozen=True, slots=True)
class Verification:
    """Differences between our numbers and those of pycocotools.

    Attributes:
        version: of pycocotools.
        precision: largest difference of precision, over all classes, thresholds, recall levels, areas and max_dets.
        recall: largest difference of recall.
        score: largest difference of the scores at which recall levels are reached.
        notes: why numbers may correctly differ.
    """

    version: str
    precision: float
    recall: float
    score: float
    notes: tuple[str, ...]

    @property
    def largest(self) -> float:
        """The largest of the three differences."""
        return max(self.precision, self.recall, self.score)

    @property
    def agrees(self) -> bool:
        """Whether the differences are no more than rounding."""
        return self.largest <= LARGEST_DIFFERENCE

    def __str__(self) -> str:
        result = "the same numbers" if self.agrees else "NOT the same numbers"
        line = (
            f"pycocotools {self.version}: largest difference {self.largest:.3g} (precision {self.precision:.3g}, "
            f"recall {self.recall:.3g}, score {self.score:.3g}): {result}"
        )
        return "\n".join([line, *(f"  {message_line(note)}" for note in self.notes)])


def verify(evaluation: Evaluation, files: tuple[Path, Path] | None = None) -> Verification:
    """Run pycocotools under the evaluation's rule, and compare every precision, recall and score.

    Args:
        evaluation: ours.
        files: ground truth and results for pycocotools to read; by default it gets our tables, which compares the
            evaluation but not the reading.

    Raises:
        PartialError: pycocotools fails on this input.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    matches, rule = evaluation.matches, evaluation.matches.rule
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            objects = _from_files(COCO, *files) if files else _from_tables(COCO, evaluation)
            reference = _with_ignored(COCOeval)(*objects, "bbox")
            reference.params.iouThrs = np.array(rule.iou_thresholds)
            reference.params.maxDets = list(rule.max_dets)
            reference.params.areaRng = [list(limits) for limits in rule.area_ranges.values()]
            reference.params.areaRngLbl = list(rule.area_ranges)
            reference.params.useCats = int(rule.by_class)
            if files:  # without a category above all others, which is no class
                reference.params.catIds = list(matches.truth.catalog.class_ids)
            reference.evaluate()
            reference.accumulate()
        except Exception as error:
            raise PartialError(
                "--verify: pycocotools fails on this input, so the numbers cannot be compared: "
                f"{type(error).__name__}: {error}"
            ) from error
    differences = dict.fromkeys(("precision", "recall", "scores"), 0.0)
    for index, max_dets in enumerate(rule.max_dets):
        ours = matches.curves(max_dets)
        for name, column in (("precision", ours.precision), ("recall", ours.recall), ("scores", ours.score)):
            theirs = reference.eval[name][..., index]
            # pycocotools writes -1 for undefined numbers; scores are undefined where recall is
            gap = np.abs(np.nan_to_num(column, nan=-1.0) - theirs).max(initial=0)
            differences[name] = max(differences[name], float(gap))
    return Verification(
        version("pycocotools"),
        differences["precision"],
        differences["recall"],
        differences["scores"],
        _notes(evaluation),
    )


def _notes(evaluation: Evaluation) -> tuple[str, ...]:
    ids = evaluation.matches.truth.object_id
    notes = []
    if (ids == 0).any():
        notes.append("the ground truth has an object with id 0, which pycocotools can never match")
    if len(np.unique(ids)) < len(ids):
        notes.append(
            "the ground truth has objects with repeated ids; pycocotools by itself would keep only the last object of each"
        )
    return tuple(notes)


def _with_ignored(evaluator: Any) -> Any:
    """Pycocotools' class, with the objects ignored that are ``difficult`` and no crowds.

    Its matching has such objects (those outside an area range), but its `_prepare` derives them from crowds only.
    """

    class WithIgnored(evaluator):  # type: ignore[misc]
        def _prepare(self) -> None:
            super()._prepare()
            for objects in self._gts.values():
                for each in objects:
                    each["ignore"] = each["ignore"] or each.get("difficult", 0)

    return WithIgnored


def _from_files(coco: Any, truth: Path, detections: Path) -> tuple[Any, Any]:
    reference = coco(str(truth))
    _without_repeated_ids(reference)
    for each in reference.dataset["annotations"]:  # which pycocotools requires, and files of LVIS lack
        each.setdefault("iscrowd", 0)
        if "bbox" in each:
            each.setdefault("area", each["bbox"][2] * each["bbox"][3])
    return reference, reference.loadRes(str(detections))


def _without_repeated_ids(reference: Any) -> None:
    """Leave out what repeats an id, as `metrics.formats.coco` does: pycocotools would take the last for all of them."""
    dataset = reference.dataset
    annotations, images, categories = (
        dataset.get(key) or [] for key in ("annotations", "images", "categories")
    )
    ids = [each.get("id") for each in annotations]
    if all(len({each.get("id") for each in rows}) == len(rows) for rows in (annotations, images, categories)):
        return
    for key, rows in (("images", images), ("categories", categories)):
        dataset[key] = list({each["id"]: each for each in reversed(rows)}.values())[::-1]
    if len(set(ids)) < len(ids):
        distinct = {
            (each["id"], each["image_id"], each["category_id"], *each.get("bbox", ())): each
            for each in reversed(annotations)
        }
        dataset["annotations"] = [
            each | {"id": number} for number, each in enumerate(list(distinct.values())[::-1], 1)
        ]
    reference.createIndex()


def _from_tables(coco: Any, evaluation: Evaluation) -> tuple[Any, Any]:
    """Our tables as objects of pycocotools; ids are indices counted from 1."""
    truth, detections = evaluation.matches.truth, evaluation.matches.detections
    reference = coco()
    reference.dataset = {
        "info": {},
        "images": [
            {"id": number, "height": height, "width": width}
            for number, (height, width) in enumerate(truth.catalog.sizes.tolist(), 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(truth.catalog.classes, 1)],
        "annotations": [
            {
                "id": row,
                "image_id": image + 1,
                "category_id": label + 1,
                "bbox": xywh,
                "area": area,
                "iscrowd": crowd,
                "difficult": ignored,
            }
            for row, (image, label, xywh, area, crowd, ignored) in enumerate(
                zip(
                    truth.image.tolist(),
                    truth.label.tolist(),
                    truth.xywh.tolist(),
                    truth.area.tolist(),
                    truth.crowd.astype(int).tolist(),
                    truth.ignored.astype(int).tolist(),
                    strict=True,
                ),
                1,
            )
        ],
    }
    reference.createIndex()
    results = np.column_stack([detections.image + 1, detections.xywh, detections.score, detections.label + 1])
    return reference, reference.loadRes(results)
