"""The record of a timing: `Timing`, its schema, in ``latency.json``, and all samples in ``latency.csv``.

Samples are in nanoseconds, the summary in milliseconds. A *round* is a series of passes of one model; a *pass* processes
one batch from image files to detections in the pixels of the original images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import AwareDatetime, Field

from metrics.atomic_files import atomic_write
from metrics.errors import InputError
from metrics.messages import reason
from metrics.plurals import plural
from reports.records.csv import to_csv
from reports.records.json_record import FiniteOrNone, FrozenModel, Record, Settings

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Literal[2] = 2
"""Version of `Timing`; incremented when the meaning of a field changes."""

FILE = "latency.json"
SAMPLES = "latency.csv"

COLUMNS = ("process", "round", "iteration", "mode", "batch", "stage", "ns", "image")
"""Columns of the samples. `image` is the id of the batch's first image."""

END_TO_END = "end_to_end"
STAGES = ("decode", "preprocess", "forward", "postprocess", "predict", END_TO_END)
"""All stages in order: reading the image file; resizing it and copying it to the device; the network; decoding, NMS and
conversion to the pixels of the original image. A predictor without separate parts has ``predict`` in place of
``forward`` and ``postprocess``."""

MODES = ("real", "fixed")
"""``real``: test images in turn, whose content affects the time of NMS. ``fixed``: the same image repeatedly, so that
variation comes from the machine."""

NOISY = 0.2
"""Interquartile range of the fixed image, as a share of its median, above which a timing is noisy."""

Mode = Literal["real", "fixed"]
StageName = Literal["decode", "preprocess", "forward", "postprocess", "predict", "end_to_end"]


class Machine(FrozenModel):
    """Hardware and software that affect speed; times are compared only if all of it is equal."""

    cpu: str
    cores: int = Field(ge=1)
    """Number of CPU cores available to the process."""
    threads: int = Field(ge=1)
    """Number of torch threads."""
    governor: str = ""
    """Frequency governor of the CPU; empty if not known."""
    platform: str = ""
    device: str
    """cpu, or the name of the accelerator."""
    driver: str = ""
    power_limit: str = ""
    """Power limit of the accelerator."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of python, torch, torchvision, numpy, pillow, and of cuda and cudnn if used."""
    numerics: dict[str, str] = Field(default_factory=dict)
    """Settings that trade precision for speed: TF32."""

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits that identify the machine."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """Name of the device for display."""
        threads = plural(self.threads, "thread")
        return f"{self.cpu}, {threads}" if self.device == "cpu" else self.device


class Subject(FrozenModel):
    """The model and the data that were timed."""

    dtype: str
    """Data type of the weights."""
    autocast: str = ""
    """Data type of the forward pass if it differs from that of the weights: bf16, fp16."""
    channels_last: bool
    compiled: bool = False
    input_size: tuple[int, int] | None = None
    """(height, width) of the network's input; None for images at their original size."""
    resize: str = ""
    nms: Settings = Field(default_factory=dict)
    """Settings of NMS; empty if the predictor has its own."""
    images: int = Field(ge=1)
    """Number of distinct images."""
    images_in_memory: bool = False
    """Whether the images are generated, so that no file is read."""
    parameters: int | None = None
    weights_bytes: int | None = None
    """Size of the file of weights."""
    resting_bytes: int | None = None
    """Memory before the first pass: on the CPU the peak of the process, including Python, torch and weights; else the
    memory allocated on the accelerator."""
    flops: int | None = None
    """FLOPs of one image through the network, two per multiply-add."""
    flop_counter: str = ""
    """The counter and what it leaves out."""
    agreement: FiniteOrNone = None
    """Share of the run's stored detections on the timed images and of the detections of the timing that match each other:
    1 if the timed model is the evaluated one."""


class Process(FrozenModel):
    """A process in which models were timed in turn, and the state of the machine."""

    number: int = Field(ge=0)
    started: AwareDatetime
    load_before: FiniteOrNone = None
    """Load average over one minute before the process."""
    load_after: FiniteOrNone = None
    other_cores: FiniteOrNone = None
    """Average number of cores used by other processes."""
    suspended_seconds: float = Field(default=0.0, ge=0)
    """Duration for which the machine was suspended."""
    clock_jump_seconds: float = 0.0
    """Change of the wall clock during the timing; the timer itself is monotonic."""
    device_state: str = ""
    """Clock rates and temperature of the accelerator at the end."""
    first_call_ms: float = Field(ge=0)
    """Time of the first pass, which includes initialization."""
    warm_up: int = Field(ge=0)
    """Number of iterations until the times of single images were stable."""
    warm_up_stable: bool = True


class Percentile(FrozenModel):
    """Geometric mean over processes of a percentile of each process's samples; None with too few samples."""

    p: float = Field(gt=0, lt=1)
    value_ms: FiniteOrNone = None
    low_ms: FiniteOrNone = None
    """95% interval by Student's t over processes; None with a single process."""
    high_ms: FiniteOrNone = None
    least: int = Field(ge=1)
    """Number of samples required."""


