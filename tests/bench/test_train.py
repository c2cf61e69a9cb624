"""Training: it learns, keeps the best weights, and reports losses that are not finite and lack of memory."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from tiny_runs import tiny_config
from torch import nn

from bench.pipeline.predict import predict
from bench.process.log import Log
from bench.runs.detector import build_detector
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run_data
from bench.training import validation
from bench.training.checkpoint import load_state, load_weights, save_weights
from bench.training.device import pick_device
from bench.training.loop import train
from bench.training.seeding import seed_batch
from bench.training.step import LossNotFinite
from detectors.registry import VARIANTS
from detectors.types import LossSum
from metrics.errors import MachineError
from metrics.evaluator import evaluate
from metrics.pixel_labels import IGNORED
from metrics.segmentation import LabelMaps, Overlap


class Remembering(Log):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, dict[str, Any]]] = []

    def write(self, event: str, **facts: Any) -> None:
        self.events.append((event, facts))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.events if name == event]


def trained(config: RunConfig, folder: Path, change=lambda detector: None, **more: Any):
    dataset = open_run_data(config)
    detector = build_detector(config, len(dataset.classes))
    change(detector)
    result = train(detector, dataset.splits["train"], dataset.splits["val"], config, folder, **more)
    return result, detector


@pytest.mark.parametrize("variant", VARIANTS.names())
def test_every_variant_lowers_its_loss(variant, tmp_path):
    config = tiny_config(variant, train__epochs=6, train__lr=0.005, augment__iou_crop=0, augment__zoom_out=0)
    result, detector = trained(config, tmp_path)
    losses = [row["loss"] for row in result.history]
    # The targets of dual are its own predictions at first: its loss rises before it falls.
    assert losses[-1] < (max(losses) if variant == "dual" else losses[0])
    assert not detector.training


def test_classes_are_weighed_by_the_objects_of_the_training_split(tmp_path):
    config = tiny_config(class_weights__rule="inverse", train__epochs=0)
    _, detector = trained(config, tmp_path)
    truth = open_run_data(config).splits["train"].truth
    counts = [(truth.label == label).sum() for label in range(len(truth.catalog.classes))]
    weights = detector.supervision.class_loss.weights.tolist()
    assert len(set(counts)) > 1
    assert [n * w for n, w in zip(counts, weights, strict=True)] == pytest.approx(
        [counts[0] * weights[0]] * len(counts)
    )


def test_the_history_has_a_row_for_each_epoch(tmp_path):
    log = Remembering()
    result, _ = trained(tiny_config(train__epochs=3, train__validate_every=2), tmp_path, log=log)
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert [row["images_seen"] for row in result.history] == [12, 24, 36]
    assert [row["val_ap"] is None for row in result.history] == [True, False, False]
    for row in result.history:
        assert row["loss"] == pytest.approx(row["class"] + row["box"])
    seconds = [row["seconds"] for row in result.history]
    assert seconds == sorted(seconds)
    assert result.images_seen == 36
    assert log.named("epoch") == result.history


def test_the_weights_with_the_best_validation_ap_are_kept(tmp_path, monkeypatch):
    scores = iter([0.1, 0.4, 0.4, 0.2])
    states = []

    class Evaluated:
        matches = SimpleNamespace(at=lambda threshold: threshold, rule=SimpleNamespace(iou_thresholds=(0.5,)))

        def __init__(self) -> None:
            self.headline = {"ap": next(scores), "ap50": 0.5}

    def remember(detector, *args, **settings):
        states.append({name: tensor.clone() for name, tensor in detector.state_dict().items()})

    monkeypatch.setattr(validation, "predict", remember)
    monkeypatch.setattr(validation.Validation, "compile", lambda self: None)
    monkeypatch.setattr(validation, "evaluate", lambda *args, **settings: Evaluated())
    thresholds = iter([0.1, 0.2])  # of the epochs with the best AP so far
    monkeypatch.setattr(
        validation, "score_curve", lambda outcome: SimpleNamespace(best=lambda: (next(thresholds), outcome))
    )
    result, detector = trained(tiny_config(train__epochs=4, train__validate_every=1), tmp_path)
    assert (result.best_epoch, result.best_score) == (2, 0.2)
    for name, tensor in detector.state_dict().items():
        assert torch.equal(tensor, states[1][name]), name
    assert sorted(path.name for path in tmp_path.glob("best-*")) == ["best-0000006.safetensors"]


SMALL = {"channels": 4, "max_channels": 8, "data__train": 4, "data__val": 2}


def test_the_weights_of_a_variant_with_label_maps_are_those_with_the_best_validation_miou(
    tmp_path, monkeypatch
):
    """Its AP, of the components' boxes, is best in another epoch."""
    aps, mious = iter([0.1, 0.2, 0.9, 0.3]), iter([0.2, 0.6, 0.4, 0.6])
    states = []

    def remember(detector, split, *args, label_maps, **settings):
        states.append({name: tensor.clone() for name, tensor in detector.state_dict().items()})
        return predict(detector, split, *args, label_maps=label_maps, **settings)

    def evaluated(*args, **settings):
        return SimpleNamespace(
            headline={"ap": next(aps), "ap50": 0.5}, matches=evaluate(*args, **settings).matches
        )

    monkeypatch.setattr(validation, "predict", remember)
    monkeypatch.setattr(validation, "evaluate", evaluated)
    monkeypatch.setattr(validation.Validation, "compile", lambda self: None)
    monkeypatch.setattr(Overlap, "mean_iou", property(lambda self: next(mious)))
    config = tiny_config("unet", **SMALL, train__epochs=4, train__validate_every=1, train__average=0)
    result, detector = trained(config, tmp_path)
    assert [row["val_miou"] for row in result.history] == [0.2, 0.6, 0.4, 0.6]
    assert [row["val_ap"] for row in result.history] == [0.1, 0.2, 0.9, 0.3]
    assert result.best_epoch == 2
    for name, tensor in detector.state_dict().items():
        assert torch.equal(tensor, states[1][name]), name


