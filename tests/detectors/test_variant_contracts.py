"""Contract of all variants: training, prediction, export and errors."""

from __future__ import annotations

import copy

import pytest
import torch
from agreement import assert_same_detections
from raw_outputs import assert_close, select_image, separate_scores
from rectangles import with_label_maps

from detectors.detector_config import DetectorConfig
from detectors.registry import VARIANTS
from detectors.types import Detections, Targets
from metrics.errors import InputError

CLASSES = 3
SIZE = (128, 128)
SINGLE = ("localizer",)
"""Variants that report one object per image, the largest."""


@pytest.fixture(params=VARIANTS.names())
def variant(request):
    return VARIANTS[request.param]


@pytest.fixture
def detector(variant):
    return variant.build(variant.config(), CLASSES)


@pytest.fixture
def images():
    return torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))


def make_targets():
    targets = [
        Targets(torch.tensor([[12.0, 16, 60, 52], [70, 60, 120, 124]]), torch.tensor([0, 2])),
        Targets(torch.tensor([[40.0, 40, 90, 80]]), torch.tensor([1])),
    ]
    return with_label_maps(targets, SIZE)


def make_empty_targets():
    empty = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    return with_label_maps([empty, empty], SIZE)


def make_easy_scene():
    """Two small images with rectangles of a uniform color at the targets."""
    images = torch.full((2, 3, 64, 64), 0.4) + 0.02 * torch.rand(2, 3, 64, 64)
    targets = with_label_maps([Targets(t.boxes / 2, t.labels) for t in make_targets()], (64, 64))
    for image, target in zip(images, targets, strict=True):
        for box, label in zip(target.boxes.int().tolist(), target.labels.tolist(), strict=True):
            x0, y0, x1, y1 = box
            image[:, y0:y1, x0:x1] = 0.0
            image[label, y0:y1, x0:x1] = 1.0
    return images, targets


def test_every_parameter_has_a_finite_gradient(detector, images):
    terms = detector.train().losses(detector(images), make_targets())
    sum(terms.values()).backward()
    without_gradient = [name for name, p in detector.named_parameters() if p.requires_grad and p.grad is None]
    assert not without_gradient
    assert all(p.grad.isfinite().all() for p in detector.parameters() if p.requires_grad)


def test_losses_are_finite_non_negative_scalars(detector, images):
    terms = detector.losses(detector(images), make_targets())
    assert terms
    for term in terms.values():
        assert term.ndim == 0
        assert 0 <= term.item() < float("inf")


# Denoising draws noise in every step, and the varifocal loss of the right score is not 0: both losses stay high.
OVERFITTING = {"detr": {"denoising": {"groups": 0}, "class_loss": "quality_focal", "layers": 2}}
LEARNING_RATES = {"detr": 2e-3, "faster_rcnn": 2e-3, "cascade_rcnn": 2e-3, "localizer": 1e-3}
"""The rate of the others is too high for attention and for fully connected layers."""

STEPS = {"detr": 120, "localizer": 120, "sliding_window": 120}
"""Each step of the sliding window sees other windows, queries are matched in each step, and the localizer learns slowly."""

CONFIGURATIONS = [
    *[(name, OVERFITTING.get(name, {})) for name in VARIANTS.names()],
    ("fcos", {"quality": "iou", "backbone": {"finest": 4}, "levels": 5}),
    ("retinanet", {"head": {"towers": "own", "coarser": "backbone"}, "forced": "own", "box_loss": "ciou"}),
]


@pytest.mark.rounding
@pytest.mark.parametrize(("name", "settings"), CONFIGURATIONS)
def test_overfits_two_images(name, settings):
    torch.manual_seed(2)  # the seed of three with the widest margins below, so that rounding does not matter
    images, targets = make_easy_scene()
    variant = VARIANTS[name]
    detector = variant.build(variant.config.model_validate(settings), CLASSES)
    detector.weigh_classes([2, 1, 1], ["a", "b", "c"])
    optimizer = torch.optim.AdamW(detector.parameters(), lr=LEARNING_RATES.get(name, 5e-3), weight_decay=0)
    losses = []
    for step in range(STEPS.get(name, 60)):
        torch.manual_seed(step)  # as the training loop does
        optimizer.zero_grad()
        loss = sum(detector.losses(detector(images), targets).values())
        loss.backward()
        losses.append(loss.item())
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 10)
        optimizer.step()
    # The centerness loss cannot reach 0: its targets are between 0 and 1.
    # Some windows show parts of two objects.
    assert losses[-1] < losses[0] / (2 if name == "sliding_window" else 3)
    with torch.no_grad():  # batch statistics of the trained weights, not averages over all steps
        for layer in detector.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None
        torch.manual_seed(0)
        detector.losses(detector.train()(images), targets)
        detector.eval()
    # Each label occurs once in an image. A duplicate may have a higher score than another object or than a better box:
    # training amplifies rounding, so it depends on the processor which one does.
    for detections, target in zip(detector.predict(images), targets, strict=True):
        if name in SINGLE:
            assert len(detections.scores) == 1
            largest = (target.boxes[:, 2:] - target.boxes[:, :2]).prod(dim=1).argmax()
            target = Targets(target.boxes[largest, None], target.labels[largest, None])
        best_scores = []
        for box, label in zip(target.boxes, target.labels, strict=True):
            of_label = detections.labels == label
            assert of_label.any(), label
            best_scores.append(detections.scores[of_label].max().item())
            confident = detections.boxes[of_label & (detections.scores >= best_scores[-1] / 2)]
            assert (confident - box).abs().max(dim=1).values.min() < 8
        absent = detections.scores[~torch.isin(detections.labels, target.labels)]
        assert max(absent.tolist(), default=0.0) < min(best_scores)


