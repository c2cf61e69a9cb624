"""Search for how to compress a run: shares of pruned channels and quantised operators, by AP on validation images and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from optuna.trial import FrozenTrial, Trial

from bench.compression.choice import Scored, choose_by_cost
from bench.compression.exported_file import exported_file
from bench.compression.quantized_candidates import (
    METHOD,
    evaluation_of_files,
    file_ap,
    file_latencies,
    write_candidates,
)
from bench.compression.trained_run import train_compressed
from bench.data.types import Dataset, require_objects
from bench.runs.context import RunContext
from bench.runs.provenance import file_digest
from bench.runs.reevaluation import prediction_settings
from bench.runs.run import run
from bench.settings.config import RunConfig
from bench.tune.looks import record_look
from bench.tune.objectives import Objective, Objectives
from bench.tune.search_space import Space
from bench.tune.study import Study
from bench.tune.study_key import StudyKey
from bench.tune.trial_attributes import MEASURED
from detectors.compression.quantization import Quantizer
from detectors.graph.onnx_file import require_packages
from metrics.atomic_files import atomic_write
from metrics.errors import InputError
from metrics.match_rule import MatchRule
from reports.records.compression import ORIGINAL
from reports.records.final_evaluation import Finalist
from reports.records.run import RunFolder
from reports.records.trial import Dimension, Scalar

SHARES = (0.0, 0.25, 0.5, 0.75)
"""Shares of the channels that are removed."""

NOT_QUANTIZED = "none"

SHARE, OPERATORS = "compression.prune", "operators"
"""Settings of a trial."""

Cost = Literal["latency", "size"]

COSTS: Mapping[Cost, str] = {"latency": "relative_latency", "size": "size_mb"}
"""Objective beside AP: latency as a multiple of that of the exported original, timed in turn with it; size of the file."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How a compression is searched for.

    Attributes:
        trials: number of trials, over all calls.
        epochs: of the training of each pruned network; None for as many as those of the run.
        sets: texts ``a.b=value``, settings of this training that differ from the run's.
        cost: objective beside AP.
        images: training images on which ranges of activations are measured.
        tolerance, max_drop: of the choice; see `bench.compression.choice.choose_by_cost`.
    """

    trials: int
    epochs: int | None = None
    sets: tuple[str, ...] = ()
    cost: Cost = "latency"
    images: int = 200
    tolerance: float = 0.1
    max_drop: float = 0.02


class Compressed(NamedTuple):
    """A network that was found.

    Attributes:
        trial: number of the trial.
        network: the run of the network: the original, or a pruned one, evaluated as the original was.
        file: its ONNX file, in 8 bits or not.
    """

    trial: FrozenTrial
    network: RunFolder
    file: Path


class CompressionSearch:
    """Trials, each of which prunes and trains a network, quantises operators, and measures AP and cost of the file.

    A network is trained once for each share, and its operators are quantised once. Training images are trained on and give the
    ranges of activations; validation images decide. The same arguments continue a study.

    Args:
        source: a run of a variant that was trained here.
        dataset: of the run.
        config: settings of the run.
        settings: of the search.
        out: parent folder of run folders and of the study.
        exports: folder of ONNX files.
        context: progress and interruption.

    Raises:
        InputError: the detector cannot be exported or quantised, or there are no validation images with objects.
        MachineError: a package of the extras `onnx` and `compress` is missing.
    """

    def __init__(
        self,
        source: RunFolder,
        dataset: Dataset,
        config: RunConfig,
        settings: SearchSettings,
        out: Path,
        exports: Path,
        context: RunContext,
    ) -> None:
        require_packages()
        self.source, self.dataset, self.config = source, dataset, config
        self.settings, self.out, self.exports, self.context = settings, out, exports, context
        self.val = require_objects(dataset.splits["val"])
        self.evaluation = evaluation_of_files(config)
        self.original = exported_file(source, exports, context.progress)
        sets = [each.name for each in Quantizer(self.original.read_bytes()).sets]
        space = Space(
            (
                Dimension(path=SHARE, stage="compression", default=SHARES[0], options=SHARES),
                Dimension(
                    path=OPERATORS,
                    stage="compression",
                    default=NOT_QUANTIZED,
                    options=(NOT_QUANTIZED, *sets),
                ),
            )
        )
        cost = COSTS[settings.cost]
        objectives = Objectives(
            (Objective("ap", (("ap", 1.0),), True), Objective(cost, ((cost, 1.0),), False)),
            ("average_precision",),
            MatchRule(max_dets=config.evaluate.max_dets),
        )
        facts = {
            "data": dataset.fingerprint,
            "weights": file_digest(source.path / RunFolder.WEIGHTS),
            "space": space.tree(),
            "objective": [each.text for each in objectives.each],
            "epochs": settings.epochs,
            "sets": list(settings.sets),
            "images": settings.images,
        }
        key = StudyKey(config.variant, dataset.name, "compression", facts)
        self.study = Study(key, space, objectives, out, seed=config.seed)

    def run(self) -> None:
        """Carry out the trials.

        Raises:
            Stopped: a signal requested it; the same call continues.
        """
        self.study.optimize(self._measure, self.settings.trials, self.context.progress, self.context.stop)

    def choose(self) -> Compressed:
        """The trial with the highest AP among those of nearly the lowest cost, as a network that is evaluated like the original.

        Raises:
            InputError: no trial but that of the original has a value.
        """
        trials = self.study.complete()
        default = self.study.default()
        others = {str(each.number): each for each in trials if each.params != self.study.space.defaults}
        if default is None or not others:
            reason = self.study.states()
            raise InputError(
                f"study {self.study.name}: no compressed network has a value ({reason}); use more trials with --search"
            )
        scored = [Scored(name, each.values[0], each.values[1]) for name, each in others.items()]
        winner = choose_by_cost(scored, default.values[0], self.settings.tolerance, self.settings.max_drop)
        trial = others[winner.name]
        network = self.source
        if trial.params[SHARE]:
            pruned = self._network(trial.params[SHARE])
            split = self.config.evaluate.split
            if split == "val":
                network = pruned
            else:
                dataset, config = prediction_settings(pruned, [f"evaluate.split={split}"])
                network = run(config, self.out, dataset, self.context, pruned)
        chosen = Finalist(trial=trial.number, values=dict(trial.params), tuned=trial.values[0])
        record_look([self.study], chosen, 0)
        return Compressed(trial, network, self._named_file(network, trial.params[OPERATORS]))

    def _measure(self, trial: Trial, values: Mapping[str, Scalar], folder: Path) -> tuple[float, ...]:
        """AP on validation images, and cost; those of an earlier trial with equal settings."""
        for other in self.study.complete():
            if other.params == dict(values) and other.number != trial.number:
                trial.set_user_attr(MEASURED, other.user_attrs.get(MEASURED, {}))
                return tuple(other.values)
        share, operators = values[SHARE], values[OPERATORS]
        assert isinstance(share, float)
        assert isinstance(operators, str)
        file = self._file(self._network(share), operators)
        ap = file_ap(file, self.val, self.evaluation, self.context.progress)
        times = file_latencies(
            {ORIGINAL: self.original, "file": file}, self.val, self.config.image, self.context.progress
        )
        size = file.stat().st_size / 1e6
        trial.set_user_attr(MEASURED, {"latency_ms": times["file"], "size_mb": size})
        relative = 1.0 if file == self.original else times["file"] / times[ORIGINAL]
        return ap, relative if self.settings.cost == "latency" else size

    def _network(self, share: float) -> RunFolder:
        """The run of the network with this share of channels removed, evaluated on validation images."""
        if not share:
            return self.source
        sets = [*self.settings.sets, "evaluate.split=val"]
        context = RunContext(progress=self.context.progress, stop=self.context.stop, page=False)
        out = self.study.folder / "runs"
        return train_compressed(self.source, {"prune": share}, self.settings.epochs, sets, out, context)

    def _file(self, network: RunFolder, operators: str) -> Path:
        """The exported network, with some operators in 8 bits."""
        folder = self.exports if network is self.source else self.study.folder / "files"
        folder.mkdir(parents=True, exist_ok=True)
        original = exported_file(network, folder, self.context.progress)
        if operators == NOT_QUANTIZED:
            return original
        candidates = self.study.folder / "files" / network.result.name
        candidates.mkdir(parents=True, exist_ok=True)
        write_candidates(
            network,
            original,
            self.dataset,
            self.config,
            self.settings.images,
            candidates,
            self.context.progress,
        )
        return candidates / f"{operators}.onnx"

    def _named_file(self, network: RunFolder, operators: str) -> Path:
        """The file of the choice, among the exported ones."""
        if operators == NOT_QUANTIZED:
            return exported_file(network, self.exports, self.context.progress)
        file = self.exports / f"{network.result.name}-{METHOD}-{operators}.onnx"
        atomic_write(file, self._file(network, operators).read_bytes())
        return file
