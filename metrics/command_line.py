"""``python -m metrics``: score somebody's detections from files, and gate on the numbers."""

from __future__ import annotations

import argparse
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metrics.errors import DetbenchError, InputError, InputWarning, exit_code
from metrics.formats.discovery import KNOWN, read_detections, read_truth
from metrics.formats.identity import ClassMap, parse_class_map
from metrics.formats.voc import Pixels

if TYPE_CHECKING:
    from metrics.evaluation import Evaluation
    from metrics.matching import MatchRule
    from metrics.verify import Verdict

FAILED = 1
"""Exit code where a number is below its limit or `--verify` finds a difference."""


def score_files(
    truth: str | Path,
    detections: str | Path,
    *,
    measures: Sequence[str] | None = None,
    rule: MatchRule | None = None,
    class_map: ClassMap | None = None,
    split: str | None = None,
    pixels: Pixels = "inclusive",
) -> Evaluation:
    """Read truth and detections, and evaluate.

    Args:
        truth: whatever `metrics.formats.discovery.read_truth` reads.
        detections: COCO's results, or a table as Parquet or CSV.
        measures: names of registered measures; by default COCO's.
        rule: when a detection has found an object; COCO's by default.
        class_map: how class ids of the results become the truth's.
        split: of a truth that has splits.
        pixels: how VOC's coordinates are meant.

    Raises:
        InputError: a file cannot be used as it is, or a measure is not known.
    """
    from metrics.evaluator import COCO_MEASURES, evaluate

    table = read_truth(truth, split, pixels)
    return evaluate(table, read_detections(detections, table, class_map), measures or COCO_MEASURES, rule)


def verify_files(
    evaluation: Evaluation, truth: Path, found: Path, class_map: ClassMap | None = None
) -> Verdict:
    """Compare an evaluation of `score_files` with pycocotools, which reads the files itself if they are COCO's."""
    from metrics.verify import verify

    plain = truth.suffix == found.suffix == ".json" and class_map is None
    return verify(evaluation, (truth, found) if plain else None)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code.

    0: all is well. 1: a number is below `--fail-below`, `--verify` differs, or a bug of ours. 2: the input cannot
    be used. 3: the machine lacks something. 4: some of the work was done.
    """
    options = _parser().parse_args(arguments)
    return run_command(lambda: _run(options), strict=options.strict, debug=options.debug)


def run_command(work: Callable[[], int], *, strict: bool = False, debug: bool = False) -> int:
    """Call `work`; report warnings and errors in one line each on standard error.

    Args:
        work: returns an exit code.
        strict: whether an `InputWarning` is an error.
        debug: whether errors come with a traceback.

    Returns:
        The exit code of `work`, or `metrics.errors.exit_code` of the error that it raised.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "always", InputWarning)
        warnings.showwarning = _print_warning
        try:
            return work()
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exception(error)
            print(_message(error), file=sys.stderr)
            return exit_code(error)


def _message(error: BaseException) -> str:
    if isinstance(error, DetbenchError):
        return f"error: {error}"
    if isinstance(error, InputWarning):
        return f"error (--strict): {error}"
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, MemoryError):
        return "error: not enough memory for this input"
    return f"error: {type(error).__name__}: {error} (a bug: --debug shows the traceback)"


def parse_thresholds(text: str) -> tuple[float, ...]:
    """IoU thresholds as a user types them: ``0.5``, ``0.5,0.75``, or ``0.5:0.95:0.05``, both ends included."""
    try:
        if ":" not in text:
            return tuple(float(word) for word in text.split(","))
        first, last, step = map(float, text.split(":"))
        return tuple(np.linspace(first, last, round((last - first) / step) + 1).tolist())
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"--iou {text!r}: expected numbers like 0.5,0.75 or 0.5:0.95:0.05") from error


