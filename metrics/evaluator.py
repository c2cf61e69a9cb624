"""From tables to numbers: match once, then measure; all at once, or image by image as they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.boxes import Layout
from metrics.errors import InputError
from metrics.evaluation import Evaluation, Row
from metrics.matching import Matches, MatchRule, match
from metrics.measures import MEASURES
from metrics.tables import AnnotationTable, Catalog, DetectionTable, ImageId

__all__ = ["COCO_MEASURES", "Evaluation", "Evaluator", "evaluate", "evaluate_matches"]

COCO_MEASURES = ("average_precision", "average_recall")

Settings = Mapping[str, Mapping[str, Any]]


def evaluate(
    truth: AnnotationTable,
    detections: DetectionTable,
    measures: Sequence[str] = COCO_MEASURES,
    rule: MatchRule | None = None,
    settings: Settings | None = None,
) -> Evaluation:
    """Match detections with objects once, and measure.

    Args:
        truth: the objects.
        detections: on the same catalog; may be empty.
        measures: names of registered measures.
        rule: when a detection has found an object; COCO's by default.
        settings: of measures that take some: ``{"operating_point": {"score": 0.3}}``.

    Raises:
        InputError: the tables have different catalogs, or a measure is not known.
    """
    return evaluate_matches(match(truth, detections, rule), measures, settings)


def evaluate_matches(
    matches: Matches, measures: Sequence[str] = COCO_MEASURES, settings: Settings | None = None
) -> Evaluation:
    """`evaluate`, where the matches are there already.

    Args:
        matches: of `metrics.matching.match`.
        measures: names of registered measures.
        settings: of measures that take some.

    Raises:
        InputError: a measure is not known, or `settings` are of a measure that is not asked for.
    """
    given = settings or {}
    for name in given:
        if name not in measures:
            raise InputError(f"settings: {name!r} is not among the measures {', '.join(measures)}")
    ways = {"higher": True, "lower": False, "neither": None}
    rows = []
    for measure in [MEASURES[name] for name in measures]:
        for value in measure(matches, **given.get(measure.name, {})):
            way = ways[value.better or measure.better]
            place = (value.class_name, value.area, value.iou, value.max_dets)
            rows.append(Row(measure.name, value.name, *place, float(value.value), way))
    return Evaluation(tuple(rows), matches)


class Evaluator:
    """Collects truth and detections as they come, and measures at the end.

    Images may come in any order and any grouping, through any number of evaluators that are merged, also of other
    processes (an evaluator can be pickled): the result is the same to the last bit as that of `evaluate` on the whole.

    Example:
        >>> evaluator = Evaluator(["cat", "dog"])
        >>> for ids, images, truth in loader:
        ...     found = detector.predict(images)
        ...     evaluator.update(
        ...         ids,
        ...         boxes=[f.boxes for f in found],
        ...         scores=[f.scores for f in found],
        ...         labels=[f.labels for f in found],
        ...         true_boxes=[t.boxes for t in truth],
        ...         true_labels=[t.labels for t in truth],
        ...     )
        >>> print(evaluator.compute())

    Args:
        classes: names; a label is an index into them.
        rule: when a detection has found an object; COCO's by default.
        measures: names of registered measures.
    """

    def __init__(
        self, classes: Sequence[str], rule: MatchRule | None = None, measures: Sequence[str] = COCO_MEASURES
    ) -> None:
        self.classes = tuple(classes)
        self.rule = rule or MatchRule()
        self.measures = tuple(measures)
        self._parts: list[tuple[AnnotationTable, DetectionTable]] = []
        self._seen: set[ImageId] = set()

    def __len__(self) -> int:
        """How many images were given so far."""
        return len(self._seen)

    def update(
        self,
        image_ids: Sequence[ImageId],
        *,
        boxes: Sequence[Any],
        scores: Sequence[Any],
        labels: Sequence[Any],
        true_boxes: Sequence[Any],
        true_labels: Sequence[Any],
        area: Sequence[Any] | None = None,
        crowd: Sequence[Any] | None = None,
        ignored: Sequence[Any] | None = None,
        sizes: ArrayLike | None = None,
        layout: Layout = "xyxy",
    ) -> None:
        """Take in a batch of images: each argument has one entry per image, an array, tensor or list.

        Args:
            image_ids: B ids, all integers or all strings; equal scores go by the order of ids.
            boxes: (N, 4) each, in `layout`, pixels of the original image; what was found.
            scores: (N,) each.
            labels: (N,) each, class indices.
            true_boxes: (G, 4) each, in `layout`.
            true_labels: (G,) each.
            area: (G,) each, square pixels; by default w * h.
            crowd: (G,) flags each; by default none.
            ignored: (G,) flags each; by default none.
            sizes: (B, 2) height and width; by default unknown.
            layout: of all boxes.

        Raises:
            InputError: an image was given before, or the arrays do not fit together.
        """
        order = sorted(range(len(image_ids)), key=image_ids.__getitem__)

        def by_id(column: Sequence[Any] | None) -> list[Any] | None:
            if column is None:
                return None
            if len(column) != len(order):
                raise InputError(f"expected one entry per image, {len(order)}, got {len(column)}")
            return [column[index] for index in order]

        catalog = Catalog.of(
            [image_ids[index] for index in order],
            self.classes,
            sizes=None if sizes is None else np.asarray(sizes)[order],
        )
        truth = AnnotationTable.from_images(
            by_id(true_boxes) or [],
            by_id(true_labels) or [],
            catalog=catalog,
            layout=layout,
            area=by_id(area),
            crowd=by_id(crowd),
            ignored=by_id(ignored),
        )
        detections = DetectionTable.from_images(
            catalog, by_id(boxes) or [], by_id(scores) or [], by_id(labels) or [], layout=layout
        )
        self.add(truth, detections)

    def add(self, truth: AnnotationTable, detections: DetectionTable) -> None:
        """Take in the images of two tables.

        Args:
            truth: the objects.
            detections: on the same catalog.

        Raises:
            InputError: an image was given before, or the classes or catalogs differ.
        """
        if truth.catalog != detections.catalog:
            raise InputError("truth and detections have different images or classes")
        self._check(truth.catalog.classes, truth.catalog.image_ids)
        self._parts.append((truth, detections))
        self._seen.update(truth.catalog.image_ids)

    def merge(self, other: Evaluator) -> Self:
        """Take in the images of another evaluator, which is left as it was.

        Args:
            other: of the same classes and rule, and of other images.

        Returns:
            This evaluator, for ``functools.reduce(Evaluator.merge, evaluators)``.

        Raises:
            InputError: the rules or classes differ, or an image is in both.
        """
        if self.rule != other.rule:
            raise InputError("merge: the evaluators have different rules")
        self._check(other.classes, other._seen)
        self._parts += other._parts
        self._seen |= other._seen
        return self

    def compute(self) -> Evaluation:
        """Measure what was taken in so far; more may follow.

        Raises:
            InputError: nothing was taken in.
        """
        truth, detections = self.tables()
        return evaluate(truth, detections, self.measures, self.rule)

    def tables(self) -> tuple[AnnotationTable, DetectionTable]:
        """What was taken in so far, by image.

        Raises:
            InputError: nothing was.
        """
        if not self._parts:
            raise InputError("Evaluator: no image was given; call update first")
        catalogs = [truth.catalog for truth, _ in self._parts]
        ids = [identity for catalog in catalogs for identity in catalog.image_ids]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        place = np.empty(len(ids), np.int32)
        place[order] = np.arange(len(ids), dtype=np.int32)
        names = [name for catalog in catalogs for name in catalog.file_names]
        catalog = Catalog(
            tuple(ids[index] for index in order),  # type: ignore[arg-type]
            np.concatenate([part.sizes for part in catalogs])[order],
            tuple(names[index] for index in order),
            catalogs[0].class_ids,
            catalogs[0].classes,
        )
        offset = np.cumsum([0, *(len(part.image_ids) for part in catalogs)])
        annotations, detections = zip(*self._parts, strict=True)
        truth = AnnotationTable(
            catalog,
            **_joined(annotations, place, offset, ("label", "xywh", "area", "crowd", "ignored", "object_id")),
        )
        return truth, DetectionTable(
            catalog, **_joined(detections, place, offset, ("label", "xywh", "score"))
        )

    def _check(self, classes: tuple[str, ...], image_ids: Iterable[ImageId]) -> None:
        if classes != self.classes:
            raise InputError(f"expected the evaluator's {len(self.classes)} classes, got {classes}")
        again = self._seen.intersection(image_ids)
        if again:
            raise InputError(
                f"image {min(again)!r}: given before, and {len(again)} such in all; give each image once"
            )


def _joined(
    parts: Sequence[AnnotationTable] | Sequence[DetectionTable],
    place: NDArray[np.int32],
    offset: NDArray[np.int64],
    columns: Sequence[str],
) -> dict[str, NDArray[Any]]:
    """The columns of tables one after another, by image; within an image in their order."""
    image = np.concatenate([place[part.image + offset[index]] for index, part in enumerate(parts)])
    order = np.argsort(image, kind="stable")
    joined = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in columns}
    return {"image": image[order], **joined}
