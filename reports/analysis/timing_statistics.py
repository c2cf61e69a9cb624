"""Statistics of timing samples: percentiles and throughput, with intervals over processes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.analysis.order_statistics import least_count, quantile
from reports.analysis.process_intervals import Estimate, geometric_mean
from reports.records.timing import END_TO_END, MODES, STAGES, BatchRun, Percentile, StageTimes

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

PERCENTILES = (0.5, 0.9, 0.99)


def process_percentiles(ms: Floats, process: NDArray[np.int64], p: float) -> Floats:
    """Compute the p-quantile of the samples of each process: (P,), by ascending process.

    Quantiles are median-unbiased for any distribution (Hyndman and Fan 1996, Sample Quantiles, definition 8), because
    processes can have few samples, of which an order statistic underestimates p99.

    Args:
        ms: (n,) samples.
        process: (n,) process of each sample.
        p: in (0, 1).
    """
    return np.array(
        [np.quantile(ms[process == one], p, method="median_unbiased") for one in np.unique(process)]
    )


def throughput(images: int, seconds: Floats, process: NDArray[np.int64]) -> Estimate:
    """Estimate images per second: in each process, all images divided by the total time of their passes.

    Args:
        images: number of images in each pass.
        seconds: (n,) of each pass.
        process: (n,) process of each pass.
    """
    times = [seconds[process == one] for one in np.unique(process)]
    return geometric_mean(np.array([images * len(of) / of.sum() for of in times]))


def least_samples(p: float, processes: int) -> int:
    """Return the least number of samples of all processes for which the p-quantile is shown.

    There are as many as a distribution-free 95% bound needs (`least_count`), and in every process as many as keep the
    p-quantile within its samples: 67 for p99.
    """
    return max(least_count(p), processes * math.ceil((1 + p) / (3 * (1 - p)) - 1e-9))


def stage_times(samples: pd.DataFrame) -> tuple[StageTimes, ...]:
    """Summarise every mode, batch size and stage in `samples` (`reports.records.timing.COLUMNS`)."""
    made = []
    kinds = {(str(row.mode), int(row.batch), str(row.stage)) for row in samples.itertuples()}  # type: ignore[arg-type]
    for mode, batch, stage in sorted(kinds, key=lambda k: (MODES.index(k[0]), k[1], STAGES.index(k[2]))):
        rows = samples[(samples["mode"] == mode) & (samples["batch"] == batch) & (samples["stage"] == stage)]
        ms, process = rows["ns"].to_numpy(np.float64) / 1e6, rows["process"].to_numpy(np.int64)
        first, third = quantile(ms, 0.25), quantile(ms, 0.75)
        made.append(
            StageTimes(
                mode=mode,
                batch=batch,
                stage=stage,
                samples=len(ms),
                mean_ms=float(ms.mean()),
                percentiles=tuple(_percentile(ms, process, p) for p in PERCENTILES),
                quartile_low_ms=first,
                quartile_high_ms=third,
                whisker_low_ms=quantile(ms, 0.01),
                whisker_high_ms=quantile(ms, 0.99),
                outliers=int((ms > third + 3 * (third - first)).sum()),
            )
        )
    return tuple(made)


def batch_run(samples: pd.DataFrame, batch: int) -> BatchRun:
    """Compute the throughput at one batch size from the test images among `samples`; memory is left empty."""
    real = samples[(samples["mode"] == "real") & (samples["batch"] == batch)]
    whole = real[real["stage"] == END_TO_END]
    own = real[real["stage"].isin(["forward", "postprocess", "predict"])]
    if not len(whole):
        return BatchRun(batch=batch)
    rate = throughput(batch, whole["ns"].to_numpy(np.float64) / 1e9, whole["process"].to_numpy(np.int64))
    passes = len(own) / max(own["stage"].nunique(), 1)
    return BatchRun(
        batch=batch,
        images_per_second=rate.value,
        low=rate.low,
        high=rate.high,
        detector_images_per_second=batch * passes / (own["ns"].sum() / 1e9) if len(own) else None,
    )


def _percentile(ms: Floats, process: NDArray[np.int64], p: float) -> Percentile:
    least = least_samples(p, len(np.unique(process)))
    if len(ms) < least:
        return Percentile(p=p, least=least)
    estimate = geometric_mean(process_percentiles(ms, process, p))
    return Percentile(p=p, value_ms=estimate.value, low_ms=estimate.low, high_ms=estimate.high, least=least)
