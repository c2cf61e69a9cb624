"""Networks of timm as backbones: features, weights from files, normalisation, errors."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from detectors.backbones import BackboneConfig, make_backbone, timm_networks
from metrics.errors import InputError, MachineError

timm = pytest.importorskip("timm", reason="timm is absent: pip install detbench[timm]")


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_mambaout", "test_efficientnet"])
def test_features_are_those_of_the_whole_network_in_the_file(name, tmp_path, caplog):
    """Names of layers differ between timm's whole networks and their features: `test_convnext` has ``stages_0``."""
    whole = timm.create_model(name, num_classes=7).eval()
    for tensor in whole.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor) * 0.1)
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    backbone = make_backbone(
        BackboneConfig(name=f"timm/{name}", weights=str(tmp_path / "model.safetensors"), finest=4)
    ).eval()
    images = torch.rand(2, 3, 64, 96)
    config = timm.get_pretrained_cfg(name)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (config.mean, config.std))
    with torch.no_grad():
        maps = whole.forward_intermediates((images - mean) / std, intermediates_only=True)
        expected = [feature for feature in maps if 96 // feature.shape[3] in backbone.strides]
        for feature, other in zip(backbone(images), expected, strict=True):
            torch.testing.assert_close(feature, other, rtol=1e-4, atol=1e-4 * other.abs().max().item())
    assert not caplog.records


def test_normalisation_is_that_of_timms_configuration():
    for name, mean in (("test_resnet", 0.5), ("resnet18.a1_in1k", 0.485), ("mobilevitv2_050", 0.0)):
        assert timm.get_pretrained_cfg(name).mean[0] == mean
        assert timm_networks.timm_normalisation(name).mean[0] == pytest.approx(255 * mean)


@pytest.mark.parametrize("name", ["timm/test_resnet", "timm/test_mambaout", "timm/test_efficientnet_ln"])
def test_a_map_has_the_side_of_the_image_over_its_stride_rounded_up(name):
    backbone = make_backbone(BackboneConfig(name=name))
    for mode, size in ((False, (75, 101)), (True, (64, 96))):
        with torch.set_grad_enabled(mode):
            features = backbone.train(mode)(torch.rand(2, 3, *size))
        assert backbone.strides == (8, 16, 32)
        for feature, stride, channels in zip(features, backbone.strides, backbone.channels, strict=True):
            assert feature.shape == (2, channels, -(-size[0] // stride), -(-size[1] // stride))
    sum(feature.mean() for feature in features).backward()
    assert all(p.grad is not None for p in backbone.parameters())


def test_frozen_layers_stay():
    backbone = make_backbone(BackboneConfig(name="timm/test_resnet", norm="frozen", frozen_stages=2)).train()
    before = {key: buffer.clone() for key, buffer in backbone.named_buffers()}
    backbone(torch.rand(2, 3, 64, 64) * 5)
    assert all(buffer.equal(before[key]) for key, buffer in backbone.named_buffers())
    trained = {key for key, p in backbone.named_parameters() if p.requires_grad}
    assert trained
    assert not any(".conv1." in key and ".layer" not in key for key in trained)


def test_layers_of_networks_with_tokens_are_frozen_up_to_their_stride():
    """`edgenext_xx_small` has attention from stride 8 on, in ``stages_1``."""
    backbone = make_backbone(BackboneConfig(name="timm/edgenext_xx_small", frozen_stages=3))
    trained = {key.split(".")[3] for key, p in backbone.named_parameters() if p.requires_grad}
    assert trained == {"stages_2", "stages_3"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("timm/resnt18", "backbone.name: unknown network of timm 'resnt18'; did you mean 'resnet18'"),
        ("timm/resnet18.a1_in2k", "did you mean 'resnet18.a1_in1k'"),
        ("timm/", r"unknown network of timm ''; `timm.list_models\(\)` lists"),
        ("timm/test_vit", "timm/test_vit has no features at stride 8, only at 16; choose another network"),
        ("timm/test_maxvit", "timm/test_maxvit accepts images of one size only"),
    ],
)
def test_a_name_that_cannot_be_used_is_an_error(name, text):
    with pytest.raises(InputError, match=text) as error:
        make_backbone(BackboneConfig(name=name))
    assert len(error.value.lines) == 1


def test_a_network_without_features_is_an_error(monkeypatch):
    create = timm.create_model

    def without_features(name, features_only=False, **arguments):
        if features_only:
            raise RuntimeError("features_only not implemented for such models.")
        return create(name, **arguments)

    monkeypatch.setattr(timm, "create_model", without_features)
    with pytest.raises(InputError, match=r"timm has no features of test_resnet \(.*\); choose another"):
        make_backbone(BackboneConfig(name="timm/test_resnet"))


def test_weights_of_another_network_are_an_error(tmp_path):
    save_file(timm.create_model("test_byobnet").state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"these weights do not fit: .* missing"):
        make_backbone(BackboneConfig(name="timm/test_resnet", weights=str(tmp_path / "w.safetensors")))


def test_without_timm_an_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(timm_networks, "find_spec", lambda name: None)
    with pytest.raises(MachineError, match=r"pip install detbench\[timm\]"):
        make_backbone(BackboneConfig(name="timm/resnet18"))
