"""Any measure of finished matches under resampled images: detections are matched once, and images only weighed.

`weights` says how often each image counts, `statistics` names what can be measured so, `blocks` measures it for many
resamples at once (`kernels`, on the ranked detections of `tracks`), and `intervals` and `several` say what follows.
"""

from metrics.resampling.blocks import Replicates, Statistic, Tracks, leave_out, replicate
from metrics.resampling.statistics import named
from metrics.resampling.weights import image_weights, unit_weights, units_of

__all__ = [
    "Replicates",
    "Statistic",
    "Tracks",
    "image_weights",
    "leave_out",
    "named",
    "replicate",
    "unit_weights",
    "units_of",
]
