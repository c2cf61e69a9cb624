"""Timing runs that are done: each inspected alone, all timed in turn in fresh processes, the result left beside each."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench.process.progress import Progress
from bench.runs.comparison import require_same_truth
from bench.runs.finished_run import evaluated_split
from bench.runs.folders import digest
from bench.timing import conditions
from bench.timing.process import Event, Job, Killed, launch
from bench.timing.schedule import Protocol
from bench.timing.subject import MOST_IMAGES
from bench.training.loop import pick_device
from metrics.errors import InputError, InputWarning
from reports.analysis.timing_statistics import batch_run, stage_times
from reports.elements import formatting
from reports.records.atomic_files import atomic_write
from reports.records.run import RunFolder
from reports.records.timing import (
    COLUMNS,
    SCHEMA_VERSION,
    BatchRun,
    Machine,
    Process,
    Subject,
    Timing,
    save_timing,
)

AGREES = 0.99
"""Share of detections that must be those of the run, or somebody is told."""

Launch = Callable[[Job, Callable[[Event], None]], None]


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a run is, and which batch sizes it can do."""

    subject: Subject
    batches: tuple[BatchRun, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Those that fit into memory."""
        return tuple(run.batch for run in self.batches if run.status == "measured")


@dataclass(slots=True)
class _Gathered:
    """One process's findings of all models, as they are kept on disk until the last process is done."""

    processes: list[Process] = field(default_factory=list)
    rows: list[list[list[Any]]] = field(default_factory=list)
    too_large: list[list[int]] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)


def profile(
    runs: Sequence[RunFolder],
    protocol: Protocol,
    *,
    device: str = "auto",
    threads: int = 0,
    progress: Progress | None = None,
    fresh: bool = False,
    start: Launch = launch,
) -> list[Timing]:
    """Time runs in turn on this machine, and write ``latency.json`` and ``latency.csv`` into each run's folder.

    What a finished process has measured is kept: the same call goes on where an earlier one was broken off.

    Args:
        runs: all evaluated on the same images.
        protocol: how much is timed.
        device: as torch names it; ``auto`` takes an accelerator where there is one.
        threads: of torch on the CPU; 0 leaves it to torch.
        progress: where to show how far it is.
        fresh: throw away what an earlier call, broken off, has measured.
        start: how a job is done; in a process of its own.

    Returns:
        The timings, in the order of the runs.

    Raises:
        InputError: a run without weights, images that are gone, or runs on different images.
        MachineError: no such device, no memory, or another profile is at it.
    """
    _check(runs, protocol)
    progress = progress or Progress()
    with conditions.alone_on_machine():
        crowd = _others_on_gpu(device)  # before this very process is one of them
        chosen = pick_device(device)
        machine = conditions.machine_of(chosen, threads or torch.get_num_threads())
        work = _Session(runs, protocol, chosen, machine, progress, start)
        if fresh:
            shutil.rmtree(work.folder, ignore_errors=True)
        return work.run(crowd)


def _others_on_gpu(device: str) -> int:
    if not torch.cuda.is_available() or not device.startswith(("auto", "cuda")):
        return 0
    return conditions.users_of_gpu(torch.device("cuda" if device == "auto" else device))


def _check(runs: Sequence[RunFolder], protocol: Protocol) -> None:
    if not runs:
        raise InputError("no run to time; give at least one folder of a finished run")
    require_same_truth(runs)
    if min(protocol.processes, protocol.rounds) < 1 or not protocol.seconds > 0:
        raise InputError("--processes and --rounds: expected at least 1; --seconds: more than 0")
    if 1 not in protocol.batches or min(protocol.batches) < 1:
        raise InputError(f"--batch: expected sizes from 1 on, 1 among them, got {list(protocol.batches)}")


