"""``bench profile`` from runs to timings: jobs are done in this process, or pretended, so that nothing is left to luck."""

from __future__ import annotations

import json
import re
import shutil
import warnings

import pytest
import torch
from rich.console import Console
from tiny_runs import tiny_config

from bench.cli import main
from bench.commands.profile import show_timings
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.timing import conditions, warmup
from bench.timing.process import Job, Killed, _do, launch
from bench.timing.profiler import profile
from bench.timing.schedule import Protocol
from metrics.errors import InputError, InputWarning, MachineError
from reports.records.run import RunFolder
from reports.records.timing import COLUMNS, load_samples, load_timing

QUICK = Protocol(processes=2, rounds=2, seconds=0.02, batches=(1, 2))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two finished runs."""
    out = tmp_path_factory.mktemp("runs")
    context = RunContext(page=False)
    return [run(tiny_config(name, train__epochs=1), out, context=context) for name in ("ssd", "fcos")]


@pytest.fixture
def runs(finished, tmp_path):
    """Copies of them, not timed yet."""
    for each in finished:
        shutil.copytree(each.path, tmp_path / each.path.name)
    return [RunFolder.open(tmp_path / each.path.name) for each in finished]


@pytest.fixture(autouse=True)
def at_ease(monkeypatch, tmp_path):
    """Tests that run at the same time do not stop each other, and nobody waits for times to stand still."""
    monkeypatch.setattr(conditions, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(warmup, "MOST", 12)


def here(job, told):
    """A job done in this process."""
    threads = torch.get_num_threads()
    try:
        _do(job, lambda **event: told(json.loads(json.dumps(event))))
    finally:
        torch.set_num_threads(threads)


class Pretended:
    """Jobs that take no time: what they would tell is made up, and can be spoilt."""

    def __init__(
        self, *, killed_at=None, other_cores=0.0, suspended=0.0, jump=0.0, agreement=1.0, too_large=()
    ):
        self.jobs: list[Job] = []
        self.killed_at = killed_at
        self.other_cores, self.suspended, self.jump = other_cores, suspended, jump
        self.agreement = agreement
        self.too_large = list(too_large)

    def __call__(self, job, told):
        self.jobs.append(job)
        if job.task == "inspect":
            self._inspect(job, told)
        else:
            self._sample(job, told)

    def _inspect(self, job, told):
        for batch in job.batches[0]:
            if batch == self.killed_at:
                raise Killed("a process that was timing was ended by SIGKILL")
            told({"event": "batch", "run": {"batch": batch, "memory_bytes": 10**6 * batch}})
        subject = {"dtype": "float32", "channels_last": True, "input_size": [64, 64], "images": 6}
        told({"event": "subject", "subject": subject | {"agreement": self.agreement}})

    def _sample(self, job, told):
        for model in range(len(job.runs)):
            rows = [
                [job.number, round, at, mode, batch, stage, 10**6 * (model + 1) * batch * share, "a"]
                for round in range(job.rounds)
                for at in range(4)
                for mode, batch in [("real", 1), ("fixed", 1), *(("real", b) for b in job.batches[model] if b > 1)]
                for stage, share in (("decode", 1), ("forward", 2), ("end_to_end", 3))
            ]  # fmt: skip
            told({"event": "turn", "round": 0, "model": model})
            process = {
                "number": job.number, "started": "2026-03-01T10:00:00Z", "first_call_ms": 9.0, "warm_up": 10,
                "other_cores": self.other_cores, "suspended_seconds": self.suspended,
                "clock_jump_seconds": self.jump,
            }  # fmt: skip
            told(
                {
                    "event": "sampled",
                    "model": model,
                    "process": process,
                    "rows": rows,
                    "too_large": self.too_large,
                }
            )


def quietly(*args, **kwargs):
    """`profile` without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return profile(*args, device="cpu", threads=1, **kwargs)


