"""Weights of whole detectors: ours, or published ones (torchvision's, mb_tiny's) by a map of their keys to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn
from torchvision.models import get_weight

from detectors.weights import load_state, published, read_weights
from metrics.errors import InputError

_Rules = tuple[tuple[str, str], ...]

_WORDS = (
    # what the published detectors call the two parts of a head, and what we do
    (r"head\.classification_head\.|classification_headers\.", "head.class."),
    (r"head\.regression_head\.|regression_headers\.", "head.box."),
)

_SSD300: _Rules = (
    (r"backbone\.scale_weight", r"backbone.body.scale"),
    (r"backbone\.features\.(.*)", r"backbone.body.features.\1"),
    (r"backbone\.extra\.0\.7\.(.*)", r"backbone.body.dilated.\1"),
    (r"backbone\.extra\.0\.(.*)", r"backbone.body.later.\1"),
    (r"backbone\.extra\.([1-4])\.(.*)", r"neck.extras.<\1-1>.\2"),
    (r"head\.(class|box)\.module_list\.(\d)\.(weight|bias)", r"head.\1_outs.\2.0.\3"),
)
_SSDLITE320: _Rules = (
    (r"backbone\.features\.0\.13\.(.*)", r"backbone.body.features.13.block.0.\1"),
    (r"backbone\.features\.0\.(\d+)\.(.*)", r"backbone.body.features.\1.\2"),
    (r"backbone\.features\.1\.0\.(.*)", r"backbone.body.features.13.block.\1"),
    (r"backbone\.features\.1\.(\d)\.(.*)", r"backbone.body.features.<\1+13>.\2"),
    (r"backbone\.extra\.(\d)\.([012])\.([01])\.(.*)", r"neck.extras.\1.<\2*3+\3>.\4"),
    (r"head\.(class|box)\.module_list\.(\d)\.0\.([01])\.(.*)", r"head.\1_outs.\2.\3.\4"),
    (r"head\.(class|box)\.module_list\.(\d)\.1\.(.*)", r"head.\1_outs.\2.3.\3"),
)
_FACE: _Rules = (
    (r"(base_net|extras)\.(.*)", r"backbone.body.\1.\2"),
    (r"head\.(class|box)\.(\d)\.([02])\.(.*)", r"head.\1_outs.\2.\3.\4"),
    (r"head\.(class|box)\.(\d)\.(weight|bias)", r"head.\1_outs.\2.0.\3"),
)
_PYRAMID: _Rules = (
    (r"(backbone\.body\..*)", r"\1"),
    # torchvision's own older files lack the 0 that a later version of its code put into these names.
    (r"backbone\.fpn\.(inner|layer)_blocks\.(\d)\.(?:0\.)?(weight|bias)", r"neck.pyramid.\1_blocks.\2.0.\3"),
    (r"backbone\.fpn\.extra_blocks\.p([67])\.(.*)", r"neck.coarser.<\1-6>.\2"),
    (r"head\.class\.cls_logits\.(.*)", r"head.class_out.\1"),
    (r"head\.box\.bbox_reg\.(.*)", r"head.box_out.\1"),
)
_RETINANET: _Rules = (
    *_PYRAMID,
    (r"head\.(class|box)\.conv\.(\d)\.0\.(.*)", r"head.\1_tower.convs.\2.\3"),
    (r"head\.(class|box)\.conv\.(\d)\.(weight|bias)", r"head.\1_tower.convs.<\2//2>.\3"),
)
_FCOS: _Rules = (
    *_PYRAMID,
    (r"head\.box\.bbox_ctrness\.(.*)", r"head.quality_out.\1"),
    (r"head\.(class|box)\.conv\.([0369])\.(.*)", r"head.\1_tower.convs.<\2//3>.\3"),
    (r"head\.(class|box)\.conv\.(\d+)\.(.*)", r"head.\1_tower.norms.<\2//3>.0.\3"),
)

OF_2020 = "head.classification_head.conv.6.weight"
"""A key that only torchvision's first file of RetinaNet has, which numbers the ReLUs of the towers, too."""
_EPSILON = 1e-5

_MARKS: tuple[tuple[str, _Rules], ...] = (
    # a key that only this one of the published detectors has
    ("classification_headers.0.0.weight", _FACE),
    ("backbone.scale_weight", _SSD300),
    ("head.classification_head.module_list.0.0.0.weight", _SSDLITE320),
    ("head.regression_head.bbox_ctrness.weight", _FCOS),
    ("head.classification_head.cls_logits.weight", _RETINANET),
)


def load_detector(detector: nn.Module, weights: str | None) -> None:
    """Load all weights of a detector that was just built, or none if `weights` is None.

    Args:
        detector: built by its variant with the settings of the one that the weights are of, such as a preset's.
        weights: a file with our keys or those of a published detector, or a name of torchvision's, ``SSD300_VGG16_Weights.COCO_V1``.

    Raises:
        InputError: no such file or name, or weights of another network or class count.
        MachineError: a name, but no network to download from.
    """
    if weights is None:
        return
    named = "_Weights." in weights and not Path(weights).exists()
    state = _download(weights) if named else read_weights(weights)
    load_state(detector, from_published(state), f"weights: {weights}")


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of torchvision's SSD300, SSDLite320, RetinaNet or FCOS, or of the face detectors of the mb_tiny
    family, under our keys; any others as they are.

    torchvision counts background as a class: its SSD with 91 classes is ours with 90. Its RetinaNet and FCOS have a
    channel for background too, which is never taught: with 91 classes they are ours with 91, the first of them void.

    With these weights and the preset of the same name our detections and losses are torchvision's, but for this:
    an object that touches no prior teaches none (there: in RetinaNet, all priors); of equal areas FCOS compares the
    exact values (there: to about 8 square pixels); a positive prior is never a hard negative too (there: where
    negatives run out); boxes without area are left out (there: an error).
    """
    rules = next((rules for mark, rules in _MARKS if mark in state), None)
    if rules is None:
        return dict(state)
    renamed = {_renamed(key, rules): tensor for key, tensor in state.items()}
    if rules is _RETINANET and OF_2020 in state:
        # Trained when torchvision's frozen BatchNorm had no epsilon: taken off here, the layer's own restores it.
        for key in [key for key in renamed if key.endswith("running_var")]:
            renamed[key] = renamed[key] - _EPSILON
    return renamed


def _renamed(key: str, rules: _Rules) -> str:
    ours = key
    for theirs, word in _WORDS:
        ours = re.sub(f"^(?:{theirs})", word, ours)
    for pattern, replacement in rules:
        if match := re.fullmatch(pattern, ours):
            return re.sub(r"<(\d+)([-+*/]+)(\d+)(?:\+(\d+))?>", _counted, match.expand(replacement))
    return key


def _counted(match: re.Match[str]) -> str:
    """The place that an arithmetic rule such as ``<7-6>`` or ``<2*3+1>`` stands for."""
    first, sign, second, more = match.groups()
    a, b = int(first), int(second)
    return str({"-": a - b, "+": a + b, "*": a * b, "//": a // b}[sign] + int(more or 0))


def _download(name: str) -> Mapping[str, Tensor]:
    try:
        known = get_weight(name)
    except ValueError:
        raise InputError(
            f"weights: torchvision has no weights named {name!r}; for example SSD300_VGG16_Weights.COCO_V1"
        ) from None
    return published(known, f"weights: {name}")
