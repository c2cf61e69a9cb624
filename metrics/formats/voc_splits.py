"""The splits of a Pascal VOC data set: lists in ``ImageSets/Main``, or folders of annotation files named after splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metrics.formats.file_listing import visible_files
from metrics.formats.purpose import folder_purpose, is_purpose, parse_purpose
from metrics.formats.untrusted import read_text
from metrics.formats.voc import image_ids
from metrics.notes import Note, report
from metrics.plurals import plural


@dataclass(frozen=True, slots=True)
class VOCPart:
    """The annotation files of one split, or of all images.

    Attributes:
        purpose: ``train``, ``val``, ``test`` or ``trainval``; None for a data set without splits.
        files: annotation files, in the order of the list.
        name: of the list; empty without one.
        missing: names in the list that have no annotation file, by their position.
        count: number of names in the list.
    """

    purpose: str | None
    files: list[Path]
    name: str = ""
    missing: tuple[tuple[int, str], ...] = ()
    count: int = 0


def find_parts(root: Path, annotations: Sequence[Path]) -> list[VOCPart]:
    """The splits of annotation files.

    Folders named after splits come first; then the lists in ``ImageSets/Main`` that are called like a split, as CVAT's
    ``Validation.txt``; without these, such lists in ``ImageSets`` or in the folder itself, as of PaddleDetection, which is
    reported. Lists without an annotated image are not used, and neither is ``trainval`` where there is ``train``;
    images in no list are left out. Both are reported.

    Args:
        root: folder of the data set.
        annotations: XML files below it.

    Raises:
        InputError: a list is not text.
    """
    purpose_of = {file: folder_purpose(file.relative_to(root).parent.parts) for file in annotations}
    purposes = list(dict.fromkeys(purpose_of.values()))
    if purposes != [None]:
        return [
            VOCPart(purpose, [file for file in annotations if purpose_of[file] == purpose])
            for purpose in purposes
        ]
    files = {identity: file for file, identity in image_ids(list(annotations)).items()}
    lists = _lists(root, files)
    if "train" in lists.values():
        lists = {file: purpose for file, purpose in lists.items() if purpose != "trainval"}
    listed = []
    for file, purpose in lists.items():
        names = listed_names(file, files)
        if names and not any(name in files for name in names):
            text = (
                f"{file.name}: none of its {plural(len(names), 'image')} is annotated; the list is not used"
            )
            report(Note("unused_list", text, file.name, {"images": len(names)}))
            continue
        missing = tuple((k, name) for k, name in enumerate(names) if name not in files)
        part = [files[name] for name in names if name in files]
        listed.append(VOCPart(purpose, part, file.name, missing, len(names)))
    unlisted = len(set(files.values()) - {file for part in listed for file in part.files})
    if listed and unlisted:
        place = next(iter(lists)).parent.relative_to(root).as_posix()
        text = f"{plural(unlisted, 'annotated image is', 'annotated images are')} in no list of {place if place != '.' else root.name} and not used"
        report(Note("unlisted_images", text, values={"images": unlisted}))
    return listed or [VOCPart(None, list(files.values()))]


def _lists(root: Path, files: dict[str, Path]) -> dict[Path, str]:
    """The lists of splits of the first folder that has some, and their splits.

    Other lists than those in ``ImageSets/Main`` may be those of another format, and are used if they name an annotated image.
    """
    for place in ("ImageSets/Main", "ImageSets", ""):
        lists = {
            file: purpose
            for file in visible_files(root / place, "*.txt")
            if is_purpose(file.stem.removesuffix("_list"))
            and (purpose := parse_purpose(file.stem)) is not None
        }
        if place != "ImageSets/Main":
            lists = {
                file: purpose
                for file, purpose in lists.items()
                if any(name in files for name in listed_names(file, files))
            }
            if lists:
                names = ", ".join(file.relative_to(root).as_posix() for file in lists)
                report(Note("listed_splits", f"{root}: the lists {names} are used as splits", str(root)))
        if lists:
            return lists
    return {}


def listed_names(file: Path, known: dict[str, Path]) -> list[str]:
    """Names in a list, without duplicates, as those of annotation files.

    A name may have spaces; a second column, for the presence of a class or an annotation file, the suffix of an image, and
    folders that the names of annotation files do not have, are left out.
    """
    names = []
    for line in read_text(file).splitlines():
        line = line.strip()
        if not line:
            continue
        first = line.rsplit(maxsplit=1)[0] if line.rsplit(maxsplit=1)[-1].lstrip("-").isdecimal() else line
        options = (line, first, line.split()[0])
        ends = [end for option in options for end in _ends(option)]
        candidates = [name for end in ends for name in (end, end.rpartition(".")[0]) if name]
        names.append(next((name for name in candidates if name in known), first))
    return list(dict.fromkeys(names))


def _ends(name: str) -> list[str]:
    """A path as it is written, and without one, two, ... folders."""
    parts = name.replace("\\", "/").split("/")
    return [name, *("/".join(parts[first:]) for first in range(1, len(parts)))]
