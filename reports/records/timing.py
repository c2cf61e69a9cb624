"""What timing a run leaves: `Timing`, its schema, in ``latency.json``, and every sample in ``latency.csv`` beside it.

Times are nanoseconds in the samples and milliseconds in the summary. A *round* is one visit to a model, a *pass* takes
one batch from image files to detections in pixels of the original images.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import AwareDatetime, Field

from metrics.errors import InputError
from reports.records.atomic_files import atomic_write
from reports.records.csv import to_csv
from reports.records.json_record import FiniteOrNone, FrozenModel, Record, Settings

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Literal[1] = 1
"""The version that `Timing` describes; a change in the meaning of any field raises it."""

FILE = "latency.json"
SAMPLES = "latency.csv"

COLUMNS = ("process", "round", "iteration", "mode", "batch", "stage", "ns", "image")
"""Of the samples. `image` is the id of the batch's first image."""

END_TO_END = "end_to_end"
STAGES = ("decode", "preprocess", "forward", "postprocess", "predict", END_TO_END)
"""Every stage that there can be, in order: reading the image file; fitting it to the network's input and bringing it to
the device; the network; decoding, suppression and bringing detections back to the original image. A predictor that
does not show its parts has ``predict`` in place of the two before it."""

MODES = ("real", "fixed")
"""``real``: test images in turn, whose content decides how much there is to suppress. ``fixed``: one image again and
again, so that what differs is the machine's doing."""

NOISY = 0.2
"""An interquartile range of one and the same work above this part of its median is noise."""

Mode = Literal["real", "fixed"]
StageName = Literal["decode", "preprocess", "forward", "postprocess", "predict", "end_to_end"]


class Machine(FrozenModel):
    """What decides how fast things run: times of two machines that differ in any of it are not compared."""

    cpu: str
    cores: int = Field(ge=1)
    """Processors that the process may use."""
    threads: int = Field(ge=1)
    """Of torch."""
    governor: str = ""
    """How the system sets the processors' clock; empty where it does not say."""
    platform: str = ""
    device: str
    """What computed: cpu, or the accelerator's name."""
    driver: str = ""
    power_limit: str = ""
    """Of the accelerator."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Versions of python, torch, torchvision, numpy, pillow; of cuda and cudnn where they are used."""
    numerics: dict[str, str] = Field(default_factory=dict)
    """Switches that trade exactness for speed: TF32."""

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits: the same for the same machine."""
        said = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """What computed, as a reader would call it."""
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.cpu}, {threads}" if self.device == "cpu" else self.device


class Subject(FrozenModel):
    """What was timed."""

    dtype: str
    """Of the weights."""
    autocast: str = ""
    """In which the forward pass computes where that is not the weights' own type: bf16, fp16."""
    channels_last: bool
    compiled: bool = False
    input_size: tuple[int, int] | None = None
    """(height, width) of the network's input; None for images in their own size."""
    resize: str = ""
    nms: Settings = Field(default_factory=dict)
    """Settings of suppression; none where it is the predictor's own affair."""
    images: int = Field(ge=1)
    """Different images that were timed."""
    images_in_memory: bool = False
    """Whether they were drawn, so that there was no file to read."""
    parameters: int | None = None
    weights_bytes: int | None = None
    """Of the file of weights."""
    resting_bytes: int | None = None
    """Memory before the first pass: of a process on the CPU its peak so far, Python, torch and weights included; else
    what is allocated on the accelerator."""
    flops: int | None = None
    """Of one image through the network; a multiplication and an addition are two."""
    flop_counter: str = ""
    """Which counted, and what it leaves out."""
    agreement: FiniteOrNone = None
    """Share of the run's stored detections on the timed images, and of those found while timing, that have a partner
    among the others: 1 where what was timed is what was evaluated."""


class Process(FrozenModel):
    """One fresh process in which models were timed in turn, and what went on around it."""

    number: int = Field(ge=0)
    started: AwareDatetime
    load_before: FiniteOrNone = None
    """Load average over one minute before the process began."""
    load_after: FiniteOrNone = None
    other_cores: FiniteOrNone = None
    """Processors that others used on average meanwhile."""
    suspended_seconds: float = Field(default=0.0, ge=0)
    """How long the machine slept meanwhile."""
    clock_jump_seconds: float = 0.0
    """By how much somebody moved the wall clock; the timer does not know it."""
    device_state: str = ""
    """Clocks and temperature of the accelerator at the end."""
    first_call_ms: float = Field(ge=0)
    """The first pass of all, which pays for what is made once."""
    warm_up: int = Field(ge=0)
    """Iterations until the times of single images stood still."""
    warm_up_stable: bool = True


class Percentile(FrozenModel):
    """A percentile by order statistics; None where there are too few samples to know it."""

    p: float = Field(gt=0, lt=1)
    value_ms: FiniteOrNone = None
    low_ms: FiniteOrNone = None
    """95 % interval, free of any distribution, for samples that do not depend on each other."""
    high_ms: FiniteOrNone = None
    least: int = Field(ge=1)
    """Samples that it needs."""


