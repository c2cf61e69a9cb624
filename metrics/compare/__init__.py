"""Comparison of two or more models on the same images: differences, confidence intervals and a verdict.

Example:
    >>> from metrics.compare import compare
    >>> comparison = compare({"ssd": [(truth, ssd_1), (truth, ssd_2)], "fcos": [(truth, fcos_1), (truth, fcos_2)]})
    >>> print(comparison)
    >>> comparison.pairwise_to_frame()
"""

from metrics.compare.bands import Band, Bands, curve_bands
from metrics.compare.comparison import Comparison
from metrics.compare.gate import GateResult, apply_gate, gate_json
from metrics.compare.groups import groups_by_folder, groups_from_csv
from metrics.compare.influence import Influence, influence
from metrics.compare.masks import compare_masks
from metrics.compare.pairwise import compare
from metrics.compare.rows import ClassValue, Method, PairDifference, Standing
from metrics.compare.verdict import Verdict, verdict_text
from metrics.limits import MeasureLimit, parse_limit

__all__ = [
    "Band",
    "Bands",
    "ClassValue",
    "Comparison",
    "GateResult",
    "Influence",
    "MeasureLimit",
    "Method",
    "PairDifference",
    "Standing",
    "Verdict",
    "apply_gate",
    "compare",
    "compare_masks",
    "curve_bands",
    "gate_json",
    "groups_by_folder",
    "groups_from_csv",
    "influence",
    "parse_limit",
    "verdict_text",
]
