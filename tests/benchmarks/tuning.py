"""Trials per minute of tuning: post-processing on kept candidates against predicting again, and priors against boxes.

    python -m tests.benchmarks.tuning [--variant ssd] [--data shapes] [--run FOLDER] [--trials 50] [--again 6]

Without a run's folder the weights are random, which makes more candidates than trained ones do. Post-processing trials
are those of a study of the default space, all methods mixed: both ways are given the same settings in turn and must find
the same detections. Predicting again reads the images anew each time, as a user would who changes a setting and
evaluates. Means over all trials are told, and medians by method; the stage's own time, and with Optuna's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TypeVar

import numpy as np
import optuna

from bench.anchors.fit import variants_to_fit
from bench.data.types import Dataset
from bench.pipeline.predict import predict
from bench.runs.detector import build_detector
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run_data, resolve
from bench.tune.anchors import Anchors
from bench.tune.objectives import parse_objectives
from bench.tune.postprocessing import PostProcessing, save_candidates
from bench.tune.search_space import parse_space, with_values
from detectors.nms import NMS

T = TypeVar("T")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", default="ssd")
    parser.add_argument("--data", default="shapes")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--again", type=int, default=6)
    parser.add_argument("--set", nargs="*", default=[])
    given = parser.parse_args()
    file = given.run / "config.toml" if given.run else None
    config = resolve(given.variant, data=given.data, file=file, sets=given.set)
    dataset = open_run_data(config)
    config = resolve(
        given.variant, data=given.data, file=file, sets=given.set, data_defaults=dataset.defaults
    )
    split = dataset.splits["val"]
    detector = build_detector(config, len(dataset.classes)).eval()
    if given.run:
        from bench.training.checkpoint import load_weights

        load_weights(given.run / "weights.safetensors", detector)
    space = parse_space(config, ["nms"])
    objectives = parse_objectives(["ap"], split.truth)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        candidates = save_candidates(detector, split, config, space, Path(folder) / "candidates.parquet")
    stage = PostProcessing(candidates, split.truth, config.detector.nms)
    for method in ("hard", "soft_linear"):  # compiles
        objectives.numbers(split.truth, stage.detections({"nms.method": method}))

    own, tried = [], []
    began = time.perf_counter()
    for _ in range(given.trials):
        trial = study.ask()
        values = space.suggest(trial)
        start = time.perf_counter()
        found = stage.detections(values)
        numbers = objectives.numbers(split.truth, found)
        own.append(time.perf_counter() - start)
        study.tell(trial, numbers["ap"])
        tried.append((values, found, numbers))
    whole = (time.perf_counter() - began) / given.trials

    again = []
    for values, found, numbers in _spread(tried, given.again):
        detector.nms = NMS(with_values(config, values).detector.nms)
        start = time.perf_counter()
        expected = predict(detector, split, config.image, batch=config.evaluate.batch)
        same = objectives.numbers(split.truth, expected)
        again.append(time.perf_counter() - start)
        assert same == numbers, "other measures"
        assert np.array_equal(found.xywh, expected.xywh), "other detections"
        assert np.array_equal(found.score, expected.score), "other scores"

    one, other = float(np.mean(own)), float(np.mean(again))
    print(f"{given.variant}, {dataset.name}: {len(split)} images, {len(candidates.score)} candidates")
    print(f"on kept candidates  {60 / one:8.0f} trials a minute  ({1e3 * one:.1f} ms)")
    print(f"  with Optuna       {60 / whole:8.0f} trials a minute  ({1e3 * whole:.1f} ms)")
    for method in sorted({values["nms.method"] for values, *_ in tried}):
        times = [t for t, (values, *_) in zip(own, tried, strict=True) if values["nms.method"] == method]
        print(
            f"  {method:<16}  {60 / np.median(times):8.0f} trials a minute  ({1e3 * np.median(times):.1f} ms)"
        )
    print(f"predicting again    {60 / other:8.1f} trials a minute  ({1e3 * other:.0f} ms)")
    print(f"ratio               {other / one:8.0f}   with Optuna {other / whole:.0f}")
    print(f"identical detections in {len(again)} of {len(again)}")
    if given.variant in variants_to_fit():
        _anchors(config, dataset, given.trials)


def _anchors(config: RunConfig, dataset: Dataset, trials: int) -> None:
    """Trials of priors per minute, and how many boxes they look at."""
    start = time.perf_counter()
    stage = Anchors(config, dataset)
    space = parse_space(config, ["anchors"], stage.ranges())
    made = time.perf_counter() - start
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    own = []
    began = time.perf_counter()
    for _ in range(trials):
        trial = study.ask()
        values = space.suggest(trial)
        start = time.perf_counter()
        value = stage(trial, values)
        own.append(time.perf_counter() - start)
        study.tell(trial, value[0])
    one, whole = float(np.mean(own)), (time.perf_counter() - began) / trials
    boxes = stage.measure(None, {})[0].objects
    print(f"priors against {boxes} boxes, set up in {made:.1f} s")
    print(f"on kept boxes       {60 / one:8.0f} trials a minute  ({1e3 * one:.1f} ms)")
    print(f"  with Optuna       {60 / whole:8.0f} trials a minute  ({1e3 * whole:.1f} ms)")


def _spread(tried: list[T], count: int) -> list[T]:
    """So many of the trials, evenly from first to last: all methods among them, and what TPE has settled on."""
    return [tried[k] for k in np.unique(np.linspace(0, len(tried) - 1, count).round().astype(int))]


if __name__ == "__main__":
    main()
