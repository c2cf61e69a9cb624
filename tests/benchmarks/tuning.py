"""Measure the speed of tuning trials: post-processing of stored candidates, predicting again, and anchor priors.

    python -m tests.benchmarks.tuning --variant ssd --data shapes --trials 50 --again 6

Weights are those of --run, or random, which gives more candidates than trained ones. Post-processing trials come from a
study of the default search space with all methods. Some of them are repeated by predicting again, which reads the images
and must give the same detections. Prints means over all trials, of a trial alone and with Optuna, and medians by
method. For variants whose anchors can be fitted, trials of anchor priors are measured, too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna

from bench.anchors.fit import variants_with_shapes
from bench.data.types import Dataset
from bench.pipeline.predict import predict
from bench.runs.detector import build_detector
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run_data, resolve
from bench.training.checkpoint import load_weights
from bench.tune.anchors import Anchors
from bench.tune.objectives import parse_objectives
from bench.tune.postprocessing import PostProcessing, save_candidates
from bench.tune.search_space import Space, parse_space, with_values
from detectors.nms import NMS
from metrics.tables import DetectionTable


class TrialTime(NamedTuple):
    """One trial: its settings, its objective and more, and the seconds that it took without Optuna."""

    values: dict[str, Any]
    result: tuple[Any, ...]
    seconds: float


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="ssd", help="detector variant")
    parser.add_argument("--data", default="shapes", help="data set")
    parser.add_argument("--run", type=Path, help="run folder with settings and weights")
    parser.add_argument("--trials", type=int, default=50, help="number of trials")
    parser.add_argument("--again", type=int, default=6, help="number of trials repeated by predicting again")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the run, as name=value")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = args.run / "config.toml" if args.run else None
    config = resolve(args.variant, data=args.data, file=file, sets=args.set)
    dataset = open_run_data(config)
    config = resolve(args.variant, data=args.data, file=file, sets=args.set, data_defaults=dataset.defaults)
    measure_post_processing(config, dataset, args)
    if args.variant in variants_with_shapes():
        measure_anchors(config, dataset, args.trials)


def measure_post_processing(config: RunConfig, dataset: Dataset, args: argparse.Namespace) -> None:
    """Print trials per minute on stored candidates and by predicting again.

    Raises:
        AssertionError: both ways give different detections.
    """
    split = dataset.splits["val"]
    detector = build_detector(config, len(dataset.classes)).eval()
    if args.run:
        load_weights(args.run / "weights.safetensors", detector)
    space = parse_space(config, ["nms"])
    objectives = parse_objectives(["ap"], split.truth)
    with tempfile.TemporaryDirectory() as folder:
        candidates = save_candidates(detector, split, config, space, Path(folder) / "candidates.parquet")
    stage = PostProcessing(candidates, split.truth, config.detector.nms)

    def suppress(_: optuna.Trial, values: dict[str, Any]) -> tuple[float, DetectionTable]:
        detections = stage.detections(values)
        return objectives.numbers(split.truth, detections)["ap"], detections

    for method in ("hard", "soft_linear"):  # compiles the kernels
        objectives.numbers(split.truth, stage.detections({"nms.method": method}))
    trials, with_optuna = run_trials(space, suppress, args.trials)
    repeated = []
    for index in np.unique(np.linspace(0, len(trials) - 1, args.again).round().astype(int)):
        detector.nms = NMS(with_values(config, trials[index].values).detector.nms)
        start = time.perf_counter()
        expected = predict(detector, split, config.image, batch=config.evaluate.batch)
        expected_ap = objectives.numbers(split.truth, expected)["ap"]
        repeated.append(time.perf_counter() - start)
        ap, detections = trials[index].result
        assert ap == expected_ap, "AP differs"
        assert np.array_equal(detections.xywh, expected.xywh), "boxes differ"
        assert np.array_equal(detections.score, expected.score), "scores differ"

    alone, again = float(np.mean([trial.seconds for trial in trials])), float(np.mean(repeated))
    print(f"{args.variant}, {dataset.name}: {len(split)} images, {len(candidates.score)} candidates")
    print_rate("on stored candidates", alone)
    print_rate("  with Optuna", with_optuna)
    for method in sorted({trial.values["nms.method"] for trial in trials}):
        seconds = [trial.seconds for trial in trials if trial.values["nms.method"] == method]
        print_rate(f"  {method}", float(np.median(seconds)))
    print_rate("predicting again", again)
    print(f"{'speed-up':<20}  {again / alone:8.1f}, with Optuna {again / with_optuna:.1f}")
    print(f"identical detections in all {len(repeated)} repeated trials")


def measure_anchors(config: RunConfig, dataset: Dataset, count: int) -> None:
    """Print trials per minute of anchor priors."""
    start = time.perf_counter()
    stage = Anchors(config, dataset)
    space = parse_space(config, ["anchors"], stage.ranges())
    setup = time.perf_counter() - start
    trials, with_optuna = run_trials(space, stage, count)
    boxes = stage.measure(None, {})[0].objects
    print(f"anchor priors on {boxes} boxes, set up in {setup:.1f} s")
    print_rate("on stored boxes", float(np.mean([trial.seconds for trial in trials])))
    print_rate("  with Optuna", with_optuna)


def run_trials(
    space: Space, evaluate: Callable[[optuna.Trial, dict[str, Any]], tuple[Any, ...]], count: int
) -> tuple[list[TrialTime], float]:
    """Run a study with TPE; what `evaluate` returns starts with the objective.

    Returns:
        The trials, and the mean seconds of a trial with Optuna.
    """
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    trials = []
    start = time.perf_counter()
    for _ in range(count):
        trial = study.ask()
        values = space.suggest(trial)
        trial_start = time.perf_counter()
        result = evaluate(trial, values)
        trials.append(TrialTime(values, result, time.perf_counter() - trial_start))
        study.tell(trial, result[0])
    return trials, (time.perf_counter() - start) / count


def print_rate(name: str, seconds: float) -> None:
    """Print a row with trials per minute and milliseconds per trial."""
    print(f"{name:<20}  {60 / seconds:8.1f} trials per minute  ({1e3 * seconds:.1f} ms)", flush=True)


if __name__ == "__main__":
    main()
