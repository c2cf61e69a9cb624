"""UAVDT: ``M0101_gt_whole.txt`` with the vehicles of each frame, ``M0101_gt_ignore.txt`` with regions, and images in ``M0101``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder, visible_files
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    find_files,
    number,
    without_partial_purposes,
)
from metrics.formats.mot_files import frame_names, report_order
from metrics.formats.purpose import folder_purpose
from metrics.formats.untrusted import read_text
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_WHOLE, _IGNORE, _ATTRIBUTES = "gt_whole.txt", "gt_ignore.txt", "_attr.txt"
_CLASSES = ("car", "truck", "bus")
"""Names of the categories 1 to 3."""
_VALUES = 9
_PREFIX = "img"
_LARGEST = 2**28


def _files(path: Path) -> list[Path]:
    depths = ("", "*/", "*/*/", "*/*/*/")
    patterns = [f"{depth}{name}" for name in (f"*_{_WHOLE}", _WHOLE) for depth in depths]
    return find_files(path, _WHOLE, patterns)


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    splits = {
        file.name.removesuffix(_ATTRIBUTES): folder_purpose(reversed(file.relative_to(top).parts[:-1]))
        for file in visible_files(top, f"**/*{_ATTRIBUTES}")
    }
    images: list[ImageAnnotation] = []
    regions = by_order = 0
    for file in files:
        sequence = _sequence(file)
        boxes: dict[int, list[Box]] = defaultdict(list)
        first: dict[int, str] = {}
        for where, frame, corners, category in _lines(file):
            first.setdefault(frame, where)
            if not 1 <= category <= len(_CLASSES):
                raise InputError(f"{where}: category {category}: expected 1 (car), 2 (truck) or 3 (bus)")
            boxes[frame].append(Box(_CLASSES[category - 1], corners))
        ignored = file.with_name(file.name.removesuffix(_WHOLE) + _IGNORE)
        for where, frame, corners, _ in _lines(ignored) if ignored.is_file() else ():
            first.setdefault(frame, where)
            boxes[frame].append(Box("", corners))
            regions += 1
        folder = _folder(top, file, sequence)
        names, numbered = frame_names(
            folder, first, lambda frame: f"{_PREFIX}{frame:06d}.jpg", prefix=_PREFIX
        )
        by_order += len(names) * (not numbered)
        purpose = splits.get(sequence) or folder_purpose(file.relative_to(top).parts[:-1])
        relative = folder.relative_to(top).as_posix()
        images += [
            ImageAnnotation(f"{relative}/{name}", tuple(boxes.get(frame, ())), purpose=purpose)
            for frame, name in sorted(names.items())
        ]
    report_order(by_order, str(root))
    if regions:
        text = f"{root}: {plural(regions, 'region')} in gt_ignore.txt {agree(regions, 'is', 'are')} ignored for every class"
        report(Note("ignored_regions", text, str(root), {"regions": regions}))
    return without_partial_purposes(images)


def _sequence(file: Path) -> str:
    """The name of a sequence: in the file's name, or that of the folder around ``gt``."""
    return file.name.removesuffix(f"_{_WHOLE}") if file.name != _WHOLE else file.parent.parent.name


def _folder(top: Path, file: Path, sequence: str) -> Path:
    """The folder of a sequence's images."""
    if file.name == _WHOLE:
        return file.parent.parent / "img1"
    patterns = (sequence, f"*/{sequence}", f"*/*/{sequence}")
    found = [folder for pattern in patterns for folder in sorted(top.glob(pattern)) if folder.is_dir()]
    return found[0] if found else top / sequence


def _lines(file: Path) -> Iterator[tuple[str, int, Corners, int]]:
    """Place, frame, corners and category of each line; those of a region have no category."""
    for line_number, line in enumerate(read_text(file, _LARGEST).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{file}:{line_number}"
        words = line.strip().strip(",").split(",")
        if len(words) != _VALUES:
            raise InputError(
                f"{where}: expected frame,target,x,y,w,h,out of view,occlusion,category, got {plural(len(words), 'value')}"
            )
        frame, _, x, y, w, h, *_, category = (number(word, where) for word in words)
        if not frame.is_integer() or frame < 0:
            raise InputError(f"{where}: frame {frame:g}: expected a whole number")
        yield where, int(frame), (x, y, x + w, y + h), int(category)


EXPORT = Export(
    name="uavdt",
    summary="UAVDT: a file of vehicles for each sequence, and one of ignored regions",
    source="Du et al. 2018, arXiv:1804.00518",
    looks_for="text files *_gt_whole.txt of lines with nine numbers",
    files=_files,
    read=_read,
    images=("",),
)
