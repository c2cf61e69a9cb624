"""Reports drawn by Hypothesis: runs with few objects, one class, ties, equal models, no detections, one image, several seeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.report_data import Images, ReportData
from reports.records.run import Budget, DataFacts, Environment, RunFolder, RunResult

SIZE = 200
SCORES = np.array([0.1, 0.3, 0.3, 0.6, 0.9])


def truth_of(images: int, labels: int, most: int, rng: np.random.Generator) -> AnnotationTable:
    catalog = Catalog.of(range(1, images + 1), [f"c{k}" for k in range(labels)], np.full((images, 2), SIZE))
    count = rng.integers(0, most + 1, images)
    image = np.repeat(np.arange(images), count)
    boxes = np.c_[rng.integers(0, 120, (len(image), 2)), rng.integers(8, 80, (len(image), 2))].astype(float)
    return AnnotationTable.of(catalog, image, rng.integers(0, labels, len(image)), boxes)


def found_by(kind: str, truth: AnnotationTable, rng: np.random.Generator) -> DetectionTable:
    """``none``, ``exact`` (all objects, one score), ``fair`` (moved, some missed, strays) or ``large`` (no small object)."""
    kept = np.ones(len(truth), bool)
    moved = truth.xywh.copy()
    strays = 0
    if kind == "none":
        kept[:] = False
    elif kind == "large":
        kept = truth.area > np.median(truth.area) if len(truth) else kept
    elif kind == "fair":
        kept = rng.random(len(truth)) < 0.8
        moved[:, :2] += rng.integers(-4, 5, (len(truth), 2))
        strays = len(truth.catalog.image_ids)
    rows = np.flatnonzero(kept)
    image = np.r_[truth.image[rows], np.arange(strays)]
    stray = np.c_[rng.integers(0, 120, (strays, 2)), np.full((strays, 2), 30)].astype(float)
    boxes = np.concatenate([moved[rows], stray.reshape(-1, 4)])
    labels = np.r_[truth.label[rows], np.zeros(strays, int)]
    score = np.full(len(image), 0.9) if kind == "exact" else rng.choice(SCORES, len(image))
    return DetectionTable(truth.catalog, image.astype(np.int32), labels.astype(np.int32), boxes, score)


def run_of(
    truth: AnnotationTable, found: DetectionTable, name: str, seed: int, history: list[float], budget: Budget
) -> RunFolder:
    facts = DataFacts(
        name="d", format="f", split="test", fingerprint="x", images=len(truth.catalog.image_ids), objects=len(truth),
        classes=len(truth.catalog.classes),
    )  # fmt: skip
    result = RunResult(
        name=f"{name}-{seed}", variant=name, data=facts, seed=seed, budget=budget, config={"a": 1},
        environment=Environment(device="cpu", cpu="one processor"),
    )  # fmt: skip
    run = RunFolder(Path("nowhere") / f"{name}-{seed}", result, truth, found)
    run.__dict__["history"] = pd.DataFrame({"epoch": range(1, len(history) + 1), "val_ap": history})
    return run


@st.composite
def reports(
    draw: st.DrawFn, sizes: tuple[int, ...] = (1, 3, 12, 55), pictures: Images | None = None
) -> ReportData:
    """One to three models with one or two seeds each.

    Args:
        draw: of Hypothesis.
        sizes: numbers of images to choose from.
        pictures: loads the images.
    """
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    images = draw(st.sampled_from(sizes))
    truth = truth_of(images, draw(st.integers(1, 3)), draw(st.sampled_from([1, 3])), rng)
    kinds = draw(
        st.lists(st.sampled_from(["none", "exact", "fair", "fair", "large", "copy"]), min_size=1, max_size=3)
    )
    runs: list[RunFolder] = []
    for number, kind in enumerate(kinds):
        seeds = draw(st.integers(1, 2))
        epochs = draw(st.integers(0, 9))
        budget = Budget(
            epochs=draw(st.sampled_from([None, 10, 10.2, 20])),
            train_seconds=draw(st.sampled_from([None, 5.0])),
        )
        for seed in range(seeds):
            if kind == "copy" and runs:
                found = runs[0].detections
            else:
                found = found_by("fair" if kind == "copy" else kind, truth, rng)
            history = np.round(np.cumsum(rng.normal(0.02, 0.03, epochs)), 3).tolist()
            runs.append(run_of(truth, found, f"m{number}", seed, history, budget))
    return ReportData.from_runs(runs, pictures, options=ComparisonOptions(resamples=40))


def of_models(
    report: ReportData, value: Callable[[AnnotationTable, DetectionTable], float]
) -> dict[str, float]:
    """The mean over the runs of each model, by label."""
    return {
        model.label: float(np.mean([value(run.truth, run.detections) for run in model.runs]))
        for model in report.models
    }


def holders(values: dict[str, float]) -> set[str]:
    known = {name: value for name, value in values.items() if not math.isnan(value)}
    return {name for name, value in known.items() if value > max(known.values()) - 1e-9}
