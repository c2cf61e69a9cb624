"""Our numbers beside those of the reference, pycocotools, on the same input."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from metrics.errors import MachineError, PartialError
from metrics.evaluation import Evaluation

LARGEST_DIFFERENCE = 1e-12
"""What two correct evaluators may differ by: the rounding of a mean."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How far our numbers are from the reference's.

    Attributes:
        version: of pycocotools.
        precision: largest difference of precision, over all classes, thresholds, recalls, areas and max_dets.
        recall: likewise of recall.
        score: likewise of the scores at which recalls are reached.
        notes: why numbers may rightly differ.
    """

    version: str
    precision: float
    recall: float
    score: float
    notes: tuple[str, ...]

    @property
    def largest(self) -> float:
        """The largest of the three."""
        return max(self.precision, self.recall, self.score)

    @property
    def agrees(self) -> bool:
        """Whether that is no more than rounding."""
        return self.largest <= LARGEST_DIFFERENCE

    def __str__(self) -> str:
        lines = [
            f"pycocotools {self.version}: largest difference {self.largest:.3g} (precision {self.precision:.3g}, "
            f"recall {self.recall:.3g}, score {self.score:.3g}): "
            + ("the same numbers" if self.agrees else "NOT the same numbers")
        ]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])


def verify(evaluation: Evaluation, files: tuple[Path, Path] | None = None) -> Verdict:
    """Run the reference under the evaluation's rule, and compare every precision, recall and score.

    Args:
        evaluation: ours.
        files: truth and results as the reference reads them itself; by default it is given our tables, which
            compares the evaluation but not the reading.

    Raises:
        MachineError: pycocotools is not installed.
        PartialError: the reference fails on this input.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MachineError(
            "--verify: pycocotools is not installed: pip install 'detbench[verify]'"
        ) from error
    matches, rule = evaluation.matches, evaluation.matches.rule
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            truth, found = _from_files(COCO, *files) if files else _from_tables(COCO, evaluation)
            reference = COCOeval(truth, found, "bbox")
            reference.params.iouThrs = np.array(rule.iou_thresholds)
            reference.params.maxDets = list(rule.max_dets)
            reference.params.areaRng = [list(limits) for limits in rule.area_ranges.values()]
            reference.params.areaRngLbl = list(rule.area_ranges)
            reference.params.useCats = int(rule.by_class)
            reference.evaluate()
            reference.accumulate()
        except Exception as error:
            raise PartialError(
                f"--verify: pycocotools fails on this input, so there is nothing to compare with: "
                f"{type(error).__name__}: {error}"
            ) from error
    differences = dict.fromkeys(("precision", "recall", "scores"), 0.0)
    for place, max_dets in enumerate(rule.max_dets):
        ours = matches.curves(max_dets)
        for name, column in (("precision", ours.precision), ("recall", ours.recall), ("scores", ours.score)):
            theirs = reference.eval[name][..., place]
            # the reference writes -1 for what is not defined; where recall has nothing, nor have scores
            gap = np.abs(np.nan_to_num(column, nan=-1.0) - theirs).max(initial=0)
            differences[name] = max(differences[name], float(gap))
    return Verdict(
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
        notes.append("the truth has an object with id 0, which the reference counts as never found")
    if len(np.unique(ids)) < len(ids):
        notes.append("the truth has objects with the same id, of which the reference keeps the last")
    if evaluation.matches.truth.ignored.any():
        notes.append("the truth has ignored (difficult) objects, which the reference takes as crowds here")
    return tuple(notes)


def _from_files(read: Any, truth: Path, found: Path) -> tuple[Any, Any]:
    known = read(str(truth))
    return known, known.loadRes(str(found))


def _from_tables(make: Any, evaluation: Evaluation) -> tuple[Any, Any]:
    """The reference's objects of our tables; ids are places counted from 1."""
    truth, found = evaluation.matches.truth, evaluation.matches.detections
    known = make()
    known.dataset = {
        "info": {},
        "images": [
            {"id": place, "height": height, "width": width}
            for place, (height, width) in enumerate(truth.catalog.sizes.tolist(), 1)
        ],
        "categories": [{"id": place, "name": name} for place, name in enumerate(truth.catalog.classes, 1)],
        "annotations": [
            {
                "id": row,
                "image_id": image + 1,
                "category_id": label + 1,
                "bbox": xywh,
                "area": area,
                "iscrowd": crowd,
            }
            for row, (image, label, xywh, area, crowd) in enumerate(
                zip(
                    truth.image.tolist(),
                    truth.label.tolist(),
                    truth.xywh.tolist(),
                    truth.area.tolist(),
                    (truth.crowd | truth.ignored).astype(int).tolist(),
                    strict=True,
                ),
                1,
            )
        ],
    }
    known.createIndex()
    results = np.column_stack([found.image + 1, found.xywh, found.score, found.label + 1])
    return known, known.loadRes(results)
