"""Callbacks: the documented one by its entry point, TensorBoard by its own reader, and exceptions that end no training."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from tiny_runs import tiny_config, tiny_sets

from bench.callbacks import CALLBACKS, Callback, FailedRun, FinishedRun, StartedRun, find_callbacks
from bench.cli import main
from bench.data.types import Dataset
from bench.process.interrupts import Stopped, StopRequest
from bench.process.log import Log
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings.resolution import open_run_data
from bench.training.run_events import RunEvents
from metrics import registry
from metrics.errors import InputError, InputNote
from metrics.registry import UnknownName
from reports.records.run import RunFolder

pytestmark = pytest.mark.usefixtures("no_pages")

DOCS = Path(__file__).resolve().parents[2] / "docs" / "training.md"
Event = tuple[str, Any]


class Recorder(Callback):
    """Keeps all events of all runs."""

    events: list[Event]

    def __init__(self, events: list[Event]) -> None:
        self.events = events

    def run_started(self, run: StartedRun) -> None:
        self.events.append(("started", run))

    def step_logged(self, step: int, values: dict[str, float]) -> None:
        self.events.append(("step", (step, values)))

    def best_weights_changed(self, step: int, weights: Path) -> None:
        self.events.append(("best", (step, weights.is_file())))

    def epoch_ended(self, step: int, row: dict[str, float | None]) -> None:
        self.events.append(("epoch", (step, row)))

    def run_finished(self, run: FinishedRun) -> None:
        self.events.append(("finished", run))

    def run_failed(self, run: FailedRun) -> None:
        self.events.append(("failed", run))


class Failing(Recorder):
    """Records, then fails in every call but the first."""

    def step_logged(self, step: int, values: dict[str, float]) -> None:
        super().step_logged(step, values)
        values.clear()
        raise ConnectionError("the server is gone")

    def epoch_ended(self, step: int, row: dict[str, float | None]) -> None:
        super().epoch_ended(step, row)
        row.clear()
        raise ConnectionError("the server is gone")


class NeverStarting(Recorder):
    """Fails at the start."""

    def run_started(self, run: StartedRun) -> None:
        raise PermissionError("not logged in")


SETTINGS: dict[str, Any] = {"train__validate_every": 1, "train__log_every": 2, "workers": 0}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_run_data(tiny_config(**SETTINGS))


def weights_of(folder: RunFolder) -> bytes:
    return (folder.path / RunFolder.WEIGHTS).read_bytes()


@pytest.fixture(scope="module")
def untold(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run without callbacks."""
    return run(tiny_config(**SETTINGS), tmp_path_factory.mktemp("untold"), dataset, RunContext(page=False))


def test_a_run_tells_its_steps_epochs_and_result_in_order(
    untold: RunFolder, dataset: Dataset, tmp_path: Path
) -> None:
    events: list[Event] = []
    context = RunContext(page=False, callbacks={"recorder": lambda: Recorder(events)})
    made = run(tiny_config(**SETTINGS), tmp_path, dataset, context)
    assert weights_of(made) == weights_of(untold)
    kinds = [kind for kind, _ in events if kind != "best"]
    assert kinds == ["started", "step", "epoch", "step", "step", "epoch", "finished"]  # 3 steps an epoch
    started, finished = events[0][1], events[-1][1]
    assert (started.name, started.step, started.steps, started.resumed) == (made.result.name, 0, 6, False)
    assert started.settings["train"]["epochs"] == 2
    assert finished.values["ap"] == made.result.headline["ap"]
    steps = [facts for kind, facts in events if kind == "step"]
    assert [step for step, _ in steps] == [2, 4, 6]
    for _, values in steps:
        terms = [value for name, value in values.items() if name not in ("loss", "lr")]
        assert values["loss"] == pytest.approx(sum(terms))
    rows = pd.DataFrame([row for kind, (_, row) in ((k, f) for k, f in events if k == "epoch")])
    for column in ("epoch", "images_seen", "loss", "lr", "val_ap"):
        assert rows[column].tolist() == pytest.approx(made.history[column].tolist())
    assert events[3 if events[2][0] == "best" else 2][1][0] == 3
    best = [facts for kind, facts in events if kind == "best"]
    assert best
    assert all(exists for _, exists in best)


