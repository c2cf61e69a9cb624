"""Distillation: the losses in closed form, what they are summed over, and who is trained."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision
from torch import nn

from detectors.coders import DeltaCoder, DistanceCoder, DistributionCoder
from detectors.distillation import DistilledDetector
from detectors.distillation_config import DistillConfig
from detectors.losses.classification import CrossEntropyLoss, FocalLoss
from detectors.losses.distillation import box_imitation, class_imitation
from detectors.registry import VARIANTS
from detectors.types import Targets
from metrics.errors import InputError

SIZE = (64, 64)
SOFTMAX, SIGMOID = CrossEntropyLoss(), FocalLoss()
RANDOM = torch.Generator().manual_seed(0)


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=RANDOM)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_class_imitation_is_the_divergence_of_the_softmax_at_the_temperature(temperature):
    student, teacher = logits(5, 4), logits(5, 4)
    found = class_imitation(student, teacher, SOFTMAX, SOFTMAX, temperature)
    one, other = ((each / temperature).softmax(-1).double() for each in (teacher, student))
    known = temperature**2 * (one * (one / other).log()).sum(-1)
    torch.testing.assert_close(found.double(), known, rtol=1e-4, atol=1e-5)  # computed in float32
    distributions = (
        torch.distributions.Categorical(logits=each / temperature) for each in (teacher, student)
    )
    known = temperature**2 * torch.distributions.kl_divergence(*distributions)
    torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-5)


def test_class_imitation_of_sigmoid_heads_sums_two_outcomes_of_each_class():
    student, teacher = logits(5, 3), logits(5, 3)
    pairs = (torch.distributions.Bernoulli(logits=each / 2) for each in (teacher, student))
    known = 4 * torch.distributions.kl_divergence(*pairs).sum(-1)
    found = class_imitation(student, teacher, SIGMOID, SIGMOID, 2.0)
    torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-5)


def test_a_softmax_head_imitates_the_scores_of_a_sigmoid_head():
    """Equal scores have no difference, whatever the channels: softmax logits ln(p) are those of ln(p / (1 - p))."""
    scores = torch.tensor([[0.2, 0.3], [0.7, 0.1]])
    softmax = torch.cat([1 - scores.sum(-1, keepdim=True), scores], -1).log()
    sigmoid = scores.logit()
    for student, teacher, kinds in (
        (softmax, sigmoid, (SOFTMAX, SIGMOID)),
        (sigmoid, softmax, (SIGMOID, SOFTMAX)),
    ):
        found = class_imitation(student, teacher, *kinds, 1.0)
        torch.testing.assert_close(found, torch.zeros(2), atol=1e-5, rtol=0)
    extreme = torch.tensor([[-200.0, 300.0, -100.0]], requires_grad=True)
    class_imitation(extreme, torch.zeros(1, 2), SOFTMAX, SIGMOID, 1.0).sum().backward()
    assert extreme.grad.isfinite().all()


def test_box_imitation_of_distributions_is_the_mean_divergence_of_the_sides():
    coder, shape = DistributionCoder(8), (3, 4, 9)
    student, teacher = logits(*shape), logits(*shape)
    priors = torch.zeros(3, 4)
    pairs = (torch.distributions.Categorical(logits=each / 3) for each in (teacher, student))
    known = 9 * torch.distributions.kl_divergence(*pairs).mean(-1)
    found = box_imitation(student.flatten(1), teacher.flatten(1), (priors, priors), (coder, coder), 3.0)
    torch.testing.assert_close(found, known, rtol=1e-4, atol=1e-5)


def test_box_imitation_of_other_codes_is_that_of_the_decoded_boxes():
    priors = torch.tensor([[0.0, 0, 8, 8], [8.0, 8, 24, 24]])
    other = torch.tensor([[0.0, 0, 16, 16], [0.0, 0, 32, 32]])
    student, teacher = 0.3 * logits(2, 4), 0.3 * logits(2, 4)
    coders = DeltaCoder(), DistanceCoder()
    boxes = coders[0].decode(student, priors), coders[1].decode(teacher, other)
    known = torchvision.ops.generalized_box_iou_loss(*boxes)
    torch.testing.assert_close(box_imitation(student, teacher, (priors, other), coders, 2.0), known)


def build(name: str, seed: int = 0, **settings) -> nn.Module:
    torch.manual_seed(seed)
    settings = {"backbone": {"base_channel": 4}, **settings}
    if name == "ssd":
        settings = {"neck_channels": (8,), "levels": 2, **settings}
    else:
        settings = {"head": {"channels": 8}, "levels": 3, **settings}
    variant = VARIANTS[name]
    return variant.build(variant.config.model_validate(settings), 3)


IMAGES = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
TARGETS = [Targets(torch.tensor([[8.0, 8, 40, 44]]), torch.tensor([k])) for k in (0, 2)]
ALL = DistillConfig(feature_weight=0.5)


@pytest.mark.parametrize("name", ["ssd", "gfl", "fcos", "retinanet", "atss", "dual"])
@torch.no_grad()
def test_a_student_that_equals_its_teacher_has_no_loss(name):
    student, teacher = build(name), build(name)
    distilled = DistilledDetector(student.eval(), teacher, ALL, SIZE)
    terms = distilled.loss_sums(distilled(IMAGES), TARGETS)
    for kind in ("class", "box", "feature"):
        assert float(terms[f"distill_{kind}"].total) == pytest.approx(0, abs=1e-4)
        assert float(terms[f"distill_{kind}"].normalizer) > 0
    own = student.loss_sums(student(IMAGES), TARGETS)
    assert all(torch.equal(terms[name].total, own[name].total) for name in own)


@pytest.mark.parametrize(("name", "other"), [("ssd", "ssd"), ("gfl", "fcos"), ("dual", "gfl")])
def test_only_student_and_adapters_are_trained(name, other):
    channels = {"neck_channels": (16,)} if other == "ssd" else {"head": {"channels": 16}}
    student, teacher = build(name), build(other, 1, backbone={"base_channel": 8}, **channels)
    before = {key: each.clone() for key, each in teacher.state_dict().items()}
    distilled = DistilledDetector(student, teacher, ALL, SIZE).train()
    assert not teacher.training
    assert len(distilled.adapters) == len(student.priors.per_cell)
    terms = distilled.loss_sums(distilled(IMAGES), TARGETS)
    sum(each.total for path, each in terms.items() if path.startswith("distill")).backward()
    assert all(each.grad is None for each in teacher.parameters())
    assert all(
        each.grad is not None and each.grad.abs().sum() > 0 for each in distilled.adapters.parameters()
    )
    assert any(each.grad is not None and each.grad.abs().sum() > 0 for each in student.backbone.parameters())
    assert all(torch.equal(each, before[key]) for key, each in teacher.state_dict().items())
    owned = {id(each) for each in distilled.parameters()}
    assert not owned & {id(each) for each in teacher.parameters()}
    assert set(distilled.normalizers(IMAGES, TARGETS)) == set(terms)
    for path, value in distilled.normalizers(IMAGES, TARGETS).items():
        torch.testing.assert_close(value.float(), terms[path].normalizer.float())


@torch.no_grad()
def test_terms_are_weighted_by_the_highest_score_of_the_teacher():
    """Two priors count: one with a score of 1 and a difference of ln 2, the others with (nearly) none."""
    student, teacher = build("fcos", quality="none"), build("fcos", 1, quality="none")
    distilled = DistilledDetector(student.eval(), teacher, DistillConfig(temperature=1.0, box_weight=0), SIZE)
    output = distilled(IMAGES)
    shape = output.teacher.logits.shape
    wanted = torch.full(shape, -100.0)
    wanted[0, 5, 1] = 100.0
    output = output._replace(
        student=output.student._replace(logits=torch.zeros(shape)),
        teacher=output.teacher._replace(logits=wanted),
    )
    term = distilled.loss_sums(output, TARGETS)["distill_class"]
    assert float(term.normalizer) == pytest.approx(1)
    assert float(term.total) == pytest.approx(3 * math.log(2))  # of three classes, each at 1/2


def test_networks_that_do_not_fit_are_refused():
    for student, teacher, message in [
        (
            build("ssd"),
            build("gfl"),
            r"the teacher has strides \(8, 16, 32\), the student \(8, 16\); they must be equal",
        ),
        (
            build("retinanet"),
            build("fcos"),
            r"the teacher has priors per cell \(1, 1, 1\), the student \(9, 9, 9\)",
        ),
        (build("ssd"), build("ssd", levels=3), "strides"),
        (build("ssd"), nn.Linear(1, 1), "the teacher is a Linear, not a dense detector"),
    ]:
        with pytest.raises(InputError, match=message):
            DistilledDetector(student, teacher, ALL, SIZE)
