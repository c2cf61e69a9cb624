"""The gradient of a step does not depend on how its images are divided into parts, batches and processes."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from divided_steps import CASES, batch_of, gradient, gradients_in_two_processes, small
from torch import Tensor

from bench.process.log import Log
from bench.training.gradient import StepGradient
from detectors.registry import VARIANTS


def assert_same_gradient(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare gradients relative to the norm of all of them: sums of float32 losses differ by some 1e-7.

    Several processes have a gradient of 0 for parameters without one.
    """
    assert actual.keys() >= expected.keys()
    assert all(not actual[name].any() for name in actual.keys() - expected.keys())
    one, other = (torch.cat([each[name].flatten() for name in expected]) for each in (actual, expected))
    assert other.norm() > 0
    assert float((one - other).norm() / other.norm()) < 1e-5


def assert_same_step(actual: object, expected: object) -> None:
    """Compare gradients and terms of the loss."""
    assert_same_gradient(actual[0], expected[0])
    assert {name: float(term) for name, term in actual[1].items()} == pytest.approx(
        {name: float(term) for name, term in expected[1].items()}, rel=1e-5
    )


@cache
def whole_step(case: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradient and terms of a step that is not divided."""
    return gradient(case, [[0, 1, 2, 3]])


DIVISIONS = {
    "2 parts": ([[0, 1, 2, 3]], 2),
    "4 parts": ([[0, 1, 2, 3]], 4),
    "2 batches": ([[0, 1], [2, 3]], 1),
    "batches of 1 and 3 images": ([[2], [0, 1, 3]], 1),
    "2 batches in 2 parts each": ([[0, 3], [1, 2]], 2),
}


@pytest.mark.parametrize("case", CASES)
def test_a_divided_step_has_the_gradient_of_the_whole_one(case):
    for batches, parts in DIVISIONS.values():
        assert_same_step(gradient(case, batches, parts), whole_step(case))


@pytest.mark.parametrize("case", CASES)
def test_a_step_that_is_divided_for_lack_of_memory_has_the_gradient_of_the_whole_one(case):
    assert_same_step(gradient(case, [[0, 1, 2, 3]], largest=1), whole_step(case))


def test_two_processes_have_the_gradient_of_one(tmp_path):
    for results in gradients_in_two_processes(tmp_path):
        for case in CASES:
            for actual in results[case]:
                assert_same_step(actual, whole_step(case))


@pytest.mark.parametrize("variant", VARIANTS.names())
def test_dividing_a_step_updates_statistics_once_and_keeps_dropout_masks(variant):
    """The normalizers of a prediction are those of the pass that has gradients: batch statistics, equal dropout."""
    from accelerate import Accelerator

    class Counting(torch.nn.Module):
        """Adds noise from the global generator, as dropout does."""

        def forward(self, features):
            drawn.append(float(torch.rand(())))
            return features

    drawn: list[float] = []
    torch.manual_seed(0)
    detector = VARIANTS[variant].build(VARIANTS[variant].config.model_validate(small(variant)), 3)
    inner = getattr(detector, "localizer", detector)
    inner.neck = torch.nn.Sequential(inner.neck, Counting())
    detector.double().train()
    norms = [layer for layer in detector.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    step = StepGradient(detector, Accelerator(cpu=True), Log(), parts=2)
    step([batch_of([0, 1, 2, 3])])
    assert norms
    assert {int(layer.num_batches_tracked) for layer in norms} == {2}
    if hasattr(inner, "supervision") and inner.supervision.assigner.needs_prediction:
        assert drawn[:2] == drawn[2:]
    assert len(set(drawn[-2:])) == 2
    assert detector.training
