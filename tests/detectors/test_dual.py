"""Dual assignment: two heads that are trained together, and one that predicts."""

from __future__ import annotations

import pytest
import torch

from detectors.registry import VARIANTS
from detectors.types import Targets

TARGETS = [
    Targets(torch.tensor([[6.0, 8, 40, 44], [30, 20, 62, 60]]), torch.tensor([0, 1])),
    Targets(torch.tensor([[10.0, 10, 50, 30]]), torch.tensor([2])),
]


def build(name="dual", **settings):
    torch.manual_seed(0)
    variant = VARIANTS[name]
    tree = {"backbone": {"base_channel": 4}, "head": {"channels": 16}, **settings}
    return variant.build(variant.config.model_validate(tree), 3)


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def of_head(terms, prefix):
    return sum(term for name, term in terms.items() if name.startswith("auxiliary_") == bool(prefix))


@pytest.mark.parametrize("inference", ["one_to_one", "one_to_many"])
def test_the_one_to_one_head_does_not_train_backbone_and_neck(images, inference):
    detector = build(inference=inference)
    terms = detector.losses(detector(images), TARGETS)
    shared = [*detector.backbone.parameters(), *detector.neck.parameters()]
    one, many = ("", "auxiliary_") if inference == "one_to_one" else ("auxiliary_", "")
    from_one = torch.autograd.grad(of_head(terms, one), shared, allow_unused=True, retain_graph=True)
    from_many = torch.autograd.grad(of_head(terms, many), shared, allow_unused=True)
    assert all(gradient is None for gradient in from_one)
    assert all(gradient is not None for gradient in from_many)


def test_the_loss_does_not_depend_on_the_head_that_predicts(images):
    terms = {}
    for inference in ("one_to_one", "one_to_many"):
        detector = build(inference=inference)
        terms[inference] = detector.losses(detector(images), TARGETS)
    for name in ("class", "box"):
        for first, second in (("one_to_one", "one_to_many"), ("one_to_many", "one_to_one")):
            assert terms[first][name].item() == pytest.approx(terms[second][f"auxiliary_{name}"].item())


def test_the_one_to_many_head_is_gfl(images):
    """The same weights give the losses and, after evaluation of that head, the detections of `gfl`."""
    dual, gfl = (
        build(inference="one_to_many", nms={"method": "hard", "iou": 0.6}),
        build("gfl", assigner="task_aligned"),
    )
    many = {
        name.replace("head.one_to_many.", "head."): tensor
        for name, tensor in dual.state_dict().items()
        if not name.startswith("head.one_to_one.")
    }
    gfl.load_state_dict(many)
    ours, theirs = (detector.losses(detector(images), TARGETS) for detector in (dual, gfl))
    for name in ("class", "box"):
        assert ours[name].item() == pytest.approx(theirs[name].item(), rel=1e-6)
    ours, theirs = (detector.eval().predict(images) for detector in (dual, gfl))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes)
        torch.testing.assert_close(one.scores, other.scores)


@pytest.mark.parametrize("inference", ["one_to_one", "one_to_many"])
def test_only_the_head_that_predicts_is_computed_in_evaluation(images, inference):
    detector = build(inference=inference)
    calls = []
    for name in ("one_to_one", "one_to_many"):
        getattr(detector.head, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    assert detector.train()(images).auxiliary is not None
    assert sorted(calls) == ["one_to_many", "one_to_one"]
    calls.clear()
    assert detector.eval()(images).auxiliary is None
    assert calls == [inference]


def test_with_equal_heads_the_positive_of_one_to_one_is_the_best_of_one_to_many(images):
    """Section 3.1: with the same alpha and beta, both heads rank the points of an object equally."""
    detector = build()
    detector.head.one_to_one.load_state_dict(detector.head.one_to_many.state_dict())
    with torch.no_grad():
        for layer in (detector.head.one_to_one, detector.head.one_to_many):
            generator = torch.Generator().manual_seed(3)
            for out in (layer.class_out, layer.box_out):
                out.weight.add_(torch.randn(out.weight.shape, generator=generator) * 0.3)
        output = detector(images)
    (one, assigner), (many, wide) = detector._heads(output)
    torch.testing.assert_close(one.logits, many.logits)
    _, single, _ = detector._assign(one, TARGETS, assigner, 2)
    _, several, _ = detector._assign(many, TARGETS, wide, 2)
    for image, target in enumerate(TARGETS):
        for number in range(len(target.labels)):
            (point,) = (single.objects[image] == number).nonzero().flatten().tolist()
            candidates = several.objects[image] == number
            assert candidates.sum() > 1
            assert candidates[point]
            best = several.scores[image][candidates].max()
            assert several.scores[image][point].item() == pytest.approx(best.item(), rel=1e-5)


def test_each_object_has_at_most_one_positive_in_the_one_to_one_head(images):
    detector = build()
    output = detector(images)
    (one, assigner), _ = detector._heads(output)
    _, assignment, _ = detector._assign(one, TARGETS, assigner, 2)
    for image, target in enumerate(TARGETS):
        counts = assignment.objects[image][assignment.objects[image] >= 0].bincount(
            minlength=len(target.labels)
        )
        assert counts.max() == 1


def test_normalizers_are_those_of_the_losses(images):
    detector = build()
    sums = detector.loss_sums(detector(images), TARGETS)
    normalizers = detector.normalizers(images, TARGETS)
    assert normalizers.keys() == sums.keys()
    for name, term in sums.items():
        assert normalizers[name].item() == pytest.approx(term.normalizer.item(), rel=1e-5), name


def test_each_head_has_its_own_exponent_of_the_class_loss(images):
    """Its change by one exponent is that of one head alone."""
    terms = {}
    for one, many in ((0.0, 2.0), (1.0, 2.0), (0.0, 1.0)):
        detector = build(one_to_one_beta=one, quality_beta=many)
        terms[one, many] = {
            name: term.item() for name, term in detector.losses(detector(images), TARGETS).items()
        }
    first = terms[0.0, 2.0]
    assert terms[1.0, 2.0]["class"] != pytest.approx(first["class"])
    assert terms[1.0, 2.0]["auxiliary_class"] == pytest.approx(first["auxiliary_class"])
    assert terms[0.0, 1.0]["class"] == pytest.approx(first["class"])
    assert terms[0.0, 1.0]["auxiliary_class"] != pytest.approx(first["auxiliary_class"])