class _Session:
    def __init__(
        self,
        runs: Sequence[RunFolder],
        protocol: Protocol,
        device: torch.device,
        machine: Machine,
        progress: Progress,
        start: Launch,
    ) -> None:
        self.runs = runs
        self.protocol = replace(protocol, batches=tuple(sorted(set(protocol.batches))))
        self.machine = machine
        self.progress = progress
        self.start = start
        cause = {
            "schema": SCHEMA_VERSION,
            "runs": [[run.result.name, str(run.result.finished)] for run in runs],
            "protocol": [protocol.processes, protocol.rounds, protocol.seconds, *self.protocol.batches],
            "machine": machine.fingerprint,
        }
        self.name = digest(cause)
        self.folder = runs[0].path.parent / f"profile-{self.name}.partial"
        self.job = Job(
            task="inspect",
            runs=tuple(str(run.path) for run in runs),
            device=str(device),
            threads=machine.threads,
            processes=protocol.processes,
            rounds=protocol.rounds,
            seconds=protocol.seconds,
            batches=(),
        )

    def run(self, crowd: int) -> list[Timing]:
        inspected = self._inspect_all()
        gathered = self._sample_all(inspected)
        timings = [self._finish(at, inspected[at], gathered, crowd) for at in range(len(self.runs))]
        shutil.rmtree(self.folder, ignore_errors=True)
        return timings

    def _inspect_all(self) -> list[Inspected]:
        images = min(len(evaluated_split(self.runs[0])), MOST_IMAGES)
        found = []
        with self.progress.stage("inspecting", len(self.runs) * images) as stage:
            for number, run in enumerate(self.runs):
                file = self.folder / f"inspected-{number}.json"
                if file.is_file():
                    kept = json.loads(file.read_text(encoding="utf-8"))
                    stage.advance(images)
                    found.append(
                        Inspected(
                            Subject.model_validate(kept["subject"]),
                            tuple(BatchRun.model_validate(batch) for batch in kept["batches"]),
                        )
                    )
                    continue
                one = self._inspect(run, lambda: stage.advance())
                document = {
                    "subject": one.subject.model_dump(mode="json"),
                    "batches": [batch.model_dump(mode="json") for batch in one.batches],
                }
                atomic_write(file, json.dumps(document))
                found.append(one)
        return found

    def _inspect(self, run: RunFolder, advance: Callable[[], None]) -> Inspected:
        batches: dict[int, BatchRun] = {}
        subjects: list[Subject] = []

        def told(event: Event) -> None:
            if event["event"] == "batch":
                done = BatchRun.model_validate(event["run"])
                batches[done.batch] = done
            elif event["event"] == "subject":
                subjects.append(Subject.model_validate(event["subject"]))
            elif event["event"] == "image":
                advance()

        job = self.job.model_copy(update={"runs": (str(run.path),), "batches": (self.protocol.batches,)})
        try:
            self.start(job, told)
        except Killed:
            # The system ends a process that wants too much memory: at the batch after the last that it told of.
            fitted = tuple(batches)
            if subjects or 1 not in fitted or len(fitted) == len(self.protocol.batches):
                raise
            self.start(job.model_copy(update={"batches": (fitted,)}), told)
        for batch in self.protocol.batches:
            batches.setdefault(batch, BatchRun(batch=batch, status="out of memory"))
        if batches[1].status != "measured":
            raise Killed(f"{run.path}: not even a single image fits into memory; lower image.size")
        return Inspected(subjects[0], tuple(batches[batch] for batch in self.protocol.batches))

    def _sample_all(self, inspected: Sequence[Inspected]) -> list[_Gathered]:
        turns = len(self.runs) * self.protocol.rounds
        gathered = []
        with self.progress.stage("timing", self.protocol.processes * turns) as stage:
            for number in range(self.protocol.processes):
                file = self.folder / f"process-{number}.json"
                if file.is_file():
                    gathered.append(_read(file))
                    stage.advance(turns)
                    continue
                job = self.job.model_copy(
                    update={
                        "task": "sample",
                        "number": number,
                        "batches": tuple(of.sizes for of in inspected),
                    }
                )
                one = self._sample(job, lambda: stage.advance(1))
                atomic_write(file, json.dumps(_document(one)))
                gathered.append(one)
        return gathered

    def _sample(self, job: Job, advance: Callable[[], None]) -> _Gathered:
        found = _Gathered()
        folders = [run.path.parent for run in self.runs]
        beside = set(conditions.at_work(folders))

        def told(event: Event) -> None:
            if event["event"] == "turn":
                beside.update(conditions.at_work(folders))
                advance()
            elif event["event"] == "sampled":
                found.processes.append(Process.model_validate(event["process"]))
                found.rows.append(event["rows"])
                found.too_large.append(event["too_large"])

        self.start(job, told)
        found.beside = sorted(beside)
        return found

    def _finish(self, at: int, inspected: Inspected, gathered: Sequence[_Gathered], crowd: int) -> Timing:
        run, protocol = self.runs[at], self.protocol
        too_large = sorted({size for one in gathered for size in one.too_large[at]})
        rows = [row for one in gathered for row in one.rows[at] if row[4] not in too_large]
        samples = pd.DataFrame(rows, columns=list(COLUMNS))
        batches = []
        for of in inspected.batches:
            if of.status != "measured" or of.batch in too_large:
                status = "out of memory" if of.batch in too_large else of.status
                batches.append(BatchRun(batch=of.batch, status=status))
                continue
            memory = {"memory_bytes": of.memory_bytes, "reserved_bytes": of.reserved_bytes}
            batches.append(batch_run(samples, of.batch).model_copy(update=memory))
        processes = tuple(one.processes[at] for one in gathered)
        timing = Timing(
            run=run.result.name,
            session=self.name,
            settings={
                "processes": protocol.processes,
                "rounds": protocol.rounds,
                "seconds": protocol.seconds,
                "batches": list(protocol.batches),
                "models": [each.result.name for each in self.runs],
            },
            finished=datetime.now(UTC),
            machine=self.machine,
            subject=inspected.subject,
            processes=processes,
            stages=stage_times(samples),
            batches=tuple(batches),
            invalid=tuple(_invalid(processes, self.machine, gathered, crowd)),
            notes=tuple(_notes(processes, inspected.subject, too_large)),
        )
        save_timing(run.path, timing, samples)
        for reason in (*timing.invalid, *timing.notes):
            warnings.warn(InputWarning(f"{run.result.name}: {reason}"), stacklevel=2)
        return timing


