"""The record of a run: `RunResult`, its schema, and `RunFolder`, which has it with truth and detections on disk.

Reading executes no code from files: JSON, CSV and Parquet are parsed and validated.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import AwareDatetime, Field

from metrics.atomic_files import atomic_write, atomic_write_by
from metrics.compare.percent import points
from metrics.errors import InputError
from metrics.mask_counts import MaskCounts
from metrics.match_rule import MatchRule
from metrics.matching import Matches, match
from metrics.messages import reason
from metrics.plurals import plural
from metrics.tables import AnnotationTable, DetectionTable
from reports.records.json_record import FiniteOrNone, FrozenModel, Record, Settings, find_folder
from reports.records.mask_counts import MaskRecord, load_mask_record

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION: Literal[1] = 1
"""Version of `RunResult`; incremented when the meaning of a field changes."""


class DataFacts(FrozenModel):
    """The images on which a run was evaluated."""

    name: str
    """The user's name of the data set."""
    format: str
    """Name of the reader: shapes, coco, voc, yolo, ...; empty for ground truth from files that `bench eval` read."""
    split: str
    """train, val or test."""
    fingerprint: str
    """Hex digest of the split's truth; runs with the same fingerprint can be compared."""
    content: str = ""
    """Hex digest of truth and image files; empty if the images are unknown."""
    images: int = Field(ge=0)
    objects: int = Field(ge=0)
    """Number of annotated objects, including crowds and ignored objects."""
    classes: int = Field(ge=0)
    train_images: int | None = Field(default=None, ge=0)
    """Number of images that the network was trained on, of folds their mean; None if it was not trained here."""
    leaked: int = Field(default=0, ge=0)
    """Number of images that are also in the data of training or validation, or of which another image of their group is."""
    notes: tuple[str, ...] = ()
    """What was dropped, clipped or unusual, with counts."""


class BudgetLimit(FrozenModel):
    """The budget that ended a training, in place of a number of epochs."""

    unit: Literal["minutes", "images", "flops"]
    amount: float = Field(gt=0)
    """Minutes of updates, training images, or FLOPs as in `Budget.train_flops`."""


class Budget(FrozenModel):
    """Training effort of a run. None if not known, as for detections made elsewhere."""

    epochs: FiniteOrNone = None
    """Passes over the training images; not a whole number if a budget ended training within one."""
    limit: BudgetLimit | None = None
    """The budget that ended training; None for a number of epochs."""
    images_seen: int | None = None
    """Training images used, over all epochs."""
    train_seconds: FiniteOrNone = None
    """Wall-clock time of training, including validation between epochs."""
    step_seconds: FiniteOrNone = None
    """The part of it that was spent on updates, with loading of images, without validation and saving."""
    train_flops: FiniteOrNone = None
    """FLOPs of training: three times those of a prediction, for each training image; None without a limit."""
    total_seconds: FiniteOrNone = None
    """Wall-clock time from command to result."""
    parameters: int | None = None
    """Number of parameters of the network, trainable or not."""
    trials: int | None = None
    """Number of settings tried on validation data before these were chosen."""


class PrecisionFacts(FrozenModel):
    """Precision of training that ``train.precision=auto`` chose."""

    chosen: Literal["no", "bf16"]
    """``no`` is float32."""
    seconds: dict[str, float] = Field(default_factory=dict)
    """Of a forward and backward pass with each precision, before the training, in processor time on a CPU; empty if only float32
    was possible."""


class MicroBatchFacts(FrozenModel):
    """How the batches of training were divided, by settings or for lack of memory."""

    images: int = Field(ge=1)
    """Largest number of images that passed through the network at once in one process, at the end of training."""
    batch: int = Field(ge=1)
    """Images of a batch in one process."""
    bytes: dict[str, int] = Field(default_factory=dict)
    """Peak memory of a forward and backward pass by number of images, from which ``train.micro_batch=auto`` chose."""


class Environment(FrozenModel):
    """Software and hardware of a run. Empty or None if not known."""

    python: str = ""
    packages: dict[str, str] = Field(default_factory=dict)
    """Version of each package that can affect numbers: detbench, torch, torchvision, numpy, ..."""
    platform: str = ""
    """Operating system and architecture."""
    device: str = ""
    """cpu, or the name of the accelerator."""
    cpu: str = ""
    threads: int | None = None
    commit: str | None = None
    """Commit of the checkout; None outside a checkout."""
    dirty: bool | None = None
    """Whether the checkout had uncommitted changes."""