class StageTimes(FrozenModel):
    """All samples of one stage in one mode and batch size; milliseconds of the whole batch."""

    mode: Mode
    batch: int = Field(ge=1)
    stage: StageName
    samples: int = Field(ge=1)
    mean_ms: float
    percentiles: tuple[Percentile, ...]
    median_low_ms: FiniteOrNone = None
    """95 % interval of the median from resampled processes and rounds: samples of one round resemble each other."""
    median_high_ms: FiniteOrNone = None
    quartile_low_ms: float
    quartile_high_ms: float
    whisker_low_ms: float
    """What 99 of 100 samples exceed, and what they do not: where these lie, not where others would."""
    whisker_high_ms: float
    outliers: int = Field(ge=0)
    """Samples more than three interquartile ranges above the upper quartile."""

    def percentile(self, p: float) -> Percentile:
        """The one of that share; it must be there."""
        return next(one for one in self.percentiles if one.p == p)

    @property
    def median_ms(self) -> float | None:
        """None where there are fewer than six samples."""
        return self.percentile(0.5).value_ms

    @property
    def spread(self) -> float:
        """Interquartile range as part of the median."""
        middle = self.median_ms
        return (self.quartile_high_ms - self.quartile_low_ms) / middle if middle else 0.0


class BatchRun(FrozenModel):
    """Batches of one size: how many images a second, and how much memory."""

    batch: int = Field(ge=1)
    status: Literal["measured", "out of memory", "one at a time"] = "measured"
    """The last: the predictor takes images in their own sizes, which do not stack."""
    images_per_second: FiniteOrNone = None
    """From image files to detections, one batch after another in one process."""
    low: FiniteOrNone = None
    """95 % interval from resampled processes and rounds."""
    high: FiniteOrNone = None
    detector_images_per_second: FiniteOrNone = None
    """Of network and post-processing alone, images ready on the device."""
    memory_bytes: int | None = None
    """Peak: allocated on the accelerator; of a process on the CPU all that is resident, Python and torch included."""
    reserved_bytes: int | None = None
    """Peak that torch kept on the accelerator."""


class Timing(Record):
    """How fast a run's detector is, as it was evaluated, and how sure that is."""

    KIND: ClassVar[str] = "run's timing"
    REMEDY: ClassVar[str] = "time the run again with python -m bench profile"

    schema_version: Literal[1] = SCHEMA_VERSION
    run: str = Field(min_length=1)
    """The run's name."""
    session: str = Field(min_length=1)
    """The same for runs that were timed in turn, in the same processes."""
    settings: Settings = Field(default_factory=dict)
    """Of the protocol: rounds, processes, seconds, batches."""
    finished: AwareDatetime
    machine: Machine
    subject: Subject
    processes: tuple[Process, ...]
    stages: tuple[StageTimes, ...]
    batches: tuple[BatchRun, ...]
    invalid: tuple[str, ...] = ()
    """Why these times do not count; none where they do."""
    notes: tuple[str, ...] = ()
    """What else a reader should know."""

    def stage(self, stage: str = END_TO_END, batch: int = 1, mode: Mode = "real") -> StageTimes | None:
        """The times of a stage; None where it was not timed."""
        for one in self.stages:
            if (one.stage, one.batch, one.mode) == (stage, batch, mode):
                return one
        return None

    @property
    def noisy(self) -> bool:
        """Whether the same work took times that differ much."""
        same = self.stage(mode="fixed")
        return same is not None and same.spread > NOISY

    @property
    def headline(self) -> StageTimes | None:
        """One real image from file to detections."""
        return self.stage()


def save_timing(folder: Path, timing: Timing, samples: pd.DataFrame) -> None:
    """Write both files into a run's folder, the summary last: where it stands, the samples do, too."""
    atomic_write(folder / SAMPLES, to_csv(samples[list(COLUMNS)]))
    atomic_write(folder / FILE, timing.to_json())


def load_timing(folder: Path | None) -> Timing | None:
    """The timing of the run in `folder`; None where it was not timed.

    Raises:
        InputError: damaged, or of a newer version.
    """
    if folder is None or not (folder / FILE).is_file():
        return None
    return Timing.load(folder / FILE)


def load_samples(folder: Path) -> pd.DataFrame:
    """The samples of a run that was timed: `COLUMNS`.

    Raises:
        InputError: missing, or not such a table.
    """
    import pandas as pd

    file = folder / SAMPLES
    kinds: Mapping[str, type] = {"process": int, "round": int, "iteration": int, "batch": int, "ns": int}
    try:
        samples = pd.read_csv(file, dtype={**kinds, "mode": str, "stage": str, "image": str})
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as samples ({error}); {Timing.REMEDY}") from error
    missing = [name for name in COLUMNS if name not in samples]
    if missing:
        raise InputError(f"{file}: has no column {', '.join(missing)}; {Timing.REMEDY}")
    if (samples["ns"] <= 0).any():
        raise InputError(f"{file}: a time is not above 0; {Timing.REMEDY}")
    return samples[list(COLUMNS)]
