"""The finals of a decision: post-processing is tuned on validation images, the test images are looked at once, the page is written."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.types import Dataset
from bench.decide.ledger import Ledger
from bench.decide.looks import take_look
from bench.runs.comparison import compare_runs
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.provenance import file_digest
from bench.runs.run import run
from bench.settings.config import RunConfig
from bench.timing.profiler import profile
from bench.timing.schedule import Protocol
from bench.training.checkpoint import load_weights
from bench.training.device import pick_device
from bench.tune.component_postprocessing import Trials, post_processing
from bench.tune.objectives import parse_objectives
from bench.tune.predicted import Predicted
from bench.tune.search_space import Space, parse_space, with_values
from bench.tune.study import Study
from bench.tune.study_key import StudyKey
from metrics.designs.elimination import look_level
from metrics.errors import InputError, InputWarning, MachineError
from metrics.match_rule import MatchRule
from reports.records.decision import DecisionModel, Tuned
from reports.records.run import RunFolder

PAGE = "report.html"
TRIALS = 40
"""Settings of post-processing that are tried for each model."""

TRIAL_SECONDS = 0.2
PAGE_SECONDS = 20.0
PROCESS_SECONDS = 15.0
"""Of a process that times a model, without the timing."""


class Finals:
    """The finals of a decision.

    Args:
        out: parent folder of the run folders.
        ledger: of the decision.
        dataset: its data.
        context: of all runs.
        rule: by which detections are matched.
    """

    def __init__(
        self, out: Path, ledger: Ledger, dataset: Dataset, context: RunContext, rule: MatchRule
    ) -> None:
        self.out = out
        self.ledger = ledger
        self.dataset = dataset
        self.context = context
        self.rule = rule

    @staticmethod
    def seconds(models: Sequence[DecisionModel], minutes: float) -> float:
        """Estimated time of the finals with two of the models, the most expensive ones."""
        costs = [
            2 * (model.test_seconds + model.run_seconds) + model.test_seconds for model in models
        ]  # once for timing
        largest = sum(sorted(costs, reverse=True)[:2])
        return (
            largest
            + 2 * TRIALS * TRIAL_SECONDS
            + 2 * PROCESS_SECONDS
            + 2 * profile_seconds(minutes)
            + PAGE_SECONDS
        )

    def run(self, runs: Mapping[str, Sequence[RunFolder]], configs: Mapping[str, RunConfig]) -> Path:
        """Tune post-processing, look at the test images, choose, time the models and write the page.

        Args:
            runs: on the validation split, of each model that is left, one per seed.
            configs: settings of these runs.

        Returns:
            The page.
        """
        for name in runs:
            with self.ledger.spend("tuning", name):
                self._tune(name, runs[name], configs[name])
        tested = {name: self._test(name, of, configs[name]) for name, of in runs.items()}
        if (
            self.ledger.decision.looks[-1].split == "val"
        ):  # otherwise nothing was trained since the last look at the test images
            self._look(tested)
        self._choose()
        with self.ledger.spend("profile"):
            self._profile([of[0] for of in tested.values()])
        with self.ledger.spend("page"):
            shown = [each for of in tested.values() for each in of]
            page, _ = compare_runs(
                shown,
                self.ledger.folder,
                None,
                self.dataset.splits["test"],
                self.context.progress,
                self.context.show_paths,
                decision=self.ledger.decision,
            )
        return page

    def _tune(self, name: str, runs: Sequence[RunFolder], config: RunConfig) -> None:
        """Tune post-processing for the mean of the runs on the validation images."""
        try:
            space = parse_space(config, ["nms"])
        except InputError:  # the model has no such settings
            self.ledger.add_tuned(Tuned(name=name, settings={}, before=None, after=None, trials=0))
            return
        val = self.dataset.splits["val"]
        objectives = parse_objectives([self.ledger.decision.measure], val.truth, self.rule)
        posts = [self._post_processing(each, config, space) for each in runs]

        def objective(trial: Any, values: Mapping[str, Any], folder: Path) -> tuple[float, ...]:
            return (
                float(
                    np.mean(
                        [
                            objectives.each[0](
                                objectives.numbers(val.truth, Predicted(post.detections(values)))
                            )
                            for post in posts
                        ]
                    )
                ),
            )

        facts = {
            "data": self.dataset.fingerprint,
            "space": space.tree(),
            "objective": [each.text for each in objectives.each],
            "max_dets": list(self.rule.max_dets),
            "weights": [file_digest(each.path / RunFolder.WEIGHTS) for each in runs],
        }
        key = StudyKey(config.variant, self.dataset.name, "nms", facts)
        study = Study(key, space, objectives, self.ledger.folder / "tuning")
        study.optimize(objective, TRIALS, self.context.progress, self.context.stop)
        best, default = study.best()[0], study.default()
        better = default is None or best.values[0] > default.values[0]
        self.ledger.add_tuned(
            Tuned(
                name=name,
                settings=dict(best.params) if better else {},
                before=None if default is None else default.values[0],
                after=best.values[0],
                trials=TRIALS,
            )
        )

    def _post_processing(self, trained: RunFolder, config: RunConfig, space: Space) -> Trials:
        device = pick_device(config.device)
        detector: Any = build_detector(config, len(self.dataset.classes)).to(device).eval()
        load_weights(trained.path / RunFolder.WEIGHTS, detector)
        val = self.dataset.splits["val"]
        path = self.ledger.folder / "tuning" / f"{trained.result.name}-candidates.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        return post_processing(detector, val, config, space, path, device, self.context.progress)

    def _test(self, name: str, runs: Sequence[RunFolder], config: RunConfig) -> list[RunFolder]:
        """Evaluate the runs of a model on the test split, with the tuned post-processing."""
        tuned = next(each for each in self.ledger.decision.tuned if each.name == name)
        values = {**tuned.settings, "evaluate.split": "test"}
        if tuned.trials:
            values |= {
                "tuned.study": self.ledger.folder.name,
                "tuned.trials": tuned.trials,
                "tuned.objective": self.ledger.decision.measure,
            }
        tested = []
        for each in runs:
            assert each.result.seed is not None
            settings = with_values(config, values).with_seed(each.result.seed)
            with self.ledger.spend("test", each.result.name):
                tested.append(run(settings, self.out, self.dataset, self.context, each))
        return tested

    def _look(self, tested: Mapping[str, Sequence[RunFolder]]) -> None:
        """The look at the test images; with only one model left it compares nothing and uses up no error rate.

        How many models are left depends on the validation images alone, and not on what was seen on the test images, so that the
        error rates of all looks still sum to at most that of the test images.
        """
        decision = self.ledger.decision
        looks = decision.looks_at("test")
        compared = sum(look.compares for look in looks)
        look = take_look(
            tested,
            "test",
            number=len(looks) + 1,
            measure=decision.measure,
            level=look_level(decision.error / 2, compared + 1, 1),
            rivals=len(decision.models) - 1,
            final=True,
            epochs=decision.rounds[-1].epochs,
            spent=decision.spent_seconds,
            rule=self.rule,
        )
        self.ledger.add_look(look)

    def _choose(self) -> None:
        """Choose the model with the highest validation value, with tuned post-processing, of those that no look has eliminated.

        The choice eliminates nothing, so it uses up no error rate. What a look compares is not tuned: the settings of each model
        are the best of many on the images that the look compares on, and such values have no interval.
        """
        decision = self.ledger.decision
        last = decision.looks_at("val")[-1]
        left = [each.name for each in last.standings if each.name in decision.active]
        values = {name: decision.tuned_value(name) for name in left}
        known = [name for name in left if values[name] is not None]
        used = max(known or left, key=lambda name: values[name] or 0.0)
        # The page of an earlier, shorter decision: with it, this one would count as finished.
        (self.ledger.folder / PAGE).unlink(missing_ok=True)
        self.ledger.update(used=used, used_value=values[used])

    def _profile(self, runs: Sequence[RunFolder]) -> None:
        """Time the models; the decision does not depend on it, so that it is not lost if that is impossible now."""
        seconds = profile_seconds(self.ledger.decision.minutes)
        try:
            profile(
                runs,
                Protocol(processes=1, rounds=2, seconds=seconds, batches=(1,)),
                device=str(runs[0].result.config.get("device", "auto")),
                progress=self.context.progress,
            )
        except MachineError as error:
            text = f"latency was not measured: {error}; `bench profile` measures it later"
            warnings.warn(text, InputWarning, stacklevel=1)


def profile_seconds(minutes: float) -> float:
    """Time for timing each model: 2% of all time, between 2 and 30 seconds."""
    return min(max(1.2 * minutes, 2.0), 30.0)
