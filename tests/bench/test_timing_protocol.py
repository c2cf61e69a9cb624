"""Passes, their order and the conditions of a timing, on a clock that the test advances."""

from __future__ import annotations

import fcntl
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import split_of
from torch import Tensor, nn

from bench.pipeline.input_settings import ImageConfig
from bench.timing import Clock, conditions
from bench.timing.conditions import ClockReadings, disturbances, is_crowded
from bench.timing.inspection import equal_detections, measure_memory
from bench.timing.passes import Passes
from bench.timing.sampling import sample
from bench.timing.schedule import PassKind, Protocol, pass_kinds, turns
from bench.timing.timed_run import TimedRun, batch_at, chosen_images
from detectors.types import Detections
from metrics.errors import MachineError
from metrics.tables import Catalog, DetectionTable

CPU = torch.device("cpu")


class ManualClock:
    """A clock that advances only by hand, and counts synchronisations."""

    def __init__(self) -> None:
        self.ns = 0
        self.waited = 0

    def take(self, ms: float) -> None:
        self.ns += round(ms * 1e6)

    def clock(self, asynchronous: bool = False) -> Clock:
        def wait() -> None:
            self.waited += 1

        return Clock(lambda: self.ns, wait, asynchronous)


class Parts(nn.Module):
    """A detector whose parts take known times: forward 8 ms + 2 ms per image, decoding 3 ms, NMS 1 ms per image."""

    def __init__(self, manual: ManualClock, most: int = 99) -> None:
        super().__init__()
        self.manual = manual
        self.most = most
        self.threshold = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.manual.take(8 + 2 * len(images))
        return images

    def decode(self, output: Tensor) -> list[Detections]:
        self.manual.take(3)
        box = torch.tensor([[8.0, 4, 24, 12]])
        return [Detections(box, torch.ones(1), torch.zeros(1, dtype=torch.int64)) for _ in output]

    def nms(self, candidates: Detections) -> Detections:
        self.manual.take(1)
        return candidates

    def predict(self, images: Tensor) -> list[Detections]:
        return [self.nms(candidates) for candidates in self.decode(self(images))]


class Whole:
    """A predictor without parts: 20 ms per batch."""

    def __init__(self, manual: ManualClock) -> None:
        self.manual = manual

    def predict(self, images: Tensor) -> list[Detections]:
        self.manual.take(20)
        empty = torch.zeros(0)
        return [Detections(torch.zeros(0, 4), empty, empty.long()) for _ in images]


def passes_of(predictor, manual: ManualClock, count: int = 6, asynchronous: bool = False) -> Passes:
    """Passes on `count` images, each half as large as the input; reading one takes 5 ms."""
    pictures = [np.full((16, 32, 3), 10 * k, dtype=np.uint8) for k in range(count)]
    split = split_of(pictures, [[(0, (0, 0, 5, 5))]] * count)

    def load(index: int) -> np.ndarray:
        manual.take(5)
        return pictures[index]

    timed = TimedRun(None, predictor, replace(split, load=load), ImageConfig(size=(32, 64)), CPU)
    return Passes(timed, manual.clock(asynchronous))


def test_every_stage_is_timed_exactly_and_stages_add_up_to_the_whole():
    manual = ManualClock()
    taken = passes_of(Parts(manual), manual)([0, 1, 2])
    ms = {stage: ns / 1e6 for stage, ns in taken.ns.items()}
    assert ms == {"decode": 15, "preprocess": 0, "forward": 14, "postprocess": 6, "end_to_end": 35}


def test_detections_are_in_pixels_of_the_original_image():
    manual = ManualClock()
    (found,) = passes_of(Parts(manual), manual)([0]).detections
    assert found.boxes.tolist() == [[4, 2, 12, 6]]  # the input is twice the image


def test_a_predictor_without_parts_has_a_single_predict_stage():
    manual = ManualClock()
    ms = {stage: ns / 1e6 for stage, ns in passes_of(Whole(manual), manual)([3]).ns.items()}
    assert ms == {"decode": 5, "preprocess": 0, "predict": 20, "end_to_end": 25}