def test_batch_without_objects_has_finite_losses_and_gradients(detector, images):
    terms = detector.losses(detector(images), make_empty_targets())
    total = sum(terms.values())
    total.backward()
    assert total.isfinite()
    assert all(term.item() == 0 for name, term in terms.items() if "box" in name)
    assert all(p.grad.isfinite().all() for p in detector.parameters() if p.grad is not None)


def test_image_without_objects_in_a_batch_with_objects_has_finite_losses(detector, images):
    targets = [make_targets()[0], make_empty_targets()[0]]
    assert sum(detector.losses(detector(images), targets).values()).isfinite()


def losses_of(detector, output, targets):
    """The terms of the loss, with the same random samples in every call."""
    torch.manual_seed(3)
    return {name: term.item() for name, term in detector.losses(output, targets).items()}


@pytest.mark.rounding
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
def test_fault_11_degenerate_boxes_do_not_change_the_losses(detector, images, box):
    output = detector.eval()(images)
    valid = make_targets()
    degenerate = [
        Targets(
            torch.cat([t.boxes, torch.tensor([box])]), torch.cat([t.labels, torch.tensor([0])]), t.label_map
        )
        for t in valid
    ]
    actual, expected = (losses_of(detector, output, targets) for targets in (degenerate, valid))
    # One more row of padding may change the order of sums.
    assert actual == pytest.approx(expected, rel=1e-5)


def test_fault_12_boxes_beyond_the_border_have_finite_losses(detector, images):
    outside = Targets(torch.tensor([[-50.0, -40, 70, 60], [400, 400, 500, 500]]), torch.tensor([0, 1]))
    outside = with_label_maps([outside] * 2, SIZE)
    assert sum(detector.losses(detector(images), outside).values()).isfinite()


def test_black_image_gives_finite_detections(detector):
    black = torch.zeros(1, 3, 128, 128)
    (detections,) = detector.eval().predict(black)
    assert detections.boxes.isfinite().all()
    assert detections.scores.isfinite().all()


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (101, 67), (64, 64)])
def test_detections_are_inside_the_image_and_sorted_by_score(detector, size):
    images = torch.rand(2, 3, *size)
    with torch.no_grad():
        for p in detector.parameters():  # boxes become large, and scores spread over the whole range
            p.add_((0.01 if p.ndim == 2 else 0.1) * torch.randn_like(p))  # linear layers have many inputs
    height, width = size
    for detections in detector.eval().predict(images):
        assert len(detections.scores) > 0
        assert detections.boxes.min() >= 0
        assert detections.boxes[:, 0::2].max() <= width
        assert detections.boxes[:, 1::2].max() <= height
        assert (detections.boxes[:, 2:] >= detections.boxes[:, :2]).all()
        assert detections.labels.min() >= 0
        assert detections.labels.max() < CLASSES
        assert (detections.scores.diff() <= 0).all()
        assert detections.scores.max() <= 1


@pytest.mark.rounding
@torch.no_grad()
def test_raw_output_does_not_depend_on_the_batch(variant, detector, images):
    if variant.name in SINGLE:  # before training its output is nearly the same for all images
        for p in detector.head.parameters():
            p.add_(0.1 * torch.randn_like(p))
        for layer in detector.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None
        detector.train()(images)
    if variant.name == "detr":
        separate_proposals(detector, images)
    both = detector.eval()(images)
    for k in range(2):
        assert_close(detector(images[k : k + 1]), select_image(both, k))
    with pytest.raises(AssertionError):  # the images differ by far more than the tolerance
        assert_close(select_image(both, 0), select_image(both, 1), tolerance=1e-3)


