"""The papers' models have the same detections and losses as torchvision's, with the same weights."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

import pytest
import torch
from agreement import assert_same_detections
from safetensors.torch import save_file
from torch import nn
from torchvision.models import detection

from detectors.nms import NMS
from detectors.pretrained import from_published, load_detector
from detectors.registry import VARIANTS
from detectors.types import Detections, Targets
from detectors.weights import load_state
from metrics.errors import InputError

PRESETS = Path(__file__).resolve().parents[2] / "bench" / "presets"
CLASSES = 4

# preset, torchvision's model, its number of classes, and how its labels and loss terms are called
MODELS = {
    "ssd300-vgg16": (detection.ssd300_vgg16, CLASSES + 1, 1, ("classification", "bbox_regression")),
    "ssdlite320-mobilenet": (
        detection.ssdlite320_mobilenet_v3_large,
        CLASSES + 1,
        1,
        ("classification", "bbox_regression"),
    ),
    "retinanet-r50-fpn": (
        detection.retinanet_resnet50_fpn,
        CLASSES,
        0,
        ("classification", "bbox_regression"),
    ),
    "fcos-r50-fpn": (
        detection.fcos_resnet50_fpn,
        CLASSES,
        0,
        ("classification", "bbox_regression", "bbox_ctrness"),
    ),
}
SIZES = {
    "ssd300-vgg16": [(300, 300), (281, 339)],
    "ssdlite320-mobilenet": [(320, 320), (197, 301)],
    "retinanet-r50-fpn": [(128, 160), (131, 97)],
    "fcos-r50-fpn": [(128, 160), (131, 97)],
}
CASES = [(preset, size) for preset, sizes in SIZES.items() for size in sizes]


def config_of(preset: str):
    tree = tomllib.loads((PRESETS / f"{preset}.toml").read_text())
    variant = VARIANTS[tree.pop("variant")]
    settings = {key: value for key, value in tree.items() if key in variant.config.model_fields}
    return variant, variant.config.model_validate(settings)


@functools.cache
def pair(preset: str) -> tuple[nn.Module, nn.Module]:
    """Torchvision's model with random weights, statistics and a wide spread of scores; ours with the same."""
    make, classes, _, _ = MODELS[preset]
    torch.manual_seed(5)
    theirs = make(weights=None, weights_backbone=None, num_classes=classes)
    as_they_are(theirs, SIZES[preset][0])
    spread(theirs, images_of(SIZES[preset][0]))
    variant, config = config_of(preset)
    ours = variant.build(config, CLASSES)
    ours.load_state_dict({**ours.state_dict(), **from_published(theirs.state_dict())}, strict=True)
    return theirs.eval(), ours.eval()


@torch.no_grad()
def spread(theirs: nn.Module, images: torch.Tensor) -> None:
    """Random weights by which cells differ, and scores and codes spread as a trained network's do."""
    for name, layer in theirs.named_modules():
        if isinstance(layer, nn.Conv2d):
            follows = "linear" if ".fpn." in name else "relu"
            nn.init.kaiming_normal_(
                layer.weight, mode="fan_out" if layer.groups > 1 else "fan_in", nonlinearity=follows
            )
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None  # the very statistics of these images
    theirs.backbone.train()(theirs.transform(list(images))[0].tensors)
    theirs.eval()
    features = list(theirs.backbone(theirs.transform(list(images))[0].tensors).values())
    theirs.head.train()(features)
    theirs.eval()
    for what, wanted in (("cls_logits", 1.5), ("bbox_regression", 0.2), ("bbox_ctrness", 1.0)):
        for layer in last_layers(theirs.head, what):
            spreads: list[float] = []
            hook = layer.register_forward_hook(
                lambda _, inputs, output, spreads=spreads: spreads.append(output.std().item())
            )
            theirs.head(features)
            hook.remove()
            layer.weight.mul_(wanted / max(spreads))
            layer.bias.fill_(
                1.0 if what == "bbox_regression" and last_layers(theirs.head, "bbox_ctrness") else 0.0
            )


def last_layers(head: nn.Module, what: str) -> list[nn.Module]:
    part = head.classification_head if what == "cls_logits" else head.regression_head
    if hasattr(part, "module_list"):
        return [level if isinstance(level, nn.Conv2d) else level[-1] for level in part.module_list]
    name = {"cls_logits": "cls_logits", "bbox_regression": "bbox_reg", "bbox_ctrness": "bbox_ctrness"}[what]
    return [getattr(part, name)] if hasattr(part, name) else []


