"""Convolutions with the rounding of 8-bit integers: their grids, gradients and ranges, and the same numbers in ONNX Runtime."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from detectors.compression.fake_quantization import (
    MOMENTUM,
    FakeQuantizedConv2d,
    fake_quantize,
    input_ranges,
    without_fake_quantization,
)
from metrics.errors import InputError

RANDOM = torch.Generator().manual_seed(0)


def conv(ins: int = 3, outs: int = 4) -> FakeQuantizedConv2d:
    torch.manual_seed(0)
    return FakeQuantizedConv2d.of(nn.Conv2d(ins, outs, 1))


def grid(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values on the 256 steps of a range, one of which is 0; computed in float64."""
    step = (high - low) / 255
    zero = np.round(-low / step)
    return (np.clip(np.round(values / step) + zero, 0, 255) - zero) * step


def test_inputs_and_weights_are_on_the_grids_of_the_integers():
    layer = conv()
    layer.input_low.fill_(-0.5)
    layer.input_high.fill_(2.0)
    images = torch.randn(2, 3, 4, 4, generator=RANDOM)
    weight = layer.weight.detach().double().numpy()
    step = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    rounded = np.round(weight / step) * step
    inputs = grid(images.double().numpy(), -0.5, 2.0)
    wanted = np.einsum("oi,bihw->bohw", rounded[:, :, 0, 0], inputs)
    found = layer.eval()(images) - layer.bias.view(1, -1, 1, 1)
    np.testing.assert_allclose(found.detach().numpy(), wanted, atol=1e-4)


def test_gradients_pass_through_the_rounding_but_not_from_outside_of_the_range():
    layer = conv(1, 1)
    layer.input_high.fill_(1.0)
    with torch.no_grad():
        layer.weight.fill_(2.0)
    images = torch.tensor([-0.5, 0.3, 0.7, 1.5]).view(1, 1, 2, 2).requires_grad_()
    layer.eval()(images).sum().backward()
    torch.testing.assert_close(images.grad.flatten(), torch.tensor([0.0, 2, 2, 0]))
    assert float(layer.weight.grad) == pytest.approx(0.3 + 0.7 + 1.0, abs=0.01)  # of the rounded inputs


def test_ranges_are_a_running_average_in_training_and_fixed_in_evaluation():
    layer = conv(1, 1)
    for low, high in ((-1.0, 3.0), (-2.0, 1.0)):
        layer.train()(torch.tensor([low, high]).view(1, 1, 1, 2))
    known = (-1 + MOMENTUM * -1, 3 + MOMENTUM * -2)
    assert (float(layer.input_low), float(layer.input_high)) == pytest.approx(known, rel=1e-5)
    layer.eval()(torch.full((1, 1, 1, 2), 9.0))
    assert float(layer.input_high) == pytest.approx(known[1], rel=1e-5)
    untouched = conv(1, 1).eval()
    image = torch.tensor([0.123456]).view(1, 1, 1, 1)
    weight = untouched.weight.detach()
    torch.testing.assert_close(
        untouched(image), image * weight + untouched.bias
    )  # no range, one weight: no rounding


def test_networks_are_changed_and_changed_back_without_new_parameters():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, groups=8, bias=False)
    ).eval()
    images = torch.rand(1, 3, 8, 8, generator=RANDOM)
    before, names = network(images), {name for name, _ in network.named_parameters()}
    assert fake_quantize(network) == 2
    assert fake_quantize(network) == 0
    assert {name for name, _ in network.named_parameters()} == names
    twin = copy.deepcopy(network).train()
    twin(images)
    twin.eval()
    assert not torch.equal(twin(images), before)
    torch.testing.assert_close(twin(images), before, atol=0.03, rtol=0)
    torch.testing.assert_close(without_fake_quantization(twin)(images), before)


def test_weights_of_zero_stay_zero():
    layer = conv()
    with torch.no_grad():
        layer.weight.zero_()
    assert layer(torch.ones(1, 3, 1, 1)).flatten().tolist() == layer.bias.tolist()


@pytest.mark.parametrize("normalised", [False, True])
def test_onnx_runtime_computes_the_same_with_the_ranges_of_training(normalised):
    """The fused integer kernels differ from the rounded float network by the rounding of their outputs alone."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is absent: pip install detbench[onnx]")
    import onnxruntime

    from detectors.compression.quantization import Quantizer
    from detectors.compression.saturation import products_saturate

    if products_saturate():
        pytest.skip("8-bit products saturate on this processor, which has no VNNI")
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8) if normalised else nn.Identity()
    network = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU(), nn.Conv2d(8, 2, 1))
    fake_quantize(network)
    images = torch.rand(4, 3, 6, 6, generator=RANDOM)
    network.train()
    for _ in range(3):
        network(images * 0.8)
    network.eval()
    ranges = input_ranges(network)
    assert [each.weight.shape for each in ranges] == [(8, 3, 3, 3), (2, 8, 1, 1)]
    plain = without_fake_quantization(copy.deepcopy(network))
    program = torch.onnx.export(
        plain, (images,), dynamo=True, input_names=["images"], output_names=["scores"], verbose=False
    )
    quantizer = Quantizer(program.model_proto.SerializeToString())
    quantizer.calibrate([images.numpy()])
    quantizer.set_input_ranges(ranges)
    content = quantizer.quantize(next(each for each in quantizer.sets if each.name == "conv"))
    (found,) = onnxruntime.InferenceSession(content).run(["scores"], {"images": images.numpy()})
    wanted = network(images).detach().numpy()
    # An input on the border of two steps may be rounded the other way, and the output is rounded, too.
    steps = ranges[1].high / 255 * np.abs(ranges[1].weight).sum(axis=(1, 2, 3)).max()
    assert np.abs(found - wanted).max() < steps + (max(wanted.max(), 0) - min(wanted.min(), 0)) / 255
    known = scales(content)
    for each in ranges:
        assert any(one == pytest.approx((each.high - each.low) / 255, rel=1e-6) for one in known)
    foreign = ranges[0]._replace(weight=ranges[0].weight[::-1].copy())
    with pytest.raises(InputError, match="has none of the convolutions that were trained with rounding"):
        quantizer.set_input_ranges([foreign])


def scales(content: bytes) -> set[float]:
    import onnx

    constants = [
        onnx.numpy_helper.to_array(each) for each in onnx.load_from_string(content).graph.initializer
    ]
    return {each.item() for each in constants if each.dtype == np.float32 and each.ndim == 0}
