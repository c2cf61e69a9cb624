"""Backbones: strides, inputs, frozen stages, BatchNorm, and the real weights beside the repository."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torchvision import models
from torchvision.models.feature_extraction import create_feature_extractor

from detectors.backbones import BackboneConfig, make_backbone
from detectors.backbones.build import BACKBONES
from detectors.backbones.classifiers import classifier_features
from metrics.errors import InputError

OURS = ["mb_tiny", "efficientnet_lite0", "vgg16_ssd"]
FAMILIES = [
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large_ssdlite", "resnet18", "shufflenet_v2_x0_5"),
    *("squeezenet1_1", "regnet_y_400mf", "efficientnet_b0", "convnext_tiny", "densenet121", "mnasnet0_5"),
    "swin_t",
]


@pytest.mark.parametrize("name", OURS[:2] + FAMILIES)
def test_a_map_has_the_side_of_the_image_over_its_stride_rounded_up(name):
    backbone = make_backbone(BackboneConfig(name=name, base_channel=8))
    for mode, batch, size in ((False, 1, (75, 101)), (True, 2, (64, 96))):
        with torch.set_grad_enabled(mode):
            features = backbone.train(mode)(torch.rand(batch, 3, *size))
        assert len(features) == len(backbone.strides) == len(backbone.channels)
        for feature, stride, channels in zip(features, backbone.strides, backbone.channels, strict=True):
            assert feature.shape == (batch, channels, -(-size[0] // stride), -(-size[1] // stride))
    sum(feature.mean() for feature in features).backward()
    assert all(p.grad is not None for p in backbone.parameters())  # nothing of the classifier is left


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("resnet18", {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}),
        ("mobilenet_v2", {8: "features.7.conv.0", 16: "features.14.conv.0", 32: "features.18"}),
        ("shufflenet_v2_x0_5", {4: "maxpool", 8: "stage2", 16: "stage3", 32: "stage4"}),
        ("regnet_y_400mf", {s: f"trunk_output.block{k}" for k, s in enumerate((4, 8, 16, 32), start=1)}),
        ("densenet121", {4: "features.transition1.conv", 16: "features.transition3.conv", 32: "relu"}),
    ],
)
def test_features_are_the_ends_of_the_stages_that_the_papers_name(name, nodes):
    features = classifier_features(name, 4)
    whole = models.get_model(name, weights=None).eval()
    whole.load_state_dict({**whole.state_dict(), **features.network.eval().state_dict()})
    images = torch.rand(1, 3, 64, 64)
    stage_nodes = {node: str(stride) for stride, node in nodes.items()}
    with torch.no_grad():
        expected = create_feature_extractor(whole, stage_nodes)(images)
        found = features.network(images)
    for stride, feature in expected.items():
        torch.testing.assert_close(found[stride], feature)


@pytest.mark.parametrize("finest", [4, 8, 16])
@pytest.mark.parametrize("name", ["mb_tiny", "efficientnet_lite0", "resnet18", "mobilenet_v3_large_ssdlite"])
def test_the_finest_stride_is_a_choice(name, finest):
    backbone = make_backbone(BackboneConfig(name=name, finest=finest, base_channel=4))
    assert backbone.strides == tuple(s for s in (4, 8, 16, 32, 64) if finest <= s <= backbone.strides[-1])
    with torch.no_grad():
        features = backbone.eval()(torch.rand(1, 3, 64, 64))
    assert [64 // feature.shape[2] for feature in features] == list(backbone.strides)


def test_separable_mb_tiny_has_stride_4_too():
    backbone = make_backbone(BackboneConfig(finest=4, separable=True))
    assert [64 // f.shape[2] for f in backbone(torch.rand(2, 3, 64, 64))] == [4, 8, 16, 32, 64]


@pytest.mark.parametrize(
    ("name", "finest", "text"),
    [
        ("vgg16_ssd", 4, "vgg16_ssd has features at strides 8 and 16, not 4"),
        ("alexnet", None, r"alexnet has no features at stride 8, nor at any other of \(4, 8, 16, 32\)"),
        ("vit_b_32", None, "vit_b_32 accepts images of one size only"),
    ],
)
def test_a_network_without_such_features_is_an_error(name, finest, text):
    with pytest.raises(InputError, match=text):
        make_backbone(BackboneConfig(name=name, finest=finest))


def test_an_unknown_backbone_names_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'mobilenet_v2'"):
        BackboneConfig(name="mobilenetv2")
    with pytest.raises(ValidationError, match="did you mean 'regnet_y_400mf'"):
        BackboneConfig(name="regnet_y_400m")
    assert set(OURS + FAMILIES) < set(BACKBONES)


GREY = torch.tensor([100.0, 150.0, 200.0]) / 255  # R, G, B


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("unit", [100 / 255, 150 / 255, 200 / 255]),
        ("minus-one-one", [100 / 127.5 - 1, 150 / 127.5 - 1, 200 / 127.5 - 1]),
        ("face", [(100 - 127) / 128, (150 - 127) / 128, (200 - 127) / 128]),
        ("caffe-bgr", [200 - 104, 150 - 117, 100 - 123]),
        ("bgr-unit", [200 / 255, 150 / 255, 100 / 255]),
        ("imagenet", [(100 / 255 - 0.485) / 0.229, (150 / 255 - 0.456) / 0.224, (200 / 255 - 0.406) / 0.225]),
    ],
)
def test_input_is_normalised_as_in_the_training_of_the_weights(kind, expected):
    backbone = make_backbone(BackboneConfig(input=kind))
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append(x)
            return [x]

    backbone.body = Spy()
    backbone(GREY.view(1, 3, 1, 1).expand(1, 3, 4, 4))
    assert seen[0][0, :, 0, 0].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(("name", "stages", "free", "still"), [
    ("resnet18", 2, "body.layer2.0.conv1.weight", "body.layer1.1.conv2.weight"),
    ("mb_tiny", 3, "body.base_net.5.0.weight", "body.base_net.4.0.weight"),
    ("efficientnet_lite0", 2, "body.blocks.3.depthwise_conv.weight", "body.blocks.2.project_conv.weight"),
    ("mobilenet_v3_small", 3, "body.features.4.block.1.0.weight", "body.features.3.block.2.0.weight"),
    ("convnext_tiny", 2, "body.network.features.3.0.layer_scale", "body.network.features.1.2.layer_scale"),
])  # fmt: skip
def test_frozen_stages_stop_at_their_stride(name, stages, free, still):
    backbone = make_backbone(BackboneConfig(name=name, frozen_stages=stages))
    trained = {key: p.requires_grad for key, p in backbone.named_parameters()}
    assert trained[free]
    assert not trained[still]
    before = {key: buffer.clone() for key, buffer in backbone.named_buffers()}
    backbone.train()(torch.rand(2, 3, 64, 64))
    layers = dict(backbone.named_modules())
    for key, buffer in backbone.named_buffers():
        layer = layers[key.rpartition(".")[0]]
        if isinstance(layer, nn.BatchNorm2d) and not layer.weight.requires_grad:
            assert buffer.equal(before[key]), key


def test_frozen_norm_keeps_statistics_in_training_mode():
    backbone = make_backbone(BackboneConfig(name="shufflenet_v2_x0_5", norm="frozen")).train()
    before = {key: buffer.clone() for key, buffer in backbone.named_buffers()}
    backbone(torch.rand(2, 3, 64, 64) * 5)
    assert all(buffer.equal(before[key]) for key, buffer in backbone.named_buffers())


def fold(network: nn.Module) -> None:
    """Fold BatchNorm into a scale and an offset, with statistics 0 and 1, as converters to integers do."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            with torch.no_grad():
                layer.running_mean.uniform_(-1, 1)
                layer.running_var.uniform_(0.5, 2)
                layer.weight.uniform_(0.5, 2)
                scale = layer.weight / torch.sqrt(layer.running_var + layer.eps)
                layer.bias.sub_(scale * layer.running_mean)
                layer.weight.copy_(scale * (1 + layer.eps) ** 0.5)
                layer.running_mean.zero_()
                layer.running_var.fill_(1)


