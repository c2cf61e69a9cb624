"""Range test of the learning rate: a quadratic loss, of which the limit of stability is known, and a detector."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import tiny_config, tiny_sets
from torch import nn

from bench.cli import main
from bench.learning_rate.finder import find_learning_rate
from bench.learning_rate.range_test import RangeTest, RateRange, run_range_test
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.training.loop import train
from metrics.errors import InputError


def on_quadratic(curvature: float, smoothing: float, noise: float = 0.0, steps: int = 200) -> RangeTest:
    """Gradient descent on L/2 (x - noise)^2, from rates far below the limit 2/L to rates far above it."""
    x = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([x], lr=1.0)
    generator = torch.Generator().manual_seed(1)

    def step(rate: float) -> float:
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        centre = noise * torch.randn(1, generator=generator, dtype=torch.float64)
        loss = curvature / 2 * ((x - centre) ** 2).sum()
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return run_range_test(step, RateRange(1e-3 / curvature, 1e3 / curvature, steps).rates(), smoothing)


@settings(max_examples=12)
@given(st.floats(-6, 6).map(lambda power: 10.0**power))
def test_without_smoothing_the_lowest_loss_is_at_the_limit_of_stability(curvature: float) -> None:
    result = on_quadratic(curvature, smoothing=0.0)
    growth = (1e6) ** (1 / 199)
    # The loss of a step is that before its update: the first that is higher follows the first rate above the limit.
    assert 2 / curvature <= result.lowest * growth**1.001 <= 2 / curvature * growth**2.001
    assert result.diverged
    assert result.suggestion < 2 / curvature


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
def test_with_noise_and_smoothing_the_loss_diverges_just_beyond_the_limit_of_stability(noise: float) -> None:
    result = on_quadratic(3.0, smoothing=0.9, noise=noise)
    assert result.diverged
    assert 2 / 3 < result.rate[-1] < 4 * 2 / 3
    assert result.steepest < result.lowest < 2 / 3 * 1.5


def test_the_suggestion_scales_as_the_inverse_of_the_loss() -> None:
    one, thousand = (on_quadratic(curvature, 0.9, 0.1) for curvature in (1.0, 1024.0))
    assert one.steepest == pytest.approx(1024 * thousand.steepest, rel=1e-9)
    assert one.lowest == pytest.approx(1024 * thousand.lowest, rel=1e-9)


def test_the_running_average_is_that_of_pandas() -> None:
    import pandas as pd

    losses = np.random.default_rng(0).uniform(1, 2, 60)
    of_step = iter(losses.tolist())
    result = run_range_test(lambda rate: next(of_step), np.geomspace(1e-4, 1, 60).tolist(), smoothing=0.8)
    expected = pd.Series(losses).ewm(alpha=0.2, adjust=True).mean()
    np.testing.assert_allclose(result.smoothed, expected, rtol=1e-12)
    assert not result.diverged


def test_the_steepest_descent_is_that_of_a_known_curve() -> None:
    rates = np.array(RateRange(1e-5, 1, 400).rates())
    of_step = iter(
        (1 / (1 + (rates / 3e-3) ** 2)).tolist()
    )  # a logistic curve of log(rate), steepest at 3e-3
    result = run_range_test(lambda rate: next(of_step), rates.tolist(), smoothing=0.0)
    assert result.steepest == pytest.approx(3e-3, rel=0.03)
    assert result.suggestion == pytest.approx(3e-3, rel=0.05)


def test_a_loss_that_never_falls_or_is_not_finite_suggests_nothing() -> None:
    rates = RateRange(1e-3, 1, 40).rates()
    rising = run_range_test(lambda rate: 1 + rate, rates)
    assert math.isnan(rising.suggestion)
    assert not rising.diverged
    broken = run_range_test(lambda rate: math.nan, rates)
    assert broken.diverged
    assert len(broken.rate) == 0
    assert math.isnan(broken.suggestion)


@pytest.mark.parametrize(
    ("lowest", "highest", "steps"), [(0.0, 1, 50), (1, 1, 50), (2, 1, 50), (1e-3, math.inf, 50), (1e-3, 1, 9)]
)
def test_ranges_that_cannot_be_tested_are_refused(lowest: float, highest: float, steps: int) -> None:
    with pytest.raises(InputError, match=r"learning rates from|needs at least 10"):
        RateRange(lowest, highest, steps)


def test_a_detector_is_tested_with_its_settings_and_its_training_is_unchanged(tmp_path: Path) -> None:
    config = tiny_config(train__optimizer="sgd", train__average=0.1, train__epochs=1, workers=0)
    dataset = open_run_data(config)
    split = dataset.splits["train"]
    torch.set_num_threads(1)

    def trained(folder: str) -> dict[str, torch.Tensor]:
        detector = build_detector(config, len(dataset.classes))
        train(detector, split, dataset.splits["val"], config, tmp_path / folder)
        return detector.state_dict()

    before = trained("before")
    results = [
        find_learning_rate(
            build_detector(config, len(dataset.classes)), split, config, RateRange(1e-4, 1e4, 40)
        )
        for _ in range(2)
    ]
    after = trained("after")
    assert all(torch.equal(before[name], after[name]) for name in before)
    first, second = results
    np.testing.assert_array_equal(first.loss, second.loss)
    assert first.diverged
    assert first.rate[-1] < 1e4
    assert len(first.rate) >= 10  # more than one epoch of 3 batches


def test_the_command_writes_settings_figure_and_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["learning-rate", "--variant", "ssd", "--steps", "30", "--lowest", "1e-5", "--highest", "1"]
    words += ["--out", str(tmp_path / "rates"), "--quiet", "--set", *tiny_sets("ssd"), "workers=0"]
    assert main([*words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    folder = Path(shown["folder"])
    assert sorted(path.name for path in folder.iterdir()) == [
        "learning-rate.png", "learning-rate.svg", "learning-rate.toml", "range-test.csv",
    ]  # fmt: skip
    assert (folder / "range-test.csv").read_text().startswith("rate,loss,smoothed\n")
    assert 1e-5 < shown["suggestion"] < 1
    assert main(["config", "--variant", "ssd", "--config", str(folder / "learning-rate.toml"), "--json"]) == 0
    (chosen,) = json.loads(capsys.readouterr().out)["entries"]
    assert chosen["train"]["lr"] == shown["suggestion"]
    assert main(words) == 0
    text = capsys.readouterr().out
    assert (
        f"Suggested learning rate: {shown['suggestion']}, where the loss falls fastest (steepest descent)."
        in text
    )


def test_fault_129_the_command_says_how_to_mend_a_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["learning-rate", "--variant", "ssd", "--lowest", "1", "--highest", "0.1", "--quiet"]
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert "expected 0 < lowest < highest" in capsys.readouterr().err