def test_the_validation_miou_is_that_of_the_label_maps(tmp_path):
    config = tiny_config("unet", **SMALL, train__epochs=1)
    result, detector = trained(config, tmp_path)
    split = open_run_data(config).splits["val"]
    total = LabelMaps(("background", *split.truth.catalog.classes))
    predict(
        detector, split, config.image, label_maps=lambda at, found: total.update(split.label_maps(at), found)
    )
    assert result.history[0]["val_miou"] == pytest.approx(total.compute().mean_iou)


def test_without_masks_on_the_validation_images_the_best_ap_is_kept_and_noted(tmp_path):
    config = tiny_config("unet", **SMALL, train__epochs=1)
    splits = open_run_data(config).splits
    ignored = np.full((64, 64), IGNORED, np.uint8)
    for label_maps in (None, lambda index: ignored):
        detector = build_detector(config, len(splits["train"].truth.catalog.classes))
        val = replace(splits["val"], label_maps=label_maps)
        result = train(detector, splits["train"], val, config, tmp_path / str(label_maps is None))
        assert result.best_epoch == 1
        assert result.history[0]["val_miou"] is None
        assert "the validation images have no masks, so the weights with the best AP are kept" in result.notes


def test_without_a_defined_ap_the_last_weights_are_kept(tmp_path, monkeypatch):
    class Headline:
        headline = {"ap": math.nan, "ap50": math.nan}  # noqa: RUF012

    monkeypatch.setattr(validation, "evaluate", lambda *args, **settings: Headline())
    config = tiny_config(train__average=0.0)
    result, detector = trained(config, tmp_path)
    assert result.best_epoch == 0
    assert any(
        not torch.equal(tensor, other)
        for tensor, other in zip(
            detector.state_dict().values(), build_detector(config, 5).state_dict().values(), strict=True
        )
    )


def test_no_epochs_leave_the_weights_as_they_are(tmp_path):
    config = tiny_config(train__epochs=0)
    result, detector = trained(config, tmp_path)
    assert result.history == []
    for name, tensor in build_detector(config, 5).state_dict().items():
        assert torch.equal(tensor, detector.state_dict()[name]), name


