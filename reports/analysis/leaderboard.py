"""Tables of runs: ``leaderboard.csv`` and ``resources.csv``, one row per run, and ``metrics.csv``, one row per value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from metrics.compare import Comparison
from metrics.evaluation import COCO_NAMES, TABLE_COLUMNS, Evaluation
from metrics.mask_evaluation import MaskEvaluation
from reports.analysis.models import model_labels
from reports.records.csv import to_csv
from reports.records.run import RunFolder
from reports.records.timing import Timing, load_timing

MASK_NAMES = ("miou", "mdice", "pixel_accuracy")
"""Measures of label maps on the leaderboard."""


def leaderboard(runs: Sequence[RunFolder], labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Tabulate runs, one row each: COCO's twelve numbers and the budget, without anything that was measured with a clock.

    Rows are sorted by ``ap``, best first, NaN last, ties by name, and numbered by ``rank``. Measures are fractions; NaN if
    not defined (no object of that size). If a run has predicted label maps, there are columns with `MASK_NAMES`.
    `labels` has the label of each run's model by the run's name; those of `model_labels` by default.
    """
    labels = labels or model_labels(runs)
    masks = MASK_NAMES if any(run.result.masks for run in runs) else ()
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
                **{name: result.masks.get(name) for name in masks},
                "epochs": result.budget.epochs,
                "images_seen": result.budget.images_seen,
                "parameters": result.budget.parameters,
                "trials": result.budget.trials,
                "device": result.environment.device,
                "status": result.status,
            }
        )
    frame = pd.DataFrame(rows)
    integers = ("seed", "images_seen", "parameters", "trials")
    floats = (*COCO_NAMES, *masks, "epochs")
    frame = frame.astype(dict.fromkeys(integers, "Int64") | dict.fromkeys(floats, "float64"))
    frame = frame.sort_values("run_id", kind="stable")
    frame = frame.sort_values("ap", ascending=False, na_position="last", kind="stable", ignore_index=True)
    frame.insert(0, "rank", range(1, len(frame) + 1))
    return frame


def resources(runs: Sequence[RunFolder], labels: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Tabulate what runs took, one row each by name: seconds, and speed and memory of timed runs.

    These differ each time, and are therefore not in the leaderboard. `labels` are as in `leaderboard`.
    """
    labels = labels or model_labels(runs)
    rows = [
        {
            "run_id": run.result.name,
            "model_id": labels[run.result.name],
            "train_seconds": run.result.budget.train_seconds,
            "total_seconds": run.result.budget.total_seconds,
            **_speed(load_timing(run.path)),
        }
        for run in sorted(runs, key=lambda run: run.result.name)
    ]
    times = (
        "train_seconds",
        "total_seconds",
        "latency_p50_ms",
        "latency_p50_low_ms",
        "latency_p50_high_ms",
        "latency_p99_ms",
        "images_per_second",
    )
    types = dict.fromkeys(("peak_memory_bytes", "flops"), "Int64") | dict.fromkeys(times, "float64")
    return pd.DataFrame(rows).astype(types)


def _speed(timing: Timing | None) -> dict[str, float | str | None]:
    """Latency of single images, highest throughput and memory; empty without a valid timing."""
    valid = timing is not None and not timing.invalid
    whole = timing.headline if timing is not None and valid else None
    batches = timing.batches if timing is not None and valid else ()
    rates = [run.images_per_second for run in batches if run.images_per_second is not None]
    memory = [run.memory_bytes for run in batches if run.batch == 1]
    return {
        "latency_p50_ms": whole.percentile(0.5).value_ms if whole else None,
        "latency_p50_low_ms": whole.percentile(0.5).low_ms if whole else None,
        "latency_p50_high_ms": whole.percentile(0.5).high_ms if whole else None,
        "latency_p99_ms": whole.percentile(0.99).value_ms if whole else None,
        "images_per_second": max(rates, default=None),
        "peak_memory_bytes": memory[0] if memory else None,
        "flops": timing.subject.flops if timing is not None else None,
        "hardware": timing.machine.fingerprint if timing is not None else None,
        "timing": None if timing is None else "valid" if valid else "invalid",
    }


def metrics_rows(run: RunFolder, evaluation: Evaluation, model: str = "") -> pd.DataFrame:
    """Tabulate an evaluation, one row per value, with the columns `metrics.evaluation.TABLE_COLUMNS`.

    The measures of the run's label maps, if there are any, come last.

    Args:
        run: the run that was evaluated.
        evaluation: its values.
        model: label of the model; by default the name of the variant.
    """
    result = run.result
    rows = evaluation.to_frame()
    if run.mask_counts is not None:
        of_masks = MaskEvaluation(run.mask_counts, tuple(map(str, range(result.data.images)))).table_rows()
        added = pd.DataFrame(of_masks).reindex(columns=list(TABLE_COLUMNS)).astype(rows.dtypes)
        rows = pd.concat([rows, added], ignore_index=True)
    rows = rows.assign(
        run_id=result.name,
        model_id=model or result.variant,
        dataset=result.data.name,
        split=result.data.split,
    )
    return rows.assign(seed=pd.array([result.seed] * len(rows), dtype="Int64"))


def with_intervals(rows: pd.DataFrame, statistics: Sequence[Comparison]) -> pd.DataFrame:
    """Add the confidence intervals of models with a single run, which are those of the run.

    Args:
        rows: of `metrics_rows`; ``model_id`` is the name of the model in `statistics`.
        statistics: of the models, by different measures.
    """
    known: dict[tuple[str, str, str], tuple[float, float, str, float]] = {}
    for comparison in statistics:
        single = {row.model for row in comparison.leaderboard if len(row.seeds) == 1}
        for row in comparison.leaderboard:
            if row.model in single:
                known[row.model, row.measure, ""] = (row.ci_low, row.ci_high, row.ci_method, row.se)
        for of_class in comparison.class_values:
            if of_class.model in single:
                key = (of_class.model, of_class.measure, of_class.class_name)
                known[key] = (of_class.ci_low, of_class.ci_high, "t", of_class.se)
    keys = zip(rows["model_id"], rows["metric"], rows["class_name"].fillna(""), strict=True)
    unknown = (float("nan"), float("nan"), None, float("nan"))
    intervals = [known.get(key, unknown) for key in keys]
    columns = dict(zip(("ci_low", "ci_high", "ci_method", "se"), zip(*intervals, strict=True), strict=True))
    return rows.assign(**{name: list(values) for name, values in columns.items()}) if intervals else rows


def run_tables(
    runs: Sequence[RunFolder],
    evaluations: Sequence[Evaluation],
    statistics: Comparison | None = None,
    of_masks: Comparison | None = None,
    labels: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the text of ``leaderboard.csv``, ``resources.csv`` and ``metrics.csv`` by file name.

    Args:
        runs: all evaluated on the same truth.
        evaluations: of each run.
        statistics: of their models, for intervals.
        of_masks: of those models that have label maps.
        labels: of each run's model by the run's name; those of `model_labels` by default.
    """
    labels = labels or model_labels(runs)
    rows = [
        metrics_rows(run, evaluation, labels[run.result.name])
        for run, evaluation in sorted(
            zip(runs, evaluations, strict=True), key=lambda pair: pair[0].result.name
        )
    ]
    metrics = pd.concat(rows, ignore_index=True)
    known = [comparison for comparison in (statistics, of_masks) if comparison is not None]
    return {
        "leaderboard.csv": to_csv(leaderboard(runs, labels)),
        "resources.csv": to_csv(resources(runs, labels)),
        "metrics.csv": to_csv(with_intervals(metrics, known) if known else metrics),
    }
