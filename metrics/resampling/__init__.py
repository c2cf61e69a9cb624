"""Evaluation of a run on resampled images: detections are matched once, and images get weights.

`weights` are the multiplicities of the images in each resample, `statistics` the measures that can be resampled, and
`replicates` evaluates them for many resamples at once (in `blocks`, by `kernels`, on `rankings`). `intervals` and
`multiple_comparisons` draw statistical conclusions.
"""

from metrics.resampling.replicates import Replicates, Statistic, leave_out, replicate
from metrics.resampling.run_rankings import RunRankings
from metrics.resampling.statistics import named_statistic
from metrics.resampling.weights import image_weights, unit_index, unit_weights

__all__ = [
    "Replicates",
    "RunRankings",
    "Statistic",
    "image_weights",
    "leave_out",
    "named_statistic",
    "replicate",
    "unit_index",
    "unit_weights",
]
