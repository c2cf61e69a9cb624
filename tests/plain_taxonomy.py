"""COCO's matching at one threshold, the types of false positives and the confusion matrix, one detection at a time.

Nothing of `metrics` is used but the tables, so that tests of the taxonomy have an answer from elsewhere.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from metrics.tables import AnnotationTable, DetectionTable

MOST_PER_CLASS = 100


@dataclass
class PlainErrors:
    """What becomes of the detections of at least a score.

    Attributes:
        tp: object of each true positive.
        ignored: detections that match an ignored object or lie in a crowd.
        fp: type of each false positive.
        undetected: valid objects that no true positive has.
        pairs: object of another class of each false positive that the confusion matrix pairs.
    """

    tp: dict[int, int] = field(default_factory=dict)
    ignored: set[int] = field(default_factory=set)
    fp: dict[int, str] = field(default_factory=dict)
    undetected: set[int] = field(default_factory=set)
    pairs: dict[int, int] = field(default_factory=dict)

    @property
    def types(self) -> Counter[str]:
        """False positives by type."""
        return Counter(self.fp.values())


def overlap_of(truth: AnnotationTable, found: DetectionTable, row: int, g: int, crowds: bool = True) -> float:
    """IoU of a detection and an object; with a crowd the covered part of the detection (unless not `crowds`)."""
    if found.image[row] != truth.image[g]:
        return 0.0
    x, y, w, h = found.xywh[row].tolist()
    gx, gy, gw, gh = truth.xywh[g].tolist()
    across, down = min(x + w, gx + gw) - max(x, gx), min(y + h, gy + gh) - max(y, gy)
    if across <= 0 or down <= 0:
        return 0.0
    return across * down / (w * h if crowds and truth.crowd[g] else w * h + gw * gh - across * down)


def plain_errors(
    truth: AnnotationTable, found: DetectionTable, score: float, iou: float = 0.5, background: float = 0.1
) -> PlainErrors:
    """Match the detections of at least `score`, as COCO does, and give each false positive its type."""
    result = PlainErrors()
    ignored = [
        bool(truth.crowd[g] or truth.ignored[g] or not 0 <= truth.area[g] <= 1e10) for g in range(len(truth))
    ]
    by_score = sorted(range(len(found)), key=lambda row: -found.score[row])
    kept = [row for row in by_score if found.score[row] >= score]
    taken: dict[int, int] = {}
    rank: Counter[tuple[int, int]] = Counter()
    for row in kept:
        place = int(found.image[row]), int(found.label[row])
        rank[place] += 1
        if rank[place] > MOST_PER_CLASS:
            continue
        own = [g for g in range(len(truth)) if (truth.image[g], truth.label[g]) == place]
        best, chosen = min(iou, 1 - 1e-10), None
        for g in sorted(own, key=lambda g: ignored[g]):
            if g in taken and not truth.crowd[g]:
                continue
            if chosen is not None and not ignored[chosen] and ignored[g]:
                break
            if overlap_of(truth, found, row, g) >= best:
                best, chosen = overlap_of(truth, found, row, g), g
        if chosen is not None:
            taken[chosen] = row
        if chosen is None:
            result.fp[row] = _type(truth, found, ignored, row, iou, background)
        elif ignored[chosen]:
            result.ignored.add(row)
        else:
            result.tp[row] = chosen
    result.undetected = {g for g in range(len(truth)) if not ignored[g]} - set(result.tp.values())
    _pair_classes(result, truth, found, iou)
    return result


def _type(
    truth: AnnotationTable,
    found: DetectionTable,
    ignored: list[bool],
    row: int,
    iou: float,
    background: float,
) -> str:
    everything = {g: overlap_of(truth, found, row, g) for g in range(len(truth))}
    near = {g: share for g, share in everything.items() if share >= background}
    if not near:
        return "background"
    near = {g: share for g, share in near.items() if not ignored[g]} or near
    own = max((share for g, share in near.items() if truth.label[g] == found.label[row]), default=0.0)
    other = max((share for g, share in near.items() if truth.label[g] != found.label[row]), default=0.0)
    if 0 < own < iou:
        return "localization"
    if other >= iou:
        return "classification"
    return "duplicate" if own >= iou else "both"


def _pair_classes(result: PlainErrors, truth: AnnotationTable, found: DetectionTable, iou: float) -> None:
    """Pair classification errors with undetected objects, by falling IoU, score, and order of the input."""
    confused = [row for row, kind in result.fp.items() if kind == "classification"]
    while True:
        free = result.undetected - set(result.pairs.values())
        near = [
            (overlap_of(truth, found, row, g), found.score[row], -row, -g)
            for row in confused
            for g in free
            if row not in result.pairs and overlap_of(truth, found, row, g) >= iou
        ]
        if not near:
            return
        _, _, row, g = max(near)
        result.pairs[-row] = -g
