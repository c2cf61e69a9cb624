"""Statistics of timing samples: percentiles, medians with intervals over processes and rounds, and throughput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reports.analysis.order_statistics import interval_ranks, least_count, quantile
from reports.records.timing import END_TO_END, MODES, STAGES, BatchRun, Percentile, StageTimes

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

PERCENTILES = (0.5, 0.9, 0.99)
RESAMPLES = 1000
CONFIDENCE = 0.95

_MAX_WEIGHTS = 2**22
"""Number of weights held in memory at a time."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """Samples in measurement order, grouped into blocks: the rounds of each process.

    Attributes:
        of: (n,) block of each sample.
        processes: (K,) process of each block, from 0.
    """

    of: NDArray[np.intp]
    processes: NDArray[np.intp]

    @classmethod
    def by(cls, samples: pd.DataFrame) -> Blocks:
        """Group a table by its columns ``process`` and ``round``."""
        pairs = samples[["process", "round"]].to_numpy(np.int64)
        blocks, of = np.unique(pairs, axis=0, return_inverse=True)
        return cls(of.reshape(-1), np.unique(blocks[:, 0], return_inverse=True)[1])

    def weights(self, resamples: int, seed: Sequence[int] = (0,)) -> NDArray[np.int64]:
        """Draw (B, K) counts of each block: processes with replacement, then rounds within each drawn process.

        Models timed in turn, in the same processes and rounds, have the same draws for the same seed.
        """
        rng = np.random.default_rng(list(seed))
        members = [np.flatnonzero(self.processes == process) for process in range(self.processes.max() + 1)]
        sizes = np.array([len(of) for of in members])
        table = np.zeros((len(members), sizes.max()), np.intp)
        for process, blocks in enumerate(members):
            table[process, : len(blocks)] = blocks
        drawn = rng.integers(0, len(members), (resamples, len(members)))
        places = rng.random((resamples, len(members), int(sizes.max())))
        rounds = np.floor(places * sizes[drawn][..., None]).astype(np.intp)
        blocks = table[drawn[..., None], rounds]
        counted = np.arange(sizes.max()) < sizes[drawn][..., None]
        flat = (np.arange(resamples)[:, None, None] * len(self.processes) + blocks)[counted]
        return np.bincount(flat, minlength=resamples * len(self.processes)).reshape(resamples, -1)


def replicates(values: Floats, blocks: Blocks, weights: NDArray[np.int64], p: float = 0.5) -> Floats:
    """Compute the p-quantile of every resample, as `quantile` of the samples repeated by their block's count: (B,).

    Args:
        values: (n,) samples.
        blocks: blocks of the samples.
        weights: (B, K).
        p: in (0, 1].
    """
    order = np.argsort(values, kind="stable")
    ordered, of = values[order], blocks.of[order]
    quantiles = np.empty(len(weights))
    step = max(1, _MAX_WEIGHTS // max(len(values), 1))
    for start in range(0, len(weights), step):
        reached = np.cumsum(weights[start : start + step][:, of], axis=1)
        rank = np.ceil(np.round(reached[:, -1:] * p, 9))
        quantiles[start : start + step] = ordered[np.argmax(reached >= rank, axis=1)]
    return quantiles


def rate_replicates(images: Floats, seconds: Floats, blocks: Blocks, weights: NDArray[np.int64]) -> Floats:
    """Compute the throughput of every resample, total images divided by total time: (B,).

    Args:
        images: (n,) of each sample.
        seconds: (n,) of each sample.
        blocks: blocks of the samples.
        weights: (B, K).
    """
    count = len(blocks.processes)
    done = np.bincount(blocks.of, images, minlength=count)
    took = np.bincount(blocks.of, seconds, minlength=count)
    rates: Floats = (weights @ done) / (weights @ took)
    return rates


def interval(replicated: Floats, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return the percentile bootstrap interval of replicates."""
    rest = (1 - confidence) / 2
    low, high = np.quantile(replicated, [rest, 1 - rest])
    return float(low), float(high)


def stage_times(samples: pd.DataFrame) -> tuple[StageTimes, ...]:
    """Summarise every mode, batch size and stage in `samples` (`reports.records.timing.COLUMNS`)."""
    made = []
    kinds = {(str(row.mode), int(row.batch), str(row.stage)) for row in samples.itertuples()}  # type: ignore[arg-type]
    for mode, batch, stage in sorted(kinds, key=lambda k: (MODES.index(k[0]), k[1], STAGES.index(k[2]))):
        rows = samples[(samples["mode"] == mode) & (samples["batch"] == batch) & (samples["stage"] == stage)]
        ms = rows["ns"].to_numpy(np.float64) / 1e6
        low, high = _median_interval(ms, Blocks.by(rows))
        first, third = quantile(ms, 0.25), quantile(ms, 0.75)
        made.append(
            StageTimes(
                mode=mode,
                batch=batch,
                stage=stage,
                samples=len(ms),
                mean_ms=float(ms.mean()),
                percentiles=tuple(_percentile(ms, p) for p in PERCENTILES),
                median_low_ms=low,
                median_high_ms=high,
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
    seconds = whole["ns"].to_numpy(np.float64) / 1e9
    blocks = Blocks.by(whole)
    rates = rate_replicates(np.full(len(whole), float(batch)), seconds, blocks, blocks.weights(RESAMPLES))
    low, high = interval(rates) if len(blocks.processes) > 1 else (None, None)
    passes = len(own) / max(own["stage"].nunique(), 1)
    return BatchRun(
        batch=batch,
        images_per_second=batch * len(whole) / seconds.sum(),
        low=low,
        high=high,
        detector_images_per_second=batch * passes / (own["ns"].sum() / 1e9) if len(own) else None,
    )


def _median_interval(ms: Floats, blocks: Blocks) -> tuple[float | None, float | None]:
    if len(ms) < least_count(0.5) or len(blocks.processes) < 2:
        return None, None
    return interval(replicates(ms, blocks, blocks.weights(RESAMPLES)))


def _percentile(ms: Floats, p: float) -> Percentile:
    least = least_count(p)
    if len(ms) < least:
        return Percentile(p=p, least=least)
    ranks = interval_ranks(len(ms), p)
    ordered = np.sort(ms)
    low, high = (None if rank is None else float(ordered[rank - 1]) for rank in ranks)
    return Percentile(p=p, value_ms=quantile(ms, p), low_ms=low, high_ms=high, least=least)