def test_on_an_asynchronous_device_the_whole_is_timed_without_synchronising_between_stages():
    manual = ManualClock()
    model = passes_of(Parts(manual), manual, asynchronous=True)
    taken = model([0])
    assert sum(ns for stage, ns in taken.ns.items() if stage != "end_to_end") == taken.ns["end_to_end"]
    assert manual.waited == 5 + 2  # at each clock reading of the staged pass; at both ends of the whole pass
    manual.waited = 0
    replace(model, clock=manual.clock())([0])
    assert manual.waited == 5  # stages and whole in one pass


@pytest.mark.parametrize(
    ("models", "rounds", "order"),
    [(2, 2, "ABBA"), (2, 4, "ABBAABBA"), (3, 2, "ABCCBA"), (1, 3, "AAA")],
)
def test_models_take_turns_in_alternating_order(models, rounds, order):
    assert "".join("ABC"[turn.model] for turn in turns(models, rounds)) == order


@given(st.integers(1, 5), st.integers(1, 6))
def test_in_an_even_number_of_rounds_all_models_have_the_same_mean_position(models, rounds):
    order = [turn.model for turn in turns(models, 2 * rounds)]
    mean = {model: np.mean([at for at, who in enumerate(order) if who == model]) for model in range(models)}
    assert len({round(float(place), 9) for place in mean.values()}) == 1
    assert set(Counter(order).values()) == {2 * rounds}


def test_single_images_get_all_seconds_and_other_kinds_a_quarter():
    plan = pass_kinds(Protocol(processes=2, rounds=5, seconds=20.0, batches=(1, 2, 8)))
    assert plan == [
        PassKind("real", 1, 2.0, 5), PassKind("fixed", 1, 0.5, 3), PassKind("real", 2, 0.5, 2), PassKind("real", 8, 0.5, 2),
    ]  # fmt: skip
    assert [kind.batch for kind in pass_kinds(Protocol(), (1, 4))] == [1, 1, 4]


def test_images_are_the_same_for_all_models_and_repeat_after_the_last():
    assert chosen_images(30) == chosen_images(30)
    assert sorted(chosen_images(30)) == list(range(30))
    assert len(set(chosen_images(5000))) == 100
    assert batch_at([7, 3, 5], 2, 4) == [5, 7, 3, 5]


def sampled(manual: ManualClock, models, protocol: Protocol, number: int = 0, batches=None):
    turns_taken = []
    batches = batches or [protocol.batches] * len(models)
    samples = sample(
        models, [4, 2, 0, 5, 1, 3], [f"image {k}" for k in range(6)], protocol, number, batches,
        lambda round, model: turns_taken.append((round, model)),
    )  # fmt: skip
    return samples, turns_taken


def test_a_process_times_its_models_in_turn_for_the_given_time():
    manual = ManualClock()
    models = [passes_of(Parts(manual), manual), passes_of(Whole(manual), manual)]
    protocol = Protocol(processes=1, rounds=2, seconds=1.0, batches=(1, 2))
    (first, second), turns_taken = sampled(manual, models, protocol)
    assert turns_taken == [(0, 0), (0, 1), (1, 1), (1, 0)]
    one = [row for row in first.rows if (row[3], row[4], row[5]) == ("real", 1, "end_to_end")]
    assert {row[6] for row in one} == {19_000_000}
    assert len(one) == 2 * 27  # half a second per turn is 27 passes of 19 ms
    two = [row for row in first.rows if (row[3], row[4], row[5]) == ("real", 2, "end_to_end")]
    assert {row[6] for row in two} == {27_000_000}
    assert {row[6] for row in second.rows if (row[4], row[5]) == (1, "end_to_end")} == {25_000_000}
    assert [row[2] for row in one[:27]] == list(range(27))
    # The same image in mode fixed, all images in turn in mode real.
    assert {row[7] for row in first.rows if row[3] == "fixed"} == {"image 4"}
    assert [row[7] for row in one[:7]] == [f"image {k}" for k in (4, 2, 0, 5, 1, 3, 4)]
    assert first.process.first_call_ms == 19
    assert (first.process.warm_up, first.process.warm_up_stable) == (10, True)


def test_every_process_starts_at_another_image():
    manual = ManualClock()
    protocol = Protocol(processes=3, rounds=1, seconds=0.01, batches=(1,))
    begins = []
    for number in range(3):
        (found,), _ = sampled(manual, [passes_of(Whole(manual), manual)], protocol, number)
        begins.append(next(row[7] for row in found.rows if row[3] == "real"))
        assert {row[0] for row in found.rows} == {number}
    assert begins == ["image 4", "image 0", "image 1"]


