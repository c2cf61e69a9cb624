"""The clock, the warm-up and the quick number, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from bench.timing import Clock, clock_of, quick_latency, warm_up
from detectors.types import Detections
from metrics.errors import InputError

IMAGES = torch.zeros(2, 3, 8, 8)


class Hand:
    """A clock that stands still until somebody moves it."""

    def __init__(self) -> None:
        self.ns = 0
        self.waited = 0

    def clock(self) -> Clock:
        def wait() -> None:
            self.waited += 1

        return Clock(lambda: self.ns, wait, asynchronous=True)


class Sleeper(nn.Module):
    """Takes the times that it is given, one after another, the last for ever."""

    def __init__(self, hand: Hand, times_ms: list[float]) -> None:
        super().__init__()
        self.hand = hand
        self.times = iter(times_ms)
        self.last = 0.0
        self.seen: list[tuple[bool, bool]] = []

    def predict(self, images: Tensor) -> list[Detections]:
        self.last = next(self.times, self.last)
        self.hand.ns += round(self.last * 1e6)
        self.seen.append((self.training, torch.is_inference_mode_enabled()))
        empty = torch.zeros(0)
        return [Detections(torch.zeros(0, 4), empty, empty.long()) for _ in images]


def test_a_predictor_of_known_time_is_timed_exactly():
    hand = Hand()
    assert quick_latency(Sleeper(hand, [7.25]), IMAGES, clock=hand.clock()) == 7.25


def test_what_the_first_calls_cost_is_not_in_the_number():
    hand = Hand()
    slow_start = [900.0, 80.0, 40.0] + [10.0] * 7
    assert quick_latency(Sleeper(hand, slow_start), IMAGES, clock=hand.clock()) == 10.0


def test_the_number_is_the_middle_one_of_the_times():
    hand = Hand()
    # Ten equal ones end the warm-up; of what follows, two seconds hold 1000 + 10 + 990 ms and eight more are due.
    timed = [1000.0, 10.0, 990.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]
    assert quick_latency(Sleeper(hand, [5.0] * 10 + timed), IMAGES, clock=hand.clock()) == 50.0


def test_time_to_warm_up_is_bounded():
    hand = Hand()
    rising = Sleeper(hand, [float(100 * 2**k) for k in range(60)])
    quick_latency(rising, IMAGES, seconds=1.0, clock=hand.clock())
    assert len(rising.seen) == 20


def test_the_device_is_waited_for_before_and_after_each_call():
    hand = Hand()
    sleeper = Sleeper(hand, [1000.0])
    quick_latency(sleeper, IMAGES, clock=hand.clock())
    assert hand.waited == 2 * len(sleeper.seen)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_mode_holds_while_timing_and_only_then(training):
    hand = Hand()
    sleeper = Sleeper(hand, [1000.0]).train(training)
    quick_latency(sleeper, IMAGES, clock=hand.clock())
    assert set(sleeper.seen) == {(False, True)}
    assert sleeper.training is training


@pytest.mark.parametrize(
    ("images", "seconds", "said"),
    [
        (torch.zeros(3, 8, 8), 2.0, r"expected shape \(B, 3, H, W\), got \(3, 8, 8\)"),
        (torch.zeros(0, 3, 8, 8), 2.0, "expected shape"),
        (IMAGES, 0.0, "expected more than 0, got 0"),
        (IMAGES, float("nan"), "expected more than 0, got nan"),
    ],
)
def test_what_cannot_be_timed_is_refused(images, seconds, said):
    with pytest.raises(InputError, match=said):
        quick_latency(Sleeper(Hand(), [1.0]), images, seconds)


def test_the_processors_clock_rises_and_needs_no_waiting():
    clock = clock_of("cpu")
    assert not clock.asynchronous
    readings = [clock.now() for _ in range(100)]
    assert readings == sorted(readings)


def steps(times: list[float]) -> Callable[[], int]:
    """One time after another, in units large enough for two per cent to be whole numbers."""
    left: Iterator[float] = iter(times)
    return lambda: round(next(left) * 1e6)


@pytest.mark.parametrize(
    ("times", "iterations", "stable"),
    [
        ([1.0] * 200, 10, True),
        ([1.0] * 5 + [1.019] * 5, 10, True),
        # Of 17, the halves are 1 to 8 and 9 to 16, counted from 0: four of the early eight are still of the old kind.
        ([1.0] * 5 + [1.02] * 195, 17, True),
        # Of 19, the halves are 1 to 9 and 10 to 18: only now the new kind has the majority in both.
        ([3.0] * 5 + [1.0] * 195, 19, True),
        ([1.03**k for k in range(200)], 200, False),  # ten iterations apart: a third more each time
        ([1.001**k for k in range(200)], 10, True),  # 0.5 % between the halves
    ],
)
def test_warming_up_ends_when_the_halves_of_the_window_agree(times, iterations, stable):
    done = warm_up(steps(times))
    assert done.stable is stable
    assert done.first_ns == round(times[0] * 1e6)
    assert done.iterations == iterations


def test_warming_up_ends_where_somebody_has_seen_enough_but_not_before_ten():
    rising = [2.0**k for k in range(40)]
    assert warm_up(steps(rising), enough=lambda: True).iterations == 10