def test_reestimated_norm_computes_the_same_and_has_the_true_statistics():
    backbone = make_backbone(BackboneConfig(norm="reestimate", separable=True))
    fold(backbone)
    images = torch.rand(8, 3, 64, 64)
    with torch.no_grad():
        before = backbone.eval()(images)
        assert backbone.prepare(iter([images[:4], images[4:]]))
        after = backbone.eval()(images)
        trained = backbone.train()(images)
    for a, b, c in zip(before, after, trained, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(b, c, rtol=1e-2, atol=1e-2)  # by batch: the very images of the statistics


def test_prepare_reads_no_more_images_than_needed():
    def endless(taken):
        while True:
            taken.append(1)
            yield torch.rand(16, 3, 32, 32)

    taken: list[int] = []
    assert make_backbone(BackboneConfig(norm="reestimate")).prepare(endless(taken))
    assert len(taken) == 4
    taken.clear()
    assert not make_backbone(BackboneConfig()).prepare(endless(taken))
    assert not taken


@pytest.mark.parametrize(
    ("name", "file", "input"),
    [
        ("squeezenet1_1", "squeezenet1_1-features.pth", "caffe-bgr"),
        ("mobilenet_v2", "mobilenet_v2.pth", "minus-one-one"),
        ("shufflenet_v2_x0_5", "shufflenet_v2_x0_5-stages.pth", "bgr-unit"),
        ("mb_tiny", "face-slim-320.pth", "face"),
    ],
)
def test_real_weights_load(shared_data, name, file, input):
    backbone = make_backbone(
        BackboneConfig(
            name=name,
            weights=str(shared_data / "weights" / file),
            input=input,
            separable=True,
            base_channel=16,
        )
    )
    with torch.no_grad():
        features = backbone.eval()(torch.rand(1, 3, 96, 96))
    assert all(feature.isfinite().all() for feature in features)
    assert all(feature.abs().max() > 1e-3 for feature in features)


def test_features_are_those_of_torchvisions_network():
    config = BackboneConfig(name="resnet18")
    backbone = make_backbone(config).eval()
    whole = models.resnet18().eval()
    whole.load_state_dict({**whole.state_dict(), **backbone.body.state_dict()})
    images = torch.rand(1, 3, 64, 64)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        x = whole.layer1(whole.maxpool(whole.relu(whole.bn1(whole.conv1(x)))))
        for layer, feature in zip((whole.layer2, whole.layer3, whole.layer4), backbone(images), strict=True):
            x = layer(x)
            torch.testing.assert_close(feature, x, rtol=1e-4, atol=1e-4)


def test_fault_38_weights_of_another_backbone_are_refused(tmp_path):
    torch.save(models.shufflenet_v2_x0_5().state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"do not fit: .* missing: .*; .* unexpected"):
        make_backbone(BackboneConfig(name="mobilenet_v2", weights=str(tmp_path / "w.pth")))


@pytest.mark.parametrize("name", ["squeezenet1_1", "regnet_y_400mf", "densenet121"])
def test_a_classifiers_own_keys_may_be_in_the_file(tmp_path, name):
    whole = models.get_model(name, weights=None).state_dict()
    torch.save(whole, tmp_path / "w.pth")
    backbone = make_backbone(BackboneConfig(name=name, weights=str(tmp_path / "w.pth")))
    loaded = {key.removeprefix("network."): tensor for key, tensor in backbone.body.state_dict().items()}
    assert all(tensor.equal(whole[key]) for key, tensor in loaded.items())


def test_an_unknown_name_of_weights_lists_the_known():
    with pytest.raises(InputError, match=r"has no weights named 'IMAGENET'.*IMAGENET1K_V1"):
        make_backbone(BackboneConfig(name="resnet18", weights="IMAGENET"))
