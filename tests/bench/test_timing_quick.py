"""Clock, warm-up and quick latency, on a clock that the test advances."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from bench.timing import Clock, clock_of, quick_latency, warm_up
from detectors.types import Detections
from metrics.errors import InputError

IMAGES = torch.zeros(2, 3, 8, 8)


class ManualClock:
    """A clock that advances only by hand."""

    def __init__(self) -> None:
        self.ns = 0
        self.waited = 0

    def clock(self) -> Clock:
        def wait() -> None:
            self.waited += 1

        return Clock(lambda: self.ns, wait, asynchronous=True)


class Sleeper(nn.Module):
    """A predictor that takes the given times, one after another, then always the last."""

    def __init__(self, manual: ManualClock, times_ms: list[float]) -> None:
        super().__init__()
        self.manual = manual
        self.times = iter(times_ms)
        self.last = 0.0
        self.seen: list[tuple[bool, bool]] = []

    def predict(self, images: Tensor) -> list[Detections]:
        self.last = next(self.times, self.last)
        self.manual.ns += round(self.last * 1e6)
        self.seen.append((self.training, torch.is_inference_mode_enabled()))
        empty = torch.zeros(0)
        return [Detections(torch.zeros(0, 4), empty, empty.long()) for _ in images]


def test_a_predictor_of_known_time_is_timed_exactly():
    manual = ManualClock()
    assert quick_latency(Sleeper(manual, [7.25]), IMAGES, clock=manual.clock()) == 7.25


def test_the_first_calls_are_excluded():
    manual = ManualClock()
    slow_start = [900.0, 80.0, 40.0] + [10.0] * 7
    assert quick_latency(Sleeper(manual, slow_start), IMAGES, clock=manual.clock()) == 10.0


def test_the_result_is_the_median():
    manual = ManualClock()
    # Ten equal times end the warm-up; then 1000 + 10 + 990 ms fill two seconds, and seven more make ten.
    timed = [1000.0, 10.0, 990.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]
    assert quick_latency(Sleeper(manual, [5.0] * 10 + timed), IMAGES, clock=manual.clock()) == 50.0


def test_the_warm_up_time_is_bounded():
    manual = ManualClock()
    rising = Sleeper(manual, [float(100 * 2**k) for k in range(60)])
    quick_latency(rising, IMAGES, seconds=1.0, clock=manual.clock())
    assert len(rising.seen) == 20


def test_the_device_is_synchronised_before_and_after_each_call():
    manual = ManualClock()
    sleeper = Sleeper(manual, [1000.0])
    quick_latency(sleeper, IMAGES, clock=manual.clock())
    assert manual.waited == 2 * len(sleeper.seen)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_mode_is_set_only_while_timing(training):
    manual = ManualClock()
    sleeper = Sleeper(manual, [1000.0]).train(training)
    quick_latency(sleeper, IMAGES, clock=manual.clock())
    assert set(sleeper.seen) == {(False, True)}
    assert sleeper.training is training


@pytest.mark.parametrize(
    ("images", "seconds", "message"),
    [
        (torch.zeros(3, 8, 8), 2.0, r"expected shape \(B, 3, H, W\), got \(3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), 2.0, "expected shape"),
        (IMAGES, 0.0, "expected more than 0, got 0"),
        (IMAGES, float("nan"), "expected more than 0, got nan"),
    ],
)
def test_invalid_arguments_are_refused(images, seconds, message):
    with pytest.raises(InputError, match=message):
        quick_latency(Sleeper(ManualClock(), [1.0]), images, seconds)


def test_the_cpu_clock_is_monotonic_and_synchronous():
    clock = clock_of("cpu")
    assert not clock.asynchronous
    readings = [clock.now() for _ in range(100)]
    assert readings == sorted(readings)


def steps(times: list[float]) -> Callable[[], int]:
    """The times one after another, in units large enough for two per cent to be an integer."""
    remaining: Iterator[float] = iter(times)
    return lambda: round(next(remaining) * 1e6)


@pytest.mark.parametrize(
    ("times", "iterations", "stable"),
    [
        ([1.0] * 200, 10, True),
        ([1.0] * 5 + [1.019] * 5, 10, True),
        # Of 17, the halves are 1 to 8 and 9 to 16, counted from 0: four of the first eight still have the old time.
        ([1.0] * 5 + [1.02] * 195, 17, True),
        # Of 19, the halves are 1 to 9 and 10 to 18: only now the new time has the majority in both.
        ([3.0] * 5 + [1.0] * 195, 19, True),
        ([1.03**k for k in range(200)], 200, False),  # ten iterations apart: a third more each time
        ([1.001**k for k in range(200)], 10, True),  # 0.5 % between the halves
    ],
)
def test_the_warm_up_ends_when_the_halves_of_the_window_agree(times, iterations, stable):
    done = warm_up(steps(times))
    assert done.stable is stable
    assert done.first_ns == round(times[0] * 1e6)
    assert done.iterations == iterations


def test_the_caller_can_end_the_warm_up_after_ten_iterations():
    rising = [2.0**k for k in range(40)]
    assert warm_up(steps(rising), is_over=lambda: True).iterations == 10
