"""U-Net: its decoder, its label maps, and what it asks of targets."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from rectangles import with_label_maps

from detectors.necks.unet import ImageSkips, UNetDecoder
from detectors.registry import VARIANTS
from detectors.types import Targets
from metrics.errors import InputError

UNET = VARIANTS["unet"]
SMALL = {"backbone": {"base_channel": 4}, "channels": 4}


def build(**settings):
    return UNET.build(UNET.config.model_validate({**SMALL, **settings}), 3)


def test_the_paper_s_network_has_its_number_of_parameters():
    """Ronneberger et al. 2015, figure 1, with padding and without normalisation: 31,031,685 for one input channel, two
    classes and biases; here the contracting path is given, so its features are drawn.

    Counted: of each step, a transposed convolution 2 x 2 and two convolutions 3 x 3; batch normalisation has two
    parameters per channel in place of a bias.
    """
    channels = (64, 128, 256, 512, 1024)
    decoder = UNetDecoder(channels, channels[:-1])
    expected = sum(4 * 2 * c * c + c + 9 * 2 * c * c + 9 * c * c + 4 * c for c in channels[:-1])
    assert sum(p.numel() for p in decoder.parameters()) == expected


@pytest.mark.parametrize("size", [(64, 96), (61, 83), (5, 7)])
@pytest.mark.parametrize("finest", [1, 2, 4])
def test_logits_have_the_size_of_the_image(size, finest):
    logits = build(finest=finest).eval()(torch.rand(2, 3, *size)).logits
    assert logits.shape == (2, 4, *size)


def test_image_skips_halve_the_map():
    maps = ImageSkips((1, 2, 4), (2, 3, 5))(torch.rand(1, 3, 9, 14))
    assert [tuple(each.shape[1:]) for each in maps] == [(2, 9, 14), (3, 5, 7), (5, 3, 4)]
    assert ImageSkips((), ())(torch.rand(1, 3, 9, 14)) == []


@pytest.mark.parametrize(
    ("name", "finest"), [("squeezenet1_1", 4), ("shufflenet_v2_x0_5", 4), ("mobilenet_v3_small", 8)]
)
def test_backbones_of_other_strides_can_be_used(name, finest):
    detector = build(backbone={"name": name, "finest": finest}, levels=3)
    assert detector.eval()(torch.rand(1, 3, 64, 64)).logits.shape == (1, 4, 64, 64)


def test_a_shifted_image_has_shifted_logits():
    """Interpolated logits stay at their pixels: a shift by the coarsest stride, 16, shifts them, away from the border."""
    torch.manual_seed(0)
    detector = build(levels=2, finest=2).eval().double()
    image = torch.rand(1, 3, 64, 256, dtype=torch.float64)
    one = detector(image).logits
    other = detector(image.roll(16, dims=3)).logits
    torch.testing.assert_close(other[..., 112:168], one[..., 96:152])


def test_probabilities_sum_to_one_and_components_are_found_in_them():
    detector = build().eval()
    with torch.no_grad():
        output = detector(torch.rand(2, 3, 32, 32))
    probabilities = detector.class_probabilities(output)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2, 32, 32))


def test_each_loss_can_be_alone_or_in_a_sum():
    images = torch.rand(2, 3, 32, 32)
    targets = with_label_maps(
        [Targets(torch.tensor([[4.0, 4, 20, 24]]), torch.tensor([k])) for k in (0, 2)], (32, 32)
    )
    weights = {"cross_entropy": 1.0, "dice": 0.5, "jaccard": 2.0}
    torch.manual_seed(0)
    everything = build(loss=weights)
    output = everything(images)
    total = everything.losses(output, targets)
    assert list(total) == list(weights)
    for name, weight in weights.items():
        alone = build(loss={**dict.fromkeys(weights, 0.0), name: 1.0})
        terms = alone.losses(output, targets)
        assert list(terms) == [name]
        assert total[name].item() == pytest.approx(weight * terms[name].item())
    with pytest.raises(ValidationError, match="are all 0; at least one loss needs a weight"):
        build(loss=dict.fromkeys(weights, 0.0))


def test_class_weights_apply_to_classes_and_not_to_background():
    detector = build(class_weights={"each": {"b": 3.0}})
    assert detector.weights is None
    detector.weigh_classes([5, 5, 5], ["a", "b", "c"])
    assert detector.weights.tolist() == [1, 1, 3, 1]


def test_areas_over_the_batch_differ_from_those_over_images():
    images = torch.rand(2, 3, 32, 32)
    targets = with_label_maps(
        [Targets(torch.tensor([[0.0, 0, side, side]]), torch.tensor([1])) for side in (8, 30)], (32, 32)
    )
    by_image, by_batch = (build(loss={"over": over}) for over in ("image", "batch"))
    output = by_image(images)
    one, other = (each.losses(output, targets) for each in (by_image, by_batch))
    assert one["cross_entropy"] == other["cross_entropy"]
    assert abs(one["dice"] - other["dice"]) > 1e-3
    alone = [by_image.losses(type(output)(output.logits[k : k + 1]), targets[k : k + 1]) for k in range(2)]
    assert one["dice"].item() == pytest.approx(sum(each["dice"].item() for each in alone) / 2)


@pytest.mark.parametrize(
    ("label_map", "message"),
    [
        (None, r"targets\[0\].label_map: there is none, and a detector by segmentation learns from masks"),
        (torch.zeros(4, 4, dtype=torch.uint8), r"expected shape \(8, 8\), that of the image, got \(4, 4\)"),
        (torch.full((8, 8), 4, dtype=torch.uint8), r"label 4 with 3 classes; expected 0 to 3, or 255"),
    ],
)
def test_wrong_label_maps_are_errors(label_map, message):
    detector = build()
    targets = [Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), label_map)]
    with pytest.raises(InputError, match=message):
        detector.losses(detector.eval()(torch.rand(1, 3, 8, 8)), targets)
