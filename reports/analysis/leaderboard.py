"""The tables that a report is made of, for people and for programs: `leaderboard.csv` and `metrics.csv`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from metrics.compare import Comparison
from metrics.evaluation import COCO_NAMES, Evaluation
from reports.analysis.models import model_labels
from reports.records.csv import to_csv
from reports.records.run import RunFolder
from reports.records.timing import Timing, load_timing


def leaderboard(runs: Sequence[RunFolder]) -> pd.DataFrame:
    """One row per run: who it is, COCO's twelve numbers, what it cost, and how fast it is where it was timed.

    Sorted by ``ap``, best first, NaN last, ties by name; ``rank`` says so aloud. Numbers are fractions, and NaN where
    a measure is not defined (no object of that size).
    """
    labels = model_labels(runs)
    rows = []
    for run in runs:
        result = run.result
        rows.append(
            {
                "run_id": result.name,
                "model_id": labels[result.name],
                "variant": result.variant,
                "seed": result.seed,
                "dataset": result.data.name,
                "split": result.data.split,
                **{name: result.headline.get(name) for name in COCO_NAMES},
                "epochs": result.budget.epochs,
                "images_seen": result.budget.images_seen,
                "train_seconds": result.budget.train_seconds,
                "total_seconds": result.budget.total_seconds,
                "parameters": result.budget.parameters,
                "trials": result.budget.trials,
                **_speed(load_timing(run.path)),
                "device": result.environment.device,
                "status": result.status,
            }
        )
    frame = pd.DataFrame(rows)
    whole = ("seed", "images_seen", "parameters", "trials", "peak_memory_bytes", "flops")
    times = (
        "latency_p50_ms",
        "latency_p50_low_ms",
        "latency_p50_high_ms",
        "latency_p99_ms",
        "images_per_second",
    )
    measured = (*COCO_NAMES, "epochs", "train_seconds", "total_seconds", *times)
    frame = frame.astype(dict.fromkeys(whole, "Int64") | dict.fromkeys(measured, "float64"))
    frame = frame.sort_values("run_id", kind="stable")
    frame = frame.sort_values("ap", ascending=False, na_position="last", kind="stable", ignore_index=True)
    frame.insert(0, "rank", range(1, len(frame) + 1))
    return frame


def _speed(timing: Timing | None) -> dict[str, float | str | None]:
    """Single images from file to detections, the most images a second, memory; all empty where nothing counts."""
    counts = timing is not None and not timing.invalid
    whole = timing.headline if timing is not None and counts else None
    batches = timing.batches if timing is not None and counts else ()
    rates = [run.images_per_second for run in batches if run.images_per_second is not None]
    memory = [run.memory_bytes for run in batches if run.batch == 1]
    return {
        "latency_p50_ms": whole.percentile(0.5).value_ms if whole else None,
        "latency_p50_low_ms": whole.median_low_ms if whole else None,
        "latency_p50_high_ms": whole.median_high_ms if whole else None,
        "latency_p99_ms": whole.percentile(0.99).value_ms if whole else None,
        "images_per_second": max(rates, default=None),
        "peak_memory_bytes": memory[0] if memory else None,
        "flops": timing.subject.flops if timing is not None else None,
        "hardware": timing.machine.fingerprint if timing is not None else None,
        "timing": None if timing is None else "valid" if counts else "invalid",
    }


def metrics_rows(run: RunFolder, evaluation: Evaluation, model: str = "") -> pd.DataFrame:
    """Every value of an evaluation of `run` as a tidy row, with the columns `metrics.evaluation.TABLE_COLUMNS`.

    Args:
        run: whose truth and detections were evaluated.
        evaluation: what was measured.
        model: what tables call the model; the variant's name if empty.
    """
    result = run.result
    rows = evaluation.to_frame().assign(
        run_id=result.name,
        model_id=model or result.variant,
        dataset=result.data.name,
        split=result.data.split,
    )
    return rows.assign(seed=pd.array([result.seed] * len(rows), dtype="Int64"))


def with_intervals(rows: pd.DataFrame, statistics: Comparison) -> pd.DataFrame:
    """`metrics_rows` with the intervals of the models that have one run: there the model's interval is the run's.

    Args:
        rows: of any runs; ``model_id`` is the model's name in `statistics`.
        statistics: of the models.
    """
    alone = {row.model for row in statistics.leaderboard if len(row.seeds) == 1}
    known: dict[tuple[str, str, str], tuple[float, float, str, float]] = {}
    for row in statistics.leaderboard:
        if row.model in alone:
            known[row.model, row.measure, ""] = (row.ci_low, row.ci_high, row.ci_method, row.se)
    for of_class in statistics.class_values:
        if of_class.model in alone:
            place = (of_class.model, of_class.measure, of_class.class_name)
            known[place] = (of_class.ci_low, of_class.ci_high, "percentile", of_class.se)
    keys = zip(rows["model_id"], rows["metric"], rows["class_name"].fillna(""), strict=True)
    nothing = (float("nan"), float("nan"), None, float("nan"))
    found = [known.get(key, nothing) for key in keys]
    columns = dict(zip(("ci_low", "ci_high", "ci_method", "se"), zip(*found, strict=True), strict=True))
    return rows.assign(**{name: list(values) for name, values in columns.items()}) if found else rows


def run_tables(
    runs: Sequence[RunFolder], evaluations: Sequence[Evaluation], statistics: Comparison | None = None
) -> dict[str, str]:
    """Return ``leaderboard.csv`` (a row per run) and ``metrics.csv`` (a row per value) as text, by file name.

    Args:
        runs: all evaluated on the same truth.
        evaluations: of each run.
        statistics: of their models, where they were measured.
    """
    labels = model_labels(runs)
    rows = [
        metrics_rows(run, evaluation, labels[run.result.name])
        for run, evaluation in sorted(
            zip(runs, evaluations, strict=True), key=lambda pair: pair[0].result.name
        )
    ]
    tidy = pd.concat(rows, ignore_index=True)
    return {
        "leaderboard.csv": to_csv(leaderboard(runs)),
        "metrics.csv": to_csv(tidy if statistics is None else with_intervals(tidy, statistics)),
    }