def images_of(size: tuple[int, int]) -> torch.Tensor:
    draw = torch.Generator().manual_seed(size[0])
    coarse = torch.rand(2, 3, size[0] // 16, size[1] // 16, generator=draw)
    return nn.functional.interpolate(coarse, size=size, mode="bilinear") * 0.8 + 0.2 * torch.rand(
        2, 3, *size, generator=draw
    )


def as_they_are(theirs: nn.Module, size: tuple[int, int]) -> None:
    """Torchvision's models resize and pad on their own: here they shall take the images as they are."""
    theirs.transform.min_size, theirs.transform.max_size = (min(size),), max(size)
    theirs.transform.size_divisible = 1
    if theirs.transform.fixed_size is not None:
        theirs.transform.fixed_size = (size[1], size[0])


@pytest.mark.parametrize(("preset", "size"), CASES)
def test_the_same_weights_find_the_same_objects_as_in_torchvision(preset, size):
    theirs, ours = pair(preset)
    shift = MODELS[preset][2]
    as_they_are(theirs, size)
    images = images_of(size)
    with torch.no_grad():
        expected = theirs(list(images))
    for found, reference in zip(ours.predict(images), expected, strict=True):
        assert len(found.scores) == len(reference["scores"]) >= 10
        labels = reference["labels"] - shift
        assert_same_detections(found, Detections(reference["boxes"], reference["scores"], labels))


@pytest.mark.parametrize(("preset", "size"), CASES)
def test_the_same_weights_have_the_same_losses_as_in_torchvision(preset, size):
    theirs, ours = pair(preset)
    _, _, shift, terms = MODELS[preset]
    as_they_are(theirs, size)
    images = images_of(size)
    height, width = size
    boxes = [
        torch.tensor([[5.0, 8, 60, 90], [30, 20, 88, 61], [2, 60, width - 3, height - 5]]),
        torch.tensor([[13.1, 9.7, 58.3, 41.9]]),
    ]
    labels = [torch.tensor([0, 2, 3]), torch.tensor([1])]
    for layer in theirs.modules():
        layer.training = not isinstance(layer, nn.BatchNorm2d)  # losses, with the statistics as they are
    theirs.transform.training = False
    with torch.no_grad():
        expected = theirs(
            list(images), [{"boxes": b, "labels": c + shift} for b, c in zip(boxes, labels, strict=True)]
        )
        found = ours.losses(ours(images), [Targets(b, c) for b, c in zip(boxes, labels, strict=True)])
    theirs.eval()
    assert [found[name].item() for name in ("class", "box", "quality")[: len(terms)]] == pytest.approx(
        [expected[name].item() for name in terms], rel=1e-4
    )


def test_a_published_file_loads_by_its_path(tmp_path):
    theirs, ours = pair("ssdlite320-mobilenet")
    torch.save(theirs.state_dict(), tmp_path / "published.pth")
    variant, config = config_of("ssdlite320-mobilenet")
    again = variant.build(
        config.model_copy(update={"weights": str(tmp_path / "published.pth")}), CLASSES
    ).eval()
    for a, b in zip(again.parameters(), ours.parameters(), strict=True):
        assert a.equal(b)


def test_the_oldest_published_names_load_too():
    """RetinaNet's file of 2020 numbers its towers with their ReLUs, and FPN's blocks without the inner 0."""
    theirs, ours = pair("retinanet-r50-fpn")
    old = {}
    for key, tensor in theirs.state_dict().items():
        if "fpn.inner_blocks" in key or "fpn.layer_blocks" in key:
            key = key.replace(".0.weight", ".weight").replace(".0.bias", ".bias")
        if "_head.conv." in key:
            head, _, rest = key.partition(".conv.")
            number, _, kind = rest.split(".")
            key = f"{head}.conv.{2 * int(number)}.{kind}"
        if not key.endswith("num_batches_tracked"):  # frozen BatchNorm has none
            old[key] = tensor
    renamed = from_published(old)
    assert renamed.keys() == {key for key in ours.state_dict() if not key.endswith("num_batches_tracked")}
    for key, tensor in renamed.items():
        without_epsilon = 1e-5 if key.endswith("running_var") else 0  # frozen BatchNorm of that file had none
        torch.testing.assert_close(tensor + without_epsilon, ours.state_dict()[key])


def test_our_own_weights_load_by_their_path(tmp_path):
    ssd = VARIANTS["ssd"]
    trained = ssd.build(ssd.config(), 3)
    save_file(
        {key: t.contiguous() for key, t in trained.state_dict().items()}, tmp_path / "weights.safetensors"
    )
    again = ssd.build(ssd.config(weights=str(tmp_path / "weights.safetensors")), 3)
    assert all(
        a.equal(b) for a, b in zip(trained.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_fault_38_weights_of_another_architecture_are_refused_whole():
    fcos = VARIANTS["fcos"]
    detector = fcos.build(fcos.config(), CLASSES)
    before = {key: tensor.clone() for key, tensor in detector.state_dict().items()}
    theirs, _ = pair("ssdlite320-mobilenet")
    with pytest.raises(InputError, match=r"missing: .*; .* unexpected"):
        load_state(detector, from_published(theirs.state_dict()), "published")
    assert all(tensor.equal(before[key]) for key, tensor in detector.state_dict().items())


def test_an_unknown_name_of_weights_is_an_error():
    with pytest.raises(InputError, match=r"no weights named 'SSD300_Weights.COCO'; for example"):
        load_detector(nn.Identity(), "SSD300_Weights.COCO")


def test_presets_suppress_as_published():
    for preset in MODELS:
        _, config = config_of(preset)
        assert isinstance(NMS(config.nms), NMS)
        assert config.candidates.score == config.nms.score
