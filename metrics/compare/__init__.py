"""Two or more models on the same images: differences, their intervals, and a verdict. No detector is needed.

Example:
    >>> from metrics.compare import compare
    >>> comparison = compare({"ssd": [(truth, ssd_1), (truth, ssd_2)], "fcos": [(truth, fcos_1), (truth, fcos_2)]})
    >>> print(comparison)
    >>> comparison.pairwise_to_frame()
"""

from metrics.compare.bands import Band, Bands, curve_bands
from metrics.compare.comparison import ClassValue, Comparison, Method, PairDifference, Standing
from metrics.compare.gate import Limit, Ruling, parse_limit, rule_on
from metrics.compare.groups import groups_by_folder, groups_from_csv
from metrics.compare.influence import Influence, influence
from metrics.compare.pairwise import compare

__all__ = [
    "Band",
    "Bands",
    "ClassValue",
    "Comparison",
    "PairDifference",
    "Influence",
    "Limit",
    "Method",
    "Ruling",
    "Standing",
    "compare",
    "curve_bands",
    "groups_by_folder",
    "groups_from_csv",
    "influence",
    "parse_limit",
    "rule_on",
]
