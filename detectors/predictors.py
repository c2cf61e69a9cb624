"""Predictors that a user can enter in a comparison by name: torchvision's models, and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points

from detectors.types import Predictor
from detectors.wrappers.torchvision_model import model_names, torchvision_predictor
from metrics.errors import InputError
from metrics.registry import UnknownName

GROUP = "detbench.predictors"
"""Entry points of this group name a function from the data set's class names to a `Predictor`."""


def predictor_names() -> list[str]:
    """All names that `make_predictor` takes, in alphabetical order; nothing is imported or built."""
    return sorted([*(f"torchvision/{name}" for name in model_names()), *_others()])


def make_predictor(name: str, classes: Sequence[str], weights: str | None = None) -> Predictor:
    """A predictor for a data set with these classes.

    Args:
        name: ``torchvision/`` and a model's name, or the name of another package's entry point.
        classes: names of the data set's classes, in the order of their labels.
        weights: torchvision's name for weights, or a file; None: its best ones. Other packages have their own.

    Raises:
        InputError: an unknown name (with the nearest), weights that do not fit, or an entry point that gives
            something without ``predict``.
        MachineError: weights by name, but no network to download from.
    """
    others = _others()
    if name in others:
        if weights is not None:
            raise InputError(f"{name}: takes no weights; it comes with its own")
        make: Callable[[list[str]], Predictor] = others[name].load()
        predictor = make(list(classes))
        if not callable(getattr(predictor, "predict", None)):
            raise InputError(f"{name}: gave a {type(predictor).__name__}, which has no method `predict`")
        return predictor
    kind, _, model = name.partition("/")
    if kind != "torchvision" or model not in model_names():
        raise UnknownName("predictor", name, predictor_names())
    return torchvision_predictor(model, classes, weights or "DEFAULT")


def _others() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