def test_the_same_seed_gives_the_same_weights_and_another_gives_others():
    one, same, other = (build_detector(tiny_config(seed=seed), 5).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_each_batch_has_random_numbers_of_its_own():
    def drawn(*place: int) -> torch.Tensor:
        seed_batch(*place)
        return torch.rand(4)

    assert torch.equal(drawn(0, 1, 2), drawn(0, 1, 2))
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0, 1)]
    assert len({tuple(drawn(*place).tolist()) for place in places}) == len(places)


def test_random_numbers_of_a_batch_are_those_of_the_seed_of_accelerate():
    def drawn() -> list[float]:
        return [random.random(), np.random.rand(), float(torch.rand(())), float(torch.randn(()))]  # noqa: NPY002

    for batch in range(3):
        seed_batch(7, 1, batch)
        found = drawn()
        set_seed(int(np.random.SeedSequence([7, 1, batch, 0]).generate_state(1)[0]))
        assert found == drawn()


def poison(detector: nn.Module, image_sum: set[float]) -> None:
    """Make the loss of a batch NaN where one of its images sums up to one of these."""
    forward, loss_sums = detector.forward, detector.loss_sums

    def remembering(images):
        detector.poisoned = any(round(float(image.double().sum()), 3) in image_sum for image in images)
        return forward(images)

    def poisoned(output, targets):
        sums = loss_sums(output, targets)
        factor = float("nan") if detector.poisoned else 1.0
        return {name: LossSum(each.total * factor, each.normalizer) for name, each in sums.items()}

    detector.forward = remembering
    detector.loss_sums = poisoned


def plain(**more: Any) -> RunConfig:
    """A run whose images reach the network as they are."""
    off = {f"augment__{name}": 0 for name in ("flip", "zoom_out", "iou_crop", "photometric")}
    return tiny_config(**off | more)


def sums(config: RunConfig, ids: list[str]) -> set[float]:
    split = open_run_data(config).splits["train"]
    places = [split.truth.catalog.image_ids.index(name) for name in ids]
    return {
        round(float((torch.from_numpy(split.load(i).copy()).float() / 255).double().sum()), 3) for i in places
    }


def test_fault_39_a_loss_that_is_not_finite_stops_and_names_the_image(tmp_path):
    config = plain()
    log = Remembering()
    victim = "train-000003"
    with pytest.raises(LossNotFinite) as caught:
        trained(config, tmp_path, lambda detector: poison(detector, sums(config, [victim])), log=log)
    assert caught.value.image_ids == (victim,)
    assert str(caught.value) == (
        f"the loss is not finite (NaN or infinite) on images {victim}; look at their boxes, lower train.lr, "
        "or skip such steps with --set train.not_finite=skip"
    )
    assert caught.value.exit_code == 4
    assert caught.value.quantity == "loss"
    assert log.named("loss_not_finite") == [{"quantity": "loss", "images": [victim]}]


def test_fault_39_such_steps_can_be_left_out(tmp_path):
    config = plain(train__not_finite="skip", train__epochs=3)
    log = Remembering()
    change = lambda detector: poison(detector, sums(config, ["train-000003"]))  # noqa: E731
    result, detector = trained(config, tmp_path, change, log=log)
    left_out = log.named("step_left_out")
    assert len(left_out) == 3
    assert all("train-000003" in facts["images"] for facts in left_out)
    assert all(math.isfinite(row["loss"]) for row in result.history)
    assert all(torch.isfinite(tensor).all() for tensor in detector.state_dict().values())


def test_fault_39_too_many_of_them_in_a_row_stop_all_the_same(tmp_path):
    config = plain(train__not_finite="skip", train__not_finite_limit=2)
    ids = [f"train-{i:06d}" for i in range(12)]
    with pytest.raises(LossNotFinite, match="not finite 2 times in a row"):
        trained(config, tmp_path, lambda detector: poison(detector, sums(config, ids)))