def test_the_first_passes_of_a_turn_are_discarded():
    manual = ManualClock()
    model = passes_of(Whole(manual), manual)
    seen = []
    predict = model.timed.predictor.predict
    model.timed.predictor.predict = lambda images: seen.append(len(images)) or predict(images)
    (found,), _ = sampled(manual, [model], Protocol(processes=1, rounds=1, seconds=1e-9, batches=(1,)))
    ends = [row for row in found.rows if row[5] == "end_to_end"]
    assert len(ends) == 5 + 3
    assert len(seen) == 10 + 5 + 3 + 2 * 2


def test_a_batch_size_that_runs_out_of_memory_is_recorded_and_the_others_continue():
    manual = ManualClock()
    models = [passes_of(Parts(manual, most=2), manual), passes_of(Parts(manual), manual)]
    (first, second), _ = sampled(
        manual, models, Protocol(processes=1, rounds=2, seconds=0.1, batches=(1, 2, 4))
    )
    assert first.too_large == [4]
    assert {row[4] for row in first.rows} == {1, 2}
    assert second.too_large == []
    assert {row[4] for row in second.rows} == {1, 2, 4}


def test_other_errors_are_not_treated_as_lack_of_memory():
    manual = ManualClock()
    model = passes_of(Parts(manual), manual)
    model.timed.predictor.decode = None
    with pytest.raises(TypeError):
        sampled(manual, [model], Protocol(processes=1, rounds=1, seconds=0.1, batches=(1,)))


def test_memory_is_measured_up_to_the_batch_size_that_fails():
    manual, results = ManualClock(), []
    measure_memory(passes_of(Parts(manual, most=3), manual), [0, 1, 2], (1, 2, 4, 8), results.append)
    assert [(run.batch, run.status) for run in results] == [
        (1, "measured"), (2, "measured"), (4, "out of memory"), (8, "out of memory"),
    ]  # fmt: skip
    assert 10**6 < results[0].memory_bytes <= results[1].memory_bytes
    assert results[2].memory_bytes is None


def test_images_in_their_own_size_are_not_batched():
    manual, results = ManualClock(), []
    model = passes_of(Whole(manual), manual)
    alone = replace(model, timed=replace(model.timed, image=None))
    measure_memory(alone, [0, 1], (1, 2), results.append)
    assert [run.status for run in results] == ["measured", "one at a time"]
    assert alone([0]).detections[0].boxes.shape == (0, 4)


def test_peak_memory_is_read_from_the_kernel():
    assert conditions.peak_memory(lambda: "Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t 9 kB\n") == 2048 * 1024
    assert conditions.peak_memory(lambda: "nothing\n") > 10**6


def detections(boxes, scores, labels):
    return Detections(torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), torch.tensor(labels).long())


@pytest.mark.parametrize(
    ("boxes", "scores", "labels", "mine", "others"),
    [
        ([[0.0, 0, 10, 10], [20, 20, 30, 40]], [0.9, 0.5], [0, 1], [True, True], [True, True]),
        ([[20.0, 20, 30, 40], [0, 0, 10, 10]], [0.5, 0.9], [1, 0], [True, True], [True, True]),
        ([[0.0, 0, 10, 10], [20, 20, 30, 40]], [0.9, 0.51], [0, 1], [True, False], [True, False]),
        ([[0.0, 0, 10, 10], [20, 20, 30, 40]], [0.904, 0.5], [0, 0], [True, False], [True, False]),
        ([[0.0, 0, 10, 10.2]], [0.9], [0], [False], [False, False]),
        ([], [], [], [], [False, False]),
    ],
)  # fmt: skip
def test_detections_are_equal_if_label_box_and_score_agree(boxes, scores, labels, mine, others):
    catalog = Catalog.of(range(2), ("a", "b"), [(48, 64)] * 2)
    stored = DetectionTable(
        catalog,
        np.array([0, 1, 1], np.int32),
        np.array([1, 0, 1], np.int32),
        np.array([[0, 0, 9, 9], [0, 0, 10, 10], [20, 20, 10, 20]], np.float64),
        np.array([0.9, 0.9, 0.5]),
    )
    got = equal_detections(detections(boxes, scores, labels), stored, 1)
    assert [of.tolist() for of in got] == [mine, others]


BEFORE = ClockReadings(timer=100.0, boot=500.0, wall=9000.0, busy=40.0, own=7.0)


