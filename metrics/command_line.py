"""``python -m metrics``: evaluate detections from files, and fail where a measure is below a limit."""

from __future__ import annotations

import argparse
import json
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from metrics.errors import DetbenchError, InputError, InputNote, InputWarning, MachineError, exit_code
from metrics.formats.discovery import KNOWN, KNOWN_DETECTIONS, read_detections, read_truth
from metrics.formats.identity import ClassMap, ImageIdMeaning, parse_class_map
from metrics.formats.voc import Pixels
from metrics.limits import MeasureLimit, parse_limit
from metrics.registry import did_you_mean
from metrics.standard_streams import run_to_end

if TYPE_CHECKING:
    from metrics.evaluation import Evaluation
    from metrics.matching import MatchRule
    from metrics.reference.verify import Verification

FAILED = 1
"""Exit code where a measure is below its limit or `--verify` finds a difference."""


def score_files(
    truth: str | Path,
    detections: str | Path,
    *,
    measures: Sequence[str] | None = None,
    rule: MatchRule | None = None,
    class_map: ClassMap | None = None,
    image_ids: ImageIdMeaning = "ids",
    split: str | None = None,
    pixels: Pixels = "inclusive",
) -> Evaluation:
    """Read ground truth and detections, and evaluate.

    Args:
        truth: see `metrics.formats.discovery.read_truth`.
        detections: see `metrics.formats.discovery.read_detections`.
        measures: names of registered measures; by default COCO's.
        rule: of matching; COCO's by default.
        class_map: from class ids of the results to those of the ground truth.
        image_ids: what integers in ``image_id`` of the results are.
        split: of a ground truth with splits.
        pixels: convention of VOC coordinates.

    Raises:
        InputError: a file is invalid, or a measure is unknown.
    """
    from metrics.evaluator import COCO_MEASURES, evaluate

    table = read_truth(truth, split, pixels)
    found = read_detections(detections, table, class_map, image_ids)
    return evaluate(table, found, measures or COCO_MEASURES, rule)


def verify_files(
    evaluation: Evaluation,
    truth: Path,
    detections: Path,
    class_map: ClassMap | None = None,
    image_ids: ImageIdMeaning = "ids",
) -> Verification:
    """Compare an evaluation of `score_files` with pycocotools, which reads the files itself if they are COCO files."""
    from metrics.reference.verify import verify

    readable = truth.suffix == detections.suffix == ".json" and class_map is None and image_ids == "ids"
    return verify(evaluation, (truth, detections) if readable else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code.

    0: success. 1: a measure is below `--fail-below`, `--verify` found a difference, or a bug. Others: see
    `metrics.errors.exit_code`.
    """
    options = _parser().parse_args(arguments)
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
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "always", InputWarning)
        warnings.simplefilter("always", InputNote)
        warnings.showwarning = _print_warning
        return run_to_end(work, lambda error: _message(error, debug))


def _message(error: BaseException, debug: bool) -> str:
    if isinstance(error, SystemExit):
        return ""
    trace = "".join(traceback.format_exception(error)) if debug else ""
    return trace + _sentence(error)


def _sentence(error: BaseException) -> str:
    if isinstance(error, DetbenchError):
        return f"error: {error}"
    if isinstance(error, InputWarning):
        return f"error (--strict): {error}"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, MemoryError):
        return "error: not enough memory for this input"
    if isinstance(error, OSError) and exit_code(error) == MachineError.exit_code:
        return f"error: {error.filename or 'standard output'}: {error.strerror}"
    return f"error: {type(error).__name__}: {error} (a bug: --debug shows the traceback)"


def parse_thresholds(text: str) -> tuple[float, ...]:
    """Parse IoU thresholds: ``0.5``, ``0.5,0.75``, or ``0.5:0.95:0.05``, both ends included."""
    try:
        if ":" not in text:
            return tuple(float(word) for word in text.split(","))
        first, last, step = map(float, text.split(":"))
        return tuple(np.linspace(first, last, round((last - first) / step) + 1).tolist())
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"--iou {text!r}: expected numbers such as 0.5,0.75 or 0.5:0.95:0.05") from error


def parse_areas(text: str) -> dict[str, tuple[float, float]]:
    """Parse area ranges, in addition to ``all``: ``small=0:1024,large=1024:inf``."""
    ranges = {"all": (0.0, 1e10)}
    try:
        for word in text.split(","):
            name, limits = word.split("=")
            least, most = limits.split(":")
            ranges[name.strip()] = (float(least), min(float(most), 1e10))
    except ValueError as error:
        raise InputError(
            f"--areas {text!r}: expected square pixels such as small=0:1024,large=1024:inf"
        ) from error
    return ranges


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
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
    parser.add_argument("--split", help="split of a YOLO or VOC data set")
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
        help="map class ids of the results to the ground truth: from-0 or from-1 (class indices), coco-91 (COCO's ids "
        'up to 90, for its 80 classes), drop (ignore unknown ids), or a .json file with {"id in the results": id in the ground truth}',
    )
    parser.add_argument(
        "--image-ids",
        choices=get_args(ImageIdMeaning),
        default="ids",
        help="what whole numbers in image_id of the results are: ids of the ground truth (default), or the numbers in the "
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
    rule = _rule(options)
    measures = options.measures.split(",") if options.measures else None
    limits = [
        parse_limit(text, unit="value", minimum=-math.inf, option="--fail-below")
        for text in options.fail_below
    ]
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
    )
    as_json = options.json == "-"
    if not as_json:
        print(evaluation)
    if options.csv:
        evaluation.to_csv(options.csv)
    if options.json and not as_json:
        evaluation.to_json(options.json)
    failures = [failure for limit in limits if (failure := _failure(evaluation, limit))]
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


def _check_measures(limits: Sequence[MeasureLimit], measures: Sequence[str] | None, rule: MatchRule) -> None:
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


def _failure(evaluation: Evaluation, limit: MeasureLimit) -> str:
    """Why a limit is not met; empty where it is."""
    value = evaluation.value(limit.measure, limit.class_name)
    if value >= limit.value:
        return ""
    state = "is undefined" if math.isnan(value) else f"is {value:.6g}"
    return f"{limit} {state}, the limit is {limit.value:g}"


def _rule(options: argparse.Namespace) -> MatchRule:
    from metrics.matching import MatchRule

    chosen: dict[str, object] = {"by_class": not options.no_classes}
    if options.iou:
        chosen["iou_thresholds"] = parse_thresholds(options.iou)
    if options.areas:
        chosen["area_ranges"] = parse_areas(options.areas)
    if options.max_dets:
        try:
            chosen["max_dets"] = tuple(int(word) for word in options.max_dets.split(","))
        except ValueError as error:
            raise InputError(f"--max-dets {options.max_dets!r}: expected numbers such as 1,10,100") from error
    return MatchRule(**chosen)  # type: ignore[arg-type]  # each has the type of its parser


def _print_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"{'note' if isinstance(message, InputNote) else 'warning'}: {message}", file=sys.stderr)
