"""MOT Challenge, also as CVAT exports it: sequences with ``gt/gt.txt``, ``img1`` and ``seqinfo.ini`` or ``gt/labels.txt``."""

from __future__ import annotations

import configparser
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, report_left_out
from metrics.formats.image_search import spellings
from metrics.formats.mot_files import CLASSES, Line, frame_names, is_mot, read_lines, report_order
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_bytes, read_text
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_PEDESTRIAN = CLASSES[0]
_LIKE_PEDESTRIANS = frozenset((2, 7, 8, 12))
"""Classes whose detections the benchmark neither counts as right nor as wrong: TrackEval's distractors."""
_SUFFIX = ".jpg"
_LONGEST = 10**7
"""Frames; a video of 24 hours has two million."""


_OF_DETECTOR = re.compile(r"-(DPM|FRCNN|SDP)$")


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What ``seqinfo.ini`` contains; without it, the defaults of the benchmark.

    Attributes:
        images: folder of the images, in that of the sequence.
        suffix: of the images.
        length: number of frames; 0 if unknown.
        size: (height, width); (0, 0) if unknown.
    """

    images: str = "img1"
    suffix: str = _SUFFIX
    length: int = 0
    size: tuple[int, int] = (0, 0)


def _files(path: Path) -> list[Path]:
    patterns = ("gt/gt.txt", "*/gt/gt.txt", "*/*/gt/gt.txt", "*/*/*/gt/gt.txt", "gt.txt")
    return find_files(path, "gt.txt", patterns, lambda file: is_mot(file) and not _is_of_uavdt(file))


def _is_of_uavdt(file: Path) -> bool:
    """Whether a file is that of UAVDT without classes, beside one with these."""
    return file.with_name("gt_whole.txt").is_file()


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    files = _without_copies(files, root)
    images = [image for file in files for image in _images(file, top, counts, left_out)]
    if counts["ignored"]:
        text = (
            f"{root}: {plural(counts['ignored'], 'object is ignored: it is', 'objects are ignored: they are')} not to be considered (flag 0), or the "
            "benchmark ignores their detections"
        )
        report(Note("ignored_regions", text, str(root), {"regions": counts["ignored"]}))
    report_left_out(
        left_out,
        str(root),
        (
            "object is not to be considered (flag 0) and is",
            "objects are not to be considered (flag 0) and are",
        ),
    )
    if counts["classes"]:
        text = f"{root}: classes have the names of MOT Challenge; write the names of other classes, one a line, into gt/labels.txt"
        report(Note("made_names", text, str(root)))
    report_order(counts["by order"], str(root))
    return images


def _without_copies(files: Sequence[Path], root: Path) -> Sequence[Path]:
    """The files but those of sequences that are there again for other detectors with the same annotations, as in MOT17."""
    first: dict[tuple[Path, str, bytes], Path] = {}
    for file in files:
        home = file.parent.parent if file.parent.name == "gt" else file.parent
        name = _OF_DETECTOR.sub("", home.name)
        if name != home.name:
            first.setdefault((home.parent, name, read_bytes(file)), file)
        else:
            first[home, name, b""] = file
    kept = list(first.values())
    if len(kept) < len(files):
        count = len(files) - len(kept)
        text = (
            f"{root}: {plural(count, 'sequence is', 'sequences are')} left out: the same images and annotations are there for another detector "
            f"(-DPM, -FRCNN, -SDP)"
        )
        report(Note("left_out", text, str(root), {"sequences": count}))
    return kept


def _images(file: Path, top: Path, counts: Counter[str], left_out: Counter[str]) -> list[ImageAnnotation]:
    """All frames of a sequence: those with an image, or else those that lines or ``seqinfo.ini`` know of."""
    home = file.parent.parent if file.parent.name == "gt" else file.parent
    info = _sequence(home / "seqinfo.ini")
    names = _names((file.parent / "labels.txt", home / "labels.txt"))
    boxes: dict[int, list[Box]] = defaultdict(list)
    first: dict[int, str] = {}
    for line in read_lines(file):
        first.setdefault(line.frame, line.place)
        box = _box(line, names, counts, left_out)
        boxes[line.frame] += [box] if box else []
    folder = home / info.images
    written, numbered = frame_names(folder, first, lambda frame: f"{frame:06d}{info.suffix}", info.length)
    counts["by order"] += len(written) * (not numbered)
    relative = folder.relative_to(top).as_posix() if folder.is_relative_to(top) else folder.name
    purpose = folder_purpose(home.relative_to(top).parts if home.is_relative_to(top) else ())
    return [
        ImageAnnotation(f"{relative}/{name}", tuple(boxes.get(frame, ())), info.size, purpose)
        for frame, name in sorted(written.items())
    ]


def _box(line: Line, names: Sequence[str] | None, counts: Counter[str], left_out: Counter[str]) -> Box | None:
    x, y, w, h = line.xywh
    label = 1 if line.label is None else line.label
    known = CLASSES if names is None else names
    if label > len(known):
        raise InputError(
            f"{line.place}: class {label}: there {agree(len(known), 'is', 'are')} {plural(len(known), 'name')}; write the names of all classes, one a line, into "
            f"gt/labels.txt"
        )
    name, considered = known[label - 1], line.confidence != 0
    if names is None and not considered and label != 1:
        if label not in _LIKE_PEDESTRIANS:
            left_out[name] += 1
            return None
        name = _PEDESTRIAN
    counts["ignored"] += not considered
    counts["classes"] += names is None and name != _PEDESTRIAN
    columns: Mapping[str, float] = {} if line.visibility is None else {"visibility": line.visibility}
    return Box(name, (x, y, x + w, y + h), ignored=not considered, columns=columns)


def _names(files: Sequence[Path]) -> list[str] | None:
    """Names of classes in the first file that exists; None where there is none."""
    for file in files:
        if file.is_file():
            return [line.strip() for line in read_text(file).splitlines() if line.strip()]
    return None


def _sequence(file: Path) -> _Sequence:
    if not file.is_file():
        return _Sequence()
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(read_text(file).replace("\0", ""))
        section = parser["Sequence"]
        found = _Sequence(
            section.get("imDir", "img1"),
            section.get("imExt", _SUFFIX),
            section.getint("seqLength", 0),
            (section.getint("imHeight", 0), section.getint("imWidth", 0)),
        )
    except (configparser.Error, KeyError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise InputError(
            f"{file}: expected [Sequence] with imDir, seqLength, imWidth, imHeight and imExt: {problem}"
        ) from error
    if not 0 <= found.length <= _LONGEST:
        raise InputError(f"{file}: seqLength {found.length}: expected 0 .. {_LONGEST}")
    if spellings(found.images) != [PurePosixPath(found.images).parts]:
        raise InputError(
            f"{file}: imDir {found.images!r}: expected a folder in that of the file, such as img1"
        )
    return found


EXPORT = Export(
    name="mot",
    summary="MOT Challenge: sequences with gt/gt.txt and img1",
    source="Dendorfer et al. 2020, arXiv:2003.09003; docs.cvat.ai (MOT)",
    looks_for="gt/gt.txt with lines of frame, id and box, also in folders of sequences",
    files=_files,
    read=_read,
    images=("",),
)
