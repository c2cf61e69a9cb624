"""Torchvision's detection models as they are, as predictors: reference rows beside our own."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from urllib.error import URLError

import torch
from pydantic import Field
from torch import Tensor, nn
from torchvision import models

from detectors.config import Config
from detectors.pretrained import OF_2020
from detectors.types import Detections
from detectors.weights import difference, read_weights
from metrics.errors import InputError, InputWarning, MachineError
from metrics.registry import UnknownName, did_you_mean

VERSION = f"torchvision {version('torchvision').partition('+')[0]}"
"""Whose models these are."""

SCORE = 0.01
"""The highest floor under scores that is left where a user sets none; see `TorchvisionNMSConfig.score`."""

_NO_CATEGORY = ("__background__", "N/A", "no person")


class TorchvisionNMSConfig(Config):
    """What is kept of all that the model finds; none leaves a limit as torchvision has it."""

    score: Annotated[float, Field(ge=0, le=1)] | None = None
    """What scores no more is left out. None: torchvision's own floor, but at most 0.01. Average precision reads the
    curve to its end, and the floors of 0.05 (RetinaNet, Faster and Mask R-CNN) and 0.2 (FCOS) would cut it off."""
    iou: Annotated[float, Field(ge=0, le=1)] | None = None
    """Overlap from which on the less sure of two detections of a class goes. None: 0.45 to 0.6, by model."""
    max_dets: Annotated[int, Field(ge=1)] | None = None
    """Most detections of an image. None: 100 to 300, by model; COCO's AP counts 100 of each class."""


class TorchvisionConfig(Config):
    """Settings of a model of torchvision, entered as it is."""

    weights: str = "DEFAULT"
    """A file, or torchvision's name for published weights; DEFAULT: its best."""
    classes: dict[str, str] = Field(default_factory=dict)
    """From a class of the weights to the data set's name for it, where they differ: ``classes.person=face``. What is
    not named here is matched by its name."""
    nms: TorchvisionNMSConfig = TorchvisionNMSConfig()


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


def summary(name: str) -> str:
    """One line about a model: what it was published to reach."""
    published = models.get_model_weights(name).DEFAULT.meta
    ap = published["_metrics"]["COCO-val2017"]["box_map"]
    return f"AP {ap} on COCO, {published['num_params'] / 1e6:.1f} M parameters (as published)"


def torchvision_predictor(
    name: str, config: TorchvisionConfig, classes: Sequence[str]
) -> TorchvisionPredictor:
    """A model of torchvision for a data set with these classes.

    With weights trained on COCO, classes are matched by `TorchvisionConfig.classes`, else by name, whatever their
    case; an `InputWarning` lists those that the weights do not know. With weights trained on as many classes as
    there are in `classes` and background, the k-th class is label k + 1, as torchvision's training scripts have it.

    Args:
        name: such as ``ssd300_vgg16``; see `model_names`.
        config: its settings.
        classes: names of the data set's classes, in the order of their labels.

    Raises:
        InputError: an unknown name, a file of other weights, or COCO's weights and no class that COCO knows.
        MachineError: weights by name, but no network to download from.
    """
    if name not in model_names():
        raise UnknownName("torchvision detector", name, model_names())
    known: Any = models.get_model_weights(name)
    categories: list[str] = known.DEFAULT.meta["categories"]
    state = _state(name, known, config.weights)
    with torch.device("meta"):  # only its shapes are looked at
        whole = _build(name, len(categories))
    published = not difference(_named(whole.state_dict()), _named(state)).misshapen
    model = _build(name, len(categories) if published else len(classes) + 1)
    _load(model, state, f"torchvision/{name}: {config.weights}")
    _keep_more(model, config.nms)
    if published:
        return TorchvisionPredictor(model, _matched(name, categories, classes, config.classes))
    if config.classes:
        raise InputError("classes: these weights have the data set's own classes, in its order; leave it out")
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
            f"torchvision/{name}: cannot download {weights} ({error}); without network fetch {known[weights].url} "
            "elsewhere and give the file: --set weights=FILE"
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


def _keep_more(model: nn.Module, nms: TorchvisionNMSConfig) -> None:
    """Two-stage models have these limits in their second stage."""
    owner: Any = getattr(model, "roi_heads", model)
    owner.score_thresh = min(owner.score_thresh, SCORE) if nms.score is None else nms.score
    owner.nms_thresh = owner.nms_thresh if nms.iou is None else nms.iou
    owner.detections_per_img = owner.detections_per_img if nms.max_dets is None else nms.max_dets


def _matched(
    name: str, categories: Sequence[str], classes: Sequence[str], renamed: Mapping[str, str]
) -> dict[int, int]:
    """From the label of a category to that of a class; several categories may be one class."""
    places = {category: k for k, category in enumerate(categories) if category not in _NO_CATEGORY}
    for category, own in renamed.items():
        if category not in places:
            hint = did_you_mean(category, places) or f"; they are {', '.join(places)}"
            raise InputError(f"classes.{category}: torchvision/{name} knows no such class{hint}")
        if own not in classes:
            hint = did_you_mean(own, classes) or f"; its classes are {', '.join(classes)}"
            raise InputError(f"classes.{category}: the data set has no class {own!r}{hint}")
    labels = {known.casefold(): label for label, known in enumerate(classes)}
    matched = {
        place: classes.index(renamed[category]) if category in renamed else labels[category.casefold()]
        for category, place in places.items()
        if category in renamed or category.casefold() in labels
    }
    if not matched:
        raise InputError(
            f"torchvision/{name}: its weights know none of the data set's classes ({', '.join(classes)}); say which "
            f"is which, as in --set classes.{next(iter(places))}={shlex.quote(classes[0])}, or give weights that were "
            f"trained on them; they know {', '.join(places)}"
        )
    if missed := [known for label, known in enumerate(classes) if label not in matched.values()]:
        warnings.warn(
            InputWarning(
                f"torchvision/{name}: its weights know {len(classes) - len(missed)} of {len(classes)} classes and "
                f"never find {', '.join(missed)}; if they call one otherwise, say so: "
                f"--set classes.{next(iter(places))}={shlex.quote(missed[0])}"
            ),
            stacklevel=2,
        )
    return matched
