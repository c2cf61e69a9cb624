"""The splits of a Pascal VOC data set: lists in ``ImageSets/Main``, or folders of annotation files named after splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metrics.formats.file_listing import visible_files
from metrics.formats.purpose import is_purpose, parse_purpose
from metrics.formats.untrusted import read_text
from metrics.formats.voc import image_ids
from metrics.notes import Note, report


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
    ``Validation.txt``. Lists without an annotated image are not used, and neither is ``trainval`` where there is ``train``;
    images in no list are left out. Both are reported.

    Args:
        root: folder of the data set.
        annotations: XML files below it.

    Raises:
        InputError: a list is not text.
    """
    purpose_of = {file: _purpose(file.relative_to(root).parent) for file in annotations}
    purposes = list(dict.fromkeys(purpose_of.values()))
    if purposes != [None]:
        return [
            VOCPart(purpose, [file for file in annotations if purpose_of[file] == purpose])
            for purpose in purposes
        ]
    files = {identity: file for file, identity in image_ids(list(annotations)).items()}
    lists = {
        file: purpose
        for file in visible_files(root / "ImageSets" / "Main", "*.txt")
        if is_purpose(file.stem) and (purpose := parse_purpose(file.stem)) is not None
    }
    if "train" in lists.values():
        lists = {file: purpose for file, purpose in lists.items() if purpose != "trainval"}
    listed = []
    for file, purpose in lists.items():
        names = listed_names(file, files)
        if names and not any(name in files for name in names):
            text = f"{file.name}: none of its {len(names)} images is annotated; the list is not used"
            report(Note("unused_list", text, file.name, {"images": len(names)}))
            continue
        missing = tuple((k, name) for k, name in enumerate(names) if name not in files)
        part = [files[name] for name in names if name in files]
        listed.append(VOCPart(purpose, part, file.name, missing, len(names)))
    unlisted = len(set(files.values()) - {file for part in listed for file in part.files})
    if listed and unlisted:
        text = f"{unlisted} annotated images are in no list of ImageSets/Main and are not used"
        report(Note("unlisted_images", text, values={"images": unlisted}))
    return listed or [VOCPart(None, list(files.values()))]


def listed_names(file: Path, known: dict[str, Path]) -> list[str]:
    """Names in a list, without duplicates, as those of annotation files.

    A name may have spaces; a second column, for the presence of a class, and the suffix of an image are left out.
    """
    names = []
    for line in read_text(file).splitlines():
        line = line.strip()
        if not line:
            continue
        first = line.rsplit(maxsplit=1)[0] if line.rsplit(maxsplit=1)[-1].lstrip("-").isdecimal() else line
        options = (line, first, line.split()[0])
        candidates = [name for option in options for name in (option, option.rpartition(".")[0]) if name]
        names.append(next((name for name in candidates if name in known), first))
    return list(dict.fromkeys(names))


def _purpose(folder: Path) -> str | None:
    """The split that one of the folders of an annotation file is named after."""
    return next((purpose for part in folder.parts if (purpose := parse_purpose(part)) is not None), None)
