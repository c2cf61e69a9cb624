"""The localizer: closed form of its loss, its target, one detection per image, pooled positions."""

from __future__ import annotations

import math

import pytest
import torch

from detectors.assigners.largest import LargestAssigner
from detectors.assigners.types import pad_targets
from detectors.localizer import LocalizerConfig, make_localizer
from detectors.necks.pool import AttentionPool
from detectors.types import DenseOutput, Targets

SIZE = (40, 80)


def localizer(**settings):
    return make_localizer(LocalizerConfig.model_validate({"backbone": {"base_channel": 4}} | settings), 2)


def output(logits, codes) -> DenseOutput:
    """Raw output for images of `SIZE`, with one row of background and two classes, and one code, per image."""
    prior = torch.tensor([[0.0, 0, SIZE[1], SIZE[0]]])
    return DenseOutput(torch.tensor(logits)[:, None], torch.tensor(codes)[:, None], None, prior, SIZE, (1,))


def targets(boxes, labels) -> Targets:
    return Targets(torch.tensor(boxes).reshape(-1, 4), torch.tensor(labels, dtype=torch.int64))


SMALL, LARGE = [0.0, 0, 8, 8], [20.0, 10, 60, 30]
LARGE_CODES = {"xyxy": [0.25, 0.25, 0.75, 0.75], "cxcywh": [0.5, 0.5, 0.5, 0.5]}


@pytest.mark.parametrize("box_format", ["xyxy", "cxcywh"])
def test_loss_is_cross_entropy_plus_alpha_times_the_mean_squared_error_of_the_largest_object(box_format):
    code = [value + 0.1 for value in LARGE_CODES[box_format]]
    raw = output([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]], [code, [0.0] * 4])
    truth = [targets([SMALL, LARGE], [0, 1]), targets([], [])]
    terms = localizer(alpha=7.0, box_loss="mse", box_format=box_format).losses(raw, truth)
    of_object = math.log(1 + math.e + math.e**2) - 2
    assert terms["class"].item() == pytest.approx((of_object + math.log(3)) / 2)  # the second is background
    assert terms["box"].item() == pytest.approx(7 * 0.1**2 / 2)  # the second has no box


@pytest.mark.parametrize(
    ("box_loss", "expected"),
    [
        ("smooth_l1", 4 * (0.1 - 0.05 / 2)),  # each of four coordinates is off by more than beta
        ("giou", 1 - 0.64),  # 0.8 of the width and of the height, inside the object
    ],
)
def test_other_box_losses(box_loss, expected):
    code = {"smooth_l1": [0.35, 0.35, 0.85, 0.85], "giou": [0.3, 0.3, 0.7, 0.7]}[box_loss]
    raw = output([[0.0, 0.0, 0.0]], [code])
    terms = localizer(alpha=2.0, box_loss=box_loss, beta=0.05).losses(raw, [targets([LARGE], [0])])
    assert terms["box"].item() == pytest.approx(2 * expected, rel=1e-5)


def test_a_class_weight_multiplies_the_class_loss_of_its_images():
    raw = output([[0.0, 1.0, 2.0]], [LARGE_CODES["xyxy"]])
    truth = [targets([LARGE], [1])]
    plain, weighted = localizer(), localizer(class_weights={"each": {"b": 3.0}})
    weighted.weigh_classes([1, 1], ["a", "b"])
    assert weighted.losses(raw, truth)["class"].item() == pytest.approx(
        3 * plain.losses(raw, truth)["class"].item()
    )


def test_the_target_is_the_largest_object_and_the_first_of_equal_ones():
    images = [
        targets([[0.0, 0, 4, 4], [0, 0, 5, 4], [2, 2, 6, 7]], [0, 0, 0]),
        targets([[0.0, 0, 0, 90], [float("nan"), 0, 90, 90], [0, 0, 1, 1]], [0, 0, 0]),
        targets([], []),
    ]
    assigned = LargestAssigner()(pad_targets(images), torch.zeros(2, 4), (2,))
    assert assigned.objects.tolist() == [[1, 1], [2, 2], [-1, -1]]


def test_one_detection_per_image_has_the_probability_of_its_class():
    raw = output([[0.0, 1.0, 2.0], [9.0, 1.0, 0.0]], [LARGE_CODES["xyxy"], [-0.5, 0.0, 0.5, 2.0]])
    first, second = localizer(
        nms={"score": 0.0, "method": "none"}, candidates={"score": 0.0, "top_k": 1}
    ).decode(raw)
    assert first.labels.tolist() == [1]
    assert first.scores.item() == pytest.approx(math.e**2 / (1 + math.e + math.e**2))
    assert first.boxes.tolist() == [LARGE]
    assert second.boxes.tolist() == [[0, 0, 40, 40]]  # clipped to the image


def test_an_image_that_is_surely_background_has_no_detection():
    detector = localizer()
    (candidates,) = detector.decode(output([[20.0, 0.0, 0.0]], [LARGE_CODES["xyxy"]]))
    assert len(detector.nms(candidates).scores) == 0


def test_notes_count_the_objects_that_are_no_targets():
    notes = localizer().training_notes([3, 0, 1, 2], (64, 64))
    assert notes == [
        "of 6 training objects, 3 are not targets: a localizer learns the largest object of each image",
        "1 of 4 training images has no object: its class is background",
    ]
    assert localizer().training_notes([1, 1], (64, 64)) == []


def test_weights_that_are_equal_on_a_rectangle_give_its_box():
    pool = AttentionPool([1], maps=1, channels=1).eval()
    with torch.no_grad():
        for parameter in pool.parameters():
            parameter.fill_(0.0 if parameter.ndim == 1 else 100.0)
        pool.norm.weight.fill_(1.0)
        features = torch.zeros(1, 1, 10, 20)
        features[0, 0, 2:5, 4:14] = 1.0
        (vector,) = pool([features])
    assert vector.shape == (1, pool.channels[0], 1, 1)
    assert vector[0, -4:, 0, 0].tolist() == pytest.approx([0.2, 0.2, 0.7, 0.5], abs=1e-5)
