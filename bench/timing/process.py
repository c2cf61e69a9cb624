"""Fresh process that inspects or samples models: reads a job from standard input and writes events as JSON lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from detectors.config import Config
from metrics.errors import DetbenchError, InputError, MachineError, PartialError

Event = dict[str, Any]


class Job(Config):
    """Work of a process: `inspect` the single run of `runs`, or `sample` all of them in turn."""

    task: Literal["inspect", "sample"]
    runs: tuple[str, ...]
    """Run folders."""
    device: str
    threads: int
    processes: int
    rounds: int
    seconds: float
    batches: tuple[tuple[int, ...], ...]
    """Batch sizes of each run."""
    number: int = 0
    """Number of this process."""


class Killed(MachineError):
    """The process was killed, most likely by the system because memory ran out."""


def launch(job: Job, on_event: Callable[[Event], None]) -> None:
    """Do a job in a separate process. The process ends with this function, also on an interrupt.

    Args:
        job: the work.
        on_event: called with each event, a mapping with its kind under ``event``.

    Raises:
        Killed: the process was killed.
        DetbenchError: raised by the job.
    """
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.timing.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C goes to this process only
        )
        assert process.stdin is not None
        assert process.stdout is not None
        failure: Event | None = None
        try:
            process.stdin.write(job.model_dump_json())
            process.stdin.close()
            for line in process.stdout:
                event: Event = json.loads(line)
                if event["event"] == "error":
                    failure = event
                else:
                    on_event(event)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if failure is not None:
            kinds = {kind.exit_code: kind for kind in (InputError, MachineError, PartialError)}
            raise kinds.get(failure["code"], DetbenchError)(failure["text"])
        if code < 0:
            name = signal.Signals(-code).name
            raise Killed(
                f"a timing process was ended by {name}; if memory ran out, leave out the largest --batch"
            )
        if code:
            errors.seek(0)
            last = (errors.read().strip() or f"exit code {code}").splitlines()[-1]
            raise RuntimeError(f"a timing process failed: {last}")


def main() -> int:
    """Run the job read from standard input."""
    # Output of libraries must not mix with events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    try:
        run_job(Job.model_validate_json(sys.stdin.read()), send)
    except DetbenchError as error:
        send(event="error", code=error.exit_code, text=str(error))
        return error.exit_code
    return 0


def run_job(job: Job, send: Callable[..., None]) -> None:
    import torch

    from bench.timing import conditions
    from bench.timing.clock import clock_of
    from bench.timing.inspection import describe, measure_memory
    from bench.timing.passes import Passes
    from bench.timing.sampling import sample
    from bench.timing.schedule import Protocol
    from bench.timing.timed_run import chosen_images, prepare_run
    from reports.records.run import RunFolder

    device = torch.device(job.device)
    torch.set_num_threads(job.threads)
    models = [Passes(prepare_run(RunFolder.open(folder), device), clock_of(device)) for folder in job.runs]
    # As in evaluation: searching for the fastest algorithm pays off if all images have the same size.
    torch.backends.cudnn.benchmark = all(
        model.timed.image is not None and not model.timed.run.result.config.get("deterministic")
        for model in models
    )
    split = models[0].timed.split
    images = chosen_images(len(split))
    if job.task == "inspect":
        resting = conditions.peak_memory() if device.type == "cpu" else torch.cuda.memory_allocated(device)
        measure_memory(
            models[0],
            images,
            job.batches[0],
            lambda run: send(event="batch", run=run.model_dump(mode="json")),
        )
        subject = describe(models[0], images, resting, lambda: send(event="image"))
        send(event="subject", subject=subject.model_dump(mode="json"))
        return
    samples = sample(
        models,
        images,
        [str(name) for name in split.truth.catalog.image_ids],
        Protocol(job.processes, job.rounds, job.seconds),
        job.number,
        job.batches,
        lambda round, model: send(event="turn", round=round, model=model),
    )
    for at, of in enumerate(samples):
        send(
            event="sampled",
            model=at,
            process=of.process.model_dump(mode="json"),
            rows=of.rows,
            too_large=of.too_large,
        )


if __name__ == "__main__":
    sys.exit(main())
