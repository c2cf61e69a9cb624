"""What every variant keeps, also the next one."""

from __future__ import annotations

import copy

import pytest
import torch
from agreement import assert_same_detections

from detectors.dense import DenseConfig
from detectors.registry import VARIANTS
from detectors.types import DenseOutput, Detections, Targets
from metrics.errors import InputError

CLASSES = 3


@pytest.fixture(params=VARIANTS.names())
def variant(request):
    return VARIANTS[request.param]


@pytest.fixture
def detector(variant):
    return variant.build(variant.config(), CLASSES)


@pytest.fixture
def images():
    return torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))


def two_targets():
    return [
        Targets(torch.tensor([[12.0, 16, 60, 52], [70, 60, 120, 124]]), torch.tensor([0, 2])),
        Targets(torch.tensor([[40.0, 40, 90, 80]]), torch.tensor([1])),
    ]


def no_targets():
    return [Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)) for _ in range(2)]


def scene():
    """Two small images with flat squares where the targets are: as easy as can be."""
    images = torch.full((2, 3, 64, 64), 0.4) + 0.02 * torch.rand(2, 3, 64, 64)
    targets = [Targets(target.boxes / 2, target.labels) for target in two_targets()]
    for image, target in zip(images, targets, strict=True):
        for box, label in zip(target.boxes.int().tolist(), target.labels.tolist(), strict=True):
            x0, y0, x1, y1 = box
            image[:, y0:y1, x0:x1] = 0.0
            image[label, y0:y1, x0:x1] = 1.0
    return images, targets


def separated(output: DenseOutput) -> DenseOutput:
    """The output with scores that differ by far more than rounding; those of random weights are nearly equal.

    Near ties would let rounding decide which of two boxes suppresses the other, and where a list of detections is cut.
    """
    draw = torch.Generator().manual_seed(2)
    codes = output.codes + 0.2 * torch.randn(output.codes.shape, generator=draw)
    logits = 3 * torch.randn(output.logits.shape, generator=draw)
    quality = None if output.quality is None else torch.randn(output.quality.shape, generator=draw)
    return output._replace(logits=logits, codes=codes, quality=quality)


def of_image(output: DenseOutput, k: int) -> DenseOutput:
    """The output of a batch that holds only image `k`."""
    quality = None if output.quality is None else output.quality[k : k + 1]
    return output._replace(logits=output.logits[k : k + 1], codes=output.codes[k : k + 1], quality=quality)


