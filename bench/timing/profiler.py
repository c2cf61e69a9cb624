"""Timing of finished runs: each is inspected alone, then all are timed in turn in fresh processes."""

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch

from bench.process.locks import hold
from bench.process.progress import Progress
from bench.runs.comparison import require_same_truth
from bench.runs.finished_run import evaluated_split
from bench.runs.folders import digest
from bench.timing import conditions, remarks
from bench.timing.process import Event, Job, Killed, launch
from bench.timing.schedule import Protocol
from bench.timing.timed_run import MAX_IMAGES
from bench.training.device import pick_device
from detectors.config import Config
from metrics.atomic_files import atomic_write
from metrics.errors import InputError, InputWarning
from reports.analysis.timing_statistics import batch_run, stage_times
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

Launch = Callable[[Job, Callable[[Event], None]], None]


class Inspection(Config):
    """Description of a model, and its result at each batch size."""

    subject: Subject
    batches: tuple[BatchRun, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Batch sizes that fit into memory."""
        return tuple(run.batch for run in self.batches if run.status == "measured")


class ProcessResult(Config):
    """Samples of all models from one process."""

    processes: tuple[Process, ...]
    rows: tuple[list[list[Any]], ...]
    too_large: tuple[list[int], ...]
    trainings: tuple[str, ...]
    """Runs that were in progress meanwhile."""


_LOCK = ".profile-lock"
"""Another name than that of a run's lock, which means that the machine is busy."""

Kept = TypeVar("Kept", Inspection, ProcessResult)


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

    Results of finished processes are kept: the same call continues an interrupted one.

    Args:
        runs: runs evaluated on the same images.
        protocol: amount of timing.
        device: torch's name of a device; ``auto`` chooses an accelerator if there is one.
        threads: CPU threads of torch; 0 for torch's default.
        progress: progress display.
        fresh: discard the results of an interrupted call.
        start: does a job; in a separate process by default.

    Returns:
        Timings in the order of the runs.

    Raises:
        InputError: a run without weights, missing images, or runs on different images.
        MachineError: the device does not exist, memory is insufficient, or another profile is running.
    """
    _check(runs, protocol)
    progress = progress or Progress()
    with conditions.exclusive_timing():
        gpu_processes = _gpu_processes(device)  # before this process uses the device
        chosen = pick_device(device)
        machine = conditions.machine_of(chosen, threads or torch.get_num_threads())
        session = _Session(runs, protocol, chosen, machine, progress, start)
        if fresh:
            shutil.rmtree(session.folder, ignore_errors=True)
        session.folder.mkdir(exist_ok=True)
        with hold(session.folder / _LOCK):
            return session.run(gpu_processes)


def _gpu_processes(device: str) -> int:
    if not torch.cuda.is_available() or not device.startswith(("auto", "cuda")):
        return 0
    return conditions.other_gpu_processes(torch.device("cuda" if device == "auto" else device))


def _check(runs: Sequence[RunFolder], protocol: Protocol) -> None:
    if not runs:
        raise InputError("no run to time; give the folder of at least one finished run")
    require_same_truth(runs)
    if min(protocol.processes, protocol.rounds) < 1 or not 0 < protocol.seconds < math.inf:
        raise InputError("--processes and --rounds: expected at least 1; --seconds: more than 0")
    if 1 not in protocol.batches or min(protocol.batches) < 1:
        raise InputError(f"--batch: expected positive sizes including 1, got {list(protocol.batches)}")


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

    def run(self, gpu_processes: int) -> list[Timing]:
        inspections = self._inspect_all()
        results = self._sample_all(inspections)
        timings = [
            self._finish(model, inspection, results, gpu_processes)
            for model, inspection in enumerate(inspections)
        ]
        shutil.rmtree(self.folder, ignore_errors=True)
        return timings

    def _inspect_all(self) -> list[Inspection]:
        images = min(len(evaluated_split(self.runs[0])), MAX_IMAGES)
        inspections = []
        with self.progress.stage("inspecting", len(self.runs) * images) as stage:
            for number, run in enumerate(self.runs):
                file = self.folder / f"inspected-{number}.json"
                if file.is_file():
                    stage.advance(images)
                inspections.append(_keep(file, Inspection, partial(self._inspect, run, stage.advance)))
        return inspections

    def _inspect(self, run: RunFolder, advance: Callable[[], None]) -> Inspection:
        batches: dict[int, BatchRun] = {}
        subjects: list[Subject] = []

        def on_event(event: Event) -> None:
            if event["event"] == "batch":
                measured = BatchRun.model_validate(event["run"])
                batches[measured.batch] = measured
            elif event["event"] == "subject":
                subjects.append(Subject.model_validate(event["subject"]))
            elif event["event"] == "image":
                advance()

        job = self.job.model_copy(update={"runs": (str(run.path),), "batches": (self.protocol.batches,)})
        try:
            self.start(job, on_event)
        except Killed:
            # The system kills a process that needs too much memory, at the batch size after the last reported one.
            fitting = tuple(batches)
            if subjects or 1 not in fitting or len(fitting) == len(self.protocol.batches):
                raise
            self.start(job.model_copy(update={"batches": (fitting,)}), on_event)
        for batch in self.protocol.batches:
            batches.setdefault(batch, BatchRun(batch=batch, status="out of memory"))
        if batches[1].status != "measured":
            raise Killed(f"{run.path}: a single image does not fit into memory; lower image.size")
        return Inspection(
            subject=subjects[0], batches=tuple(batches[batch] for batch in self.protocol.batches)
        )

    def _sample_all(self, inspections: Sequence[Inspection]) -> list[ProcessResult]:
        turns = len(self.runs) * self.protocol.rounds
        sizes = tuple(inspection.sizes for inspection in inspections)
        results = []
        with self.progress.stage("timing", self.protocol.processes * turns) as stage:
            for number in range(self.protocol.processes):
                file = self.folder / f"process-{number}.json"
                if file.is_file():
                    stage.advance(turns)
                job = self.job.model_copy(update={"task": "sample", "number": number, "batches": sizes})
                results.append(_keep(file, ProcessResult, partial(self._sample, job, stage.advance)))
        return results

    def _sample(self, job: Job, advance: Callable[[], None]) -> ProcessResult:
        sampled: list[Event] = []
        folders = [run.path.parent for run in self.runs]
        trainings = set(conditions.active_runs(folders))

        def on_event(event: Event) -> None:
            if event["event"] == "turn":
                trainings.update(conditions.active_runs(folders))
                advance()
            elif event["event"] == "sampled":
                sampled.append(event)

        self.start(job, on_event)
        return ProcessResult(
            processes=tuple(Process.model_validate(event["process"]) for event in sampled),
            rows=tuple(event["rows"] for event in sampled),
            too_large=tuple(event["too_large"] for event in sampled),
            trainings=tuple(sorted(trainings)),
        )

    def _finish(
        self, model: int, inspection: Inspection, results: Sequence[ProcessResult], gpu_processes: int
    ) -> Timing:
        run, protocol = self.runs[model], self.protocol
        too_large = sorted({size for result in results for size in result.too_large[model]})
        rows = [row for result in results for row in result.rows[model] if row[4] not in too_large]
        samples = pd.DataFrame(rows, columns=list(COLUMNS))
        batches = []
        for inspected in inspection.batches:
            if inspected.status != "measured" or inspected.batch in too_large:
                status = "out of memory" if inspected.batch in too_large else inspected.status
                batches.append(BatchRun(batch=inspected.batch, status=status))
                continue
            memory = {"memory_bytes": inspected.memory_bytes, "reserved_bytes": inspected.reserved_bytes}
            batches.append(batch_run(samples, inspected.batch).model_copy(update=memory))
        processes = tuple(result.processes[model] for result in results)
        trainings = sorted({name for result in results for name in result.trainings})
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
            subject=inspection.subject,
            processes=processes,
            stages=stage_times(samples),
            batches=tuple(batches),
            invalid=tuple(remarks.invalid_reasons(processes, self.machine, trainings, gpu_processes)),
            notes=tuple(remarks.limitations(processes, inspection.subject, too_large)),
        )
        save_timing(run.path, timing, samples)
        for reason in (*timing.invalid, *timing.notes):
            warnings.warn(InputWarning(f"{run.result.name}: {reason}"), stacklevel=2)
        return timing


def _keep(file: Path, kind: type[Kept], make: Callable[[], Kept]) -> Kept:
    """Read a result of an interrupted call from `file`, or make and write it."""
    if file.is_file():
        return kind.model_validate_json(file.read_bytes())
    made = make()
    atomic_write(file, made.model_dump_json())
    return made
