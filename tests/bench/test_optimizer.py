"""Learning rate, parameter groups and running average, compared with closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from bench.settings.sections import TrainConfig
from bench.training.optimizer import make_average, make_optimizer
from bench.training.schedules import learning_rate_factor, set_learning_rate


def test_the_learning_rate_rises_to_its_highest_in_the_warm_up():
    config = TrainConfig(warmup=0.1)
    assert [learning_rate_factor(step, 100, config) for step in range(10)] == pytest.approx(
        [(step + 1) / 10 for step in range(10)]
    )


def test_the_cosine_ends_at_its_share_and_is_half_way_in_the_middle():
    config = TrainConfig(warmup=0.0, final=0.2)
    assert learning_rate_factor(0, 101, config) == pytest.approx(1.0)
    assert learning_rate_factor(50, 101, config) == pytest.approx((1 + 0.2) / 2)
    assert learning_rate_factor(25, 101, config) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert learning_rate_factor(100, 101, config) == pytest.approx(0.2)


def test_steps_multiply_at_each_milestone():
    config = TrainConfig(warmup=0.0, schedule="steps", milestones=(0.5, 0.8), decay=0.1)
    factors = [learning_rate_factor(step, 10, config) for step in range(10)]
    assert factors == pytest.approx([1] * 5 + [0.1] * 3 + [0.01] * 2)


@pytest.mark.parametrize("schedule", ["cosine", "steps", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 1.0])
def test_the_factor_is_always_above_zero_and_at_most_one(schedule, steps, warmup):
    config = TrainConfig(schedule=schedule, warmup=warmup)
    assert all(0 < learning_rate_factor(step, steps, config) <= 1 for step in range(steps))


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Linear(2, 2).requires_grad_(False)


def test_biases_and_norms_do_not_decay_and_the_backbone_learns_at_its_own_rate():
    network = Network()
    optimizer = make_optimizer(network, TrainConfig(lr=0.1, backbone_lr_scale=0.5, weight_decay=0.3))
    set_learning_rate(optimizer, 0.1)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    expected = {
        network.backbone[0].weight: (0.005, 0.3),
        network.backbone[0].bias: (0.005, 0.0),
        network.backbone[1].weight: (0.005, 0.0),
        network.backbone[1].bias: (0.005, 0.0),
        network.head.weight: (0.01, 0.3),
        network.head.bias: (0.01, 0.0),
    }
    assert found == {id(parameter): pytest.approx(settings) for parameter, settings in expected.items()}


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_an_update_moves_against_the_gradient(name):
    layer = nn.Linear(3, 1, bias=False)
    before = layer.weight.detach().clone()
    optimizer = make_optimizer(layer, TrainConfig(optimizer=name, lr=0.01, weight_decay=0.0))
    layer.weight.grad = torch.tensor([[1.0, -2.0, 3.0]])
    optimizer.step()
    assert torch.equal(torch.sign(before - layer.weight.detach()), torch.tensor([[1.0, -1.0, 1.0]]))


def test_the_average_follows_its_recursion():
    layer = nn.Linear(1, 1, bias=False)
    average = make_average(layer, 10)  # decay 1 - 1/10
    expected = None
    for n, value in enumerate([1.0, 5.0, -3.0, 8.0, 2.0]):
        with torch.no_grad():
            layer.weight.fill_(value)
        average.update_parameters(layer)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)


def test_the_average_has_the_network_s_statistics():
    network = nn.Sequential(nn.BatchNorm2d(2))
    average = make_average(network, 10)
    network(torch.randn(4, 2, 3, 3))
    average.update_parameters(network)
    assert torch.equal(average.module[0].running_mean, network[0].running_mean)
