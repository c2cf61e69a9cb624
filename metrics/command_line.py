"""``python -m metrics``: evaluate detections from files, and fail where a measure is below a limit."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, get_args

import numpy as np

from metrics.atomic_files import require_writable
from metrics.errors import InputError
from metrics.evaluated_files import score_files, verify_files
from metrics.formats.discovery import KNOWN, KNOWN_DETECTIONS
from metrics.formats.identity import ImageIdMeaning, parse_class_map
from metrics.limits import MeasureLimit, parse_limit
from metrics.notes import report
from metrics.plurals import agree
from metrics.registry import did_you_mean
from metrics.standard_streams import printed_warnings, run_to_end

if TYPE_CHECKING:
    from metrics.evaluation import Evaluation
    from metrics.mask_evaluation import MaskEvaluation
    from metrics.match_rule import MatchRule

PROTOCOL_NAMES = "coco, crowdhuman, kitti, lvis, open_images, voc2007, voc2012"
"""Protocols of benchmarks, for the help, which imports no protocol."""

EVALUATOR_NAMES = (
    "supervision, supervision_0_25, torchmetrics, ultralytics, ultralytics_8_0, ultralytics_8_4_37"
)
"""Protocols of other evaluators: those with `EvaluatorRules`."""

FAILED = 1
"""Exit code where a measure is below its limit or `--verify` finds a difference."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: success. 1: a measure is below `--fail-below`, `--verify` found a difference, or a bug. Others: see
    `metrics.errors.exit_code`.
    """
    try:
        options = _parser().parse_args(arguments)
    except InputError as error:
        mistake = error

        def refuse() -> int:
            raise mistake

        return run_command(refuse)
    return run_command(lambda: _run(options), strict=options.strict, debug=options.debug)


def run_command(work: Callable[[], int], *, strict: bool = False, debug: bool = False) -> int:
    """Call `work`; report warnings and errors in one line each on standard error.

    Args:
        work: returns an exit code.
        strict: whether an `InputWarning` is an error; an `InputNote` never is.
        debug: whether errors come with a traceback.

    Returns:
        The exit code of `work`, or `metrics.errors.exit_code` of the error that it raised.
    """
    with printed_warnings(strict):
        return run_to_end(work, trace=debug)


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Parse IoU thresholds: ``0.5``, ``0.5,0.75``, or ``0.5:0.95:0.05``, both ends included."""
    try:
        if ":" not in text:
            return tuple(float(word) for word in text.split(","))
        first, last, step = map(float, text.split(":"))
        steps = (last - first) / step
        if not 0 <= steps < _MOST_THRESHOLDS:
            raise ValueError
        return tuple(np.linspace(first, last, round(steps) + 1).tolist())
    except (ValueError, ZeroDivisionError):
        raise InputError(
            f"expected numbers such as 0.5,0.75 or 0.5:0.95:0.05, at most {_MOST_THRESHOLDS}"
        ) from None


_MOST_THRESHOLDS = 64


def parse_areas(text: str) -> dict[str, tuple[float, float]]:
    """Parse area ranges, in addition to ``all``: ``small=0:1024,large=1024:inf``."""
    ranges = {"all": (0.0, 1e10)}
    try:
        for word in text.split(","):
            name, limits = (part.strip() for part in word.split("="))
            least, most = limits.split(":")
            if not name or name in ranges:
                raise ValueError
            ranges[name] = (float(least), min(float(most), 1e10))
    except ValueError:
        raise InputError(
            "expected square pixels such as small=0:1024,large=1024:inf, each name once and not all"
        ) from None
    return ranges


