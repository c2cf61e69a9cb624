"""Sixty-eight corner cases on which evaluators disagree: a COCO file, results, and the correct numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from metrics.match_rule import MatchRule

BOX = [10.0, 10.0, 100.0, 100.0]
FAR = [300.0, 300.0, 100.0, 100.0]
Document = dict[str, Any]
Results = list[dict[str, Any]]


def obj(box: list[float], image: int = 1, category: int = 1, **fields: Any) -> Document:
    """An annotation; a field of None is left out."""
    whole = {"image_id": image, "category_id": category, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
    return {key: value for key, value in (whole | fields).items() if value is not None}


def det(box: list[float], score: Any = 0.9, image: int = 1, category: int = 1, **fields: Any) -> Document:
    """A detection; a field of None is left out."""
    whole = {"image_id": image, "category_id": category, "bbox": box, "score": score}
    return {key: value for key, value in (whole | fields).items() if value is not None}


def truth(
    *objects: Document, images: tuple[int, ...] = (1, 2), categories: tuple[int, ...] = (1,)
) -> Document:
    """A COCO file; annotations without id are numbered from 1."""
    return {
        "info": {},
        "images": [{"id": i, "width": 640, "height": 480, "file_name": f"{i}.jpg"} for i in images],
        "categories": [{"id": k, "name": f"class {k}"} for k in categories],
        "annotations": [{"id": row} | item for row, item in enumerate(objects, start=1)],
    }


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        name: of the row.
        truth: the COCO file.
        detections: the results file.
        expected: twelve numbers, -1 for what is not defined; None for the reference's own.
        rule: of matching.
        error: part of our error message, if the input is refused.
        warning: part of our warning.
        reader: settings of `read_detections`.
        reference_fails: exception type of the reference, if it fails.
    """

    name: str
    truth: Document
    detections: Results
    expected: list[float] | None = None
    rule: MatchRule = field(default_factory=MatchRule)
    error: str | None = None
    warning: str | None = None
    reader: dict[str, Any] = field(default_factory=dict)
    reference_fails: type[Exception] | None = None


PERFECT = [1, 1, 1, -1, -1, 1, 1, 1, 1, -1, -1, 1]
NOTHING = [0, 0, 0, -1, -1, 0, 0, 0, 0, -1, -1, 0]
UNDEFINED = [-1] * 12


def inside(count: int) -> Results:
    """Detections with high scores, within `FAR`."""
    return [det([310.0 + 5 * i, 310, 40, 40], 0.95 + i / 100) for i in range(count)]


def at_iou(iou: float) -> Case:
    """A detection inside its object, of this percentage of its area."""
    case = truth(obj([0, 0, 100, 100]))
    share = (round(iou * 100) - 50) // 5 / 10 + 0.1
    return Case(
        f"IoU exactly {iou:.2f}",
        case,
        [det([0, 0, 100, round(iou * 100)])],
        [share, 1, float(iou >= 0.75), -1, -1, share, share, share, share, -1, -1, share],
    )


