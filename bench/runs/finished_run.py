"""A finished run, opened again: its predictor, and the images that it was evaluated on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bench.data.opening import detect_format, open_dataset
from bench.data.types import DATASETS, Split
from bench.pipeline.inference import wrap_predictor
from bench.settings import toml
from bench.settings.config import read_model_settings
from bench.settings.sections import EvaluateConfig
from bench.settings.values import with_nones
from detectors.external.registry import external_model, external_model_names
from detectors.registry import VARIANTS
from detectors.types import Predictor
from detectors.weights import load_weights
from metrics.errors import InputError, InputWarning
from reports.records.run import RunFolder

Images = Callable[[Any], NDArray[np.uint8]]


def load_predictor(run: RunFolder) -> Predictor:
    """The predictor whose detections a finished run holds, as it was after training, on the CPU, in evaluation mode.

    Of a run that was trained here nothing but the folder is needed: neither the data set nor the weights that training
    began with. A predictor that was trained elsewhere is made anew from its settings, and its own weights must be
    where they were.

    Raises:
        InputError: the run holds no weights (its detections were made elsewhere), or they are not its variant's.
    """
    name, file = run.result.variant, run.path / "weights.safetensors"
    looks = EvaluateConfig.model_validate(run.result.config.get("evaluate", {}))
    if file.is_file():
        known = VARIANTS[name]
        detector = known.build(
            read_model_settings(_as_built(run.result.config), known.config), run.result.data.classes
        )
        load_weights(detector, file)
        return wrap_predictor(cast(Predictor, detector.eval()), looks)
    if name in external_model_names():
        theirs = external_model(name)
        settings = read_model_settings(toml.read(run.path / "config.toml"), theirs.config)
        return wrap_predictor(theirs.build(settings, run.truth.catalog.classes), looks)
    raise InputError(
        f"{run.path}: holds no {file.name}, so nothing can be predicted anew; give the folder of a run "
        "that was trained here"
    )


def evaluated_split(run: RunFolder) -> Split:
    """The images that a finished run was evaluated on, and their truth.

    Raises:
        InputError: they cannot be found, or they or their truth have changed since, or the run's detections were made
            elsewhere.
    """
    settings = run.path / "config.toml"
    if not settings.is_file():
        raise InputError(
            f"{run.path}: holds no {settings.name}: its detections were made elsewhere, so where its images are is not "
            "known; give the folder of a run that was made here"
        )
    data = dict(toml.read(settings)["data"])
    path, format = data.pop("path"), data.pop("format")
    options = with_nones(data, DATASETS[detect_format(path, format)].options.model_fields)
    split = open_dataset(path, format, **options).splits[run.result.data.split]
    if split.truth.fingerprint != run.result.data.fingerprint:
        raise InputError(
            f"{run.path}: its {run.result.data.split} images have changed since the run "
            f"({split.truth.fingerprint[:10]} now, {run.result.data.fingerprint[:10]} then); run again"
        )
    return split


def image_loader(split: Split) -> Callable[[Any], NDArray[np.uint8]]:
    """From an image's id to its pixels, (H, W, 3) uint8 RGB."""
    places = {image_id: index for index, image_id in enumerate(split.truth.catalog.image_ids)}
    return lambda image_id: split.load(places[image_id])


def find_image_loader(runs: Sequence[RunFolder]) -> Images | None:
    """Pictures from the data set that one of the runs was made on, where it can still be opened and is the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # the run told them
        for run in runs:
            try:
                return image_loader(evaluated_split(run))
            except (InputError, KeyError, TypeError, OSError):
                continue
    return None


def _as_built(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a network that is to be filled with its own weights: files that training began with are not read."""
    return {
        name: None
        if name == "weights" and isinstance(value, str)
        else _as_built(value)
        if isinstance(value, Mapping)
        else value
        for name, value in settings.items()
    }