def test_a_continued_run_tells_its_step(untold: RunFolder, dataset: Dataset, tmp_path: Path) -> None:
    events: list[Event] = []
    stop = StopRequest()

    class Stopping(Recorder):
        def step_logged(self, step: int, values: dict[str, float]) -> None:
            super().step_logged(step, values)
            if step == 4:
                stop.signum = 15

    config = tiny_config(**SETTINGS)
    with pytest.raises(Stopped):
        run(
            config,
            tmp_path,
            dataset,
            RunContext(stop=stop, page=False, callbacks={"s": lambda: Stopping(events)}),
        )
    assert events[-1][0] == "failed"
    assert events[-1][1].kind == "stopped"
    first = len(events)
    made = run(config, tmp_path, dataset, RunContext(page=False, callbacks={"r": lambda: Recorder(events)}))
    continued = events[first][1]
    assert (continued.resumed, continued.step, continued.epoch, continued.steps) == (True, 4, 1, 6)
    assert continued.name == events[0][1].name
    assert [facts[0] for kind, facts in events[first:] if kind == "step"] == [6]
    assert weights_of(made) == weights_of(untold)
    told = len(events)
    run(config, tmp_path, dataset, RunContext(page=False, callbacks={"r": lambda: Recorder(events)}))
    assert len(events) == told  # the finished run is reused


