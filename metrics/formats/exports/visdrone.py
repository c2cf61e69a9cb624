"""VisDrone-DET: ``annotations/*.txt`` with lines ``x,y,w,h,score,category,truncation,occlusion``, and ``images``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import visible_files
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, number
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural

CLASSES = (
    "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motor",
)  # fmt: skip
"""Names of the categories 1 to 10; 0 are ignored regions, 11 are others, which are not evaluated."""

COLUMNS = ("x", "y", "w", "h", "score", "category", "truncation", "occlusion")
"""Values of a line of an image."""

FRAME_COLUMNS = ("frame", "target", *COLUMNS)
"""Values of a line of a video."""


_LARGEST = 2**30


@dataclass(frozen=True, slots=True)
class Line:
    """One annotation or detection.

    Attributes:
        place: file and line, for messages.
        frame: number of the frame of a video, from 1; 0 of an image.
        xywh: box in pixels.
        score: of a detection; 0 for an annotation that is not evaluated.
        category: 0 to 11; see `CLASSES`.
    """

    place: str
    frame: int
    xywh: tuple[float, float, float, float]
    score: float
    category: int


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    for pattern in ("annotations/*.txt", "*/annotations/*.txt"):
        files = visible_files(path, pattern)
        if files and any(_is_visdrone(file) for file in files[:20]):
            return files
    return []


def _is_visdrone(file: Path) -> bool:
    return are_values(first_words(file), COLUMNS)


def are_values(words: Sequence[bytes], columns: Sequence[str]) -> bool:
    """Whether words are the whole numbers of an annotation with these columns."""
    return len(words) == len(columns) and all(word.strip().lstrip(b"-").isdigit() for word in words)


def first_words(file: Path) -> list[bytes]:
    """The values of the first line that is not empty."""
    lines = [line for line in read_head(file, 400).splitlines() if line.strip()]
    return lines[0].strip().strip(b",").split(b",") if lines else []


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    counts: Counter[str] = Counter()
    images = []
    for file in files:
        folder = file.parent.parent
        purpose = parse_purpose(folder.name) if folder != root else None
        stem = file.stem if folder == root else f"{folder.name}/{file.stem}"
        boxes = tuple(box_of(line, counts) for line in read_lines(file))
        images.append(ImageAnnotation("", boxes, purpose=purpose, stem=stem))
    report_regions(root, counts)
    return images


def box_of(line: Line, counts: Counter[str]) -> Box:
    """The object of a line: ignored for every class if it is of no class or has the score 0.

    Args:
        line: an annotation.
        counts: the number of ignored ones, under ``regions``, is increased.
    """
    x, y, w, h = line.xywh
    label = CLASSES[line.category - 1] if is_object(line.category) and line.score else ""
    counts["regions"] += not label
    return Box(label, (x, y, x + w, y + h))


def report_regions(root: Path, counts: Counter[str]) -> None:
    """Report how many annotations are ignored, if there are any; see `box_of`."""
    if counts["regions"]:
        text = f"{root}: {plural(counts['regions'], 'ignored region')} and others are ignored for every class"
        report(Note("ignored_regions", text, str(root), {"regions": counts["regions"]}))


def is_object(category: int) -> bool:
    """Whether a category is one of `CLASSES`: neither an ignored region nor one of the others."""
    return 1 <= category <= len(CLASSES)


def read_lines(file: Path, columns: Sequence[str] = COLUMNS) -> Iterator[Line]:
    """The lines of a file, of an image or with `FRAME_COLUMNS` of a video.

    Raises:
        InputError: a line has another number of values, one is no number, its category is none from 0 to 11, or its frame is no
            whole number.
    """
    for line_number, line in enumerate(read_text(file, _LARGEST).splitlines(), 1):
        words = [word for word in line.strip().split(",") if word.strip()]
        if not words:
            continue
        where = f"{file}:{line_number}"
        if len(words) != len(columns):
            raise InputError(f"{where}: expected {','.join(columns)}, got {plural(len(words), 'number')}")
        *leading, x, y, w, h, score, category = (number(word, where) for word in words[:-2])
        if not 0 <= category <= len(CLASSES) + 1 or not category.is_integer():
            raise InputError(f"{where}: category {category:g}: expected 0 .. {len(CLASSES) + 1}")
        frame = leading[0] if leading else 0.0
        if not frame.is_integer() or frame < 0:
            raise InputError(f"{where}: frame {frame:g}: expected a whole number")
        yield Line(where, int(frame), (x, y, w, h), score, int(category))


EXPORT = Export(
    name="visdrone",
    summary="VisDrone-DET: annotations of eight numbers per line",
    source="Zhu et al. 2021, arXiv:2001.06303",
    looks_for="text files of lines with eight numbers in annotations/",
    files=_files,
    read=_read,
    per_image=True,
)
