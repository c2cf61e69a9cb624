"""`faster-rcnn-r50-fpn` has the same detections, proposals and losses as torchvision's model with the same weights."""

from __future__ import annotations

import functools

import pytest
import torch
from agreement import assert_same_detections
from test_torchvision_parity import as_they_are, config_of, images_of
from torch import nn
from torchvision.models import detection
from torchvision.models.detection.image_list import ImageList

from detectors.assigners.sampling import BalancedSampler
from detectors.pretrained import OF_2019, from_published
from detectors.types import Detections, Targets

CLASSES = 4
SIZES = [(128, 160), (131, 97)]
FEW = {"train": 120, "test": 80}
"""Proposals: the published numbers would take ten times as long."""


@functools.cache
def pair() -> tuple[nn.Module, nn.Module]:
    """Torchvision's model with random weights and a wide spread of scores; ours with the same.

    In double precision, because the boxes of proposals amplify rounding.
    """
    torch.manual_seed(5)
    few = {f"rpn_{when}_nms_top_n_{mode}": count for when in ("pre", "post") for mode, count in FEW.items()}
    theirs = detection.fasterrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=CLASSES + 1, **few
    )
    as_they_are(theirs, SIZES[0])
    spread(theirs, images_of(SIZES[0]))
    variant, config = config_of("faster-rcnn-r50-fpn")
    proposals = config.proposals.model_copy(update={"training": FEW["train"], "prediction": FEW["test"]})
    ours = variant.build(config.model_copy(update={"proposals": proposals}), CLASSES)
    ours.load_state_dict({**ours.state_dict(), **from_published(theirs.state_dict())}, strict=True)
    return theirs.double().eval(), ours.double().eval()


@torch.no_grad()
def spread(theirs: nn.Module, images: torch.Tensor) -> None:
    """Random weights by which cells differ, and scores and codes spread as a trained network's do."""
    for name, layer in theirs.backbone.named_modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear" if "fpn" in name else "relu")
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the very statistics of these images
    batch = theirs.transform(list(images))[0]
    theirs.backbone.train()(batch.tensors)
    theirs.eval()
    features = theirs.backbone(batch.tensors)
    nn.init.kaiming_normal_(theirs.rpn.head.conv[0][0].weight, nonlinearity="relu")
    widen(theirs.rpn.head.cls_logits, 1.5, lambda: theirs.rpn.head(list(features.values())))
    widen(theirs.rpn.head.bbox_pred, 0.2, lambda: theirs.rpn.head(list(features.values())))
    proposals, _ = theirs.rpn(batch, features)
    for layer, width in (
        (theirs.roi_heads.box_predictor.cls_score, 2.0),
        (theirs.roi_heads.box_predictor.bbox_pred, 1.0),
    ):
        widen(layer, width, lambda: theirs.roi_heads(features, proposals, batch.image_sizes))


def widen(layer: nn.Module, width: float, run) -> None:
    """Scale a layer so that the standard deviation of its output is `width`."""
    spreads: list[float] = []
    hook = layer.register_forward_hook(lambda _, inputs, output: spreads.append(output.std().item()))
    run()
    hook.remove()
    layer.weight.mul_(width / max(spreads))
    layer.bias.zero_()


@pytest.mark.parametrize("size", SIZES)
@torch.no_grad()
def test_the_same_weights_have_the_same_proposals_as_in_torchvision(size):
    theirs, ours = pair()
    images = images_of(size).double()
    normalised = ImageList(theirs.transform.normalize(images), [size, size])
    expected, _ = theirs.rpn(normalised, theirs.backbone(normalised.tensors))
    regions = ours.proposals.select(ours(images).proposals, FEW["test"])
    for boxes, valid, of_image in zip(regions.boxes, regions.valid, expected, strict=True):
        count = int(valid.sum())
        assert count == len(of_image) == FEW["test"]
        scores, labels = torch.ones(count), torch.zeros(count, dtype=torch.int64)
        assert_same_detections(Detections(boxes[valid], scores, labels), Detections(of_image, scores, labels))


@pytest.mark.parametrize("size", SIZES)
def test_the_same_weights_find_the_same_objects_as_in_torchvision(size):
    theirs, ours = pair()
    as_they_are(theirs, size)
    images = images_of(size).double()
    with torch.no_grad():
        expected = theirs(list(images))
    for found, reference in zip(ours.predict(images), expected, strict=True):
        assert len(found.scores) > 20
        assert_same_detections(
            found, Detections(reference["boxes"], reference["scores"], reference["labels"] - 1)
        )


@pytest.mark.parametrize("size", SIZES)
def test_the_same_weights_have_the_same_losses_as_in_torchvision(size, monkeypatch):
    theirs, ours = pair()
    as_they_are(theirs, size)
    images = images_of(size).double()
    height, width = size
    boxes = [
        torch.tensor([[5.0, 8, 60, 90], [30, 20, 88, 61], [2, 60, width - 3, height - 5]]),
        torch.tensor([[13.1, 9.7, 58.3, 41.9]]),
    ]
    labels = [torch.tensor([0, 2, 3]), torch.tensor([1])]
    everything = 10**6  # samples without a draw
    for sampler in (theirs.rpn.fg_bg_sampler, theirs.roi_heads.fg_bg_sampler):
        monkeypatch.setattr(sampler, "batch_size_per_image", everything)
    for part in (ours, ours.proposals):
        monkeypatch.setattr(part, "sampler", BalancedSampler(everything, 0.5))
    for layer in theirs.modules():
        layer.training = not isinstance(layer, nn.BatchNorm2d)  # losses, with the statistics as they are
    theirs.transform.training = False
    with torch.no_grad():
        expected = theirs(
            list(images), [{"boxes": b, "labels": c + 1} for b, c in zip(boxes, labels, strict=True)]
        )
        found = ours.losses(ours(images), [Targets(b, c) for b, c in zip(boxes, labels, strict=True)])
    theirs.eval()
    pairs = {
        "class": "loss_classifier",
        "box": "loss_box_reg",
        "objectness": "loss_objectness",
        "proposal_box": "loss_rpn_box_reg",
    }
    assert min(term.item() for term in found.values()) > 1e-4
    assert {name: found[name].item() for name in pairs} == pytest.approx(
        {name: expected[theirs_name].item() for name, theirs_name in pairs.items()}, rel=1e-4
    )


def test_names_of_the_published_file_of_2019_load_too():
    """That file has the pyramid's and the head's convolutions without the inner numbers."""
    theirs, ours = pair()
    old = {}
    for key, tensor in theirs.state_dict().items():
        if "fpn.inner_blocks" in key or "fpn.layer_blocks" in key:
            key = key.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        key = key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
        if not key.endswith("num_batches_tracked"):  # frozen BatchNorm has none
            old[key] = tensor
    assert OF_2019 in old
    renamed = from_published(old)
    assert renamed.keys() == {key for key in ours.state_dict() if not key.endswith("num_batches_tracked")}
    for key, tensor in renamed.items():
        without_epsilon = 1e-5 if key.endswith("running_var") else 0  # frozen BatchNorm of that file had none
        torch.testing.assert_close(tensor + without_epsilon, ours.state_dict()[key])
