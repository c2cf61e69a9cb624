"""``bench profile`` from runs to timings; jobs are done in this process, or simulated to be deterministic."""

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
from bench.timing.process import Job, Killed, launch, run_job
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
    """Copies of the finished runs, without timings."""
    for each in finished:
        shutil.copytree(each.path, tmp_path / each.path.name)
    return [RunFolder.open(tmp_path / each.path.name) for each in finished]


@pytest.fixture(autouse=True)
def short_and_independent(monkeypatch, tmp_path):
    """Tests in parallel do not lock each other out, and warm-ups are short."""
    monkeypatch.setattr(conditions, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(warmup, "MAX_ITERATIONS", 12)


def run_here(job, on_event):
    """Do a job in this process."""
    threads = torch.get_num_threads()
    try:
        run_job(job, lambda **event: on_event(json.loads(json.dumps(event))))
    finally:
        torch.set_num_threads(threads)


class SimulatedJobs:
    """Jobs that take no time; their events are made up."""

    def __init__(
        self, *, killed_at=None, other_cores=0.0, suspended=0.0, jump=0.0, agreement=1.0, too_large=()
    ):
        self.jobs: list[Job] = []
        self.killed_at = killed_at
        self.other_cores, self.suspended, self.jump = other_cores, suspended, jump
        self.agreement = agreement
        self.too_large = list(too_large)

    def __call__(self, job, on_event):
        self.jobs.append(job)
        if job.task == "inspect":
            self._inspect(job, on_event)
        else:
            self._sample(job, on_event)

    def _inspect(self, job, on_event):
        for batch in job.batches[0]:
            if batch == self.killed_at:
                raise Killed("a process that was timing was ended by SIGKILL")
            on_event({"event": "batch", "run": {"batch": batch, "memory_bytes": 10**6 * batch}})
        subject = {"dtype": "float32", "channels_last": True, "input_size": [64, 64], "images": 6}
        on_event({"event": "subject", "subject": subject | {"agreement": self.agreement}})

    def _sample(self, job, on_event):
        for model in range(len(job.runs)):
            rows = [
                [job.number, round, at, mode, batch, stage, 10**6 * (model + 1) * batch * share, "a"]
                for round in range(job.rounds)
                for at in range(4)
                for mode, batch in [("real", 1), ("fixed", 1), *(("real", b) for b in job.batches[model] if b > 1)]
                for stage, share in (("decode", 1), ("forward", 2), ("end_to_end", 3))
            ]  # fmt: skip
            on_event({"event": "turn", "round": 0, "model": model})
            process = {
                "number": job.number, "started": "2026-03-01T10:00:00Z", "first_call_ms": 9.0, "warm_up": 10,
                "other_cores": self.other_cores, "suspended_seconds": self.suspended,
                "clock_jump_seconds": self.jump,
            }  # fmt: skip
            on_event(
                {
                    "event": "sampled",
                    "model": model,
                    "process": process,
                    "rows": rows,
                    "too_large": self.too_large,
                }
            )


def profile_quietly(*args, **kwargs):
    """`profile` without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return profile(*args, device="cpu", threads=1, **kwargs)


def profile_with_warnings(runs, start):
    """Timings and warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        timings = profile(runs, QUICK, device="cpu", threads=1, start=start)
    return timings, [str(one.message) for one in caught]


def test_the_timed_model_is_the_evaluated_one_and_files_are_in_the_run_folder(runs):
    timings = profile_quietly(runs, QUICK, start=run_here)
    for each, timing in zip(runs, timings, strict=True):
        assert timing == load_timing(each.path)
        assert timing.subject.agreement == 1.0
        assert timing.subject.parameters == each.result.budget.parameters
        assert timing.subject.weights_bytes == (each.path / "weights.safetensors").stat().st_size
        assert timing.subject.flops > 10**6
        assert "multipl" not in timing.subject.flop_counter
        assert "NMS" in timing.subject.flop_counter
        assert timing.subject.input_size == (64, 64)
        assert timing.subject.nms["iou"] == each.result.config["nms"]["iou"]
        assert timing.subject.images == 6
        assert timing.subject.channels_last
        assert [of.status for of in timing.batches] == ["measured", "measured"]
        assert all(of.memory_bytes >= timing.subject.resting_bytes > 0 for of in timing.batches)
        assert len(timing.processes) == 2
        assert any("generated in memory" in note for note in timing.notes)
        samples = load_samples(each.path)
        assert set(samples["image"]) <= {str(name) for name in each.truth.catalog.image_ids}
        wide = samples[samples["mode"] == "real"].pivot_table(
            index=["process", "round", "iteration", "batch"], columns="stage", values="ns"
        )
        parts = wide[["decode", "preprocess", "forward", "postprocess"]].sum(axis=1)
        assert (parts == wide["end_to_end"]).all()
    assert timings[0].session == timings[1].session
    assert not list(runs[0].path.parent.glob("profile-*"))


def test_a_run_evaluated_with_mirror_images_is_timed_with_them(tmp_path):
    context = RunContext(page=False)
    mirrored = run(tiny_config("ssd", train__epochs=1, evaluate__flip=True), tmp_path, context=context)
    (timing,) = profile_quietly([mirrored], Protocol(1, 2, 0.02, (1,)), start=run_here)
    assert timing.subject.agreement == 1.0
    assert timing.stage("predict").median_ms > 0
    assert timing.stage("forward") is None
    assert timing.subject.parameters == mirrored.result.budget.parameters


def test_a_compiled_network_is_reported_as_compiled(runs):
    from bench.timing.clock import clock_of
    from bench.timing.inspection import describe
    from bench.timing.passes import Passes
    from bench.timing.timed_run import prepare_run

    timed = prepare_run(runs[0], torch.device("cpu"))
    passes = Passes(timed, clock_of(timed.device))
    assert not describe(passes, [0], 0).compiled
    timed.predictor.compile(backend="eager")
    assert describe(passes, [0], 0).compiled


def test_flops_are_those_of_the_convolutions(runs):
    # A network of one convolution: 2 x 3 x 3 x 3 x 8 operations at each of 16 x 16 places.
    from bench.pipeline.input_settings import ImageConfig
    from bench.timing.inspection import count_flops
    from bench.timing.timed_run import TimedRun

    class One(torch.nn.Conv2d):
        def predict(self, images):
            return self(images)

    timed = TimedRun(
        None, One(3, 8, 3, padding=1), None, ImageConfig(size=(16, 16), resize="stretch"), torch.device("cpu")
    )
    assert count_flops(timed) == 2 * 27 * 8 * 256


def test_the_precision_is_that_of_the_run(runs):
    from bench.timing.timed_run import prepare_run

    config = runs[0].result.config
    changed = runs[0].result.model_copy(
        update={"config": config | {"evaluate": config["evaluate"] | {"precision": "bf16"}}}
    )
    for result, kind in ((runs[0].result, torch.float32), (changed, torch.bfloat16)):
        timed = prepare_run(RunFolder(runs[0].path, result), torch.device("cpu"))
        assert timed.predictor(torch.zeros(1, 3, 64, 64)).logits.dtype == kind


def test_a_changed_data_set_is_refused(runs):
    facts = runs[0].result.data.model_copy(update={"fingerprint": "0" * 64})
    moved = RunFolder(runs[0].path, runs[0].result.model_copy(update={"data": facts}))
    with pytest.raises(
        InputError, match=r"the objects of its test split have changed since the run .* run again"
    ):
        profile_quietly([moved], QUICK, start=run_here)


def test_finished_processes_are_not_repeated(runs):
    simulated = SimulatedJobs()

    def stopped(job, on_event):
        if job.task == "sample" and job.number == 1:
            raise KeyboardInterrupt
        simulated(job, on_event)

    with pytest.raises(KeyboardInterrupt):
        profile_quietly(runs, QUICK, start=stopped)
    assert [(job.task, job.number) for job in simulated.jobs] == [
        ("inspect", 0),
        ("inspect", 0),
        ("sample", 0),
    ]
    assert load_timing(runs[0].path) is None
    again = SimulatedJobs()
    timings = profile_quietly(runs, QUICK, start=again)
    assert [(job.task, job.number) for job in again.jobs] == [("sample", 1)]
    assert [process.number for process in timings[0].processes] == [0, 1]
    assert set(load_samples(runs[1].path)["process"]) == {0, 1}
    assert not list(runs[0].path.parent.glob("profile-*"))


def test_other_settings_and_fresh_start_again(runs):
    def stopped(job, on_event):
        if job.task == "sample":
            raise KeyboardInterrupt
        SimulatedJobs()(job, on_event)

    for protocol, fresh, jobs in (
        (QUICK, False, 2),
        (Protocol(2, 2, 0.03, (1, 2)), False, 4),
        (QUICK, True, 4),
    ):
        with pytest.raises(KeyboardInterrupt):
            profile_quietly(runs, QUICK, start=stopped)
        again = SimulatedJobs()
        profile_quietly(runs, protocol, start=again, fresh=fresh)
        assert len(again.jobs) == jobs


def test_samples_are_summarised_by_run(runs):
    first, second = profile_quietly(runs, QUICK, start=SimulatedJobs())
    assert first.headline.median_ms == pytest.approx(3.0)
    assert second.headline.median_ms == pytest.approx(6.0)
    assert second.stage("forward").median_ms == pytest.approx(4.0)
    assert [of.images_per_second for of in first.batches] == pytest.approx([1000 / 3] * 2)
    assert [of.memory_bytes for of in first.batches] == [10**6, 2 * 10**6]
    assert first.headline.samples == 2 * 2 * 4
    assert tuple(load_samples(runs[0].path).columns) == COLUMNS


def test_a_process_killed_for_its_memory_marks_that_batch_size_and_larger_ones(runs):
    simulated = SimulatedJobs(killed_at=4)
    protocol = Protocol(2, 2, 0.02, (8, 1, 4, 2))
    (timing,) = profile_quietly(runs[:1], protocol, start=simulated)
    assert [(of.batch, of.status) for of in timing.batches] == [
        (1, "measured"), (2, "measured"), (4, "out of memory"), (8, "out of memory"),
    ]  # fmt: skip
    assert [job.batches for job in simulated.jobs] == [((1, 2, 4, 8),), ((1, 2),), ((1, 2),), ((1, 2),)]


def test_a_model_whose_single_image_does_not_fit_is_an_error(runs):
    with pytest.raises(MachineError, match="SIGKILL"):
        profile_quietly(runs, QUICK, start=SimulatedJobs(killed_at=1))


def test_a_batch_size_that_fits_only_alone_is_left_out_with_a_note(runs):
    (timing,) = profile_quietly(runs[:1], QUICK, start=SimulatedJobs(too_large=[2]))
    assert [of.status for of in timing.batches] == ["measured", "out of memory"]
    assert any("batches of 2 fit into memory alone" in note for note in timing.notes)
    assert set(load_samples(runs[0].path)["batch"]) == {1}


@pytest.mark.parametrize(
    ("disturbance", "message"),
    [
        ({"other_cores": 1e6}, r"timed next to other work, which used 1000000\.0 of \d+ processors"),
        ({"suspended": 30.0}, "the machine was suspended for 1 min 0 s meanwhile"),
    ],
)
def test_disturbed_timings_are_marked_invalid(runs, disturbance, message):
    (timing,), warned = profile_with_warnings(runs[:1], SimulatedJobs(**disturbance))
    (reason,) = timing.invalid
    assert re.search(message, reason)
    assert f"{timing.run}: {reason}" in warned


def test_a_training_at_the_same_time_makes_a_timing_invalid(runs):
    fcntl = pytest.importorskip("fcntl")
    folder = runs[0].path.parent / "gfl-shapes-0-1.partial"
    folder.mkdir()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (timing,) = profile_quietly(runs[:1], QUICK, start=SimulatedJobs())
    assert timing.invalid == ("timed during the training of gfl-shapes-0-1",)


@pytest.mark.parametrize(
    ("disturbance", "message"),
    [
        ({"agreement": 0.95}, r"only 95.0% of the detections .* are equal to those of the run.s evaluation"),
        ({"jump": -3600.0}, r"the wall clock was changed by −3600.0 s"),
        ({}, "timed in 2 processes, too few to estimate how much processes differ"),
    ],
)
def test_limitations_are_notes_and_warnings(runs, disturbance, message):
    (timing,), warned = profile_with_warnings(runs[:1], SimulatedJobs(**disturbance))
    assert timing.invalid == ()
    assert [note for note in timing.notes if re.search(message, note)]
    assert warned == [f"{timing.run}: {note}" for note in timing.notes]


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (Protocol(batches=(2, 4)), r"--batch: expected positive sizes including 1, got \[2, 4\]"),
        (Protocol(batches=(0, 1)), "--batch: expected positive sizes"),
        (Protocol(seconds=0), "--seconds: more than 0"),
        (Protocol(seconds=float("nan")), "--seconds: more than 0"),
        (Protocol(processes=0), "expected at least 1"),
    ],
)
def test_an_empty_protocol_is_refused(runs, protocol, message):
    with pytest.raises(InputError, match=message):
        profile_quietly(runs, protocol, start=SimulatedJobs())


