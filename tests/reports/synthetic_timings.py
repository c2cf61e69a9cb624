"""Times of runs that were never timed: drawn from a seed, about a median that is given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from reports.analysis.timing_statistics import batch_run, stage_times
from reports.records.run import RunFolder
from reports.records.timing import Machine, Process, Subject, Timing, save_timing

SHARES = {"decode": 0.12, "preprocess": 0.08, "forward": 0.6, "postprocess": 0.2}
MACHINE = Machine(
    cpu="Example CPU 3000", cores=8, threads=4, governor="performance", platform="Linux x86_64", device="cpu",
    packages={"torch": "2.10.0"},
)  # fmt: skip
WHEN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def samples_of(
    median_ms: float,
    *,
    processes: int = 3,
    rounds: int = 4,
    iterations: int = 10,
    batches: Sequence[int] = (1, 2, 4),
    noise: float = 0.04,
    seed: int = 0,
) -> pd.DataFrame:
    """Samples in the columns of `reports.records.timing`: stages that add up, batches a little cheaper an image."""
    rng = np.random.default_rng([seed, round(1000 * median_ms)])
    rows = []
    for process in range(processes):
        slow = rng.lognormal(0, noise / 2)
        for number in range(rounds):
            drift = slow * rng.lognormal(0, noise / 3)
            for mode, batch in [("real", 1), ("fixed", 1), *(("real", b) for b in batches if b > 1)]:
                for iteration in range(iterations if batch == 1 else 3):
                    base = median_ms * 1e6 * drift * batch**0.9 * rng.lognormal(0, noise)
                    stages = {stage: round(base * share) for stage, share in SHARES.items()}
                    stages["end_to_end"] = sum(stages.values()) + 1000
                    image = str(1 + iteration % 7)
                    place = (process, number, iteration, mode, batch)
                    rows += [(*place, stage, ns, image) for stage, ns in stages.items()]
    columns = ["process", "round", "iteration", "mode", "batch", "stage", "ns", "image"]
    return pd.DataFrame(rows, columns=columns)


def timing_in(
    run: RunFolder,
    median_ms: float,
    /,
    *,
    samples: pd.DataFrame | None = None,
    out_of_memory: Sequence[int] = (),
    machine: Machine = MACHINE,
    **changes: Any,
) -> Timing:
    """Write ``latency.json`` and ``latency.csv`` into a run's folder; `changes` go to the `Timing`."""
    samples = samples_of(median_ms) if samples is None else samples
    count = int(samples["process"].max()) + 1
    batches = [
        batch_run(samples, batch).model_copy(update={"memory_bytes": 400_000_000 + 10_000_000 * batch})
        for batch in sorted(set(samples["batch"]))
    ]
    about: dict[str, Any] = {
        "run": run.result.name,
        "session": "0123456789ab",
        "settings": {"processes": count, "rounds": int(samples["round"].max()) + 1, "seconds": 20.0},
        "finished": WHEN,
        "machine": machine,
        "subject": Subject(
            dtype="float32", channels_last=True, input_size=(240, 320), resize="letterbox", images=7,
            nms={"iou": 0.5, "score": 0.05}, parameters=1_800_000, weights_bytes=7_300_000, flops=2_400_000_000,
            flop_counter="torch.utils.flop_counter", agreement=1.0,
        ),
        "processes": [
            Process(
                number=number, started=WHEN - timedelta(minutes=5 - number), load_before=0.1, load_after=3.9,
                other_cores=0.02, first_call_ms=20 * median_ms, warm_up=12 + number,
            )
            for number in range(count)
        ],
        "stages": stage_times(samples),
        "batches": [*batches, *({"batch": b, "status": "out of memory"} for b in out_of_memory)],
    }  # fmt: skip
    timing = Timing(**(about | changes))
    assert run.path is not None
    save_timing(run.path, timing, samples)
    return timing
