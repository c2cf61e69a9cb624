"""Any measure of finished matches under resampled images: detections are matched once, and images only weighed.

`weights` says how often each image counts, `statistics` names what can be measured so, `blocks` measures it for many
resamples at once (`kernels`, on the ranked detections of `rankings`), and `intervals` and `multiple_comparisons` say what follows.
"""

from metrics.resampling.blocks import Replicates, RunRankings, Statistic, leave_out, replicate
from metrics.resampling.statistics import named_statistic
from metrics.resampling.weights import image_weights, unit_index, unit_weights

__all__ = [
    "Replicates",
    "Statistic",
    "RunRankings",
    "image_weights",
    "leave_out",
    "named_statistic",
    "replicate",
    "unit_weights",
    "unit_index",
]
