"""Torchvision's detection models as they are, as predictors: reference rows beside our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn
from torchvision import models

from detectors.pretrained import OF_2020
from detectors.types import Detections
from detectors.weights import difference, read_weights
from metrics.errors import InputError, MachineError
from metrics.registry import UnknownName


class TorchvisionPredictor(nn.Module):
    """One of torchvision's detectors, with its own resizing, suppression and thresholds, and our labels.

    Args:
        model: takes a list of images and gives ``boxes``, ``scores``, ``labels`` of each.
        labels: from the model's label to ours; detections of any other label are left out.
    """

    _ours: Tensor

    def __init__(self, model: nn.Module, labels: Mapping[int, int]) -> None:
        super().__init__()
        self.model = model
        ours = torch.full((max(labels, default=0) + 1,), -1)
        for theirs, label in labels.items():
            ours[theirs] = label
        self.register_buffer("_ours", ours, persistent=False)
        self.eval()

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1], by falling score."""
        return [self._told(found) for found in self.model(list(images))]

    def _told(self, found: Mapping[str, Tensor]) -> Detections:
        known = found["labels"] < len(self._ours)
        labels = torch.where(known, self._ours[found["labels"].clamp(max=len(self._ours) - 1)], -1)
        scores, order = found["scores"].sort(descending=True, stable=True)
        order, scores = order[labels[order] >= 0], scores[labels[order] >= 0]
        return Detections(found["boxes"][order], scores, labels[order])


def model_names() -> list[str]:
    """What `torchvision_predictor` takes, without the ``torchvision/`` that a user types before it."""
    return list(models.list_models(module=models.detection))


def torchvision_predictor(
    name: str, classes: Sequence[str], weights: str = "DEFAULT"
) -> TorchvisionPredictor:
    """A model of torchvision for a data set with these classes.

    With weights trained on COCO, classes are matched by name, whatever their case; those that COCO does not know
    are never found. With weights trained on as many classes as there are in `classes` and background, the k-th
    class is label k + 1, as torchvision's training scripts have it.

    Args:
        name: such as ``ssd300_vgg16``; see `model_names`.
        classes: names of the data set's classes, in the order of their labels.
        weights: torchvision's name for them, or a file.

    Raises:
        InputError: an unknown name, a file of other weights, or COCO's weights and no class that COCO knows.
        MachineError: weights by name, but no network to download from.
    """
    if name not in model_names():
        raise UnknownName("torchvision detector", name, model_names())
    known: Any = models.get_model_weights(name)
    categories: list[str] = known.DEFAULT.meta["categories"]
    state = _state(name, known, weights)
    of_coco = not difference(_named(_build(name, len(categories)).state_dict()), _named(state)).misshapen
    model = _build(name, len(categories) if of_coco else len(classes) + 1)
    _load(model, state, f"torchvision/{name}: {weights}")
    return TorchvisionPredictor(model, _matched(name, categories, classes) if of_coco else _in_order(classes))


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
            f"torchvision/{name}: cannot download {weights} ({error}); without network give a file"
        ) from None
    return state


def _load(model: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    own = model.state_dict()
    # Published with frozen BatchNorm, which counts no batches.
    counted = {
        key: old for key, old in own.items() if key.endswith("num_batches_tracked") and key not in state
    }
    try:
        model.load_state_dict({**counted, **state})  # knows the names of torchvision's older files, too
    except RuntimeError:
        raise InputError(
            f"{origin}: these weights do not fit: {difference(own, {**counted, **state})}"
        ) from None
    if OF_2020 in state and "head.classification_head.conv.0.0.weight" in own:
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0  # what torchvision does for this file


def _named(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Only what the number of classes can change: the tensors themselves, without counts of batches."""
    return {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}


def _matched(name: str, categories: Sequence[str], classes: Sequence[str]) -> dict[int, int]:
    places = {category.casefold(): place for place, category in enumerate(categories)}
    labels = {
        places[known.casefold()]: label for label, known in enumerate(classes) if known.casefold() in places
    }
    if not labels:
        raise InputError(
            f"torchvision/{name}: COCO knows none of these classes: {', '.join(classes)}; "
            "rename them as COCO does, or give weights trained on them"
        )
    return labels


def _in_order(classes: Sequence[str]) -> dict[int, int]:
    return {label + 1: label for label in range(len(classes))}
