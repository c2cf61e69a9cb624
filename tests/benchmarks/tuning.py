"""Trials per minute of post-processing: on kept candidates against predicting again, side by side.

    PYTHONPATH=. python tests/benchmarks/tuning.py [--variant ssd] [--data shapes] [--run FOLDER] [--trials 50] [--again 3]

Without a run's folder the weights are random, which makes more candidates than trained ones do. Both ways are given
the same settings in turn and must find the same detections. Predicting again reads the images anew each time, as a user
would who changes a setting and evaluates; the stage's own time is without Optuna's, which is shown beside.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna

from bench.config import resolve
from bench.predict import predict
from bench.run import build_detector, open_configured
from bench.tune.objectives import parse_objectives
from bench.tune.postprocessing import PostProcessing, save_candidates
from bench.tune.spaces import configured, space_of
from detectors.nms import NMS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--variant", default="ssd")
    parser.add_argument("--data", default="shapes")
    parser.add_argument("--run", type=Path)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--again", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[])
    given = parser.parse_args()
    file = given.run / "config.toml" if given.run else None
    config = resolve(given.variant, data=given.data, file=file, sets=given.set)
    dataset = open_configured(config)
    config = resolve(
        given.variant, data=given.data, file=file, sets=given.set, data_defaults=dataset.defaults
    )
    split = dataset.splits["val"]
    detector = build_detector(config, len(dataset.classes)).eval()
    if given.run:
        from bench.checkpoint import load_weights

        load_weights(given.run / "weights.safetensors", detector)
    space = space_of(config, ["nms"])
    objectives = parse_objectives(["ap"], split.truth)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        candidates = save_candidates(detector, split, config, space, Path(folder) / "candidates.parquet")
    stage = PostProcessing(candidates, split.truth, config.detector.nms)
    stage.found({})  # compiles
    objectives.numbers(split.truth, stage.found({}))

    own, tried = [], []
    began = time.perf_counter()
    for _ in range(given.trials):
        trial = study.ask()
        values = space.suggest(trial)
        start = time.perf_counter()
        found = stage.found(values)
        numbers = objectives.numbers(split.truth, found)
        own.append(time.perf_counter() - start)
        study.tell(trial, numbers["ap"])
        tried.append((values, found, numbers))
    whole = (time.perf_counter() - began) / given.trials

    again = []
    for values, found, numbers in tried[: given.again]:
        detector.nms = NMS(configured(config, values).detector.nms)
        start = time.perf_counter()
        expected = predict(detector, split, config.image, batch=config.evaluate.batch)
        same = objectives.numbers(split.truth, expected)
        again.append(time.perf_counter() - start)
        assert same == numbers, "other measures"
        assert np.array_equal(found.xywh, expected.xywh), "other detections"

    one, other = float(np.median(own)), float(np.median(again))
    print(f"{given.variant}, {dataset.name}: {len(split)} images, {len(candidates.score)} candidates")
    print(f"on kept candidates  {60 / one:8.0f} trials a minute  ({1e3 * one:.1f} ms)")
    print(f"  with Optuna       {60 / whole:8.0f} trials a minute  ({1e3 * whole:.1f} ms)")
    print(f"predicting again    {60 / other:8.0f} trials a minute  ({1e3 * other:.0f} ms)")
    print(f"ratio               {other / one:8.0f}   identical detections in {len(again)} of {len(again)}")


if __name__ == "__main__":
    main()
