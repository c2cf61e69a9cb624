"""TensorBoard: curves of the loss, the learning rate and the validation of a run, in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from bench.callbacks import Callback, FailedRun, FinishedRun, StartedRun, callback
from bench.settings import toml
from metrics.errors import MachineError

FOLDER = "tensorboard"
"""Folder of the events in that of the run; ``tensorboard --logdir runs`` shows all runs."""

if find_spec("tensorboard") is None:
    raise MachineError(
        "--callback tensorboard: needs the package tensorboard; install it with `pip install detbench[tensorboard]`"
    )


@callback("tensorboard")
class TensorBoard(Callback):
    """Curves of the loss, the learning rate and the validation, in the folder of each run.

    Scalars are ``step/loss``, ``step/lr``, ..., ``epoch/val_ap``, ... by number of updates, and ``result/ap``, ...; settings are text. A continued run hides what an interrupted process wrote after its last checkpoint.
    """

    def run_started(self, run: StartedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(
            str(run.folder / FOLDER), purge_step=run.step + 1 if run.resumed else None
        )
        if not run.resumed:
            self._text("settings", toml.write(dict(run.settings)), run.step)

    def step_logged(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._scalar(f"step/{name}", value, step)

    def epoch_ended(self, step: int, row: Mapping[str, float | None]) -> None:
        for name, value in row.items():
            if value is not None and name != "epoch":
                self._scalar(f"epoch/{name}", value, step)
        self._writer.flush()

    def best_weights_changed(self, step: int, weights: Path) -> None:
        self._scalar("epoch/best_weights", 1.0, step)

    def run_finished(self, run: FinishedRun) -> None:
        for name, value in run.values.items():
            self._scalar(f"result/{name}", value, 0)
        self._writer.close()

    def run_failed(self, run: FailedRun) -> None:
        self._writer.close()

    def _scalar(self, name: str, value: float, step: int) -> None:
        self._writer.add_scalar(name, value, step)

    def _text(self, name: str, text: str, step: int) -> None:
        indented = "".join(f"    {line}\n" for line in text.split("\n"))  # Markdown shows it as it is
        self._writer.add_text(name, indented, step)
