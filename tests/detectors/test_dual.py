"""Dual assignment: two class branches that are trained together, and one that predicts."""

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


INFERENCES = ("one_to_one", "one_to_many")


def class_terms(terms, inference):
    """Class losses of the one-to-one and of the one-to-many branch."""
    first, second = terms["class"], terms["auxiliary_class"]
    return (first, second) if inference == "one_to_one" else (second, first)


@pytest.mark.parametrize("inference", INFERENCES)
def test_the_one_to_one_branch_trains_itself_alone(images, inference):
    detector = build(inference=inference)
    terms = detector.losses(detector(images), TARGETS)
    many_head = detector.head.one_to_many
    groups = {
        "shared": [detector.backbone, detector.neck],
        "classes": [many_head.class_tower, many_head.class_out],
        "boxes": [many_head.box_tower, many_head.box_out],
        "one_to_one": [detector.head.one_to_one],
    }

    def moved(term):
        found = set()
        for name, modules in groups.items():
            parameters = [parameter for module in modules for parameter in module.parameters()]
            gradients = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True)
            if any(gradient is not None and gradient.any() for gradient in gradients):
                found.add(name)
        return found

    one, many = class_terms(terms, inference)
    assert moved(one) == {"one_to_one"}
    assert moved(many) == {"shared", "classes"}
    assert moved(terms["box"]) == {"shared", "boxes"}


def test_the_loss_does_not_depend_on_the_branch_that_predicts(images):
    terms = {}
    for inference in INFERENCES:
        detector = build(inference=inference)
        found = detector.losses(detector(images), TARGETS)
        terms[inference] = [term.item() for term in (*class_terms(found, inference), found["box"])]
    assert terms["one_to_one"] == pytest.approx(terms["one_to_many"])


def test_the_one_to_many_head_is_gfl(images):
    """The same weights give the losses and, after evaluation of that head, the detections of `gfl`."""
    dual, gfl = (
        build(inference="one_to_many", nms={"method": "hard", "iou": 0.6}),
        build("gfl"),
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


def test_the_one_to_one_branch_is_computed_in_training_and_where_it_predicts(images):
    for inference in INFERENCES:
        detector = build(inference=inference)
        calls = []
        detector.head.one_to_one.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        assert detector.train()(images).auxiliary is not None
        assert len(calls) == 1
        detector.eval()(images)
        assert len(calls) == (2 if inference == "one_to_one" else 1)


@pytest.mark.parametrize("towers", ["shared", "own"])
def test_without_a_correction_both_branches_have_equal_detections(images, towers):
    """The one-to-one branch adds to the one-to-many head's logits and has its boxes."""
    head = {"channels": 16, "towers": towers}
    one, many = (
        build(inference=inference, head=head, nms={"method": "hard", "iou": 0.6}) for inference in INFERENCES
    )
    for parameter in one.head.one_to_one.class_out.parameters():
        torch.nn.init.zeros_(parameter)
    many.load_state_dict(one.state_dict())
    for first, second in zip(*(detector.eval().predict(images) for detector in (one, many)), strict=True):
        assert len(first.boxes)
        assert torch.equal(first.boxes, second.boxes)
        assert torch.equal(first.scores, second.scores)


def test_without_a_correction_the_positive_of_one_to_one_is_the_best_of_one_to_many(images):
    """Section 3.1: with the same alpha and beta, both branches rank the points of an object equally."""
    detector = build(assigner="task_aligned", one_to_one={"alpha": 0.5, "beta": 6})
    head = detector.head
    with torch.no_grad():
        generator = torch.Generator().manual_seed(3)
        for out in (head.one_to_many.class_out, head.one_to_many.box_out):
            out.weight.add_(torch.randn(out.weight.shape, generator=generator) * 0.3)
        for parameter in head.one_to_one.class_out.parameters():
            torch.nn.init.zeros_(parameter)
        output = detector(images)
    first, second = detector._branches(output)
    torch.testing.assert_close(first.output.logits, second.output.logits)
    _, single, _ = detector._assign(first, TARGETS, 2)
    _, several, _ = detector._assign(second, TARGETS, 2)
    for image, target in enumerate(TARGETS):
        for number in range(len(target.labels)):
            (point,) = (single.objects[image] == number).nonzero().flatten().tolist()
            candidates = several.objects[image] == number
            assert candidates.sum() > 1
            assert candidates[point]
            best = several.scores[image][candidates].max()
            assert several.scores[image][point].item() == pytest.approx(best.item(), rel=1e-5)


def test_each_object_has_at_most_one_positive_in_the_one_to_one_branch(images):
    detector = build()
    one, _ = detector._branches(detector(images))
    _, assignment, _ = detector._assign(one, TARGETS, 2)
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


def test_each_branch_has_its_own_exponent_of_the_class_loss(images):
    """Its change by one exponent is that of one branch alone."""
    terms = {}
    for one, many in ((0.0, 2.0), (1.0, 2.0), (0.0, 1.0)):
        detector = build(one_to_one={"quality_beta": one}, beta=many)
        terms[one, many] = {
            name: term.item() for name, term in detector.losses(detector(images), TARGETS).items()
        }
    first = terms[0.0, 2.0]
    assert terms[1.0, 2.0]["class"] != pytest.approx(first["class"])
    assert terms[1.0, 2.0]["auxiliary_class"] == pytest.approx(first["auxiliary_class"])
    assert terms[0.0, 1.0]["class"] == pytest.approx(first["class"])
    assert terms[0.0, 1.0]["auxiliary_class"] != pytest.approx(first["auxiliary_class"])