def assert_close(found: DenseOutput, expected: DenseOutput) -> None:
    """Equal up to the rounding of a float32 network: about 1e-7 of the largest value at each layer."""
    assert found.levels == expected.levels
    torch.testing.assert_close(found.priors, expected.priors)
    for name in ("logits", "codes", "quality"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        torch.testing.assert_close(
            ours, theirs, rtol=1e-5, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_every_parameter_gets_a_gradient(detector, images):
    terms = detector.train().losses(detector(images), two_targets())
    sum(terms.values()).backward()
    left_out = [name for name, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert not left_out
    assert all(p.grad.isfinite().all() for p in detector.parameters() if p.requires_grad)


def test_losses_are_finite_scalars_that_are_not_negative(detector, images):
    terms = detector.losses(detector(images), two_targets())
    assert terms.keys() >= {"class", "box"}
    for term in terms.values():
        assert term.ndim == 0
        assert 0 <= term.item() < float("inf")


LEARNERS = [
    *[(name, {}) for name in VARIANTS.names()],
    ("fcos", {"quality": "iou", "backbone": {"finest": 4}, "levels": 5}),
    ("retinanet", {"head": {"towers": "own", "coarser": "backbone"}, "forced": "own", "box_loss": "ciou"}),
]


@pytest.mark.parametrize(("name", "chosen"), LEARNERS)
def test_two_images_are_learned_by_heart(name, chosen):
    torch.manual_seed(2)  # of three seeds the one with the widest margins below, whatever the rounding
    images, targets = scene()
    variant = VARIANTS[name]
    detector = variant.build(variant.config.model_validate(chosen), CLASSES)
    detector.weigh_classes([2, 1, 1], ["a", "b", "c"])
    optimizer = torch.optim.AdamW(detector.parameters(), lr=5e-3, weight_decay=0)
    costs = []
    for _ in range(60):
        optimizer.zero_grad()
        cost = sum(detector.losses(detector(images), targets).values())
        cost.backward()
        costs.append(cost.item())
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 10)
        optimizer.step()
    assert costs[-1] < costs[0] / 3  # centerness has a floor: its targets are between 0 and 1
    with torch.no_grad():  # statistics of the last steps, not of the whole way
        for layer in detector.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None
        detector.train()(images)
        detector.eval()
    # Each label occurs once in an image. Duplicates may score more than another object, or than a better box: training
    # amplifies rounding, so which ones do depends on the processor.
    for found, target in zip(detector.predict(images), targets, strict=True):
        best = []
        for box, label in zip(target.boxes, target.labels, strict=True):
            own = found.labels == label
            assert own.any(), label
            best.append(found.scores[own].max().item())
            likely = found.boxes[own & (found.scores >= best[-1] / 2)]
            assert (likely - box).abs().max(dim=1).values.min() < 8
        absent = found.scores[~torch.isin(found.labels, target.labels)]
        assert max(absent.tolist(), default=0.0) < min(best)


def test_a_batch_without_objects_has_a_finite_loss_and_finite_gradients(detector, images):
    terms = detector.losses(detector(images), no_targets())
    total = sum(terms.values())
    total.backward()
    assert total.isfinite()
    assert terms["box"].item() == 0
    assert all(p.grad.isfinite().all() for p in detector.parameters() if p.grad is not None)


def test_an_image_without_objects_beside_one_with_objects(detector, images):
    targets = [two_targets()[0], no_targets()[0]]
    assert sum(detector.losses(detector(images), targets).values()).isfinite()


@pytest.mark.parametrize(
    "box",
    [
        [30.0, 30, 30, 60],
        [30.0, 30, 60, 30],
        [60.0, 60, 30, 30],
        [float("nan"), 0, 10, 10],
        [0.0, 0, float("inf"), 10],
    ],
)
def test_fault_row_11_degenerate_boxes_teach_nothing_and_never_make_nan(detector, images, box):
    output = detector.eval()(images)
    good = two_targets()
    bad = [
        Targets(torch.cat([t.boxes, torch.tensor([box])]), torch.cat([t.labels, torch.tensor([0])]))
        for t in good
    ]
    with_them, without = detector.losses(output, bad), detector.losses(output, good)
    # More rows of padding, so sums may be taken in another order.
    assert {k: v.item() for k, v in with_them.items()} == pytest.approx(
        {k: v.item() for k, v in without.items()}, rel=1e-5
    )


def test_fault_row_12_boxes_beyond_the_border_have_a_finite_loss(detector, images):
    outside = [Targets(torch.tensor([[-50.0, -40, 70, 60], [400, 400, 500, 500]]), torch.tensor([0, 1]))] * 2
    assert sum(detector.losses(detector(images), outside).values()).isfinite()


def test_nothing_to_see_is_no_error(detector):
    black = torch.zeros(1, 3, 128, 128)
    (found,) = detector.eval().predict(black)
    assert found.boxes.isfinite().all()
    assert found.scores.isfinite().all()


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (101, 67), (64, 64)])
def test_boxes_stay_in_the_image_and_labels_are_classes(detector, size):
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        for p in detector.parameters():  # wild weights: boxes far out, scores everywhere
            p.add_(0.1 * torch.randn_like(p))
    height, width = size
    for found in detector.eval().predict(images):
        assert len(found.scores) > 0
        assert found.boxes.min() >= 0
        assert found.boxes[:, 0::2].max() <= width
        assert found.boxes[:, 1::2].max() <= height
        assert (found.boxes[:, 2:] >= found.boxes[:, :2]).all()
        assert found.labels.min() >= 0
        assert found.labels.max() < CLASSES
        assert (found.scores.diff() <= 0).all()
        assert found.scores.max() <= 1


