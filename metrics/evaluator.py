"""Evaluation: match once, then compute measures; of whole tables, or of images as they arrive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.boxes import Layout
from metrics.errors import InputError
from metrics.evaluation import Evaluation, Row, make_rows
from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.measures import MEASURES
from metrics.plurals import plural
from metrics.protocols import PROTOCOLS
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
    protocol: str | None = None,
) -> Evaluation:
    """Match detections with objects once, and compute measures.

    Args:
        truth: ground truth.
        detections: on the same catalog; may be empty.
        measures: names of registered measures.
        rule: of matching; COCO's by default.
        settings: of measures that have settings: ``{"operating_point": {"score": 0.3}}``.
        protocol: name of a benchmark's protocol, which has its own rule and numbers, in place of `measures`, `rule` and
            `settings`: ``"voc2007"``. `metrics.protocols.PROTOCOLS` has them all.

    Raises:
        InputError: the tables have different catalogs, a measure or protocol is unknown, or a protocol is given together
            with what it decides.
    """
    if protocol is not None:
        if tuple(measures) != COCO_MEASURES or rule is not None or settings:
            raise InputError(
                f"evaluate: protocol {protocol!r} has its own measures, rule and settings; leave them out, or leave out protocol"
            )
        return PROTOCOLS[protocol](truth, detections)
    return evaluate_matches(match(truth, detections, rule), measures, settings)


def evaluate_matches(
    matches: Matches, measures: Sequence[str] = COCO_MEASURES, settings: Settings | None = None
) -> Evaluation:
    """Compute measures of existing matches.

    Args:
        matches: of `metrics.matching.match`.
        measures: names of registered measures.
        settings: of measures that have settings.

    Raises:
        InputError: a measure is unknown, or `settings` contains a measure that is not in `measures`.
    """
    given = settings or {}
    for name in given:
        if name not in measures:
            raise InputError(f"settings: {name!r} is not among the measures {', '.join(measures)}")
    rows: list[Row] = []
    for measure in [MEASURES[name] for name in measures]:
        values = measure(matches, **given.get(measure.name, {}))
        rows += make_rows(measure.name, values, measure.better)
    return Evaluation(tuple(rows), matches)


class Evaluator:
    """Collect ground truth and detections in batches, and evaluate at the end.

    Images may arrive in any order and grouping, through any number of evaluators that are merged, including those of
    other processes (an evaluator can be pickled): the result equals that of `evaluate` to the last bit.

    Example:
        >>> evaluator = Evaluator(["cat", "dog"])
        >>> for ids, images, truth in loader:
        ...     outputs = detector.predict(images)
        ...     evaluator.update(
        ...         ids,
        ...         boxes=[output.boxes for output in outputs],
        ...         scores=[output.scores for output in outputs],
        ...         labels=[output.labels for output in outputs],
        ...         true_boxes=[t.boxes for t in truth],
        ...         true_labels=[t.labels for t in truth],
        ...     )
        >>> print(evaluator.compute())

    Args:
        classes: names; a label is an index into them.
        rule: of matching; COCO's by default.
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
        """Number of images so far."""
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
        """Add a batch of images: each argument has one entry per image, an array, tensor or list.

        Args:
            image_ids: B ids, all integers or all strings; ties between scores are broken by their order.
            boxes: (N, 4) each, detections in `layout`, pixels of the original image.
            scores: (N,) each.
            labels: (N,) each, class indices.
            true_boxes: (G, 4) each, ground truth in `layout`.
            true_labels: (G,) each.
            area: (G,) each, square pixels; by default w * h.
            crowd: (G,) flags each; by default none.
            ignored: (G,) flags each; by default none.
            sizes: (B, 2) height and width; by default unknown.
            layout: of all boxes.

        Raises:
            InputError: an image was added before, or the arrays do not fit together.
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
        """Add the images of two tables.

        Args:
            truth: ground truth.
            detections: on the same catalog.

        Raises:
            InputError: an image was added before, or the classes or catalogs differ.
        """
        if truth.catalog != detections.catalog:
            raise InputError("truth and detections have different images or classes")
        self._check(truth.catalog.classes, truth.catalog.image_ids)
        self._parts.append((truth, detections))
        self._seen.update(truth.catalog.image_ids)

    def merge(self, other: Evaluator) -> Self:
        """Add the images of another evaluator, which is not modified.

        Args:
            other: with the same classes and rule, and with other images.

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
        """Evaluate the images so far; more may be added afterwards.

        Raises:
            InputError: there are no images.
        """
        truth, detections = self.tables()
        return evaluate(truth, detections, self.measures, self.rule)

    def tables(self) -> tuple[AnnotationTable, DetectionTable]:
        """Ground truth and detections so far, by image.

        Raises:
            InputError: there are no images.
        """
        if not self._parts:
            raise InputError("Evaluator: there are no images; call update first")
        catalogs = [truth.catalog for truth, _ in self._parts]
        ids = [identity for catalog in catalogs for identity in catalog.image_ids]
        order = sorted(range(len(ids)), key=ids.__getitem__)
        new_index = np.empty(len(ids), np.int32)
        new_index[order] = np.arange(len(ids), dtype=np.int32)
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
            **_concatenate(
                annotations, new_index, offset, ("label", "xywh", "area", "crowd", "ignored", "object_id")
            ),
        )
        return truth, DetectionTable(
            catalog, **_concatenate(detections, new_index, offset, ("label", "xywh", "score"))
        )

    def _check(self, classes: tuple[str, ...], image_ids: Iterable[ImageId]) -> None:
        if classes != self.classes:
            raise InputError(f"expected the evaluator's {plural(len(self.classes), 'class')}, got {classes}")
        repeated = self._seen.intersection(image_ids)
        if repeated:
            raise InputError(
                f"image {min(repeated)!r} was added before ({plural(len(repeated), 'such image')}); add each image once"
            )


def _concatenate(
    parts: Sequence[AnnotationTable] | Sequence[DetectionTable],
    new_index: NDArray[np.int32],
    offset: NDArray[np.int64],
    columns: Sequence[str],
) -> dict[str, Any]:
    """The columns of all tables, by image; within an image in their order."""
    image = np.concatenate([new_index[part.image + offset[index]] for index, part in enumerate(parts)])
    order = np.argsort(image, kind="stable")
    joined = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in columns}
    return {"image": image[order], **joined}
