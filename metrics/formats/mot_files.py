"""Text files of MOT Challenge: lines ``frame,id,left,top,width,height,confidence,class,visibility``, and the images of their frames."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metrics.errors import InputError
from metrics.formats.image_annotations import number
from metrics.formats.image_search import image_files
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural

CLASSES = (
    "pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle", "static person", "distractor",
    "occluder", "occluder on the ground", "occluder full", "reflection", "crowd",
)  # fmt: skip
"""Names of the classes 1 to 13 (Dendorfer et al. 2020, arXiv:2003.09003)."""

_LARGEST = 2**30
_WITH_CLASS = 9
_COUNTS = (7, _WITH_CLASS, 10)
"""Numbers of values of a line. With ten, the last three are a place in the world, or unused; with seven, there is no class."""


@dataclass(frozen=True, slots=True)
class Line:
    """One box of a frame.

    Attributes:
        frame: number of the frame, mostly from 1.
        xywh: box in pixels, as written.
        confidence: score of a detection; 0 for an annotation that is not evaluated.
        label: number of the class, from 1; None where lines have none.
        visibility: visible fraction; None where lines have none.
        place: file and line, for messages.
    """

    frame: int
    xywh: tuple[float, float, float, float]
    confidence: float
    label: int | None
    visibility: float | None
    place: str


def is_mot(file: Path) -> bool:
    """Whether the first line of a file is one of MOT Challenge; its content is not parsed further."""
    lines = [line for line in read_head(file, 400).splitlines() if line.strip()]
    words = lines[0].strip().rstrip(b",").split(b",") if lines else []
    return (
        len(words) in _COUNTS
        and words[0].strip().isdigit()
        and all(word.strip().lstrip(b"-+").replace(b".", b"", 1).isdigit() for word in words[1:6])
    )


def read_lines(file: Path) -> Iterator[Line]:
    """The boxes of a file in its order.

    Raises:
        InputError: a line has another number of values, or a frame or class that is no whole number.
    """
    for line_number, text in enumerate(read_text(file, _LARGEST).splitlines(), 1):
        words = text.strip().rstrip(",").split(",")
        if not text.strip():
            continue
        place = f"{file}:{line_number}"
        if len(words) not in _COUNTS:
            raise InputError(
                f"{place}: expected frame,id,left,top,width,height,confidence,class,visibility, got {plural(len(words), 'value')}"
            )
        frame, _, x, y, w, h, confidence, *further = (number(word, place) for word in words)
        if not frame.is_integer() or frame < 0:
            raise InputError(f"{place}: frame {frame:g}: expected a whole number")
        label = further[0] if len(words) == _WITH_CLASS and further[0] != -1 else None
        if label is not None and (not label.is_integer() or label < 1):
            raise InputError(f"{place}: class {label:g}: expected a whole number from 1, or -1")
        yield Line(
            int(frame),
            (x, y, w, h),
            confidence,
            None if label is None else int(label),
            None if label is None else further[1],
            place,
        )


def frame_images(
    names: Sequence[str], frames: Collection[int], prefix: str = ""
) -> tuple[dict[int, str], bool]:
    """The image of each frame of a sequence.

    Args:
        names: images of the sequence, in any order.
        frames: those of the lines.
        prefix: of names before the number, in layouts that have one.

    Returns:
        Name by frame, and whether names are numbers (``000001.jpg``) that are those of the frames. Otherwise the frames 1, 2, ... are
        the images in alphabetical order, as CVAT counts: names that are no numbers, are not those of most frames, or count from 0
        where frames do not. Names of most frames are numbers of frames of which some have no image, which the result lacks.
    """
    stems = [PurePosixPath(name).stem.removeprefix(prefix) for name in names]
    if all(stem.isdecimal() and len(stem) < 19 for stem in stems):
        by_number = {int(stem): name for stem, name in zip(stems, names, strict=True)}
        named = sum(frame in by_number for frame in frames)
        if 2 * named >= len(frames) and (0 not in by_number or 0 in frames):
            return by_number, True
    return dict(enumerate(sorted(names), 1)), False


def frame_names(
    folder: Path,
    first: Mapping[int, str],
    default: Callable[[int], str],
    length: int = 0,
    prefix: str = "",
) -> tuple[dict[int, str], bool]:
    """The image of each frame of an annotated sequence; see `frame_images`.

    Args:
        folder: of the images.
        first: place of the first line of each frame that has any, for messages.
        default: name of a frame's image in a sequence whose images are not there.
        length: number of frames of such a sequence; 0 if only those of lines are known.
        prefix: of images' names before the number, in layouts that have one.

    Raises:
        InputError: a frame of a line has no image, but others have.
    """
    written, numbered = frame_images([image.name for image in image_files(folder)], first, prefix)
    if not written:
        return {frame: default(frame) for frame in sorted({*range(1, length + 1), *first})}, True
    if unknown := sorted(set(first) - set(written)):
        raise InputError(
            f"{first[unknown[0]]}: frame {unknown[0]}: {folder} has no such image; it has {plural(len(written), 'image')}, "
            f"{written[min(written)]} to {written[max(written)]}: add the image, or remove its lines"
        )
    return written, numbered


def report_order(by_order: int, where: str) -> None:
    """Report that images are frames by their order, if there are any; see `frame_images`."""
    if by_order:
        text = f"{where}: frames 1, 2, ... are the images in alphabetical order, because their names are not the numbers of frames"
        report(Note("images_by_order", text, where, {"images": by_order}))
