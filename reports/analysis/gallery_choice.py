"""Which images of a comparison are worth a look: the gallery's groups and their members."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.engine.neighbours import take_in_turn
from metrics.iou import box_iou
from metrics.measures.error_types import KINDS
from reports.analysis.evaluated_run import IOU, EvaluatedRun
from reports.analysis.report_data import ReportData
from reports.elements import formatting

GROUPS = (
    ("differ", "Largest differences between models", 5),
    ("decides", "Largest influence on the lead", 3),
    ("worst", "Most errors", 3),
    ("all_miss", "Undetected by all models: hard objects or annotation errors", 3),
    ("all_detect", "Detected by all models where nothing is annotated", 3),
    ("typical", "Typical images", 2),
    ("best", "Fewest errors", 2),
)
"""Short name, heading and maximum number of images."""

_REASONS = {
    "all_miss": ("object undetected by all models", "objects undetected by all models"),
    "all_detect": (
        "detection on background shared by all models",
        "detections on background shared by all models",
    ),
}


@dataclass(frozen=True, slots=True)
class GalleryChoice:
    """An image to show.

    Attributes:
        image: index in the catalog.
        group: one of `GROUPS`.
        reason: why it was chosen, in a few words.
        unannotated: for the group of unannotated detections, the rows of these in each model's first run; else empty.
    """

    image: int
    group: str
    reason: str
    unannotated: tuple[frozenset[int], ...] = ()


def choose(report: ReportData) -> list[GalleryChoice]:
    """Choose the images to show: the first of each group, then the second of each group, and so on.

    Errors are the false positives and false negatives of each model's first run at its highest F1. Ties go by image
    order; each image is chosen once. Every image of "Most errors" has more errors than every image of "Fewest errors", and typical
    images lie between the quartiles.
    """
    first = [runs[0] for runs in report.evaluated]
    counts = [run.image_counts for run in first]
    errors = np.stack([each.errors for each in counts])
    total, tp = errors.sum(0), np.sum([each.tp for each in counts], axis=0)
    size, several = errors.shape[1], len(first) > 1
    shared = unannotated_by_all(first) if several else []
    all_miss = undetected_by_all(first) if several else np.zeros(size, np.int64)
    all_detect = np.bincount([first[0].run.detections.image[rows[0]] for rows in shared], minlength=size)
    influence = report.influence
    orders: dict[str, list[int]] = {
        "differ": _falling(np.ptp(errors, axis=0)) if several else [],
        "decides": _deciding(report),
        "worst": _falling(total),
        "all_miss": _falling(all_miss),
        "all_detect": _falling(all_detect),
        "typical": _typical(total),
        "best": [int(at) for at in np.lexsort((-tp, total)) if tp[at]],
    }
    choices = []
    for name, image in _take_in_turns(orders, total):
        reason = _reason(name, errors[:, image], report.labels)
        if name == "all_miss":
            reason = formatting.plural(int(all_miss[image]), *_REASONS[name])
        elif name == "all_detect":
            reason = formatting.plural(int(all_detect[image]), *_REASONS[name])
        elif name == "decides" and influence is not None:
            gain = float(influence.of_images[image])
            unit = "image" if len(influence.influence) == len(influence.unit) else "group"
            reason = f"without this {unit}, the lead of {report.labels[0]} is {formatting.points(gain, 2)} percentage points smaller"
        here = [rows for rows in shared if first[0].run.detections.image[rows[0]] == image]
        marked = tuple(map(frozenset, zip(*here, strict=True))) if name == "all_detect" else ()
        choices.append(GalleryChoice(image, name, reason, marked))
    return choices


def _take_in_turns(orders: dict[str, list[int]], total: NDArray[np.int64]) -> Iterator[tuple[str, int]]:
    """Take the first image of each group, then the second, and so on; no image twice, none of the fewest errors among the most."""
    members: dict[str, list[int]] = {name: [] for name in orders}
    for step in range(max(most for _, _, most in GROUPS)):
        for name, _, most in GROUPS:
            taken = {at for group in members.values() for at in group}
            image = next((at for at in orders[name] if at not in taken), None)
            if step >= most or image is None:
                continue
            above = all(total[image] > total[at] for at in members["best"])
            below = all(total[image] < total[at] for at in members["worst"])
            if (name == "worst" and not above) or (name == "best" and not below):
                continue
            members[name].append(image)
            yield name, image


def undetected_by_all(runs: Sequence[EvaluatedRun]) -> NDArray[np.int64]:
    """Count, per image, the objects that are undetected in all runs, each at its own operating point: (I,)."""
    truth = runs[0].run.truth
    lost = np.all([run.is_fn for run in runs], axis=0)
    return np.bincount(truth.image[lost], minlength=len(truth.catalog.image_ids))


def unannotated_by_all(runs: Sequence[EvaluatedRun]) -> list[tuple[int, ...]]:
    """Find detections on background that all runs share, each run at its own operating point.

    All of them overlap no annotation of any class, so each may be an object that was not annotated. A detection of the first
    run is paired with one of every other run, of the same class and with an IoU of at least 0.5; each detection is used
    once, and pairs with the highest IoU come first.

    Args:
        runs: on the same truth.

    Returns:
        The rows of each shared detection in the runs' detections.
    """
    background = KINDS.index("background")
    rows = [run.outcome.row[run.is_fp & (run.errors.kind == background)] for run in runs]
    partners = [_pair(runs[0], rows[0], run, other) for run, other in zip(runs[1:], rows[1:], strict=True)]
    return [
        (int(row), *(pairs[int(row)] for pairs in partners))
        for row in np.sort(rows[0])
        if all(int(row) in pairs for pairs in partners)
    ]


def _pair(
    one: EvaluatedRun, rows: NDArray[np.int32], other: EvaluatedRun, other_rows: NDArray[np.int32]
) -> dict[int, int]:
    """Pair detections of two runs one to one, by falling IoU: the row in `other` of each paired row in `one`."""
    a, b = one.run.detections, other.run.detections
    by_image = _by_image(b.image[other_rows], len(a.catalog.image_ids))
    pairs: list[tuple[float, int, int]] = []
    for row in rows.tolist():
        near = other_rows[by_image[a.image[row]]]
        near = near[b.label[near] == a.label[row]]
        overlap = box_iou(a.boxes[row : row + 1], b.boxes[near])[0]
        pairs += [
            (-iou, row, at) for iou, at in zip(overlap.tolist(), near.tolist(), strict=True) if iou >= IOU
        ]
    if not pairs:
        return {}
    _, first, second = (np.array(column) for column in zip(*sorted(pairs), strict=True))
    taken = take_in_turn(first, second, len(a), len(b))
    return dict(zip(first[taken].tolist(), second[taken].tolist(), strict=True))


def _by_image(image: NDArray[np.int32], size: int) -> list[NDArray[np.intp]]:
    """For each image the indices at which it occurs."""
    order = np.argsort(image, kind="stable")
    return np.split(order, np.searchsorted(image[order], np.arange(1, size)))


def _deciding(report: ReportData) -> list[int]:
    """Images without which the lead is smaller by 0.01 points or more, most influential first; none without a lead."""
    influence = report.influence
    if influence is None or not influence.delta > 0:
        return []
    at = {image: number for number, image in enumerate(report.truth.catalog.image_ids)}
    return [at[image] for image in influence.top(20) if influence.of_images[at[image]] >= 1e-4]


def _falling(values: NDArray[np.int64]) -> list[int]:
    """Images by descending value, ties by their order, without those of value 0."""
    return [int(at) for at in np.argsort(-values, kind="stable") if values[at] > 0]


def _typical(total: NDArray[np.int64]) -> list[int]:
    """Images by the distance of their errors from the median, only those between the quartiles."""
    if not total.size:
        return []
    low, middle, high = np.percentile(total, [25, 50, 75])
    order = np.argsort(np.abs(total - middle), kind="stable")
    return [int(at) for at in order if low <= total[at] <= high]


def _reason(group: str, errors: NDArray[np.int64], labels: Sequence[str]) -> str:
    if group == "differ":
        low, high = int(np.argmin(errors)), int(np.argmax(errors))
        return (
            f"{labels[low]}: {formatting.plural(int(errors[low]), 'error')}, {labels[high]}: {errors[high]}"
        )
    total = int(errors.sum())
    return formatting.plural(total, "error") + (" in total" if len(errors) > 1 else "")