def many(true: list[bool], objects: int) -> Case:
    """Objects in a row, and detections by falling score, some of which match the next object."""
    places = [[45.0 * (i % 10), 44.0 * (i // 10), 40, 40] for i in range(objects)]
    found, index = [], 0
    for rank, is_true in enumerate(true):
        found.append(det(places[index] if is_true else [500, 5.0 * rank, 40, 40], 0.99 - rank / 1000))
        index += is_true
    return Case("", truth(*map(obj, places)), found)


def case_of(name: str, other: Case) -> Case:
    return Case(name, other.truth, other.detections)


CROWD = obj(FAR, iscrowd=1)
CASES = [
    Case("perfect", truth(obj(BOX), obj(FAR, 2)), [det(BOX), det(FAR, 0.8, image=2)], PERFECT),
    Case(
        "image without GT, with a false positive",
        truth(obj(BOX)),
        [det(BOX, 0.8), det(FAR, 0.9, image=2)],
        [0.5, 0.5, 0.5, -1, -1, 0.5, 1, 1, 1, -1, -1, 1],
    ),
    Case("no GT at all", truth(), [det(BOX)], UNDEFINED),
    Case("no detections: []", truth(obj(BOX)), [], NOTHING, reference_fails=IndexError),
    Case("image missing from detections", truth(obj(BOX), obj(BOX, 2)), [det(BOX)]),
    Case(
        "detection for unknown image id",
        truth(obj(BOX)),
        [det(BOX), det(BOX, image=77)],
        error="1 of 2 detections is on 1 image that the ground truth does not have: 77",
        reference_fails=AssertionError,
    ),
    Case(
        "detection for unknown category: reported, with a fix",
        truth(obj(BOX)),
        [det(BOX), det(FAR, 0.95, category=9)],
        error="1 of 2 detections is of 1 class that the ground truth does not have",
    ),
    Case(
        "detection for unknown category, left out on request",
        truth(obj(BOX)),
        [det(BOX), det(FAR, 0.95, category=9)],
        PERFECT,
        reader={"class_map": "drop"},
        warning="",
    ),
    Case(
        "GT of a category missing in `categories`",
        truth(obj(BOX), obj(FAR, category=9)),
        [det(BOX)],
        PERFECT,
        warning="of categories that the file does not list",
    ),
    Case(
        "GT with unknown image id",
        truth(obj(BOX), obj(FAR, image=5)),
        [det(BOX)],
        PERFECT,
        warning="on images that the file does not list",
    ),
    Case(
        "category without GT (-1), with false positives",
        truth(obj(BOX), categories=(1, 2)),
        [det(BOX), det(FAR, category=2)],
        PERFECT,
    ),
    Case(
        "crowd: 3 dets inside one crowd are all ignored",
        truth(obj(BOX), CROWD),
        [det(BOX), *inside(3)],
        [1, 1, 1, -1, -1, 1, 0, 1, 1, -1, -1, 1],
    ),
    Case(
        "crowd IoU uses det area (IoA)",
        truth(obj(BOX), obj([200, 200, 400, 250], iscrowd=1)),
        [det(BOX), det([250, 250, 20, 20], 0.95)],
        [1, 1, 1, -1, -1, 1, 0, 1, 1, -1, -1, 1],
    ),
    Case(
        "det overlaps crowd (IoA 1) and normal GT (IoU .6): normal wins",
        truth(obj([0, 0, 200, 200], iscrowd=1), obj([0, 0, 100, 100])),
        [det([0, 0, 100, 60])],
        [0.3, 1, 0, -1, -1, 0.3, 0.3, 0.3, 0.3, -1, -1, 0.3],
    ),
    Case("only crowd GT in a category", truth(CROWD), [det(FAR)], UNDEFINED),
    Case(
        "`ignore`:1 in GT without iscrowd",
        truth(obj(BOX), obj(FAR, ignore=1)),
        [det(BOX)],
        warning="have ignore set but not iscrowd; they count, as in pycocotools",
    ),
    Case(
        "`iscrowd` missing in GT",
        truth(obj(BOX, iscrowd=None)),
        [det(BOX)],
        PERFECT,
        reference_fails=KeyError,
    ),
    Case(
        "`area` missing in GT",
        truth(obj(BOX, area=None)),
        [det(BOX)],
        PERFECT,
        warning="have no area; w * h is used",
        reference_fails=KeyError,
    ),
    Case(
        "`area` field differs from w*h (GT small by field)",
        truth(obj(BOX, area=500.0)),
        [det(BOX)],
        [1, 1, 1, 1, -1, -1, 1, 1, 1, 1, -1, -1],
    ),
    Case(
        "area exactly 32^2 counts as small and medium",
        truth(obj([0, 0, 32, 32])),
        [det([0, 0, 32, 32])],
        [1, 1, 1, 1, 1, -1, 1, 1, 1, 1, 1, -1],
    ),
    Case(
        "area exactly 96^2 counts as medium and large",
        truth(obj([0, 0, 96, 96])),
        [det([0, 0, 96, 96])],
        [1, 1, 1, -1, 1, 1, 1, 1, 1, -1, 1, 1],
    ),
    Case(
        "area > 1e5^2 is ignored even in `all`",
        truth(obj(BOX), obj([0, 0, 2e5, 1e5])),
        [det(BOX, 0.8), det([0, 0, 2e5, 1e5])],
        [1, 1, 1, -1, -1, 1, 0, 1, 1, -1, -1, 1],
        warning="",
    ),
    Case(
        "unmatched det out of range is ignored in s/m/l",
        truth(obj(BOX)),
        [det(BOX, 0.8), det([300, 300, 20, 20], 0.9)],
        [0.5, 0.5, 0.5, -1, -1, 1, 0, 1, 1, -1, -1, 1],
    ),
    Case(
        "det of other size class matched to in-range GT is a TP",
        truth(obj([0, 0, 100, 93])),
        [det([0, 0, 100, 90])],
    ),
    Case(
        "det matched to an out-of-range GT is ignored there",
        truth(obj([0, 0, 90, 90]), obj([200, 200, 100, 100])),
        [det([0, 0, 90, 90], 0.9), det([200, 200, 100, 100], 0.8)],
        [1, 1, 1, -1, 1, 1, 0.5, 1, 1, -1, 1, 1],
    ),
    Case(
        "det's own `area` field is overwritten by w*h",
        truth(obj(BOX)),
        [det(BOX, 0.8), det(FAR, 0.9, area=5.0)],
        [0.5, 0.5, 0.5, -1, -1, 0.5, 0, 1, 1, -1, -1, 1],
    ),
    *(at_iou(iou) for iou in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)),
    Case(
        "two GTs with equal IoU: the later one is taken",
        truth(obj([0, 0, 100, 100]), obj([40, 0, 100, 100]), obj([300, 0, 100, 100])),
        [det([20, 0, 100, 100], 0.9), det([0, 0, 100, 100], 0.8)],
    ),
    Case(
        "greedy: 1st det steals the GT that the 2nd needs",
        truth(obj([0, 0, 100, 100]), obj([30, 0, 100, 100])),
        [det([14, 0, 100, 100], 0.9), det([0, 0, 100, 100], 0.8)],
    ),
    Case("duplicate detections", truth(obj(BOX)), [det(BOX), det(BOX, 0.8)], PERFECT),
    Case(
        "tied scores, FP first in file",
        truth(obj(BOX)),
        [det(FAR), det(BOX)],
        [0.5, 0.5, 0.5, -1, -1, 0.5, 0, 1, 1, -1, -1, 1],
    ),
    Case("tied scores, TP first in file", truth(obj(BOX)), [det(BOX), det(FAR)], PERFECT),
    Case(
        "tied scores across images: smaller image id first, not file order",
        truth(obj(BOX, 2), obj([0, 0, 100, 90], 2)),
        [det(BOX, image=2), det([300, 300, 90, 90], image=1)],
    ),
    Case(
        "tied scores across images, ids not in file order",
        truth(obj(BOX, 3), obj(BOX, 7), images=(7, 3)),
        [det(FAR, image=7), det(BOX, image=3)],
    ),
    Case(
        "tie at the maxDets cut",
        truth(obj(BOX)),
        [*(det([300 + i, 300, 9, 9]) for i in range(100)), det(BOX)],
        NOTHING,
    ),
    Case(
        "> maxDets: 101st det is dropped",
        truth(obj(BOX)),
        [*(det([300 + i, 300, 9, 9], 0.9 - i / 1000) for i in range(100)), det(BOX, 0.5)],
        NOTHING,
    ),
    Case(
        "maxDets is per category, not per image",
        truth(obj(BOX), categories=(1, 2)),
        [
            *(det([300 + i, 300, 9, 9], 0.9 - i / 1000, category=2) for i in range(75)),
            *(det([300 + i, 300, 9, 9], 0.9 - i / 1000) for i in range(75)),
            det(BOX, 0.5),
        ],
        [1 / 76, 1 / 76, 1 / 76, -1, -1, 1, 0, 0, 1, -1, -1, 1],
    ),
    Case(
        "maxDets [1,10,500]: AP is that of the largest",
        truth(obj(BOX)),
        [det(BOX)],
        PERFECT,
        rule=MatchRule(max_dets=(1, 10, 500)),
    ),
    Case("maxDets of length 1 [100]", truth(obj(BOX)), [det(BOX)], PERFECT, rule=MatchRule(max_dets=(100,))),
    Case(
        "zero-area GT and identical zero-area det",
        truth(obj([10, 10, 0, 0])),
        [det([10, 10, 0, 0])],
        [0, 0, 0, 0, -1, -1, 0, 0, 0, 0, -1, -1],
        warning="",
    ),
    Case(
        "zero-width det beside a good one",
        truth(obj(BOX)),
        [det(BOX, 0.8), det([10, 10, 0, 100], 0.9)],
        [0.5, 0.5, 0.5, -1, -1, 1, 0, 1, 1, -1, -1, 1],
        warning="",
    ),
    Case(
        "negative width det",
        truth(obj(BOX)),
        [det(BOX, 0.8), det([110, 10, -100, 100], 0.9)],
        [1, 1, 1, -1, -1, 1, 0, 1, 1, -1, -1, 1],
        warning="",
    ),
    Case(
        "negative-area unmatched det is ignored",
        truth(obj(BOX)),
        [det(BOX, 0.8), det([300, 300, -5, 9], 0.9)],
        [1, 1, 1, -1, -1, 1, 0, 1, 1, -1, -1, 1],
        warning="",
    ),
    Case("NaN score", truth(obj(BOX)), [det(BOX), det(FAR, math.nan)], error=r"\[1\] .*score is nan"),
    Case("all scores NaN", truth(obj(BOX)), [det(BOX, math.nan)], error=r"\[0\] .*score is nan"),
    Case("infinite score", truth(obj(BOX)), [det(BOX), det(FAR, math.inf)], error=r"\[1\] .*score is inf"),
    Case("-inf score", truth(obj(BOX)), [det(BOX), det(FAR, -math.inf)], error=r"\[1\] .*score is -inf"),
    Case(
        "NaN box in a detection",
        truth(obj(BOX)),
        [det([math.nan, 0, 100, 100])],
        error=r"\[0\] .*bbox is \[nan, 0, 100, 100\]",
    ),
    Case(
        "negative / >1 scores",
        truth(obj(BOX), obj(FAR, 2)),
        [det(BOX, 7.5), det(FAR, -3.0, image=2)],
        PERFECT,
        warning="",
    ),
    Case(
        "integer scores and boxes",
        truth(obj([0, 0, 100, 100])),  # type: ignore[list-item]
        [det([0, 0, 100, 100], 1)],  # type: ignore[list-item]
        PERFECT,
    ),
    Case(
        "score missing",
        truth(obj(BOX)),
        [det(BOX, None)],
        error="score: missing",
        reference_fails=KeyError,
    ),
    Case("GT id 0 (matched)", truth(obj(BOX, id=0)), [det(BOX)], PERFECT),
    Case(
        "GT ids 0..2",
        truth(*(obj([150 * i, 0, 100, 100], id=i) for i in range(3))),
        [det([150 * i, 0, 100, 100], 0.9 - i / 10) for i in range(3)],
        [1, 1, 1, -1, -1, 1, 1 / 3, 1, 1, -1, -1, 1],
    ),
    Case("negative GT id", truth(obj(BOX, id=-5)), [det(BOX)], PERFECT),
    Case(
        "GT ids beyond 2^53",
        truth(obj(BOX, id=2**53 + 1), obj(FAR, id=2**53 + 2)),
        [det(BOX), det(FAR, 0.8)],
        [1, 1, 1, -1, -1, 1, 0.5, 1, 1, -1, -1, 1],
    ),
    Case(
        "duplicate GT ids (two images)",
        truth(obj(BOX, 1, id=5), obj(FAR, 2, id=5)),
        [det(BOX), det(FAR, 0.8, image=2)],
        PERFECT,
        warning="have an id that is repeated",
    ),
    Case(
        "duplicate image entries",
        truth(obj(BOX), images=(1, 1, 2)),
        [det(BOX)],
        PERFECT,
        warning="images have an id that is repeated",
    ),
    Case(
        "image id 0 and category id 0",
        truth(obj(BOX, 0, 0), images=(0, 1), categories=(0, 1)),
        [det(BOX, image=0, category=0)],
        PERFECT,
    ),
    Case(
        "non-contiguous ids",
        truth(obj(BOX, 900_000, 90), obj(BOX, 17, 3), images=(900_000, 17), categories=(90, 3)),
        [det(BOX, image=900_000, category=90), det(BOX, image=17, category=3)],
        PERFECT,
    ),
    Case(
        "no `info` key in GT", {k: v for k, v in truth(obj(BOX)).items() if k != "info"}, [det(BOX)], PERFECT
    ),
    Case(
        "useCats=0 (class-agnostic)",
        truth(obj(BOX), obj(FAR, category=2), categories=(1, 2)),
        [det(BOX, category=2), det(FAR, 0.8)],
        [1, 1, 1, -1, -1, 1, 0.5, 1, 1, -1, -1, 1],
        rule=MatchRule(by_class=False),
    ),
    Case(
        "boxes partly outside the image",
        truth(obj([-50, -50, 100, 100]), obj([600, 440, 100, 100], 2)),
        [det([-50, -50, 100, 100]), det([600, 440, 100, 100], 0.8, image=2)],
        PERFECT,
        warning="",
    ),
    case_of("recall hits k/100 exactly (npig=100, 29 TP, then FPs)", many([True] * 29 + [False] * 40, 100)),
    case_of("npig=7 with interleaved FPs", many([c == "T" for c in "TFTTFFTFTFFFTT"], 7)),
]
