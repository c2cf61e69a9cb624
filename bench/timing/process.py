"""A fresh process that inspects or samples: a job comes in on standard input, what happens goes out line by line."""

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
    """What a process shall do.

    `inspect` does it to the one run of `runs`; `sample` times all of them in turn.
    """

    task: Literal["inspect", "sample"]
    runs: tuple[str, ...]
    """Folders."""
    device: str
    threads: int
    processes: int
    rounds: int
    seconds: float
    batches: tuple[tuple[int, ...], ...]
    """For each run the sizes to go through."""
    number: int = 0
    """Of this process."""


class Killed(MachineError):
    """The process was ended from outside: by the system, most likely, when memory ran out."""


def launch(job: Job, told: Callable[[Event], None]) -> None:
    """Do a job in a process of its own, and hand on what it tells.

    Whatever ends this function early, an interrupt for one, ends the process, too.

    Args:
        job: what to do.
        told: given each event, a mapping whose ``event`` says what it is.

    Raises:
        Killed: the process was ended from outside.
        DetbenchError: what the job itself raised.
    """
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.timing.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # an interrupt from the keyboard is ours to pass on
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
                    told(event)
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
                f"a process that was timing was ended by {name}; if memory ran out, leave out the largest --batch"
            )
        if code:
            complaints.seek(0)
            last = (complaints.read().strip() or f"exit code {code}").splitlines()[-1]
            raise RuntimeError(f"a process that was timing failed: {last}")


def main() -> int:
    """Do the job that standard input describes."""
    # What libraries print must not come between the events.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def tell(**event: Any) -> None:
        events.write(json.dumps(event) + "\n")
        events.flush()

    try:
        _do(Job.model_validate_json(sys.stdin.read()), tell)
    except DetbenchError as error:
        tell(event="error", code=error.exit_code, text=str(error))
        return error.exit_code
    return 0


def _do(job: Job, tell: Callable[..., None]) -> None:
    import torch

    from bench.timing import conditions
    from bench.timing.clock import clock_of
    from bench.timing.inspection import describe, measure_memory
    from bench.timing.passes import Passes
    from bench.timing.sampling import sample
    from bench.timing.schedule import Protocol
    from bench.timing.subject import chosen_images, make_ready
    from reports.records.run import RunFolder

    device = torch.device(job.device)
    torch.set_num_threads(job.threads)
    models = [Passes(make_ready(RunFolder.open(folder), device), clock_of(device)) for folder in job.runs]
    # As in evaluation: seeking the fastest algorithm pays where all images have one size.
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
            lambda run: tell(event="batch", run=run.model_dump(mode="json")),
        )
        subject = describe(models[0], images, resting, lambda: tell(event="image"))
        tell(event="subject", subject=subject.model_dump(mode="json"))
        return
    sampled = sample(
        models,
        images,
        [str(name) for name in split.truth.catalog.image_ids],
        Protocol(job.processes, job.rounds, job.seconds),
        job.number,
        job.batches,
        lambda round, model: tell(event="turn", round=round, model=model),
    )
    for at, of in enumerate(sampled):
        tell(
            event="sampled",
            model=at,
            process=of.process.model_dump(mode="json"),
            rows=of.rows,
            too_large=of.too_large,
        )


if __name__ == "__main__":
    sys.exit(main())
