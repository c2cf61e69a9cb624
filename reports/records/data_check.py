"""The record of a data check: what a data set contains, and what is wrong with it, as numbers and examples."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from reports.records.json_record import FiniteOrNone, FrozenModel, Record

SCHEMA_VERSION: Literal[1] = 1
"""Version of `DataCheck`; incremented when the meaning of a field changes."""

Severity = Literal["error", "warning", "information"]
"""Errors make training fail or results wrong, warnings are probably mistakes, information is worth knowing."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
"""Shares of the values that `Distribution.quantiles` are the limits of."""

MAX_EXAMPLES = 20
"""Number of examples that a finding keeps."""

GRID = 16
"""Rows and columns of `SplitFacts.centers`."""

MAX_SIZES = 200
"""Number of different image sizes that a split lists."""


class ImageRef(FrozenModel):
    """An image of the data set."""

    split: str
    id: int | str
    file: str = ""
    """Its name as in the annotations; empty if it has none."""


class Example(FrozenModel):
    """One occurrence of a finding."""

    images: tuple[ImageRef, ...] = ()
    """The image, or the images that are alike."""
    objects: tuple[int, ...] = ()
    """Ids of the annotations."""
    names: tuple[str, ...] = ()
    """Names of classes or files."""
    values: dict[str, float] = Field(default_factory=dict)
    """Numbers by name: the box (x, y, w, h), a distance, ..."""
    problem: str = ""
    """Why a file cannot be read."""


class Finding(FrozenModel):
    """One kind of finding on one subject; its sentence and its fix follow from the kind."""

    kind: str
    """Stable identifier, such as ``degenerate_boxes``."""
    severity: Severity
    subject: str = ""
    """Name of the split, the pair of splits (``train, test``), or the class; empty for the whole data set."""
    count: int = Field(ge=0)
    """Number of images, objects or classes concerned."""
    of: int | None = None
    """Number of all images, objects or classes of the subject."""
    values: dict[str, float] = Field(default_factory=dict)
    """Further numbers by name."""
    examples: tuple[Example, ...] = ()
    """The first occurrences, at most `MAX_EXAMPLES`."""


class ReadingNote(FrozenModel):
    """What was guessed, made or left out when the data set was opened."""

    kind: str
    text: str
    subject: str = ""
    values: dict[str, float] = Field(default_factory=dict)
    warning: bool = False
    """Whether it is probably a mistake in the data."""


class Distribution(FrozenModel):
    """Distribution of a quantity: its quantiles and a histogram."""

    count: int = Field(ge=0)
    """Number of values."""
    quantiles: tuple[FiniteOrNone, ...]
    """At `QUANTILES`; None without values."""
    edges: tuple[float, ...]
    """B + 1 increasing limits of the bins; a value on a limit is in the upper bin. Values beyond are in the outer bins."""
    counts: tuple[int, ...]
    """B numbers of values."""


class ClassFacts(FrozenModel):
    """A class of the data set."""

    id: int
    name: str


class ImageSize(FrozenModel):
    """Number of images of one size."""

    height: int
    width: int
    images: int


class SplitFacts(FrozenModel):
    """Images and objects of a split. Boxes are those that are trained on: neither crowd, ignored, degenerate nor outside."""

    name: str
    origin: Literal["given", "made", "fold", "shared", "drawn"]
    """From the data set; made by a hash of the images' names; of a fold; the same images as in another split; drawn."""
    images: int
    objects: int
    """All annotated objects."""
    crowd: int
    ignored: int
    """Ignored objects that are no crowd regions."""
    empty_images: int
    """Images without any annotation."""
    masked_images: int = 0
    """Images with a mask, from which label maps are drawn; 0 also if the files were not read."""
    objects_by_class: tuple[int, ...]
    """Objects of each class that are neither crowd nor ignored."""
    images_by_class: tuple[int, ...]
    """Images with such an object of each class."""
    objects_per_image: dict[int, int]
    """Number of images by their number of such objects."""
    sizes: tuple[ImageSize, ...]
    """The most frequent image sizes, at most `MAX_SIZES`."""
    other_sizes: int
    """Images of further sizes."""
    unknown_sizes: int
    """Images whose size is not known without reading them."""
    box_size: Distribution
    """Square root of the area in pixels of the image."""
    box_input_size: Distribution
    """The same in pixels of the network's input."""
    box_aspect: Distribution
    """Width divided by height."""
    centers: tuple[tuple[int, ...], ...]
    """Number of centres of boxes in each cell of a grid of `GRID` x `GRID` over the image, from the top left."""
    formats: dict[str, int] = Field(default_factory=dict)
    """Number of image files by format (``JPEG``); empty if the files were not read."""
    modes: dict[str, int] = Field(default_factory=dict)
    """Number of image files by Pillow's colour mode (``RGB``, ``L``, ``CMYK``)."""
    orientations: dict[int, int] = Field(default_factory=dict)
    """Number of image files by EXIF orientation, 1 is upright."""


class InputFacts(FrozenModel):
    """The network's input that the boxes were looked at in."""

    height: int
    width: int
    resize: str
    strides: tuple[int, ...]
    """Strides of the network's features in pixels of the input, the finest first."""
    min_side: float
    """Smallest side of a training target in pixels of the input."""


class DataCheck(Record):
    """A data set: its contents, how it was read, and findings. The same data gives the same record."""

    KIND: ClassVar = "data check"
    REMEDY: ClassVar = "check the data again"

    schema_version: Literal[1] = SCHEMA_VERSION
    name: str
    format: str
    fingerprint: str
    """Hex digest of annotations and image files."""
    decoded: bool
    """Whether the image files were decoded; otherwise nothing is known about their contents."""
    input: InputFacts
    classes: tuple[ClassFacts, ...]
    splits: tuple[SplitFacts, ...]
    notes: tuple[ReadingNote, ...]
    findings: tuple[Finding, ...]
    """Errors first, then warnings, then information."""

    def split(self, name: str) -> SplitFacts:
        """The split of this name."""
        return next(split for split in self.splits if split.name == name)

    def count(self, severity: Severity) -> int:
        """Number of findings of a severity; warnings include those that were given when the data set was opened."""
        read = sum(note.warning for note in self.notes) if severity == "warning" else 0
        return read + sum(finding.severity == severity for finding in self.findings)