def test_fault_128_an_exception_of_a_callback_ends_no_training(
    untold: RunFolder, dataset: Dataset, tmp_path: Path
) -> None:
    failing: list[Event] = []
    absent: list[Event] = []
    callbacks = {"failing": lambda: Failing(failing), "absent": lambda: NeverStarting(absent)}
    with pytest.warns(InputNote) as notes:
        made = run(tiny_config(**SETTINGS), tmp_path, dataset, RunContext(page=False, callbacks=callbacks))
    assert weights_of(made) == weights_of(untold)
    assert [row["val_ap"] for row in made.history.to_dict("records")] == untold.history["val_ap"].tolist()
    assert [kind for kind, _ in failing if kind != "best"][-2:] == ["epoch", "finished"]
    assert absent == []
    texts = [str(note.message) for note in notes if "callback" in str(note.message)]
    assert texts == [
        "callback absent: run_started failed (not logged in); it is left out of this run",
        "callback failing: step_logged failed (the server is gone); the run goes on",
    ]
    lines = [json.loads(line) for line in (made.path / "log.jsonl").read_text().splitlines()]
    failures = [(line["callback"], line["call"]) for line in lines if line["event"] == "callback_failed"]
    assert failures == [("absent", "run_started")] + [
        ("failing", f"{kind}_logged" if kind == "step" else "epoch_ended")
        for kind, _ in failing
        if kind in ("step", "epoch")
    ]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ValueError("a\nb"), "failed"),
        (optuna.TrialPruned("worse"), "pruned"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_the_end_of_a_run_is_told_once_with_its_kind(error: BaseException, kind: str, tmp_path: Path) -> None:
    events: list[Event] = []
    told = RunEvents({"r": lambda: Recorder(events)}, StartedRun("a", tmp_path), Log())
    told.start()
    with pytest.raises(type(error)), told.until_finished(pruned=optuna.TrialPruned):
        raise error
    assert [name for name, _ in events] == ["started", "failed"]
    assert events[1][1].kind == kind
    assert "\n" not in events[1][1].reason
    silent = RunEvents({"r": lambda: Recorder(events)}, StartedRun("a", tmp_path), Log())
    with pytest.raises(ValueError), silent.until_finished():
        raise ValueError("before the start")
    assert len(events) == 2


@pytest.fixture
def documented(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page's callback, in a package of its own, found by its entry point."""
    page = DOCS.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (table,) = re.findall(r"```toml\n\[project.entry-points.\"(.*?)\"\]\n(\w+) = \"(.*?)\"\n```", page, re.S)
    group, name, module = table
    package, file = module.split(".")
    (tmp_path / "packages" / package).mkdir(parents=True)
    (tmp_path / "packages" / package / f"{file}.py").write_text(code, encoding="utf-8")
    (tmp_path / "packages" / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "packages")
    entries = [EntryPoint(name, module, group), EntryPoint("broken", "no_such_module", group)]
    real = registry.entry_points
    monkeypatch.setattr(registry, "entry_points", lambda of: entries if of == group else real(of))
    yield name
    CALLBACKS._entries.pop(name, None)
    for loaded in (package, module):
        sys.modules.pop(loaded, None)


def test_the_pages_callback_is_found_by_its_entry_point(
    documented: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "run",
        "--variant",
        "ssd",
        "--callback",
        documented,
        "--quiet",
        "--no-page",
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main([*words, "--set", *tiny_sets("ssd", **SETTINGS)]) == 0
    (file,) = tmp_path.glob("runs/*/events.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["event"] for line in lines] == [
        "started",
        "step",
        "epoch",
        "step",
        "step",
        "epoch",
        "finished",
    ]
    assert [line["step"] for line in lines[:-1]] == [0, 2, 3, 4, 6, 6]
    made = RunFolder.open(file.parent)
    assert lines[0]["name"] == made.result.name
    assert lines[-1]["ap"] == made.result.headline["ap"]
    capsys.readouterr()
    assert main(["list", "callbacks"]) == 0
    shown = capsys.readouterr().out
    assert "One line of JSON for each event" in shown
    assert "tensorboard" in shown
    assert "no_such_module cannot be imported" in shown


@pytest.mark.usefixtures("documented")
def test_fault_128_unknown_and_broken_callbacks_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown callback 'event_file'; did you mean 'events_file'"):
        find_callbacks(["event_file"])
    with pytest.raises(InputError, match=r"--callback broken: no_such_module cannot be imported \(No module"):
        find_callbacks(["broken"])
    assert (
        main(["run", "--variant", "ssd", "--callback", "broken", "--quiet", "--out", str(tmp_path / "r")])
        == 2
    )
    assert not list(tmp_path.glob("r/*"))


def test_trials_of_a_study_are_told_with_their_objective(documented: str, tmp_path: Path) -> None:
    words = ["tune", "--variant", "ssd", "--space", "train.lr", "--trials", "2", "--again", "1", "--quiet"]
    words += ["--callback", documented, "--out", str(tmp_path / "studies"), "--study", "mine"]
    assert main([*words, "--set", *tiny_sets("ssd", **{**SETTINGS, "train__epochs": 1})]) in (0, 4)
    files = sorted(tmp_path.glob("studies/*/trials/*/events.jsonl"))
    assert len(files) == 2
    for file in files:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert lines[0]["name"] == f"mine-train/{file.parent.name}"
        assert lines[-1]["event"] == "finished"


def test_tensorboards_reader_reads_the_events(tmp_path: Path, dataset: Dataset) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    stop = StopRequest()

    class Stopping(Callback):
        def step_logged(self, step: int, values: dict[str, float]) -> None:
            if step == 4:
                stop.signum = 15

    config = tiny_config(**SETTINGS)
    callbacks = {**find_callbacks(["tensorboard"]), "stop": Stopping}
    with pytest.raises(Stopped):
        run(config, tmp_path, dataset, RunContext(stop=stop, page=False, callbacks=callbacks))
    made = run(config, tmp_path, dataset, RunContext(page=False, callbacks=find_callbacks(["tensorboard"])))
    read = EventAccumulator(str(made.path / "tensorboard")).Reload()
    assert [event.step for event in read.Scalars("step/loss")] == [2, 4, 6]
    ap = read.Scalars("epoch/val_ap")
    assert [event.step for event in ap] == [3, 6]
    assert [event.value for event in ap] == pytest.approx(made.history["val_ap"].tolist(), abs=1e-6)
    assert read.Scalars("result/ap")[0].value == pytest.approx(made.result.headline["ap"], abs=1e-6)
    text = read.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "epochs = 2" in text


def test_without_tensorboard_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "bench.callbacks.tensorboard", raising=False)
    known = CALLBACKS._entries.pop("tensorboard", None)
    try:
        with pytest.raises(Exception, match=r"pip install detbench\[tensorboard\]"):
            find_callbacks(["tensorboard"])
    finally:
        if known is not None:
            CALLBACKS._entries["tensorboard"] = known


def test_every_listed_callback_can_be_named():
    for name in CALLBACKS.names():
        assert find_callbacks([name])[name], name