@torch.no_grad()
def test_an_image_alone_or_in_a_batch_has_the_same_raw_output(detector, images):
    both = detector.eval()(images)
    for raw in (both.logits, both.codes):
        assert (raw[0] - raw[1]).abs().max() > 1e-3  # the images differ by far more than the tolerance
    for k in range(2):
        assert_close(detector(images[k : k + 1]), of_image(both, k))


@torch.no_grad()
def test_an_image_alone_or_in_a_batch_has_the_same_detections(detector, images):
    output = separated(detector.eval()(images))
    both = [detector.nms(candidates) for candidates in detector.decode(output)]
    for k in range(2):
        (candidates,) = detector.decode(of_image(output, k))
        alone = detector.nms(candidates)
        assert len(alone.scores) >= 20
        assert_same_detections(both[k], alone)


def test_predict_is_suppression_of_the_decoded_output(detector, images, monkeypatch):
    detector.eval()
    with torch.no_grad():
        output = separated(detector(images))
        by_hand = [detector.nms(candidates) for candidates in detector.decode(output)]
    monkeypatch.setattr(detector, "forward", lambda given: output if given is images else None)
    for found, expected in zip(detector.predict(images), by_hand, strict=True):
        assert_same_detections(found, expected)


def test_no_verb_depends_on_the_mode(detector, images):
    for mode in (True, False):
        detector.train(mode)
        output = detector(images)
        assert isinstance(output, DenseOutput)
        assert isinstance(detector.losses(output, two_targets()), dict)
        assert all(isinstance(found, Detections) for found in detector.decode(output))


def test_output_has_one_row_per_prior_and_levels_sum_to_them(detector, images):
    output = detector(images)
    priors = len(output.priors)
    assert output.logits.shape[:2] == output.codes.shape[:2] == (2, priors)
    assert sum(output.levels) == priors
    assert output.image_size == (128, 128)


def test_weights_come_back_from_a_state_dict(variant, detector, images):
    again = variant.build(variant.config(), CLASSES)
    again.load_state_dict(copy.deepcopy(detector.state_dict()))
    detector.eval(), again.eval()
    for name, tensor in again.state_dict().items():
        assert tensor.equal(detector.state_dict()[name]), name
    with torch.no_grad():
        assert_close(again(images), detector(images))


def test_forward_can_be_exported(detector, images):
    detector.eval()
    with torch.no_grad():
        exported = torch.export.export(detector, (images,)).module()(images)
        ours = detector(images)
    assert_close(exported, ours)


def test_forward_compiles_to_one_graph(detector, images):
    detector.eval()
    with torch.no_grad():
        compiled = torch.compile(detector, fullgraph=True, backend="eager")(images)
        ours = detector(images)
    assert_close(compiled, ours)


def test_predicting_before_training_leaves_no_trace(detector, images):
    detector.eval().predict(images)
    detector.train()
    sum(detector.losses(detector(images), two_targets()).values()).backward()


def test_it_tells_what_it_is_and_whence(variant):
    assert variant.summary
    assert variant.source
    assert variant.build.__doc__
    assert variant.config.__doc__
    assert issubclass(variant.config, DenseConfig)
    undescribed = [name for name, field in variant.config.model_fields.items() if not field.description]
    assert set(undescribed) <= {"backbone", "candidates", "nms", "class_weights", "head", "focal"}


def test_settings_survive_writing_and_reading(variant):
    config = variant.config()
    assert variant.config.model_validate(config.model_dump(mode="json")) == config


def test_a_label_beyond_the_classes_is_told(detector, images):
    wrong = [Targets(torch.tensor([[1.0, 1, 9, 9]]), torch.tensor([CLASSES])) for _ in range(2)]
    with pytest.raises(InputError, match=r"targets\[0\].labels: 3 to 3 with 3 classes; expected 0 to 2"):
        detector.losses(detector(images), wrong)


def test_targets_for_another_number_of_images_are_told(detector, images):
    with pytest.raises(InputError, match="expected one per image, 2, got 1"):
        detector.losses(detector(images), two_targets()[:1])


def test_images_of_another_shape_are_told(detector):
    with pytest.raises(InputError, match=r"images: expected shape \(B, 3, H, W\), got \(1, 1, 32, 32\)"):
        detector(torch.zeros(1, 1, 32, 32))
