"""Predictor and images of a finished run."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

from torch import nn

from bench.data.chosen_images import pool_splits
from bench.data.opening import open_dataset
from bench.data.types import Split
from bench.pipeline import inference
from bench.pipeline.inference import wrap_predictor
from bench.pipeline.input_settings import ImageConfig
from bench.settings import toml
from bench.settings.config import read_model_settings
from bench.settings.sections import EvaluateConfig
from detectors.compression.fake_quantization import fake_quantize
from detectors.compression.shapes import set_shapes
from detectors.external.registry import external_model, is_external_model
from detectors.registry import VARIANTS
from detectors.types import Detector, Predictor
from detectors.weights import load_weights
from metrics.errors import InputError, InputNote, InputWarning
from reports.analysis.report_data import Images
from reports.records.run import RunFolder


def load_predictor(run: RunFolder) -> Predictor:
    """The predictor of a finished run as it was evaluated, on the CPU and in evaluation mode.

    A trained variant needs only the run folder, neither the data set nor pretrained weights. An external model is built
    from its settings again and needs its own weights.

    Raises:
        InputError: the run has no weights (its detections come from another program), or they do not fit the variant.
    """
    name, file = _variant_of(run), run.path / RunFolder.WEIGHTS
    settings = EvaluateConfig.model_validate(run.result.config.get("evaluate", {}))
    if file.is_file():
        return wrap_predictor(load_network(run, run.result.config), settings)
    if is_external_model(name):
        model = external_model(name)
        own = read_model_settings(toml.read(run.path / RunFolder.CONFIG), model.config)
        return wrap_predictor(model.build(own, run.truth.catalog.classes), settings)
    raise InputError(
        f"{run.path}: holds no {file.name}, so it cannot predict; give the folder of a run that was trained here"
    )


def require_weights(run: RunFolder, so: str = "", place: str = "") -> None:
    """Refuse a run that was not trained here: of an external model or of detections of another program.

    Args:
        run: the run.
        so: what follows from it, for the message: ``so there is nothing to export``.
        place: where the run was named; its path by default.

    Raises:
        InputError: the run has no weights of a variant.
    """
    files = (run.path / RunFolder.WEIGHTS, run.path / RunFolder.CONFIG)
    if run.result.variant not in VARIANTS or not all(file.is_file() for file in files):
        raise InputError(
            f"{place or run.path}: holds no weights of a variant{so and ', '}{so}; give the folder of a run that was trained here"
        )


def network_input(run: RunFolder, predictor: Predictor) -> ImageConfig | None:
    """Settings of the network's input of a finished run; None if its predictor takes single images in their own size.

    Args:
        run: the run.
        predictor: of the run, as `load_predictor` returns it.
    """
    settings = run.result.config
    if "image" in settings:
        return ImageConfig.model_validate(settings["image"]).for_prediction
    return inference.network_input(predictor, EvaluateConfig.model_validate(settings.get("evaluate", {})))


def _variant_of(run: RunFolder) -> str:
    """Name of the variant or external model; the result may have it without the folder of a file."""
    settings = run.path / RunFolder.CONFIG
    return str(toml.read(settings)["variant"]) if settings.is_file() else run.result.variant


def load_network(run: RunFolder, settings: Mapping[str, Any]) -> Detector:
    """The network of a finished run with its weights, on the CPU and in evaluation mode.

    Args:
        run: a run of a variant that was trained here.
        settings: all settings as a tree; those of prediction may differ from the run's.

    Raises:
        InputError: the run has no weights, or they do not fit the settings.
    """
    network = network_of_settings({**settings, "variant": run.result.variant}, run.result.data.classes)
    set_shapes(network, run.result.pruned)
    if is_fake_quantized(run):
        fake_quantize(network)
    load_weights(network, run.path / RunFolder.WEIGHTS)
    return cast(Detector, network.eval())


def is_fake_quantized(run: RunFolder) -> bool:
    """Whether the convolutions of a run's network round to 8-bit integers."""
    return bool(run.result.config.get("compression", {}).get("quantize", "none") != "none")


def network_of_settings(settings: Mapping[str, Any], classes: int) -> nn.Module:
    """The network of a run's settings for `classes` classes, with any weights."""
    variant = VARIANTS[settings["variant"]]
    return variant.build(read_model_settings(without_pretrained(settings), variant.config), classes)


def without_pretrained(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without the files of pretrained weights."""
    return {
        name: None
        if name == "weights" and isinstance(value, str)
        else without_pretrained(value)
        if isinstance(value, Mapping)
        else value
        for name, value in settings.items()
    }


def evaluated_split(run: RunFolder) -> Split:
    """Images and ground truth that a finished run was evaluated on.

    Raises:
        InputError: they are missing or have changed, or the run's detections come from another program.
    """
    split = reopened_split(run)
    if split.truth.fingerprint != run.result.data.fingerprint:
        raise InputError(
            f"{run.path}: the objects of its {run.result.data.split} split have changed since the run "
            f"({split.truth.fingerprint[:10]} now, {run.result.data.fingerprint[:10]} then); run again"
        )
    if run.result.data.content not in ("", split.fingerprint):
        raise InputError(
            f"{run.path}: image files of its {run.result.data.split} split have changed since the run; run again"
        )
    return split


def reopened_split(run: RunFolder) -> Split:
    """The split that a finished run was evaluated on, as its data set is now.

    Raises:
        InputError: the data set is missing, or the run's detections come from another program.
    """
    settings = run.path / RunFolder.CONFIG
    if not settings.is_file():
        raise InputError(
            f"{run.path}: holds no {settings.name}, because its detections come from another program: the location of its images "
            "is unknown; give the folder of a run that was made here"
        )
    data = dict(toml.read(settings)["data"])
    path, format = data.pop("path"), data.pop("format")
    if data.get("folds") not in (None, "none") and data.get("fold") in (
        None,
        "none",
    ):  # detections of all folds
        splits = open_dataset(path, format, **{**data, "fold": 1}).splits
        return pool_splits(list(splits.values()), run.result.data.split)
    return open_dataset(path, format, **data).splits[run.result.data.split]


def image_loader(split: Split) -> Images:
    """A function that loads the images of a split by id."""
    index_of = {image_id: index for index, image_id in enumerate(split.truth.catalog.image_ids)}
    return lambda image_id: split.load(index_of[image_id])


def label_map_loader(split: Split) -> Images | None:
    """A function that loads the label maps of a split by the id of the image; None for data without masks."""
    if split.label_maps is None:
        return None
    label_maps = split.label_maps
    index_of = {image_id: index for index, image_id in enumerate(split.truth.catalog.image_ids)}
    return lambda image_id: label_maps(index_of[image_id])


def find_split(runs: Sequence[RunFolder]) -> Split | None:
    """The split of the first run whose data set can still be opened and has not changed; None if there is none."""
    with warnings.catch_warnings():
        for category in (InputWarning, InputNote):
            warnings.simplefilter("ignore", category)  # the run has shown them
        for run in runs:
            try:
                return evaluated_split(run)
            except (InputError, KeyError, TypeError, OSError):
                continue
    return None