def test_no_run_and_runs_on_different_images_are_refused(runs):
    with pytest.raises(InputError, match="no run to time"):
        profile_quietly([], QUICK, start=SimulatedJobs())
    facts = runs[1].result.data.model_copy(update={"fingerprint": "0" * 64})
    other = RunFolder(runs[1].path, runs[1].result.model_copy(update={"data": facts}))
    with pytest.raises(InputError, match="different ground truth"):
        profile_quietly([runs[0], other], QUICK, start=SimulatedJobs())


def test_a_missing_accelerator_is_an_error(runs):
    if torch.cuda.is_available():
        pytest.skip("there is one here")
    with pytest.raises(MachineError, match=r"device 'cuda' cannot be used .* available: cpu"):
        profile(runs, QUICK, device="cuda", start=SimulatedJobs())


def test_an_error_of_a_separate_process_is_raised_here(runs):
    (runs[0].path / "weights.safetensors").unlink()
    job = Job(
        task="inspect", runs=(str(runs[0].path),), device="cpu", threads=1, processes=1, rounds=1, seconds=1.0,
        batches=((1,),),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"holds no weights\.safetensors"):
        launch(job, lambda event: None)


def test_the_table_shows_percentiles_and_how_many_samples_are_needed(runs, capsys):
    timings = profile_quietly(runs, QUICK, start=SimulatedJobs(suspended=5.0))
    show_timings(runs, timings, Console(width=160))
    printed = capsys.readouterr().out
    assert "–: not estimable from 16 passes (p90 needs 36 and p99 needs 368); a larger --seconds" in printed
    assert "3.0" in printed
    (invalid,) = [line for line in printed.splitlines() if line.startswith("invalid")]
    assert invalid.endswith("(see the warnings): ssd 0 and fcos 0")
    show_timings(runs, timings, Console(width=80))
    table, _, _ = capsys.readouterr().out.partition("\ntimes are")
    rows = table.splitlines()[-2:]
    assert [row.split()[0] for row in rows] == ["ssd", "fcos"]  # each run on one line
    assert "decoding" in table
    assert max(map(len, table.splitlines())) <= 80
    assert timings[0].machine.fingerprint in printed


def test_the_command_accepts_several_batch_sizes(runs, monkeypatch, capsys):
    monkeypatch.setattr("bench.timing.profiler.profile.__kwdefaults__", {
        **profile.__kwdefaults__, "start": SimulatedJobs(),
    })  # fmt: skip
    words = ["profile", "--batch", "1", "4", str(runs[0].path.parent), "--processes", "1"]
    assert main([*words, "--quiet", "--device", "cpu"]) == 0
    assert [of.batch for of in load_timing(runs[0].path).batches] == [1, 4]
    assert "warning: " in capsys.readouterr().err
