"""Weights of whole detectors: ours, or published ones (torchvision's, mb_tiny's) with renamed keys."""

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
    # names of the two parts of a head: published and ours
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
    # Names in torchvision's older files lack the 0.
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

_FASTER_RCNN: _Rules = (
    *_PYRAMID,
    (r"rpn\.head\.conv\.(\d)\.0\.(.*)", r"proposals.head.convs.\1.\2"),
    (r"rpn\.head\.conv\.(weight|bias)", r"proposals.head.convs.0.\1"),
    (r"rpn\.head\.cls_logits\.(.*)", r"proposals.head.class_out.\1"),
    (r"rpn\.head\.bbox_pred\.(.*)", r"proposals.head.box_out.\1"),
    (r"roi_heads\.box_head\.fc([67])\.(.*)", r"heads.0.hidden.<\1-6>.\2"),
    (r"roi_heads\.box_predictor\.cls_score\.(.*)", r"heads.0.class_out.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(.*)", r"heads.0.box_out.\1"),
)

OF_2020 = "head.classification_head.conv.6.weight"
"""A key that only torchvision's first RetinaNet file has, which also numbers the ReLUs of the towers."""
OF_2019 = "rpn.head.conv.weight"
"""A key that only torchvision's older Faster R-CNN files have."""
_EPSILON = 1e-5

_MARKS: tuple[tuple[str, _Rules], ...] = (
    # a key that only this published detector has
    ("classification_headers.0.0.weight", _FACE),
    ("backbone.scale_weight", _SSD300),
    ("head.classification_head.module_list.0.0.0.weight", _SSDLITE320),
    ("head.regression_head.bbox_ctrness.weight", _FCOS),
    ("head.classification_head.cls_logits.weight", _RETINANET),
    ("roi_heads.box_head.fc6.weight", _FASTER_RCNN),
)


def load_detector(detector: nn.Module, weights: str | None) -> None:
    """Load all weights of a newly built detector; do nothing if `weights` is None.

    Args:
        detector: built with the settings of the detector that the weights belong to, for example those of a preset.
        weights: a file with our keys or those of a published detector, or torchvision's name, such as
            ``SSD300_VGG16_Weights.COCO_V1``.

    Raises:
        InputError: no such file or name, or weights of another network or class count.
        MachineError: published weights that cannot be downloaded.
    """
    if weights is None:
        return
    named = "_Weights." in weights and not Path(weights).exists()
    state = _download(weights) if named else read_weights(weights)
    load_state(detector, from_published(state), f"weights: {weights}")


def from_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of weights of torchvision's SSD300, SSDLite320, RetinaNet, FCOS or Faster R-CNN, or of the mb_tiny
    face detectors, to ours; other weights are returned unchanged.

    torchvision counts background as a class: its SSD and Faster R-CNN with 91 classes are ours with 90. Its RetinaNet and
    FCOS also have a channel for background, which is not trained: with 91 classes they are ours with 91, of which the first
    is unused.

    With these weights and the preset of the same name, detections and losses equal torchvision's, except: an object that
    touches no prior has no positives (torchvision's RetinaNet: all priors); FCOS compares exact areas (torchvision: to about
    8 square pixels); a positive prior is never a hard negative (torchvision: if there are too few negatives); boxes without
    area are ignored (torchvision: an error).
    """
    rules = next((rules for mark, rules in _MARKS if mark in state), None)
    if rules is None:
        return dict(state)
    renamed = {_renamed(key, rules): tensor for key, tensor in state.items()}
    if rules is _FASTER_RCNN:  # torchvision also has a box of background, which is not used
        for key in ("heads.0.box_out.weight", "heads.0.box_out.bias"):
            renamed[key] = renamed[key][4:]
    if (rules is _RETINANET and OF_2020 in state) or (rules is _FASTER_RCNN and OF_2019 in state):
        # Trained when torchvision's frozen BatchNorm had no epsilon: subtracted here, because the layer adds its own.
        for key in [key for key in renamed if key.endswith("running_var")]:
            renamed[key] = renamed[key] - _EPSILON
    return renamed


def _renamed(key: str, rules: _Rules) -> str:
    ours = key
    for theirs, word in _WORDS:
        ours = re.sub(f"^(?:{theirs})", word, ours)
    for pattern, replacement in rules:
        if match := re.fullmatch(pattern, ours):
            return re.sub(r"<(\d+)([-+*/]+)(\d+)(?:\+(\d+))?>", _evaluate_rule, match.expand(replacement))
    return key


def _evaluate_rule(match: re.Match[str]) -> str:
    """Value of an arithmetic rule such as ``<7-6>`` or ``<2*3+1>``."""
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