class _Parser(argparse.ArgumentParser):
    """Parser whose errors end the command like all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message.removeprefix('argument ')}; --help lists the options")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m metrics",
        description="Evaluate detections: COCO's twelve numbers, equal to pycocotools, and further measures.",
        epilog="Exit codes: 0 success; 1 a measure below --fail-below, or a difference found by --verify; 2 invalid "
        "input; 3 a machine failure (disk, memory, device); 4 part of the work failed.",
    )
    parser.add_argument("truth", type=Path, metavar="TRUTH", help=f"ground truth: {KNOWN}")
    parser.add_argument(
        "detections",
        type=Path,
        metavar="DETECTIONS",
        help=f"detections: {KNOWN_DETECTIONS}",
    )
    parser.add_argument(
        "--protocol",
        metavar="NAME",
        help=f"score by the rules of a benchmark: {PROTOCOL_NAMES}; default: COCO's, or lvis where the ground truth has "
        "neg_category_ids or not_exhaustive_category_ids",
    )
    parser.add_argument(
        "--as",
        dest="evaluator",
        metavar="NAME",
        help=f"compute the mAP of another evaluator, and show what each of its rules changes: {EVALUATOR_NAMES}",
    )
    parser.add_argument("--split", help="split, if the ground truth has several")
    parser.add_argument(
        "--pixels",
        choices=("inclusive", "edges"),
        default="inclusive",
        help="VOC coordinates: inclusive (pixels counted from 1, including the last one, as in the devkit; default) or "
        "edges",
    )
    parser.add_argument(
        "--class-map",
        metavar="RULE",
        help="map class ids of the detections to the ground truth: from-0 or from-1 (class indices), coco-91 (COCO's ids "
        'up to 90, for its 80 classes), drop (ignore unknown ids), or a .json file with {"id in the detections": id in the ground truth}',
    )
    parser.add_argument(
        "--image-ids",
        choices=get_args(ImageIdMeaning),
        default="ids",
        help="meaning of whole numbers in image_id of the detections: ids of the ground truth (default), or the numbers in the "
        "names of the image files",
    )
    parser.add_argument(
        "--measures", metavar="NAMES", help="comma-separated measures; default: COCO's twelve"
    )
    parser.add_argument(
        "--iou", metavar="NUMBERS", help="IoU thresholds: 0.5,0.75 or 0.5:0.95:0.05 (default)"
    )
    parser.add_argument(
        "--max-dets", metavar="NUMBERS", help="detections per image and class; default: 1,10,100"
    )
    parser.add_argument(
        "--areas",
        metavar="RANGES",
        help="area ranges in square pixels: small=0:1024,large=1024:inf; default: COCO's",
    )
    parser.add_argument("--no-classes", action="store_true", help="ignore class labels when matching")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all values as a table")
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write all values as JSON; without FILE, print one JSON object instead of the table",
    )
    parser.add_argument(
        "--fail-below",
        action="append",
        default=[],
        metavar="MEASURE[:CLASS]=NUMBER",
        help="exit with 1 if a measure is lower or undefined: ap=0.40, ap=40pt (percentage points), or ap:car=0.40 for one "
        "class; may be repeated",
    )
    parser.add_argument(
        "--masks",
        action="store_true",
        help="TRUTH and DETECTIONS are folders of label maps (PNG, matched by name): IoU, Dice, pixel accuracy",
    )
    parser.add_argument(
        "--ignore",
        metavar="LABEL",
        help="with --masks: label of pixels in TRUTH to leave out, or none; default: 255",
    )
    parser.add_argument(
        "--classes", metavar="NAMES", help="with --masks: comma-separated names of the labels 0, 1, ..."
    )
    parser.add_argument("--verify", action="store_true", help="also run pycocotools and compare the numbers")
    parser.add_argument("--strict", action="store_true", help="treat warnings as errors")
    parser.add_argument("--debug", action="store_true", help="print the traceback of an error")
    parser.add_argument("--version", action="version", version=f"detbench {_version()}")
    return parser


def _version() -> str:
    try:
        return version("detbench")
    except PackageNotFoundError:
        return "(not installed)"


def _run(options: argparse.Namespace) -> int:
    from metrics.evaluator import COCO_MEASURES

    as_json = options.json == "-"
    for option, path in (("--csv", options.csv), ("--json", None if as_json else options.json)):
        if path is not None:
            require_writable(Path(path), option, folder=False)
    if options.masks:
        return _run_masks(options)
    if options.ignore or options.classes:
        raise InputError(
            f"{'--ignore' if options.ignore else '--classes'}: is for label maps; give --masks, too"
        )
    from metrics.measures import MEASURES
    from metrics.score_ties import detection_notes

    if options.evaluator and options.protocol:
        raise InputError("--as: is a protocol, too; leave out --protocol")
    options.protocol = options.evaluator or options.protocol
    _check_protocol(options)
    rule = None if options.protocol else _rule(options)
    measures = options.measures.split(",") if options.measures else None
    with _naming("--measures"):
        for name in measures or ():
            MEASURES[name]
    if options.verify and not options.protocol:
        measures = measures or list(COCO_MEASURES)  # pycocotools' rule, whatever the ground truth asks for
    limits = [
        parse_limit(text, unit="value", minimum=-math.inf, option="--fail-below")
        for text in options.fail_below
    ]
    if not options.protocol:
        _check_measures(limits, measures, rule)
    class_map = None if options.class_map is None else parse_class_map(options.class_map)
    evaluation = score_files(
        options.truth,
        options.detections,
        measures=measures,
        rule=rule,
        class_map=class_map,
        image_ids=options.image_ids,
        split=options.split,
        pixels=options.pixels,
        protocol=options.protocol,
        iou_thresholds=parse_thresholds(options.iou) if options.protocol and options.iou else None,
        steps=options.evaluator is not None,
    )
    if not evaluation.protocol:
        for note in detection_notes(evaluation.matches):
            report(note)
    with _naming("--fail-below"):
        failures = [failure for limit in limits if (failure := _failure(evaluation, limit))]
    if not as_json:
        print(evaluation)
    if options.csv:
        evaluation.to_csv(options.csv)
    if options.json and not as_json:
        evaluation.to_json(options.json)
    for failure in failures:
        print(failure, file=sys.stderr)
    verification = (
        verify_files(evaluation, options.truth, options.detections, class_map, options.image_ids)
        if options.verify
        else None
    )
    if as_json:
        agrees = None if verification is None else verification.agrees
        document = evaluation.document() | {"equal_to_pycocotools": agrees, "failures": failures}
        print(json.dumps(document, indent=1, allow_nan=False))
    elif verification is not None:
        print(f"\n{verification}")
    return FAILED if failures or (verification is not None and not verification.agrees) else 0


def _run_masks(options: argparse.Namespace) -> int:
    """Evaluate folders of label maps."""
    from metrics.mask_files import parse_ignore, score_masks

    others = (
        "protocol",
        "evaluator",
        "split",
        "class_map",
        "measures",
        "iou",
        "max_dets",
        "areas",
        "no_classes",
        "verify",
    )
    given = [_option(name) for name in others if getattr(options, name)]
    if given:
        raise InputError(
            f"--masks: {', '.join(given)} {agree(len(given), 'is for boxes; leave it out', 'are for boxes; leave them out')}"
        )
    limits = [
        parse_limit(text, unit="value", minimum=-math.inf, option="--fail-below")
        for text in options.fail_below
    ]
    classes = options.classes.split(",") if options.classes else None
    evaluation = score_masks(options.truth, options.detections, classes, parse_ignore(options.ignore))
    with _naming("--fail-below"):
        failures = [failure for limit in limits if (failure := _failure(evaluation, limit))]
    if options.csv:
        evaluation.to_csv(options.csv)
    if options.json == "-":
        print(json.dumps(evaluation.document() | {"failures": failures}, indent=1, allow_nan=False))
    else:
        print(evaluation)
        if options.json:
            evaluation.to_json(options.json)
    for failure in failures:
        print(failure, file=sys.stderr)
    return FAILED if failures else 0


def _option(name: str) -> str:
    """The option that sets this attribute."""
    return "--as" if name == "evaluator" else f"--{name.replace('_', '-')}"


def _check_protocol(options: argparse.Namespace) -> None:
    """Refuse options that a protocol decides."""
    if not options.protocol:
        return
    chosen = f"--as {options.protocol}" if options.evaluator else f"--protocol {options.protocol}"
    decided = {
        "--measures": options.measures,
        "--max-dets": options.max_dets,
        "--areas": options.areas,
        "--no-classes": options.no_classes,
    }
    given = [name for name, value in decided.items() if value]
    if given:
        raise InputError(f"{chosen}: decides what {' and '.join(given)} would; leave out one of them")
    if options.verify and options.protocol != "coco":
        raise InputError(
            f"{chosen}: --verify compares with pycocotools, which has COCO's rules only; leave out one of them"
        )


def _check_measures(
    limits: Sequence[MeasureLimit], measures: Sequence[str] | None, rule: MatchRule | None
) -> None:
    """Check before any file is read that each limit is on a measure that will be evaluated."""
    from metrics.evaluator import COCO_MEASURES, evaluate
    from metrics.tables import AnnotationTable, Catalog, DetectionTable

    if not limits:
        return
    catalog = Catalog.of([], ["class"])
    empty = AnnotationTable.of(catalog, [], [], []), DetectionTable.from_images(catalog, [], [], [])
    rows = evaluate(*empty, measures or COCO_MEASURES, rule).rows
    for limit in limits:
        names = dict.fromkeys(row.name for row in rows if bool(row.class_name) == bool(limit.class_name))
        if limit.measure not in names:
            near = did_you_mean(limit.measure, names) or f"; known: {', '.join(names)}"
            raise InputError(f"--fail-below: no measure {limit.measure!r}{near}")


def _failure(evaluation: Evaluation | MaskEvaluation, limit: MeasureLimit) -> str:
    """Why a limit is not met; empty where it is."""
    value = evaluation.value(limit.measure, limit.class_name)
    if value >= limit.value:
        return ""
    state = "is undefined" if math.isnan(value) else f"is {value:.6g}"
    return f"{limit} {state}, the limit is {limit.value:g}"


@contextmanager
def _naming(option: str) -> Iterator[None]:
    """Put the option's name in front of an `InputError` of the block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


def _rule(options: argparse.Namespace) -> MatchRule | None:
    """The rule that options choose; None where there are none."""
    from metrics.match_rule import MatchRule

    if not (options.iou or options.areas or options.max_dets or options.no_classes):
        return None
    chosen: dict[str, object] = {"by_class": not options.no_classes}
    if options.iou:
        with _naming(f"--iou {options.iou}"):
            chosen["iou_thresholds"] = MatchRule(iou_thresholds=parse_thresholds(options.iou)).iou_thresholds
    if options.areas:
        with _naming(f"--areas {options.areas}"):
            chosen["area_ranges"] = MatchRule(area_ranges=parse_areas(options.areas)).area_ranges
    if options.max_dets:
        with _naming(f"--max-dets {options.max_dets}"):
            chosen["max_dets"] = MatchRule(max_dets=_parse_counts(options.max_dets)).max_dets
    return MatchRule(**chosen)  # type: ignore[arg-type]  # each has the type of its parser


def _parse_counts(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d{1,9}(,\d{1,9})*", text, re.ASCII):
        raise InputError("expected numbers such as 1,10,100")
    return tuple(map(int, text.split(",")))
