"""Evaluation of object detectors with NumPy and Numba; torch is never imported.

Example:
    >>> import metrics
    >>> truth = metrics.read_truth("instances_val2017.json")
    >>> detections = metrics.read_detections("results.json", truth)
    >>> print(metrics.evaluate(truth, detections))

The public API is `__all__`; names are imported on first use, so that ``import metrics`` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metrics.errors import InputError, InputWarning
    from metrics.evaluation import Evaluation
    from metrics.evaluator import Evaluator, evaluate
    from metrics.formats.discovery import read_detections, read_truth
    from metrics.match_rule import MatchRule
    from metrics.matching import Curves, Matches, MatchOutcome, match
    from metrics.tables import AnnotationTable, Catalog, DetectionTable

__all__ = [
    "AnnotationTable",
    "Catalog",
    "Curves",
    "DetectionTable",
    "Evaluation",
    "Evaluator",
    "InputError",
    "InputWarning",
    "MatchOutcome",
    "MatchRule",
    "Matches",
    "evaluate",
    "match",
    "read_detections",
    "read_truth",
]

_HOMES = {
    "AnnotationTable": "tables",
    "Catalog": "tables",
    "Curves": "matching",
    "DetectionTable": "tables",
    "Evaluation": "evaluation",
    "Evaluator": "evaluator",
    "InputError": "errors",
    "InputWarning": "errors",
    "MatchOutcome": "matching",
    "MatchRule": "match_rule",
    "Matches": "matching",
    "evaluate": "evaluator",
    "match": "matching",
    "read_detections": "formats.discovery",
    "read_truth": "formats.discovery",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'metrics' has no attribute {name!r}")
    return getattr(import_module(f"metrics.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
