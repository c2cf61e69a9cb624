"""Processor seconds of a training by what they are spent on: network, loss, optimizer, loader and the rest.

    python -m tests.benchmarks.training_costs
    python -m tests.benchmarks.training_costs --variants ssd --images 800 --rounds 3

Trains each variant on `shapes` with its default settings and one thread, for one epoch. Rounds of the variants are interleaved,
and the fastest training of each is shown, as shares of its processor seconds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer

from bench.pipeline.loader import Batch, Loader
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run
from bench.training import loop
from bench.training.networks import Networks
from bench.training.step import Stepper
from bench.training.validation import Validation
from detectors.network import DetectorNetwork

NETWORK, LOSS, OPTIMIZER, PREPARATION = "forward and backward pass", "loss", "optimizer", "preparation"
LOADER, AVERAGE, NORM, VALIDATION = (
    "loader",
    "running average",
    "norm of the gradient",
    "validation, checkpoint",
)
REST = "rest of a step"
ROWS = (NETWORK, LOSS, OPTIMIZER, LOADER, AVERAGE, NORM, REST, VALIDATION, PREPARATION)
OVERHEAD = (LOADER, AVERAGE, NORM, REST, VALIDATION)
"""What is neither network, loss and optimizer nor precedes the first step."""
WHOLE = (VALIDATION, PREPARATION)
"""Rows that count all that happens within them: they, too, load images and call the network."""


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", nargs="*", default=["ssd", "gfl"])
    parser.add_argument("--data", default="shapes", help="data set")
    parser.add_argument("--images", type=int, default=800, help="training images")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of each variant")
    options = parser.parse_args()
    torch.set_num_threads(1)
    best: dict[str, Counter[str]] = {}
    for _ in range(options.rounds):
        for variant in options.variants:
            costs = measure(variant, options.data, options.images)
            if variant not in best or costs.total() < best[variant].total():
                best[variant] = costs
    show(best)


def measure(variant: str, data: str, images: int) -> Counter[str]:
    """Processor seconds of one epoch, by row."""
    sets = [f"data.train={images}", "data.val=50", "train.epochs=1", "threads=1", "workers=0"]
    dataset, config = open_run(variant, {"data": data, "sets": sets})
    torch.manual_seed(0)
    detector = build_detector(config, len(dataset.classes))
    train, val = dataset.splits["train"], dataset.splits["val"]  # which draws their images
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder, timed(clock, type(detector)), clock.of(REST):
        loop.train(detector, train, val, config, Path(folder))
    return clock.seconds


class Clock:
    """Adds processor time to the innermost row that is open.

    Attributes:
        seconds: by row.
    """

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def of(self, row: str) -> Iterator[None]:
        """Count the time of the block in `row`, except that of blocks within it, and unless a row of `WHOLE` is open."""
        if self._open and self._open[-1] in WHOLE:
            yield
            return
        self._add()
        self._open.append(row)
        try:
            yield
        finally:
            self._add()
            self._open.pop()

    def _add(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


@contextmanager
def timed(clock: Clock, detector: type[DetectorNetwork]) -> Iterator[None]:
    """Time the parts of a training of detectors of this class while the block runs."""
    parts: list[tuple[Any, str, str]] = [
        (detector, "forward", NETWORK),
        (Accelerator, "backward", NETWORK),
        (detector, "loss_sums", LOSS),
        (AcceleratedOptimizer, "step", OPTIMIZER),
        (AcceleratedOptimizer, "zero_grad", OPTIMIZER),
        (Networks, "update_average", AVERAGE),
        (Stepper, "_clip", NORM),
        (Validation, "__call__", VALIDATION),
        (loop, "save_state", VALIDATION),
        (loop, "set_up_training", PREPARATION),
        (Validation, "compile", PREPARATION),
    ]
    with ExitStack() as stack:
        for owner, name, row in parts:
            stack.enter_context(mock.patch.object(owner, name, timing(clock, row, getattr(owner, name))))
        stack.enter_context(mock.patch.object(Loader, "__iter__", timing_batches(clock, Loader.__iter__)))
        yield


def timing(clock: Clock, row: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its time in `row`."""

    @wraps(function)
    def timed_function(*values: Any, **named: Any) -> Any:
        with clock.of(row):
            return function(*values, **named)

    return timed_function


def timing_batches(
    clock: Clock, batches: Callable[[Loader], Iterator[Batch]]
) -> Callable[[Loader], Iterator[Batch]]:
    """Iteration over a loader, with the time of each batch."""

    def timed_batches(loader: Loader) -> Iterator[Batch]:
        remaining = batches(loader)
        while True:
            with clock.of(LOADER):
                batch = next(remaining, None)
            if batch is None:
                return
            yield batch

    return timed_batches


def show(costs: Mapping[str, Counter[str]]) -> None:
    """Print the share of each row, one column for each variant."""
    print(f"{'':>28}" + "".join(f"{variant:>10}" for variant in costs))
    for row in ROWS:
        print(f"{row:>28}" + "".join(f"{each[row] / each.total():>10.1%}" for each in costs.values()))
    together = (sum(each[row] for row in OVERHEAD) / each.total() for each in costs.values())
    print(f"{'loader to validation':>28}" + "".join(f"{share:>10.1%}" for share in together))
    print(f"{'seconds':>28}" + "".join(f"{each.total():>10.2f}" for each in costs.values()))


if __name__ == "__main__":
    main()
