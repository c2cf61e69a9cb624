"""Boxes that cannot be right, or that a network can hardly learn from: degenerate, outside, annotated twice, tiny."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bench.survey.subject import SplitSubject
from reports.records.data_check import MAX_EXAMPLES, Example, Finding, Severity

BEYOND_PX = 1.0
"""Pixels by which a box may extend beyond its image: formats round differently."""

MOST_BEYOND = 0.01
"""Share of boxes that may extend beyond their image or lie outside it; more is a mistake in sizes or coordinates."""

Rows = NDArray[np.intp]


def box_findings(subject: SplitSubject, stride: int, min_side: float) -> list[Finding]:
    """Defects of the boxes of a split.

    Args:
        subject: the split.
        stride: finest stride of the network in pixels of its input; boxes with both sides below it are tiny.
        min_side: smallest side of a training target in pixels of the network's input.
    """
    truth = subject.split.truth
    x0, y0, w, h = truth.xywh.T
    height, width = truth.catalog.sizes[truth.image].T.astype(np.float64)
    known = (height > 0) & (width > 0)
    degenerate = (w <= 0) | (h <= 0)
    outside = known & ~degenerate & ((x0 >= width) | (y0 >= height) | (x0 + w <= 0) | (y0 + h <= 0))
    beyond = np.maximum.reduce([-x0, -y0, x0 + w - width, y0 + h - height])
    partly = known & ~degenerate & ~outside & (beyond > BEYOND_PX)
    misplaced: Severity = "error" if (partly | outside).sum() > MOST_BEYOND * len(truth) else "warning"
    sides = subject.input_sides
    dropped = subject.targets & (sides < min_side).any(1)
    tiny = subject.targets & (sides < stride).all(1) & ~dropped
    masks: list[tuple[str, Severity, NDArray[np.bool_], dict[str, float]]] = [
        ("degenerate_boxes", "warning", degenerate, {}),
        ("outside_boxes", misplaced, outside, {}),
        ("boxes_beyond_image", misplaced, partly, {"limit": BEYOND_PX}),
        ("dropped_boxes", "warning", dropped, {"min_side": min_side}),
        ("tiny_boxes", "information", tiny, {"stride": stride}),
    ]
    found = [
        Finding(
            kind=kind,
            severity=severity,
            subject=subject.name,
            count=int(mask.sum()),
            of=len(truth),
            values=values,
            examples=subject.object_examples(np.flatnonzero(mask).tolist()),
        )
        for kind, severity, mask, values in masks
        if mask.any()
    ]
    return found + _repeated(subject)


def _repeated(subject: SplitSubject) -> list[Finding]:
    """Objects of one image with exactly the same box: of one class annotated twice, of several classes contradictory."""
    truth = subject.split.truth
    rows = np.flatnonzero(~truth.crowd)
    keys = np.column_stack([truth.image[rows], truth.xywh[rows]])
    order = np.lexsort((rows, *keys.T[::-1]))
    rows, keys = rows[order], keys[order]
    same = np.concatenate([[False], (keys[1:] == keys[:-1]).all(1), [False]])
    starts = np.flatnonzero(~same[:-1] & same[1:])
    ends = np.flatnonzero(same[:-1] & ~same[1:]) + 1
    twice: list[Rows] = []
    contradictory: list[Rows] = []
    for start, end in zip(starts, ends, strict=True):
        members = rows[start:end]
        labels = truth.label[members]
        if len(np.unique(labels)) > 1:
            contradictory.append(members)
        alike = (members[labels == label] for label in np.unique(labels))
        twice += [group for group in alike if len(group) > 1]
    surplus = sum(len(group) - 1 for group in twice)
    found = []
    for kind, count, groups in (
        ("duplicate_boxes", surplus, twice),
        ("contradictory_boxes", sum(map(len, contradictory)), contradictory),
    ):
        if count:
            found.append(
                Finding(
                    kind=kind,
                    severity="warning",
                    subject=subject.name,
                    count=count,
                    of=len(truth),
                    examples=_group_examples(subject, groups),
                )
            )
    return found


def _group_examples(subject: SplitSubject, groups: Sequence[Rows]) -> tuple[Example, ...]:
    truth = subject.split.truth
    ordered = sorted(groups, key=lambda rows: int(rows[0]))[:MAX_EXAMPLES]
    return tuple(
        Example(
            images=(subject.ref(int(truth.image[rows[0]])),),
            objects=tuple(truth.object_id[rows].tolist()),
            names=tuple(dict.fromkeys(truth.catalog.classes[label] for label in truth.label[rows])),
            values=dict(zip("xywh", truth.xywh[rows[0]].tolist(), strict=True)),
        )
        for rows in ordered
    )
