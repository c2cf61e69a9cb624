"""Sampling of hard images: losses of single images, how often each is used, and that this is exact in a resumed training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from divided_steps import CASES, batch_of, detector_of
from forked import in_two_processes
from hypothesis import given
from hypothesis import strategies as st
from killing_log import Killed, KillingLog
from tiny_data import split_of
from tiny_runs import tiny_config

from bench.cli import main
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import Loader, make_loader
from bench.pipeline.sampling import SamplingConfig, hard_uses
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.training.image_losses import ImageLosses
from bench.training.loop import train
from detectors.types import divide_sums
from metrics.errors import InputError

HARD = SamplingConfig(rule="hard", pressure=4)


def uses_of(losses: list[float], **settings: object) -> list[float]:
    config = HARD.model_copy(update=settings)
    found = hard_uses(np.ones(len(losses)), np.array(losses), np.arange(len(losses)) < 2, config)
    return [float(value) for value in found]


def test_uses_fall_with_the_rank_of_the_loss_in_closed_form() -> None:
    """Ranks 0, 1, 2 of three images: 1, 1/2 and 1/4 of what the hardest has, 3 in total."""
    assert uses_of([0.1, 7.0, 0.3]) == pytest.approx([3 / 7, 12 / 7, 6 / 7])
    assert uses_of([0.1, float("nan"), 0.3]) == pytest.approx([3 / 7, 12 / 7, 6 / 7])
    assert uses_of([float("nan")] * 3) == [1, 1, 1]
    assert uses_of([5.0]) == [1]


@given(
    st.lists(st.floats(0, 100), min_size=3, max_size=30, unique=True),
    st.floats(1, 50),
    st.sampled_from([None, 0.5]),
)
def test_the_sum_of_uses_stays_and_the_hardest_is_used_most(
    losses: list[float], pressure: float, background: float | None
) -> None:
    """The first two images have no objects, and keep their share of an epoch if it is set."""
    found = np.array(uses_of(losses, pressure=pressure, background=background))
    assert found.sum() == pytest.approx(len(losses))
    groups = [np.arange(len(losses))] if background is None else [np.arange(2), np.arange(2, len(losses))]
    for rows in groups:
        ascending = found[rows][np.argsort(np.array(losses)[rows])]
        assert (np.diff(ascending) >= 0).all()
        if len(rows) > 1:
            assert ascending[-1] / ascending[0] == pytest.approx(pressure)
        if background is not None:
            assert ascending.sum() == pytest.approx(len(rows))


@pytest.mark.parametrize("case", CASES)
def test_the_loss_of_an_image_is_that_of_a_batch_with_it_alone(case: str) -> None:
    detector = detector_of(case)
    whole = batch_of([0, 1, 2, 3])
    sums = detector.loss_sums(detector(whole.images), whole.targets)
    known = {name: term.each() for name, term in sums.items() if term.each is not None}
    assert known
    assert not any(each.requires_grad for each in known.values())
    for number in range(4):
        one = batch_of([number])
        alone = divide_sums(detector.loss_sums(detector(one.images), one.targets))
        for name, each in known.items():
            assert float(each[number]) == pytest.approx(float(alone[name].detach()), rel=1e-5, abs=1e-6), (
                name,
                number,
            )


def batches_of(images: int, **more: object) -> Loader:
    pixels = [np.full((8, 8, 3), k, np.uint8) for k in range(images)]
    split = split_of(pixels, [[(0, (1, 1, 6, 6))]] * images)
    settings = {"batch_size": 4, "seed": 1, "shuffle": True, "workers": 0, "sampling": HARD, **more}
    return make_loader(split, ImageConfig(size=(8, 8)), **settings)


def test_images_with_known_high_losses_are_used_as_often_as_the_formula_says() -> None:
    """Simulation: losses rise with the number of the image and fall over the epochs, as those of a training do."""
    loader, counts, epochs = batches_of(12), np.zeros(12), 60
    losses = ImageLosses(loader, HARD, Accelerator(cpu=True), "ssd")
    for epoch in range(epochs + 1):
        losses.start_epoch(0)
        for batch in loader:
            losses.add([batch], (1.0 + batch.index) / (1 + epoch))
            if epoch:
                counts += np.bincount(batch.index.numpy(), minlength=12)
    factors = 4.0 ** (np.arange(12) / 11)
    expected = epochs * 12 * factors / factors.sum()
    assert counts.sum() == 12 * epochs
    # An image is used floor or ceil of its expected number of times in each epoch: a variance of at most 1/4.
    assert np.abs(counts - expected).max() < 5 * (epochs / 4) ** 0.5
    assert counts[11] > 2.5 * counts[0]


def test_losses_that_are_not_finite_are_not_noted() -> None:
    loader = batches_of(4)
    losses = ImageLosses(loader, HARD, Accelerator(cpu=True), "ssd")
    (batch,) = loader
    losses.add([batch], torch.where(batch.index == 2, torch.inf, 1.0))
    assert losses.state()["latest"].isnan().tolist() == [False, False, True, False]


def share_losses(rank: int, folder: Path) -> None:
    loader = batches_of(8, rank=rank, world=2)
    losses = ImageLosses(loader, HARD, Accelerator(cpu=True), "ssd")
    for batch in loader:
        losses.add([batch], batch.index * 2.0)
    torch.save(losses.state()["latest"], folder / f"{rank}.pt")


def test_two_processes_know_the_losses_of_both(tmp_path: Path) -> None:
    in_two_processes(lambda rank: share_losses(rank, tmp_path), tmp_path)
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt").tolist() == [2.0 * k for k in range(8)]


def trained(folder: Path, log: KillingLog | None = None, **settings: object):
    given = {"train__checkpoint_minutes": 1e-9, "train__epochs": 3, "train__sampling__rule": "hard"}
    config = tiny_config(**(given | {"train__average": 0.0} | settings))
    dataset = open_run_data(config)
    detector = build_detector(config, len(dataset.classes))
    result = train(detector, dataset.splits["train"], dataset.splits["val"], config, folder, log=log)
    return [row["loss"] for row in result.history], detector.state_dict()


def test_a_training_that_is_killed_uses_the_same_images_when_it_goes_on(tmp_path: Path) -> None:
    """Also with workers, which load two batches ahead. After the first epoch they differ from those without pressure."""
    losses, weights = trained(tmp_path / "whole")
    for after in (5, 4):  # within the second epoch, and within the third
        with pytest.raises(Killed):
            trained(tmp_path / "killed", KillingLog(after))
    for again in (trained(tmp_path / "killed"), trained(tmp_path / "workers", workers=1)):
        assert again[0] == losses
        assert all(again[1][name].equal(tensor) for name, tensor in weights.items())
    equal = trained(tmp_path / "equal", train__sampling__pressure=1.0)[0]
    assert equal[0] == losses[0]
    assert equal[1] != losses[1]


def test_fault_138_a_detector_without_losses_of_images_is_refused() -> None:
    loader = batches_of(4)
    losses = ImageLosses(loader, HARD, Accelerator(cpu=True), "mine")
    with pytest.raises(InputError) as caught:
        losses.add(list(loader), None)
    assert str(caught.value) == (
        "train.sampling.rule=hard: mine has no losses of single images; use another rule, or another variant"
    )


def test_fault_138_a_pressure_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--variant", "ssd", "--show-config", "--set", "train.sampling.rule=hard"]
    assert main([*words, "train.sampling.pressure=0.5"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: train.sampling.pressure: expected at least 1.0, got 0.5"