def _invalid(
    processes: Sequence[Process], machine: Machine, gathered: Sequence[_Gathered], crowd: int
) -> list[str]:
    """Why times do not count."""
    said = []
    beside = sorted({name for one in gathered for name in one.beside})
    if beside:
        said.append(f"timed side by side with the training of {formatting.join_words(beside)}")
    if crowd:
        said.append(
            f"timed side by side with {formatting.plural(crowd, 'other process', 'other processes')} on the GPU"
        )
    others = max((process.other_cores or 0.0 for process in processes), default=0.0)
    if conditions.too_crowded(machine.cores, machine.threads, others):
        said.append(
            f"timed side by side with other work: it used {others:.1f} of {machine.cores} processors while the "
            f"timing wanted {machine.threads}; time again when the machine is at rest"
        )
    slept = sum(process.suspended_seconds for process in processes)
    if slept:
        said.append(f"the machine slept for {formatting.duration(slept)} meanwhile")
    return said


def _notes(processes: Sequence[Process], subject: Subject, too_large: Sequence[int]) -> list[str]:
    """What else a reader should know."""
    said = []
    if subject.agreement is not None and subject.agreement < AGREES:
        said.append(
            f"only {100 * subject.agreement:.1f} % of the detections on the timed images are those that the run was "
            "evaluated by: what was timed is not quite what was evaluated"
        )
    moved = [process.clock_jump_seconds for process in processes if process.clock_jump_seconds]
    if moved:
        said.append(
            f"the wall clock was moved by {moved[0]:+.1f} s meanwhile; the timer is another and does not know it"
        )
    if len(processes) < 3:
        said.append(
            f"timed in {formatting.plural(len(processes), 'process', 'processes')}: how much processes differ is not known"
        )
    if not all(process.warm_up_stable for process in processes):
        said.append("times had not come to rest after 200 iterations of warming up")
    if subject.images_in_memory:
        said.append("images are drawn in memory: there is no file to read and decode")
    if too_large:
        sizes = formatting.join_words([str(size) for size in too_large])
        said.append(f"batches of {sizes} fit into memory alone, but not beside the other models")
    return said


def _document(one: _Gathered) -> dict[str, Any]:
    return {
        "processes": [process.model_dump(mode="json") for process in one.processes],
        "rows": one.rows,
        "too_large": one.too_large,
        "beside": one.beside,
    }


def _read(file: Path) -> _Gathered:
    kept = json.loads(file.read_text(encoding="utf-8"))
    return _Gathered(
        [Process.model_validate(process) for process in kept["processes"]],
        kept["rows"],
        kept["too_large"],
        kept["beside"],
    )
