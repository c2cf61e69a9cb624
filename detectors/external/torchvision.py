"""Torchvision's detection models, unchanged, as predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models

from detectors.external.class_names import match_classes
from detectors.external.torchvision_models import MODELS, TorchvisionConfig, TorchvisionNMSConfig
from detectors.pretrained import OF_2020
from detectors.types import Detections
from detectors.weights import difference, read_weights
from metrics.errors import InputError, MachineError
from metrics.messages import reason
from metrics.registry import UnknownName

_SCORE = 0.01
"""Largest default score threshold; see `TorchvisionNMSConfig.score`."""

_NO_CATEGORY = ("__background__", "N/A", "no person")


class TorchvisionPredictor(nn.Module):
    """One of torchvision's detectors, with its own resizing, NMS and thresholds, and the labels of the data set.

    Args:
        model: takes a list of images and returns ``boxes``, ``scores``, ``labels`` of each.
        labels: label of the data set for each label of the model; detections with another label are dropped.
    """

    _labels: Tensor

    def __init__(self, model: nn.Module, labels: Mapping[int, int]) -> None:
        super().__init__()
        self.model = model
        table = torch.full((max(labels, default=0) + 1,), -1)
        for model_label, label in labels.items():
            table[model_label] = label
        self.register_buffer("_labels", table, persistent=False)
        self.eval()

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1], by decreasing score."""
        return [self._translate(output) for output in self.model(list(images))]

    def _translate(self, output: Mapping[str, Tensor]) -> Detections:
        known = output["labels"] < len(self._labels)
        labels = torch.where(known, self._labels[output["labels"].clamp(max=len(self._labels) - 1)], -1)
        scores, order = output["scores"].sort(descending=True, stable=True)
        order, scores = order[labels[order] >= 0], scores[labels[order] >= 0]
        return Detections(output["boxes"][order], scores, labels[order])


def torchvision_predictor(
    name: str, config: TorchvisionConfig, classes: Sequence[str]
) -> TorchvisionPredictor:
    """Make a torchvision model for a data set with these classes.

    With weights trained on COCO, classes are matched by `TorchvisionConfig.classes` and by name, ignoring case; an
    `InputWarning` lists the classes that the weights do not know. With weights trained on the data set's classes and
    background, class k (counted from 0) is the model's label k + 1, as in torchvision's training scripts.

    Args:
        name: for example ``ssd300_vgg16``; see `torchvision_models.MODELS`.
        config: settings.
        classes: names of the data set's classes, in the order of their labels.

    Raises:
        InputError: an unknown name, weights of another network, or COCO weights that know none of the classes.
        MachineError: published weights that are not in the cache and cannot be downloaded.
    """
    if name not in MODELS:
        raise UnknownName("torchvision detector", name, MODELS)
    known: Any = models.get_model_weights(name)
    categories: list[str] = known.DEFAULT.meta["categories"]
    state = _state(name, known, config.weights)
    with torch.device("meta"):  # only its shapes are needed
        whole = _build(name, len(categories))
    published = not difference(_named(whole.state_dict()), _named(state)).misshapen
    model = _build(name, len(categories) if published else len(classes) + 1)
    _load(model, state, f"torchvision/{name}: {config.weights}")
    _set_limits(model, config.nms)
    if published:
        return TorchvisionPredictor(
            model, match_classes(f"torchvision/{name}", _indices(categories), classes, config.classes)
        )
    if config.classes:
        raise InputError(
            "classes: these weights were trained on as many classes as the data set has, in its order; leave the setting out"
        )
    return TorchvisionPredictor(model, {label + 1: label for label in range(len(classes))})


def _build(name: str, num_classes: int) -> nn.Module:
    model: nn.Module = models.get_model(name, weights=None, weights_backbone=None, num_classes=num_classes)
    return model


def _state(name: str, known: Any, weights: str) -> Mapping[str, Tensor]:
    if "/" in weights or "." in weights or Path(weights).exists():
        return read_weights(weights)
    if weights not in known.__members__:
        raise InputError(
            f"torchvision/{name}: no weights named {weights!r}, and no such file; known: {', '.join(known.__members__)}"
        )
    try:
        state: Mapping[str, Tensor] = known[weights].get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError) as error:
        raise MachineError(
            f"torchvision/{name}: cannot download {weights} ({reason(error)}); without a network connection, download {known[weights].url} "
            "on another machine and give the file: --set weights=FILE"
        ) from None
    return state


def _load(model: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    own = model.state_dict()
    # Published with frozen BatchNorm, which does not count batches.
    counted = {
        key: old for key, old in own.items() if key.endswith("num_batches_tracked") and key not in state
    }
    try:
        model.load_state_dict({**counted, **state})  # also accepts the names in torchvision's older files
    except RuntimeError:
        raise InputError(
            f"{origin}: these weights do not fit: {difference(own, {**counted, **state})}"
        ) from None
    if OF_2020 in state and "head.classification_head.conv.0.0.weight" in own:
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0  # as torchvision does for this file


def _named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without counts of batches, which do not depend on the number of classes."""
    return {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}


def _set_limits(model: nn.Module, nms: TorchvisionNMSConfig) -> None:
    """Two-stage models have these limits in the second stage."""
    owner: Any = getattr(model, "roi_heads", model)
    owner.score_thresh = min(owner.score_thresh, _SCORE) if nms.score is None else nms.score
    owner.nms_thresh = owner.nms_thresh if nms.iou is None else nms.iou
    owner.detections_per_img = owner.detections_per_img if nms.max_dets is None else nms.max_dets


def _indices(categories: Sequence[str]) -> dict[str, int]:
    """Label of the model for each of its classes."""
    return {category: k for k, category in enumerate(categories) if category not in _NO_CATEGORY}
