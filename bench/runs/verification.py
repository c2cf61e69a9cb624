"""Verification of a finished run: whether it is still as recorded, computed again from what it saved and from its data."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch

from bench.data.types import Split
from bench.pipeline.predict import predict
from bench.process.progress import Progress
from bench.runs.finished_run import load_predictor, network_input, reopened_split
from bench.runs.provenance import cpu_name, package_versions, shorten_paths
from bench.settings import toml
from bench.settings.sections import EvaluateConfig
from bench.training.device import pick_device
from detectors.types import Predictor
from metrics.errors import InputError, InputNote, InputWarning
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.tables import DetectionTable
from reports.records.run import RunFolder, file_digests

State = Literal["holds", "changed", "differs", "unknown"]
"""``holds``; ``changed``: no longer as recorded; ``differs``: recorded to explain a result, such as a version, and not the
same here and now; ``unknown``: cannot be checked."""


class Difference(NamedTuple):
    """A value that is not as it was recorded.

    Attributes:
        name: what it is the value of: a file, a setting, a measure.
        then: as recorded.
        now: as it is.
    """

    name: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was verified.

    Attributes:
        name: what was verified.
        state: the outcome.
        differences: if it changed or differs, in what.
        reason: why it is unknown.
    """

    name: str
    state: State
    differences: tuple[Difference, ...] = ()
    reason: str = ""


def verify(
    run: RunFolder, *, again: bool = False, device: str = "auto", progress: Progress | None = None
) -> list[Check]:
    """Verify a finished run. Nothing in its folder is changed.

    Args:
        run: the run.
        again: predict again with the saved weights, and compare the detections.
        device: of the prediction.
        progress: of the prediction.

    Returns:
        One check each of

        - ``files``: they have the digests that the result recorded;
        - ``settings``: those of ``config.toml`` are those of the result;
        - ``evaluation``: COCO's numbers of the saved detections on the saved ground truth equal the recorded ones, to the
          last bit;
        - ``ground truth`` and ``images``: those of the data set, opened again, are those that the run was evaluated on;
        - ``detections``, if `again`: they equal the saved ones, to the last bit; where versions or processor differ, AP
          within 0.001, because rounding differs;
        - ``versions`` and ``processor``: they are those of the run.
    """
    environment = [_versions(run), _processor(run)]
    split, reason = _opened(run)
    checks = [
        _known("files", lambda: _files(run)),
        _known("settings", lambda: _settings(run)),
        _known("evaluation", lambda: _evaluation(run)),
        Check("ground truth", "unknown", reason=reason) if split is None else _truth(run, split),
        Check("images", "unknown", reason=reason) if split is None else _images(run, split),
    ]
    if again:
        same_machine = all(check.state == "holds" for check in environment)
        checks.append(
            Check("detections", "unknown", reason=reason)
            if split is None
            else _known("detections", lambda: _predicted(run, split, same_machine, device, progress))
        )
    return checks + environment


def _known(name: str, check: Callable[[], Check]) -> Check:
    """The check; unknown where its input cannot be read."""
    try:
        return check()
    except InputError as error:
        return Check(name, "unknown", reason=str(error))


def _compared(name: str, then: Mapping[str, Any], now: Mapping[str, Any], other: State = "changed") -> Check:
    differences = tuple(
        Difference(key, _text(then, key), _text(now, key))
        for key in dict.fromkeys([*then, *now])
        if _text(then, key) != _text(now, key)
    )
    return Check(name, other if differences else "holds", differences)


def _text(values: Mapping[str, Any], key: str) -> str:
    return str(values[key]) if key in values else "absent"


def _files(run: RunFolder) -> Check:
    if not run.result.files:
        return Check("files", "unknown", reason="the result records no digests of its files")
    return _compared("files", run.result.files, file_digests(run.path))


def _settings(run: RunFolder) -> Check:
    file = run.path / RunFolder.CONFIG
    if not file.is_file():
        return Check("settings", "unknown", reason=f"{file} is absent")
    return _compared("settings", dict(_leaves(run.result.config)), dict(_leaves(toml.read(file))))


def _leaves(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings by dotted path, as in a result: with short paths; None is written as in TOML."""
    for path, value in toml.leaves(shorten_paths(tree)):
        yield path, str("none" if value is None else list(value) if isinstance(value, tuple) else value)


def _evaluation(run: RunFolder) -> Check:
    if run.truth.fingerprint != run.result.data.fingerprint:
        other = Difference(RunFolder.TRUTH, run.result.data.fingerprint, run.truth.fingerprint)
        return Check("evaluation", "changed", (other,))
    return _compared("evaluation", run.result.headline, _headline(run, run.detections))


def _headline(run: RunFolder, detections: DetectionTable) -> dict[str, float | None]:
    settings = EvaluateConfig.model_validate(run.result.config.get("evaluate", {}))
    headline = evaluate(run.truth, detections, rule=MatchRule(max_dets=settings.max_dets)).headline
    return {
        name: None if value is None or np.isnan(value) else float(value) for name, value in headline.items()
    }


def _opened(run: RunFolder) -> tuple[Split | None, str]:
    """The evaluated split of the data set, opened again; None and the reason if that fails."""
    with warnings.catch_warnings():
        for category in (InputWarning, InputNote):
            warnings.simplefilter("ignore", category)  # the run has shown them
        try:
            return reopened_split(run), ""
        except (InputError, OSError) as error:
            return None, str(error)


def _truth(run: RunFolder, split: Split) -> Check:
    name = run.result.data.split
    return _compared("ground truth", {name: run.result.data.fingerprint}, {name: split.truth.fingerprint})


def _images(run: RunFolder, split: Split) -> Check:
    if not run.result.data.content:
        return Check("images", "unknown", reason="the result records no digest of the images")
    name = run.result.data.split
    return _compared("images", {name: run.result.data.content}, {name: split.fingerprint})


def _predicted(
    run: RunFolder, split: Split, same_machine: bool, device: str, progress: Progress | None
) -> Check:
    if run.result.environment.threads:
        torch.set_num_threads(run.result.environment.threads)  # changes the order of sums
    predictor = load_predictor(run)
    chosen = pick_device(device)
    if hasattr(predictor, "to"):
        predictor.to(chosen)
    now = _predict(run, predictor, split, chosen, progress)
    if now.fingerprint == run.detections.fingerprint:
        return Check("detections", "holds")
    then_ap, now_ap = run.result.headline.get("ap"), _headline(run, now)["ap"]
    near = then_ap is not None and now_ap is not None and abs(then_ap - now_ap) <= 0.001
    differences = (
        Difference("count", str(len(run.detections)), str(len(now))),
        Difference("ap", str(then_ap), str(now_ap)),
    )
    return Check("detections", "differs" if near and not same_machine else "changed", differences)


def _predict(
    run: RunFolder, predictor: Predictor, split: Split, device: Any, progress: Progress | None
) -> DetectionTable:
    tree = run.result.config
    image = network_input(run, predictor)
    batch = EvaluateConfig.model_validate(tree.get("evaluate", {})).batch
    return predict(predictor, split, image, batch=batch, device=device, progress=progress)


def _versions(run: RunFolder) -> Check:
    recorded = run.result.environment.packages
    if not recorded:
        return Check("versions", "unknown", reason="the result records no versions")
    return _compared("versions", recorded, package_versions(), "differs")


def _processor(run: RunFolder) -> Check:
    recorded = run.result.environment
    if not recorded.cpu:
        return Check("processor", "unknown", reason="the result records no processor")
    return _compared("processor", {"cpu": recorded.cpu}, {"cpu": cpu_name()}, "differs")