class StageTimes(FrozenModel):
    """Statistics of one stage, mode and batch size; milliseconds per batch."""

    mode: Mode
    batch: int = Field(ge=1)
    stage: StageName
    samples: int = Field(ge=1)
    mean_ms: float
    percentiles: tuple[Percentile, ...]
    quartile_low_ms: float
    quartile_high_ms: float
    whisker_low_ms: float
    """1st and 99th percentile of the samples."""
    whisker_high_ms: float
    outliers: int = Field(ge=0)
    """Number of samples more than three interquartile ranges above the upper quartile."""

    def percentile(self, p: float) -> Percentile:
        """Return the percentile `p`, which must be present."""
        return next(one for one in self.percentiles if one.p == p)

    @property
    def median_ms(self) -> float | None:
        """Geometric mean of the medians of the processes; None with fewer than six samples."""
        return self.percentile(0.5).value_ms

    @property
    def spread(self) -> float:
        """Interquartile range divided by the median."""
        middle = self.median_ms
        return (self.quartile_high_ms - self.quartile_low_ms) / middle if middle else 0.0


class BatchRun(FrozenModel):
    """Throughput and memory at one batch size."""

    batch: int = Field(ge=1)
    status: Literal["measured", "out of memory", "one at a time"] = "measured"
    """``one at a time``: the predictor takes images at their original sizes, which cannot be stacked."""
    images_per_second: FiniteOrNone = None
    """End to end, one batch after another in one process; geometric mean over processes."""
    low: FiniteOrNone = None
    """95% interval by Student's t over processes; None with a single process."""
    high: FiniteOrNone = None
    detector_images_per_second: FiniteOrNone = None
    """Of network and post-processing, with images on the device."""
    memory_bytes: int | None = None
    """Peak memory: allocated on the accelerator, or resident memory of the process on the CPU."""
    reserved_bytes: int | None = None
    """Peak memory reserved by torch on the accelerator."""


class Timing(Record):
    """The speed of a run's detector as it was evaluated, with intervals."""

    KIND: ClassVar[str] = "run's timing"
    REMEDY: ClassVar[str] = "time the run again with python -m bench profile"

    schema_version: Literal[2] = SCHEMA_VERSION
    run: str = Field(min_length=1)
    """The run's name."""
    session: str = Field(min_length=1)
    """Identifies runs that were timed in turn in the same processes."""
    settings: Settings = Field(default_factory=dict)
    """Settings of the protocol: rounds, processes, seconds, batches."""
    finished: AwareDatetime
    machine: Machine
    subject: Subject
    processes: tuple[Process, ...]
    stages: tuple[StageTimes, ...]
    batches: tuple[BatchRun, ...]
    invalid: tuple[str, ...] = ()
    """Why the timing is not valid; empty if it is."""
    notes: tuple[str, ...] = ()
    """Further remarks."""

    def stage(self, stage: str = END_TO_END, batch: int = 1, mode: Mode = "real") -> StageTimes | None:
        """Return the statistics of a stage; None if it was not timed."""
        for one in self.stages:
            if (one.stage, one.batch, one.mode) == (stage, batch, mode):
                return one
        return None

    @property
    def noisy(self) -> bool:
        """Whether the times of the fixed image vary too much."""
        fixed = self.stage(mode="fixed")
        return fixed is not None and fixed.spread > NOISY

    @property
    def headline(self) -> StageTimes | None:
        """End-to-end times of single test images."""
        return self.stage()


def save_timing(folder: Path, timing: Timing, samples: pd.DataFrame) -> None:
    """Write both files into the folder of a run, the summary last: if it exists, so do the samples."""
    atomic_write(folder / SAMPLES, to_csv(samples[list(COLUMNS)]))
    atomic_write(folder / FILE, timing.to_json())


def load_timing(folder: Path | None) -> Timing | None:
    """Read the timing of the run in `folder`; None if it was not timed.

    Raises:
        InputError: damaged, or of a newer version.
    """
    if folder is None or not (folder / FILE).is_file():
        return None
    return Timing.load(folder / FILE)


def load_samples(folder: Path) -> pd.DataFrame:
    """Read the samples of a timed run, with the columns `COLUMNS`.

    Raises:
        InputError: the file is missing or not valid.
    """
    import pandas as pd

    file = folder / SAMPLES
    kinds: Mapping[str, type] = {"process": int, "round": int, "iteration": int, "batch": int, "ns": int}
    try:
        samples = pd.read_csv(file, dtype={**kinds, "mode": str, "stage": str, "image": str})
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as samples ({reason(error)}); {Timing.REMEDY}") from error
    missing = [name for name in COLUMNS if name not in samples]
    if missing:
        raise InputError(f"{file}: has no column {', '.join(missing)}; {Timing.REMEDY}")
    if (samples["ns"] <= 0).any():
        raise InputError(f"{file}: expected times above 0; {Timing.REMEDY}")
    return samples[list(COLUMNS)]
