"""Predictors that were trained elsewhere and can be entered by name: torchvision's models, other packages' own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from detectors.config import Config
from detectors.external.torchvision import (
    VERSION,
    TorchvisionConfig,
    model_names,
    summary,
    torchvision_predictor,
)
from detectors.types import Predictor
from metrics.errors import InputError
from metrics.registry import UnknownName

GROUP = "detbench.external_models"
"""Entry points of this group name an `ExternalModel`, or a function from the data set's class names to a `Predictor`."""


@dataclass(frozen=True, slots=True)
class ExternalModel:
    """A predictor that was trained elsewhere, and how it is made ready for a data set.

    Attributes:
        config: its settings; their dotted paths are what `--set` takes.
        build: from settings and the names of the data set's classes, in the order of their labels, to a `Predictor`
            in evaluation mode. Where it cannot find some of the classes it says so by an `InputWarning`.
        source: where it comes from, with the version: part of what decides a result.
        summary: one line for `bench list`.
    """

    config: type[Config]
    build: Callable[[Any, Sequence[str]], Predictor]
    source: str
    summary: str = ""


def external_model_names() -> list[str]:
    """All names that `external_model` takes, in alphabetical order; nothing is loaded or built."""
    return sorted([*(f"torchvision/{name}" for name in model_names()), *_others()])


def external_model(name: str) -> ExternalModel:
    """The predictor of that name.

    Args:
        name: ``torchvision/`` and a model's name, or the name of another package's entry point.

    Raises:
        InputError: an unknown name (with the nearest), or an entry point that cannot be loaded.
    """
    others = _others()
    if name in others:
        return _of_entry(name, others[name])
    kind, _, model = name.partition("/")
    if kind != "torchvision" or model not in model_names():
        raise UnknownName("external model", name, external_model_names())
    return ExternalModel(TorchvisionConfig, partial(torchvision_predictor, model), VERSION, summary(model))


def _others() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _of_entry(name: str, entry: EntryPoint) -> ExternalModel:
    try:
        thing = entry.load()
    except Exception as error:  # whatever a package does when it is imported
        raise InputError(f"{name}: cannot be loaded ({type(error).__name__}: {error})") from error
    package = "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    if isinstance(thing, ExternalModel):
        source = f"{package}; {thing.source}" if package and thing.source else package or thing.source
        return ExternalModel(thing.config, partial(_built, name, thing.build), source, thing.summary)
    if not callable(thing):
        raise InputError(f"{name}: expected an ExternalModel or a function of class names, got {thing!r}")
    first = (thing.__doc__ or "").strip().split("\n")[0].rstrip(".")

    def build(_: Config, classes: Sequence[str]) -> Predictor:
        made: Predictor = thing(list(classes))
        return made

    return ExternalModel(Config, partial(_built, name, build), package, first)


def _built(
    name: str, build: Callable[[Any, Sequence[str]], Predictor], config: Config, classes: Sequence[str]
) -> Predictor:
    predictor = build(config, classes)
    if not callable(getattr(predictor, "predict", None)):
        raise InputError(f"{name}: gave a {type(predictor).__name__}, which has no method `predict`")
    return predictor