@pytest.mark.parametrize(
    ("after", "slept", "jumped", "others"),
    [
        ((110.0, 510.0, 9010.0, 50.0, 17.0), 0.0, 0.0, 0.0),
        ((110.0, 510.0, 9010.0, 65.0, 17.0), 0.0, 0.0, 1.5),
        ((110.0, 540.0, 9040.0, 50.0, 17.0), 30.0, 0.0, 0.0),  # suspended
        ((110.0, 510.0, 12610.0, 50.0, 17.0), 0.0, 3600.0, 0.0),  # wall clock set forward
        ((110.0, 510.0, 9000.0, 50.0, 17.0), 0.0, -10.0, 0.0),
        ((110.0, 510.02, 9010.3, 50.0, 17.0), 0.0, 0.0, 0.0),  # clocks are not read at the same moment
        ((110.0, 510.0, 9010.0, 45.0, 17.0), 0.0, 0.0, 0.0),  # a system that does not count all processes
    ],
)
def test_suspension_clock_changes_and_other_work_are_distinguished(after, slept, jumped, others):
    measured = disturbances(BEFORE, ClockReadings(*after))
    assert measured.suspended_seconds == pytest.approx(slept)
    assert measured.clock_jump_seconds == pytest.approx(jumped)
    assert measured.other_cores == pytest.approx(others)


def test_the_clocks_of_this_machine_agree_with_each_other():
    before = conditions.read_clocks()
    torch.ones(200, 200).matmul(torch.ones(200, 200))
    measured = disturbances(before, conditions.read_clocks())
    assert (measured.suspended_seconds, measured.clock_jump_seconds) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("cores", "threads", "others", "crowded"),
    [
        (2, 2, 0.1, False), (2, 2, 0.3, True), (2, 1, 1.0, False), (2, 1, 1.2, True), (16, 4, 11.0, False),
        (16, 4, 13.0, True), (4, 8, 0.3, False), (4, 8, 0.5, True),
    ],
)  # fmt: skip
def test_other_processes_disturb_if_they_use_more_than_the_free_processors(cores, threads, others, crowded):
    assert is_crowded(cores, threads, others) is crowded


def test_two_processes_cannot_time_on_one_machine_at_once(tmp_path):
    with (
        conditions.exclusive_timing(tmp_path),
        pytest.raises(MachineError, match="another `bench profile`"),
        conditions.exclusive_timing(tmp_path),
    ):
        pass
    with conditions.exclusive_timing(tmp_path):
        pass


def test_runs_in_progress_are_detected_by_their_locks(tmp_path):
    for name in ("ssd-a-0-1", "fcos-a-0-2"):
        (tmp_path / f"{name}.partial").mkdir()
        (tmp_path / f"{name}.partial" / ".lock").touch()
    with (tmp_path / "fcos-a-0-2.partial" / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert conditions.active_runs([tmp_path, tmp_path]) == ["fcos-a-0-2"]
    assert conditions.active_runs([tmp_path, tmp_path / "absent"]) == []


def test_the_governors_of_all_processors_are_read(tmp_path):
    assert conditions.governor(tmp_path) == ""
    for at, word in enumerate(("powersave", "performance", "powersave")):
        file = tmp_path / f"cpu{at}" / "cpufreq" / "scaling_governor"
        file.parent.mkdir(parents=True)
        file.write_text(f"{word}\n")
    assert conditions.governor(tmp_path) == "performance, powersave"


def test_the_machine_includes_the_number_of_threads():
    machine = conditions.machine_of(CPU, 3)
    assert (machine.device, machine.threads) == ("cpu", 3)
    assert machine.packages.keys() >= {"python", "torch", "torchvision", "numpy", "pillow"}
    assert machine.fingerprint != conditions.machine_of(CPU, 4).fingerprint


def test_without_nvidia_smi_the_gpu_state_is_empty(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert conditions._nvidia_smi("--query-gpu=driver_version") == []
    assert conditions.state_of(CPU) == ""


def test_the_output_of_nvidia_smi_is_split_into_fields(monkeypatch, tmp_path):
    program = Path(tmp_path / "nvidia-smi")
    program.write_text('#!/bin/sh\n/bin/echo "570.1, 700.00 W"\n/bin/echo "1980 MHz"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert conditions._nvidia_smi() == ["570.1", "700.00 W", "1980 MHz"]
