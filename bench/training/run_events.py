"""Events of one run, passed on to its callbacks, whose exceptions do not end the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bench.callbacks import Callback, FailedRun, FinishedRun, MakeCallback, StartedRun
from bench.process.interrupts import Stopped
from bench.process.log import Log
from metrics.messages import reason
from metrics.notes import Note, report


class RunEvents:
    """What happens in a run, told to its callbacks in the order in which these were named.

    A callback that cannot start is left out of the run. One that fails later still gets the further events, because the
    cause may pass, such as a lost connection. Both are reported once per callback as a note, and each time in the log of the run.

    Args:
        makers: make the callbacks, one object each, by name.
        run: without the position of its training.
        log: log of events.
    """

    def __init__(self, makers: Mapping[str, MakeCallback], run: StartedRun, log: Log | None = None) -> None:
        self._makers = makers
        self._run = run
        self._log = log or Log()
        self._callbacks: dict[str, Callback] = {}
        self._started = False
        self._reported: set[str] = set()

    def start(self, step: int = 0, epoch: int = 0, steps: int = 0, resumed: bool = False) -> None:
        """The run starts, or continues after `step` updates; only the first call counts."""
        if self._started:
            return
        self._started = True
        run = replace(self._run, step=step, epoch=epoch, steps=steps, resumed=resumed)
        for name, maker in self._makers.items():

            def begin(maker: MakeCallback = maker, name: str = name) -> None:
                made = maker()
                made.run_started(run)
                self._callbacks[name] = made

            self._call(name, "run_started", begin)

    @property
    def wanted(self) -> bool:
        """Whether anybody is told; what is only computed for callbacks can be left out otherwise."""
        return bool(self._callbacks)

    def step_logged(self, step: int, values: Mapping[str, float]) -> None:
        """See `Callback.step_logged`."""
        self._tell("step_logged", lambda each: each.step_logged(step, dict(values)))

    def epoch_ended(self, step: int, row: Mapping[str, float | None]) -> None:
        """See `Callback.epoch_ended`."""
        self._tell("epoch_ended", lambda each: each.epoch_ended(step, dict(row)))

    def best_weights_changed(self, step: int, weights: Path) -> None:
        """See `Callback.best_weights_changed`."""
        self._tell("best_weights_changed", lambda each: each.best_weights_changed(step, weights))

    def finish(self, run: FinishedRun) -> None:
        """The run is finished; also for a run that was not told to start, of which nothing was left to do."""
        self.start()
        self._tell("run_finished", lambda each: each.run_finished(run))
        self._callbacks = {}

    @contextmanager
    def until_finished(self, pruned: type[Exception] | None = None) -> Iterator[None]:
        """Block of the run, whose exception is told as its failure, if it had started.

        Args:
            pruned: raised if a study prunes the trial.
        """
        try:
            yield
        except BaseException as error:
            stopped = isinstance(error, (Stopped, KeyboardInterrupt))
            is_pruned = pruned is not None and isinstance(error, pruned)
            run = FailedRun("stopped" if stopped else "pruned" if is_pruned else "failed", reason(error))
            self._tell("run_failed", lambda each: each.run_failed(run))
            self._callbacks = {}
            raise

    def _tell(self, event: str, call: Callable[[Callback], None]) -> None:
        for name, each in self._callbacks.items():
            self._call(name, event, lambda each=each: call(each))  # type: ignore[misc]

    def _call(self, name: str, event: str, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            self._log.write("callback_failed", callback=name, call=event, reason=reason(error))
            if name not in self._reported:
                self._reported.add(name)
                left_out = "it is left out of this run" if event == "run_started" else "the run goes on"
                text = f"callback {name}: {event} failed ({reason(error)}); {left_out}"
                report(Note("callback_failed", text, name))