@pytest.mark.parametrize("clip", [10.0, 0.0])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_fault_39_a_gradient_that_is_not_finite_is_found_before_it_reaches_the_weights(
    tmp_path, clip, precision
):
    def change(detector: nn.Module) -> None:
        loss_sums = detector.loss_sums
        # The derivative of sqrt at 0 is infinite, its value is not.
        detector.loss_sums = lambda output, targets: (
            loss_sums(output, targets)
            | {"odd": LossSum((output.logits.sum() * 0).abs().sqrt(), torch.tensor(1.0))}
        )

    log = Remembering()
    with pytest.raises(LossNotFinite) as caught:
        trained(plain(train__clip=clip, train__precision=precision), tmp_path, change, log=log)
    assert caught.value.quantity == "gradient"
    first = log.named("loss_not_finite")[0]
    assert first["quantity"] == "gradient"
    advice = "" if precision == "no" else "train in float32 (train.precision=no), "
    assert str(caught.value) == (
        f"the loss is finite, but its gradient is not (NaN or infinite), on images {', '.join(first['images'])}; "
        f"{advice}lower train.lr, or skip such steps with --set train.not_finite=skip"
    )


def out_of_memory_above(detector: nn.Module, images: int) -> None:
    forward = detector.forward

    def limited(batch):
        if detector.training and len(batch) > images:
            raise torch.OutOfMemoryError("CUDA out of memory (played)")
        return forward(batch)

    detector.forward = limited


def test_fault_41_a_batch_that_does_not_fit_is_divided_and_keeps_its_size(tmp_path):
    log = Remembering()
    config = tiny_config(train__batch=8, train__epochs=1, train__average=0)
    result, _ = trained(config, tmp_path, lambda detector: out_of_memory_above(detector, 2), log=log)
    assert [facts["parts"] for facts in log.named("out_of_memory")] == [2, 4]
    assert result.images_seen == 12


def test_fault_41_after_three_halvings_the_error_names_what_to_lower(tmp_path):
    config = tiny_config(train__batch=12)
    with pytest.raises(
        MachineError, match=r"out of memory on cpu, even with 8 parts of a batch of 12; lower train.batch"
    ):
        trained(config, tmp_path, lambda detector: out_of_memory_above(detector, 0))


def test_fault_39_losses_that_are_not_checked_each_step_are_checked_before_saving(tmp_path, monkeypatch):
    from bench.training.step import Stepper

    real = Stepper.__init__

    def patient(self, *args, **settings):
        real(self, *args, **settings)
        self.checks_each = False  # as on a GPU

    monkeypatch.setattr(Stepper, "__init__", patient)
    config = plain(train__log_every=100, train__checkpoint_minutes=1e-9)
    log = Remembering()
    with pytest.raises(LossNotFinite) as caught:
        trained(config, tmp_path, lambda detector: poison(detector, sums(config, ["train-000003"])), log=log)
    assert "train-000003" in caught.value.image_ids
    assert len(caught.value.image_ids) == 4  # the batch: spoilt weights cannot check single images
    assert all(facts["batch"] < 3 for facts in log.named("saved"))
    state = load_state(tmp_path)
    assert state is None or all(torch.isfinite(tensor).all() for tensor in state[1]["detector"].values())


def test_fault_42_an_absent_device_is_an_error_with_the_available_ones():
    with pytest.raises(MachineError, match=r"device 'cuda:99' cannot be used \(.*\); available: cpu"):
        pick_device("cuda:99")
    with pytest.raises(MachineError, match="device 'tpu9' cannot be used") as refused:
        pick_device("tpu9")
    assert len(str(refused.value)) < 350  # torch lists all of its devices
    assert pick_device("cpu") == torch.device("cpu")


def test_weights_survive_a_file(tmp_path):
    config = tiny_config()
    one = build_detector(config, 5)
    save_weights(tmp_path / "w.safetensors", one)
    other = build_detector(config.with_seed(9), 5)
    load_weights(tmp_path / "w.safetensors", other)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_what_report_raises_ends_the_training_with_its_state_saved(tmp_path):
    class Pruned(Exception):
        pass

    reported = []

    def report(images_seen, share, measures):
        reported.append((images_seen, share, sorted(measures)))
        raise Pruned

    config = tiny_config(train__epochs=2, train__validate_every=1)
    with pytest.raises(Pruned):
        trained(config, tmp_path, report=report)
    assert reported == [(12, 0.5, ["ap", "ap50"])]
    result, _ = trained(config, tmp_path)
    assert [row["epoch"] for row in result.history] == [1, 2]