def parse_areas(text: str) -> dict[str, tuple[float, float]]:
    """Area ranges as a user types them: ``small=0:1024,large=1024:inf``; ``all`` is there without being named."""
    ranges = {"all": (0.0, 1e10)}
    try:
        for word in text.split(","):
            name, limits = word.split("=")
            least, most = limits.split(":")
            ranges[name.strip()] = (float(least), min(float(most), 1e10))
    except ValueError as error:
        raise InputError(
            f"--areas {text!r}: expected square pixels like small=0:1024,large=1024:inf"
        ) from error
    return ranges


def parse_limit(text: str) -> tuple[str, float]:
    """A gate as a user types it: ``ap=0.40``."""
    name, _, limit = text.partition("=")
    try:
        return name.strip(), float(limit)
    except ValueError as error:
        raise InputError(f"--fail-below {text!r}: expected a number and its limit, like ap=0.40") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m metrics",
        description="Score detections against the truth: COCO's twelve numbers, equal to pycocotools, and more.",
        epilog="Exit codes: 0 all is well; 1 below --fail-below, or --verify differs; 2 the input cannot be used; "
        "3 the machine lacks something; 4 some of the work was done.",
    )
    parser.add_argument("truth", type=Path, help=KNOWN)
    parser.add_argument(
        "found", type=Path, help="COCO's results as .json (also .json.gz), or a table as .parquet or .csv"
    )
    parser.add_argument("--split", help="of a YOLO or VOC data set")
    parser.add_argument(
        "--pixels",
        choices=("inclusive", "edges"),
        default="inclusive",
        help="VOC's coordinates: pixels counted from 1, the last one included (the devkit's; default), or edges",
    )
    parser.add_argument(
        "--class-map",
        metavar="RULE",
        help="class ids of the results: from-0 or from-1 (they count the classes), drop (leave out unknown ones), "
        'or a .json file with {"id in the results": id in the truth}',
    )
    parser.add_argument("--measures", metavar="NAMES", help="separated by commas; default: COCO's")
    parser.add_argument("--iou", metavar="NUMBERS", help="thresholds: 0.5,0.75 or 0.5:0.95:0.05 (default)")
    parser.add_argument("--max-dets", metavar="NUMBERS", help="per image and class; default 1,10,100")
    parser.add_argument(
        "--areas", metavar="RANGES", help="square pixels: small=0:1024,large=1024:inf; default: COCO's"
    )
    parser.add_argument(
        "--no-classes", action="store_true", help="a detection may find an object of any class"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all numbers as a table")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers as JSON")
    parser.add_argument(
        "--fail-below",
        action="append",
        default=[],
        metavar="NAME=LIMIT",
        help="exit with 1 where a number is lower, or not defined: ap=0.40; may be repeated",
    )
    parser.add_argument("--verify", action="store_true", help="run pycocotools too, and compare")
    parser.add_argument("--strict", action="store_true", help="a warning about the input is an error")
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def _run(options: argparse.Namespace) -> int:
    limits = [parse_limit(text) for text in options.fail_below]
    class_map = None if options.class_map is None else parse_class_map(options.class_map)
    evaluation = score_files(
        options.truth,
        options.found,
        measures=options.measures.split(",") if options.measures else None,
        rule=_rule(options),
        class_map=class_map,
        split=options.split,
        pixels=options.pixels,
    )
    print(evaluation)
    if options.csv:
        evaluation.to_csv(options.csv)
    if options.json:
        evaluation.to_json(options.json)
    code = 0
    for name, limit in limits:
        value = evaluation.value(name)
        if math.isnan(value) or value < limit:
            state = "is not defined" if math.isnan(value) else f"is {value:.6g}"
            print(f"{name} {state}, the limit is {limit:g}", file=sys.stderr)
            code = FAILED
    if options.verify:
        verdict = verify_files(evaluation, options.truth, options.found, class_map)
        print(f"\n{verdict}")
        code = code if verdict.agrees else FAILED
    return code


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
            raise InputError(f"--max-dets {options.max_dets!r}: expected numbers like 1,10,100") from error
    return MatchRule(**chosen)  # type: ignore[arg-type]  # each has the type of its parser


def _print_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)
