"""Learning rate, parameter groups, clipping and running average, compared with closed forms and torch."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from bench.process.log import Log
from bench.settings.sections import Schedule, TrainConfig
from bench.training.lion import Lion
from bench.training.optimizer import make_optimizer
from bench.training.schedules import learning_rate_factor, set_learning_rate
from bench.training.step import Stepper
from bench.training.weight_average import WeightAverage
from detectors.backbones import BackboneConfig, make_backbone


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


def test_linear_and_polynomial_decay_in_closed_form():
    linear = TrainConfig(warmup=0.0, schedule="linear", final=0.2)
    assert [learning_rate_factor(step, 5, linear) for step in range(5)] == pytest.approx(
        [1, 0.8, 0.6, 0.4, 0.2]
    )
    square = TrainConfig(warmup=0.2, schedule="polynomial", power=2.0, final=0.0)
    assert [learning_rate_factor(step, 6, square) for step in range(6)] == pytest.approx(
        [0.5, 1, 1, 4 / 9, 1 / 9, 0]
    )


@pytest.mark.parametrize(("steps", "warmup"), [(40, 0.3), (10, 0.5), (7, 0.2)])
def test_one_cycle_is_that_of_torch(steps, warmup):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=steps, pct_start=warmup, cycle_momentum=False
    )
    config = TrainConfig(schedule="one_cycle", warmup=warmup, final=1 / 25e4)
    for step in range(steps):
        assert learning_rate_factor(step, steps, config) == pytest.approx(theirs.get_last_lr()[0], rel=1e-6)
        optimizer.step()
        theirs.step()


@pytest.mark.parametrize("schedule", get_args(Schedule))
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


def test_the_finer_layers_of_the_backbone_learn_more_slowly():
    """`backbone.frozen_stages` knows the layers up to a stride in another way: by what is not trained."""
    rates = {}
    for stages in range(1, 7):
        backbone = make_backbone(BackboneConfig(base_channel=4, frozen_stages=stages))
        coarser = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
        for name, _ in backbone.named_parameters():
            if name not in coarser:
                rates.setdefault(name, 0.1 * 0.5 * 0.8 ** (6 - stages))
    network = nn.Module()
    network.backbone = make_backbone(BackboneConfig(base_channel=4, norm="frozen"))
    network.backbone.requires_grad_(True)
    network.head = nn.Linear(2, 2)
    config = TrainConfig(lr=0.1, backbone_lr_scale=0.5, backbone_lr_decay=0.8)
    found = {
        id(p): group["initial_lr"]
        for group in make_optimizer(network, config).param_groups
        for p in group["params"]
    }
    assert {name: found[id(p)] for name, p in network.backbone.named_parameters()} == pytest.approx(rates)
    assert len(set(rates.values())) == 6
    assert found[id(network.head.weight)] == 0.1
    assert not any(
        layer.training for layer in network.backbone.modules() if isinstance(layer, nn.BatchNorm2d)
    )


def test_lion_is_the_algorithm_of_its_paper():
    """Chen et al. 2023, algorithm 2, in NumPy; one weight gets no gradient at times."""
    draw = np.random.default_rng(4)
    lr, first, second, decay = 0.03, 0.8, 0.99, 0.5
    theta, m = draw.normal(size=6), np.zeros(6)
    weight, idle = nn.Parameter(torch.from_numpy(theta.copy())), nn.Parameter(torch.ones(2))
    optimizer = Lion([{"params": [weight, idle]}], lr=lr, betas=(first, second), weight_decay=decay)
    for _ in range(7):
        g = draw.normal(size=6)
        c = first * m + (1 - first) * g
        theta = theta - lr * (np.sign(c) + decay * theta)
        m = second * m + (1 - second) * g
        weight.grad = torch.from_numpy(g.copy())
        optimizer.step()
        assert weight.detach().numpy() == pytest.approx(theta, rel=1e-12)
        assert optimizer.state[weight]["momentum"].numpy() == pytest.approx(m, rel=1e-12)
    assert idle.tolist() == [1, 1]


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion"])
def test_an_update_moves_against_the_gradient(name):
    layer = nn.Linear(3, 1, bias=False)
    before = layer.weight.detach().clone()
    optimizer = make_optimizer(layer, TrainConfig(optimizer=name, lr=0.01, weight_decay=0.0))
    layer.weight.grad = torch.tensor([[1.0, -2.0, 3.0]])
    optimizer.step()
    assert torch.equal(torch.sign(before - layer.weight.detach()), torch.tensor([[1.0, -1.0, 1.0]]))


@pytest.mark.parametrize("warmup", [1, 4, 10])
def test_the_average_follows_its_recursion(warmup):
    layer = nn.Linear(1, 1, bias=False)
    average = WeightAverage(layer, lambda: 10, warmup)  # decay 1 - 1/10
    expected = None
    for n, value in enumerate([1.0, 5.0, -3.0, 8.0, 2.0]):
        with torch.no_grad():
            layer.weight.fill_(value)
        average.update(layer)
        decay = min(0.9, (1 + n) / (warmup + n))
        expected = value if expected is None else decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)


def test_the_average_and_its_state_are_those_of_torch_s_averaged_model():
    """Oracle: torch's own averaging, with a constant decay; also after it continues from a stored state."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(2, 2).double())
    theirs = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    ours = WeightAverage(network, lambda: 4, 1)
    for step in range(4):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.copy_(torch.randn(tensor.shape) * 10)
        if step == 2:
            stored, ours = ours.state_dict(), WeightAverage(network, lambda: 4, 1)
            ours.load_state_dict(stored)
        theirs.update_parameters(network)
        ours.update(network)
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert all(map(torch.equal, ours.state_dict().values(), theirs.state_dict().values()))


def test_the_average_has_the_network_s_statistics():
    network = nn.Sequential(nn.BatchNorm2d(2))
    average = WeightAverage(network, lambda: 10)
    network(torch.randn(4, 2, 3, 3))
    average.update(network)
    assert torch.equal(average.module[0].running_mean, network[0].running_mean)


@pytest.mark.parametrize("size", [0.5, 0.9995, 1.0, 3.0, math.nan])
def test_gradients_are_clipped_as_by_torch(size):
    """Norms below the limit change no gradient; those just below it, above it or NaN are left to torch."""
    torch.manual_seed(0)
    networks = [nn.Linear(4, 3) for _ in range(2)]
    drawn = [torch.randn_like(each) for each in networks[0].parameters()]
    norm = math.sqrt(sum(float((each.double() ** 2).sum()) for each in drawn))
    for network in networks:
        for parameter, gradient in zip(network.parameters(), drawn, strict=True):
            parameter.grad = gradient * (2.0 * size / norm)
    ours, theirs = networks
    config = TrainConfig(clip=2.0)
    stepper = Stepper(ours, make_optimizer(ours, config), Accelerator(cpu=True), config, [], Log())
    clipped, expected = stepper._clip(), nn.utils.clip_grad_norm_(theirs.parameters(), 2.0)
    for got, wanted in zip([clipped, *grads(ours)], [expected, *grads(theirs)], strict=True):
        assert torch.equal(got.nan_to_num(-9.0), wanted.nan_to_num(-9.0))


def grads(network: nn.Module) -> list[torch.Tensor]:
    return [parameter.grad for parameter in network.parameters()]