class ModelFileFacts(FrozenModel):
    """A file that was evaluated, and what computed it."""

    name: str
    """Of the file, without folders."""
    sha256: str
    """Of the file, as hex digits."""
    size_bytes: int = Field(ge=0)
    convention: str
    """Whose outputs it has: detbench, ultralytics, ..."""
    runtime: str
    """Name and version of the program that computed it."""
    provider: str
    """Execution provider or device."""
    precision: str
    """Of the computation."""
    threads: int
    """CPU threads."""
    parameters: int
    """Number of stored numbers of its layers."""
    run: str = ""
    """Name of the exported run; empty if it was not exported by detbench."""
    compression: str = ""
    """How it was made smaller or faster than the exported network, such as ``int8 (conv)``; empty if it was not."""
    compression_images: int = Field(default=0, ge=0)
    """Number of training images that this took."""
    compression_seconds: float = Field(default=0.0, ge=0)
    """Wall-clock time that this took."""


class RunResult(Record):
    """A run: its data, settings, budget, environment and headline numbers.

    In JSON every number is finite; null means "not defined" or "not known".
    """

    KIND: ClassVar = "run's result"
    REMEDY: ClassVar = "run again"

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str = Field(min_length=1)
    """Name of the run and its folder, unique in a comparison."""
    variant: str = Field(min_length=1)
    """Name of the detector, or the user's name of detections made elsewhere."""
    variant_source: str = ""
    """Its paper, or the origin of its detections."""
    data: DataFacts
    seed: int | None = None
    """None if there was none or it is not known."""
    trained_by: str | None = None
    """Name of the run whose weights predicted, with other settings of prediction; None if this run trained its own."""
    parent: str | None = None
    """Name of the run whose network was compressed and trained further; None if this run did not start from another."""
    parent_model: str = ""
    """Digest of the model of `parent`, the same for runs of all its seeds; empty if there is none or it was not recorded."""
    teacher: str | None = None
    """Name of the run that was imitated in training; None without distillation."""
    teacher_model: str = ""
    """Digest of the model of `teacher`; see `parent_model`."""
    pruned: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    """Shape of each tensor of the network whose shape pruning changed, by name; empty for the network of the settings."""
    config: Settings = Field(default_factory=dict)
    """The effective settings as a tree, whose dotted paths are those of ``--set``."""
    budget: Budget = Budget()
    precision: PrecisionFacts | None = None
    """Precision of training, if it was chosen by measurement; None for that of the settings."""
    micro_batch: MicroBatchFacts | None = None
    """How batches were divided in training; None if whole batches were used, or it is not known."""
    headline: dict[str, FiniteOrNone] = Field(default_factory=dict)
    """COCO's twelve numbers by short name (ap, ap50, ..., ar_large), as fractions."""
    score_threshold: FiniteOrNone = None
    """Score threshold with the best F1 on the validation images, over all classes at an IoU of 0.5; None without any."""
    protocols: dict[str, dict[str, FiniteOrNone]] = Field(default_factory=dict)
    """Numbers over all classes by the protocols of other benchmarks: by protocol and short name."""
    masks: dict[str, FiniteOrNone] = Field(default_factory=dict)
    """Measures of label maps over all classes, background included, by short name (miou, mdice, pixel_accuracy, ...), as
    fractions; empty for detectors of boxes and data without masks."""
    model_file: ModelFileFacts | None = None
    """The file that predicted; None for networks in PyTorch and for detections made elsewhere."""
    environment: Environment = Environment()
    command: str = ""
    """The command that repeats this run."""
    files: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the other files of the run by name, as hex digits; empty if they were not recorded."""
    warnings: tuple[str, ...] = ()
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    status: Literal["complete", "partial"] = "complete"

    def __repr__(self) -> str:
        ap = self.headline.get("ap")
        score = "" if ap is None else f", AP {100 * ap:.1f}"
        return f"RunResult({self.name!r}{score}, {self.data.name} {self.data.split}, {plural(self.data.images, 'image')})"

    def _repr_html_(self) -> str:
        """The headline numbers in percent, for notebooks."""
        heads = "".join(f"<th>{escape(name)}</th>" for name in ("run", *self.headline))
        values = map(points, self.headline.values())
        cells = "".join(f"<td>{escape(text)}</td>" for text in (self.name, *values))
        return f"<table><tr>{heads}</tr><tr>{cells}</tr></table>"


class RunFolder:
    """A run on disk. `result` is read when it is opened, the tables when they are first used.

    Args:
        path: the folder.
        result: the contents of `result.json`.
        truth: the ground truth, if it is in memory already.
        detections: the detections, if they are in memory already.
        matches: the matches of both, if they are in memory already.
        mask_record: the record of label maps, if it is in memory already.
    """

    RESULT = "result.json"
    TRUTH = "truth.parquet"
    DETECTIONS = "detections.parquet"
    HISTORY = "history.csv"
    CONFIG = "config.toml"
    WEIGHTS = "weights.safetensors"
    CANDIDATES = "candidates.parquet"
    MASK_COUNTS = "mask_counts.parquet"
    LABEL_MAPS = "label_maps"

    def __init__(
        self,
        path: Path,
        result: RunResult,
        truth: AnnotationTable | None = None,
        detections: DetectionTable | None = None,
        matches: Matches | None = None,
        mask_record: MaskRecord | None = None,
    ) -> None:
        self.path = path
        self.result = result
        self._matches = matches
        if mask_record is not None:
            self.mask_record = mask_record
        if truth is not None:
            self.truth = truth
        if detections is not None:
            self.detections = detections

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def _repr_html_(self) -> str:
        """The result's table, for notebooks."""
        return self.result._repr_html_()

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Open the run in the folder `path`, or in the folder of the `result.json` that `path` is.

        Raises:
            InputError: there is no finished run, or its result cannot be read.
        """
        absent = ", so no run was finished here; run the same command again to continue it"
        folder = find_folder(path, cls.RESULT, "a run", absent)
        return cls(folder, RunResult.load(folder / cls.RESULT))

    def replace(self, path: Path | None = None, result: RunResult | None = None) -> RunFolder:
        """Return the run with another path or result, keeping tables and matches that are in memory."""
        known = {
            name: table
            for name in ("truth", "detections", "mask_record")
            if (table := self.__dict__.get(name)) is not None
        }
        return RunFolder(path or self.path, result or self.result, matches=self._matches, **known)

    def matches(self, rule: MatchRule | None = None) -> Matches:
        """Match the detections with the truth; the last matches are cached.

        Args:
            rule: COCO's by default.
        """
        rule = rule or MatchRule()
        if self._matches is None or self._matches.rule != rule:
            self._matches = match(self.truth, self.detections, rule)
        return self._matches

    @cached_property
    def truth(self) -> AnnotationTable:
        """The ground truth of the evaluated split."""
        return AnnotationTable.load(self._file(self.TRUTH))

    @cached_property
    def detections(self) -> DetectionTable:
        """The detections on the evaluated split."""
        return DetectionTable.load(self._file(self.DETECTIONS))

    @cached_property
    def mask_record(self) -> MaskRecord | None:
        """Label maps of the evaluated split; None if none were predicted."""
        file = self.path / self.MASK_COUNTS
        return load_mask_record(file) if file.is_file() else None

    @property
    def mask_counts(self) -> MaskCounts | None:
        """Pixels of each class in each image of the evaluated split; None if no label maps were predicted."""
        return None if self.mask_record is None else self.mask_record.counts

    @cached_property
    def history(self) -> pd.DataFrame:
        """One row per epoch and per validation within one: ``epoch`` (passes over the training images), ``images_seen``, ``seconds``, ``step_seconds``, ``loss``, its terms, ``lr``, ``val_ap``, ``val_ap50``; ``val_miou`` of label maps.

        Empty without training.
        """
        import pandas as pd

        file = self.path / self.HISTORY
        if not file.is_file():
            return pd.DataFrame()
        try:
            return pd.read_csv(file)
        except (ValueError, OSError) as error:
            raise InputError(
                f"{file}: cannot be read as a table ({reason(error)}); delete it or run again"
            ) from error

    def _file(self, name: str) -> Path:
        file = self.path / name
        if not file.is_file():
            raise InputError(f"{self.path}: holds no {name}; run again, or evaluate its detections again")
        return file


def save_result(
    folder: str | Path,
    result: RunResult,
    truth: AnnotationTable | None = None,
    detections: DetectionTable | None = None,
    history: pd.DataFrame | None = None,
    matches: Matches | None = None,
) -> RunFolder:
    """Write a run into `folder`, which is created if missing.

    Files are written atomically, `result.json` last: its presence means that the run is finished. A table that is None is
    not written, and an existing one is kept. The result records the digests of the files beside it. The returned run holds
    the given tables and matches in memory.
    """
    folder = Path(folder)
    if truth is not None:
        atomic_write_by(folder / RunFolder.TRUTH, truth.save)
    if detections is not None:
        atomic_write_by(folder / RunFolder.DETECTIONS, detections.save)
    if history is not None:
        atomic_write(folder / RunFolder.HISTORY, history.to_csv(index=False, lineterminator="\n"))
    result = result.model_copy(update={"files": file_digests(folder)})
    atomic_write(folder / RunFolder.RESULT, result.to_json())
    return RunFolder(folder, result, truth, detections, matches)


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that a run's result rests on, by name; of those that exist in the folder."""
    names = (
        RunFolder.TRUTH, RunFolder.DETECTIONS, RunFolder.HISTORY, RunFolder.CONFIG, RunFolder.WEIGHTS, RunFolder.CANDIDATES,
        RunFolder.MASK_COUNTS,
    )  # fmt: skip
    return {name: _sha256(folder / name) for name in names if (folder / name).is_file()}


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