def and_warnings(runs, start):
    """Timings, and what was warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        timings = profile(runs, QUICK, device="cpu", threads=1, start=start)
    return timings, [str(one.message) for one in caught]


def test_what_is_timed_is_what_was_evaluated_and_everything_is_left_in_the_runs_folders(runs):
    timings = quietly(runs, QUICK, start=here)
    for each, timing in zip(runs, timings, strict=True):
        assert timing == load_timing(each.path)
        assert timing.subject.agreement == 1.0
        assert timing.subject.parameters == each.result.budget.parameters
        assert timing.subject.weights_bytes == (each.path / "weights.safetensors").stat().st_size
        assert timing.subject.flops > 10**6
        assert "multipl" not in timing.subject.flop_counter
        assert "suppression" in timing.subject.flop_counter
        assert timing.subject.input_size == (64, 64)
        assert timing.subject.nms["iou"] == each.result.config["nms"]["iou"]
        assert timing.subject.images == 6
        assert timing.subject.channels_last
        assert [of.status for of in timing.batches] == ["measured", "measured"]
        assert all(of.memory_bytes >= timing.subject.resting_bytes > 0 for of in timing.batches)
        assert len(timing.processes) == 2
        assert any("drawn in memory" in note for note in timing.notes)
        samples = load_samples(each.path)
        assert set(samples["image"]) <= {str(name) for name in each.truth.catalog.image_ids}
        wide = samples[samples["mode"] == "real"].pivot_table(
            index=["process", "round", "iteration", "batch"], columns="stage", values="ns"
        )
        parts = wide[["decode", "preprocess", "forward", "postprocess"]].sum(axis=1)
        assert (parts == wide["end_to_end"]).all()
    assert timings[0].session == timings[1].session
    assert not list(runs[0].path.parent.glob("profile-*"))


def test_a_run_that_was_evaluated_with_mirror_images_is_timed_with_them(tmp_path):
    context = RunContext(page=False)
    mirrored = run(tiny_config("ssd", train__epochs=1, evaluate__flip=True), tmp_path, context=context)
    (timing,) = quietly([mirrored], Protocol(1, 2, 0.02, (1,)), start=here)
    assert timing.subject.agreement == 1.0
    assert timing.stage("predict").median_ms > 0
    assert timing.stage("forward") is None
    assert timing.subject.parameters == mirrored.result.budget.parameters


def test_a_network_that_is_compiled_is_said_to_be(runs):
    from bench.timing.clock import clock_of
    from bench.timing.inspection import describe
    from bench.timing.passes import Passes
    from bench.timing.subject import make_ready

    timed = make_ready(runs[0], torch.device("cpu"))
    passes = Passes(timed, clock_of(timed.device))
    assert not describe(passes, [0], 0).compiled
    timed.predictor.compile(backend="eager")
    assert describe(passes, [0], 0).compiled


def test_flops_are_those_of_the_convolutions(runs):
    # A network of one convolution: 2 x 3 x 3 x 3 x 8 operations at each of 16 x 16 places.
    from bench.pipeline.input_settings import ImageConfig
    from bench.timing.inspection import count_flops
    from bench.timing.subject import Timed

    class One(torch.nn.Conv2d):
        def predict(self, images):
            return self(images)

    timed = Timed(
        None, One(3, 8, 3, padding=1), None, ImageConfig(size=(16, 16), resize="stretch"), torch.device("cpu")
    )
    assert count_flops(timed) == 2 * 27 * 8 * 256


def test_mixed_precision_is_that_of_the_run(runs):
    from bench.timing.subject import make_ready

    changed = runs[0].result.model_copy(
        update={"config": runs[0].result.config | {"train": {"precision": "bf16"}}}
    )
    for result, kind in ((runs[0].result, torch.float32), (changed, torch.bfloat16)):
        timed = make_ready(RunFolder(runs[0].path, result), torch.device("cpu"))
        with timed.mixed_precision():
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == kind


def test_another_data_set_is_not_timed(runs):
    facts = runs[0].result.data.model_copy(update={"fingerprint": "0" * 64})
    moved = RunFolder(runs[0].path, runs[0].result.model_copy(update={"data": facts}))
    with pytest.raises(InputError, match=r"its test images have changed since the run .* run again"):
        quietly([moved], QUICK, start=here)


def test_a_finished_process_is_not_done_again(runs):
    pretended = Pretended()

    def stopped(job, told):
        if job.task == "sample" and job.number == 1:
            raise KeyboardInterrupt
        pretended(job, told)

    with pytest.raises(KeyboardInterrupt):
        quietly(runs, QUICK, start=stopped)
    assert [(job.task, job.number) for job in pretended.jobs] == [
        ("inspect", 0),
        ("inspect", 0),
        ("sample", 0),
    ]
    assert load_timing(runs[0].path) is None
    again = Pretended()
    timings = quietly(runs, QUICK, start=again)
    assert [(job.task, job.number) for job in again.jobs] == [("sample", 1)]
    assert [process.number for process in timings[0].processes] == [0, 1]
    assert set(load_samples(runs[1].path)["process"]) == {0, 1}
    assert not list(runs[0].path.parent.glob("profile-*"))


def test_other_settings_and_fresh_begin_anew(runs):
    def stopped(job, told):
        if job.task == "sample":
            raise KeyboardInterrupt
        Pretended()(job, told)

    for protocol, fresh, jobs in (
        (QUICK, False, 2),
        (Protocol(2, 2, 0.03, (1, 2)), False, 4),
        (QUICK, True, 4),
    ):
        with pytest.raises(KeyboardInterrupt):
            quietly(runs, QUICK, start=stopped)
        again = Pretended()
        quietly(runs, protocol, start=again, fresh=fresh)
        assert len(again.jobs) == jobs


def test_samples_are_summed_up_by_run(runs):
    first, second = quietly(runs, QUICK, start=Pretended())
    assert first.headline.median_ms == 3.0
    assert second.headline.median_ms == 6.0
    assert second.stage("forward").median_ms == 4.0
    assert [of.images_per_second for of in first.batches] == pytest.approx([1000 / 3] * 2)
    assert [of.memory_bytes for of in first.batches] == [10**6, 2 * 10**6]
    assert first.headline.samples == 2 * 2 * 4
    assert tuple(load_samples(runs[0].path).columns) == COLUMNS


def test_a_process_that_the_system_ends_for_its_memory_marks_that_batch_and_all_larger_ones(runs):
    pretended = Pretended(killed_at=4)
    protocol = Protocol(2, 2, 0.02, (8, 1, 4, 2))
    (timing,) = quietly(runs[:1], protocol, start=pretended)
    assert [(of.batch, of.status) for of in timing.batches] == [
        (1, "measured"), (2, "measured"), (4, "out of memory"), (8, "out of memory"),
    ]  # fmt: skip
    assert [job.batches for job in pretended.jobs] == [((1, 2, 4, 8),), ((1, 2),), ((1, 2),), ((1, 2),)]


def test_where_not_even_one_image_fits_nothing_is_timed(runs):
    with pytest.raises(MachineError, match="SIGKILL"):
        quietly(runs, QUICK, start=Pretended(killed_at=1))


def test_a_batch_that_fits_alone_only_is_left_out_and_said(runs):
    (timing,) = quietly(runs[:1], QUICK, start=Pretended(too_large=[2]))
    assert [of.status for of in timing.batches] == ["measured", "out of memory"]
    assert any("batches of 2 fit into memory alone" in note for note in timing.notes)
    assert set(load_samples(runs[0].path)["batch"]) == {1}


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"other_cores": 1e6}, r"side by side with other work: it used 1000000\.0 of \d+ processors"),
        ({"suspended": 30.0}, "the machine slept for 1 min 0 s meanwhile"),
    ],
)
def test_times_that_cannot_count_are_marked_invalid(runs, spoilt, said):
    (timing,), warned = and_warnings(runs[:1], Pretended(**spoilt))
    (reason,) = timing.invalid
    assert re.search(said, reason)
    assert f"{timing.run}: {reason}" in warned


def test_a_training_beside_it_makes_a_timing_invalid(runs):
    fcntl = pytest.importorskip("fcntl")
    folder = runs[0].path.parent / "gfl-shapes-0-1.partial"
    folder.mkdir()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (timing,) = quietly(runs[:1], QUICK, start=Pretended())
    assert timing.invalid == ("timed side by side with the training of gfl-shapes-0-1",)


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [
        ({"agreement": 0.95}, r"only 95.0 % of the detections .* are those that the run was evaluated by"),
        ({"jump": -3600.0}, r"the wall clock was moved by -3600.0 s"),
        ({}, "timed in 2 processes: how much processes differ is not known"),
    ],
)
def test_what_a_reader_should_know_is_noted_and_warned_of(runs, spoilt, said):
    (timing,), warned = and_warnings(runs[:1], Pretended(**spoilt))
    assert timing.invalid == ()
    assert [note for note in timing.notes if re.search(said, note)]
    assert warned == [f"{timing.run}: {note}" for note in timing.notes]


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        (Protocol(batches=(2, 4)), r"--batch: expected sizes from 1 on, 1 among them, got \[2, 4\]"),
        (Protocol(batches=(0, 1)), "--batch: expected sizes from 1 on"),
        (Protocol(seconds=0), "--seconds: more than 0"),
        (Protocol(seconds=float("nan")), "--seconds: more than 0"),
        (Protocol(processes=0), "expected at least 1"),
    ],
)
def test_a_protocol_that_times_nothing_is_refused(runs, protocol, said):
    with pytest.raises(InputError, match=said):
        quietly(runs, protocol, start=Pretended())


def test_no_run_and_runs_on_different_images_are_refused(runs):
    with pytest.raises(InputError, match="no run to time"):
        quietly([], QUICK, start=Pretended())
    facts = runs[1].result.data.model_copy(update={"fingerprint": "0" * 64})
    other = RunFolder(runs[1].path, runs[1].result.model_copy(update={"data": facts}))
    with pytest.raises(InputError, match="different truth"):
        quietly([runs[0], other], QUICK, start=Pretended())


def test_an_accelerator_that_is_not_there_is_said_to_be_missing(runs):
    if torch.cuda.is_available():
        pytest.skip("there is one here")
    with pytest.raises(MachineError, match=r"device 'cuda' cannot be used .* there is cpu"):
        profile(runs, QUICK, device="cuda", start=Pretended())


def test_a_process_of_its_own_hands_back_what_went_wrong(runs):
    (runs[0].path / "weights.safetensors").unlink()
    job = Job(
        task="inspect", runs=(str(runs[0].path),), device="cpu", threads=1, processes=1, rounds=1, seconds=1.0,
        batches=((1,),),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"holds no weights\.safetensors"):
        launch(job, lambda event: None)


def test_the_terminal_shows_what_is_known_and_how_many_samples_are_missing(runs, capsys):
    timings = quietly(runs, QUICK, start=Pretended(suspended=5.0))
    show_timings(runs, timings, Console(width=160))
    shown = capsys.readouterr().out
    assert "n=16 < 36" in shown
    assert "n=16 < 368" in shown
    assert "3.0" in shown
    assert shown.count("invalid") == 2
    assert timings[0].machine.fingerprint in shown


def test_the_command_takes_several_batches(runs, monkeypatch, capsys):
    monkeypatch.setattr("bench.timing.profiler.profile.__kwdefaults__", {
        **profile.__kwdefaults__, "start": Pretended(),
    })  # fmt: skip
    words = [
        "profile",
        *(str(each.path) for each in runs),
        "--batch",
        "1",
        "4",
        "--processes",
        "1",
        "--quiet",
    ]
    assert main([*words, "--device", "cpu"]) == 0
    assert [of.batch for of in load_timing(runs[0].path).batches] == [1, 4]
    assert "warning: " in capsys.readouterr().err