def separate_proposals(detector, images):
    """Few proposals with scores apart, whose order is that of the queries, so that rounding does not change it."""
    detector.queries.number = 10
    detector.queries.head.class_out.weight.mul_(300)
    scores = detector.eval()(images).dense.logits.amax(dim=2).sort(dim=1, descending=True).values
    used = scores[:, : detector.queries.number + 1]
    assert (used[:, :-1] - used[:, 1:]).min() > 1e-4  # rounding changes them by about 1e-6


@pytest.mark.rounding
@torch.no_grad()
def test_detections_do_not_depend_on_the_batch(variant, detector, images):
    output = separate_scores(detector.eval()(images))
    both = [detector.nms(candidates) for candidates in detector.decode(output)]
    for k in range(2):
        (candidates,) = detector.decode(select_image(output, k))
        alone = detector.nms(candidates)
        assert len(alone.scores) >= (1 if variant.name in SINGLE else 20)
        assert_same_detections(both[k], alone)


@pytest.mark.rounding
def test_predict_is_decode_and_nms(detector, images, monkeypatch):
    detector.eval()
    with torch.no_grad():
        output = separate_scores(detector(images))
        expected = [detector.nms(candidates) for candidates in detector.decode(output)]
    monkeypatch.setattr(detector, "forward", lambda batch: output if batch is images else None)
    for actual, of_image in zip(detector.predict(images), expected, strict=True):
        assert_same_detections(actual, of_image)


def test_methods_return_the_same_types_in_train_and_eval_mode(detector, images):
    for mode in (True, False):
        detector.train(mode)
        output = detector(images)
        assert isinstance(output, tuple)
        assert hasattr(output, "_fields")  # a NamedTuple
        assert isinstance(detector.losses(output, make_targets()), dict)
        assert all(isinstance(candidates, Detections) for candidates in detector.decode(output))


@pytest.mark.rounding
def test_state_dict_restores_a_detector(variant, detector, images):
    restored = variant.build(variant.config(), CLASSES)
    restored.load_state_dict(copy.deepcopy(detector.state_dict()))
    detector.eval(), restored.eval()
    for name, tensor in restored.state_dict().items():
        assert tensor.equal(detector.state_dict()[name]), name
    with torch.no_grad():
        assert_close(restored(images), detector(images))


def test_forward_can_be_exported(detector, images):
    detector.eval()
    with torch.no_grad():
        exported = torch.export.export(detector, (images,)).module()(images)
        expected = detector(images)
    assert_close(exported, expected)


def test_forward_compiles_to_one_graph(detector, images):
    detector.eval()
    with torch.no_grad():
        compiled = torch.compile(detector, fullgraph=True, backend="eager")(images)
        expected = detector(images)
    assert_close(compiled, expected)


def test_training_works_after_prediction(detector, images):
    detector.eval().predict(images)
    detector.train()
    sum(detector.losses(detector(images), make_targets()).values()).backward()


def test_variant_and_its_settings_are_described(variant):
    assert variant.summary
    assert variant.source
    assert variant.build.__doc__
    assert variant.config.__doc__
    assert issubclass(variant.config, DetectorConfig)
    undescribed = [name for name, field in variant.config.model_fields.items() if not field.description]
    sections = {
        "backbone",
        "candidates",
        "nms",
        "class_weights",
        "head",
        "focal",
        "loss",
        "components",
        "denoising",
        "proposals",
        "regions",
        "windows",
        "one_to_one",
    }
    assert set(undescribed) <= sections


def test_all_variants_keep_detections_by_the_same_rule(variant):
    nms = variant.config().nms
    assert (nms.score, nms.max_dets) == (0.01, 100)


def test_settings_survive_a_round_trip_through_json(variant):
    config = variant.config()
    assert variant.config.model_validate(config.model_dump(mode="json")) == config


def test_label_out_of_range_is_an_error(detector, images):
    wrong = [Targets(torch.tensor([[1.0, 1, 9, 9]]), torch.tensor([CLASSES])) for _ in range(2)]
    with pytest.raises(InputError, match=r"targets\[0\].labels: 3 to 3 with 3 classes; expected 0 to 2"):
        detector.losses(detector(images), wrong)


def test_wrong_number_of_targets_is_an_error(detector, images):
    with pytest.raises(InputError, match="expected one per image, 2, got 1"):
        detector.losses(detector(images), make_targets()[:1])


def test_images_of_wrong_shape_are_an_error(detector):
    with pytest.raises(InputError, match=r"images: expected shape \(B, 3, H, W\), got \(1, 1, 32, 32\)"):
        detector(torch.zeros(1, 1, 32, 32))
