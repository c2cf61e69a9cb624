"""The images of the splits of a YOLO data set: those of folders and lists that a description names, or beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.file_listing import image_text_files
from metrics.formats.image_search import (
    IMAGE_SUFFIXES,
    ImageSearch,
    find_under,
    image_files,
    name_key,
    report_unreadable_kinds,
)
from metrics.formats.plausibility import warn_rows
from metrics.formats.purpose import parse_purpose
from metrics.formats.untrusted import read_text, resolve_under
from metrics.formats.yolo_labels import label_name, label_path
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.registry import did_you_mean


def splits_beside(folder: Path) -> dict[str | None, list[Path]]:
    """Images of a data set whose description names none.

    They are in ``images``, ``obj_train_data``, ``JPEGImages``, ``data``, or anywhere in the folder. Subfolders named after
    splits are the splits, if all images are in such subfolders.

    Raises:
        InputError: there are none.
    """
    for place in (*(folder / name for name in ("images", "obj_train_data", "JPEGImages", "data")), folder):
        images = image_files(place, recursive=True) if place.is_dir() else []
        if not images:
            continue
        report_unreadable_kinds(place, str(folder))
        purposes = [parse_purpose(image.relative_to(place).parts[0]) for image in images]
        nested = all(len(image.relative_to(place).parts) > 1 for image in images)
        if nested and all(purposes) and len(set(purposes)) > 1:
            splits: dict[str | None, list[Path]] = {}
            for image, purpose in zip(images, purposes, strict=True):
                splits.setdefault(purpose, []).append(image)
            text = f"{folder}: the folders {', '.join(map(str, splits))} of {place.name} are used as splits"
            report(Note("splits_by_folder", text, str(folder), {"images": len(images)}))
            return splits
        return {None: images}
    raise InputError(
        f"{folder}: no images in images, obj_train_data or the folder itself; "
        f"set data.images to the folder that holds them"
    )


def read_splits(
    given: Mapping[str, Any], root: Path, beside: Path, where: str
) -> dict[str | None, list[Path]]:
    """The images of the splits that a description gives.

    Args:
        given: for each split a folder, a text file with one image per line, or a list of these.
        root: absolute folder that paths are relative to.
        beside: absolute folder of the description, where its text files may be.
        where: the description, for messages.

    Returns:
        Sorted absolute paths of the images of each split that exists; others are reported.

    Raises:
        InputError: no split exists, part of one is missing, or two are found in one place.
    """
    return _Splits(root, beside, where).read(given)


@dataclass(slots=True)
class _Splits:
    """Reads the entries of a description's splits."""

    root: Path
    beside: Path
    where: str

    def read(self, given: Mapping[str, Any]) -> dict[str | None, list[Path]]:
        """The images of each split that exists."""
        entries = {split: self._entries(split, value) for split, value in given.items()}
        places = self._places(entries)
        splits: dict[str | None, list[Path]] = {}
        for split, of_split in places.items():
            images = [image for place in of_split for image in self._images(place, split)]
            if images:
                splits[split] = sorted(set(images))
            else:
                self._pass_over(split, f"no images in {', '.join(entries[split])}", last=len(places) == 1)
        if not splits:
            raise InputError(f"{self.where}: no images in its splits {', '.join(places)}")
        self._report_unused({place for of_split in places.values() for place in of_split}, set(splits))
        return splits

    def _report_unused(self, places: set[Path], splits: set[str | None]) -> None:
        """Report folders named after a split that no entry names, beside those that are used, if they have images."""
        reported: set[Path] = set()
        for place in sorted(place for place in places if place.is_dir()):
            for siblings, inner in (
                (place.parent, ""),
                (place.parent.parent, place.name),
            ):  # images/val, val/images
                if not siblings.is_relative_to(self.root):
                    continue
                for sibling in sorted(siblings.iterdir()):
                    folder, purpose = sibling / inner, parse_purpose(sibling.name)
                    if purpose in (None, *splits) or folder in reported | places or not folder.is_dir():
                        continue
                    reported.add(folder)
                    if images := image_files(folder, recursive=True):
                        name = folder.relative_to(self.root).as_posix()
                        text = (
                            f"{self.where}: the {plural(len(images), 'image')} in {name} {agree(len(images), 'is', 'are')} in no split and left out; "
                            f"to use them, add {purpose}: {name}"
                        )
                        report(Note("unused_split", text, purpose or "", {"images": len(images)}))

    def _entries(self, split: str, value: Any) -> list[str]:
        entries = value if isinstance(value, list) else [value]
        for entry in entries:
            if not isinstance(entry, str):
                raise InputError(
                    f"{self.where}: {split}: expected a folder or a text file, got {type(entry).__name__}"
                )
        return entries

    def _places(self, entries: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
        """Folders and lists of each split that exists."""
        exact = {split: [self._exact(entry) for entry in of_split] for split, of_split in entries.items()}
        taken = {place for of_split in exact.values() for place in of_split if place is not None}
        guessed: dict[Path, str] = {}
        places: dict[str, list[Path]] = {}
        problems: dict[str, str] = {}
        for split, of_split in entries.items():
            found = [
                place or self._guess(entry, split, taken, guessed)
                for place, entry in zip(exact[split], of_split, strict=True)
            ]
            missing = [entry for entry, place in zip(of_split, found, strict=True) if place is None]
            if not missing:
                places[split] = [place for place in found if place is not None]
            elif len(missing) < len(of_split):
                raise InputError(
                    f"{self.where}: {split}: {self._problem(missing[0])}; remove it from the list"
                )
            else:
                problems[split] = self._problem(missing[0])
        if not places:
            split, problem = next(iter(problems.items()))
            raise InputError(
                f"{self.where}: {split}: {problem}; correct it, or remove train, val and test, so that the images beside "
                f"the file are split"
            )
        for split, problem in problems.items():
            self._pass_over(split, problem)
        return places

    def _pass_over(self, split: str, problem: str, last: bool = False) -> None:
        if last:
            raise InputError(f"{self.where}: {split}: {problem}")
        text = f"{self.where}: {split}: {problem}; this split is skipped"
        report(Note("absent_split", text, split), InputWarning if split == "train" else InputNote)

    def _exact(self, entry: str) -> Path | None:
        inside = str(Path(entry).relative_to(self.root)) if Path(entry).is_relative_to(self.root) else entry
        for folder in dict.fromkeys((self.root, self.beside)):
            try:
                place = resolve_under(folder, inside)
            except InputError:
                continue
            if place.is_file() or (place.is_dir() and folder == self.root):
                return place
        return None

    def _guess(self, entry: str, split: str, taken: set[Path], guessed: dict[Path, str]) -> Path | None:
        """A place whose path is the end of an entry, unless it overlaps the place of another split."""
        place = find_under(self.root, entry)
        if place is None and (listed := find_under(self.beside, entry)) is not None and listed.is_file():
            place = listed
        if place is None or not (place.is_dir() or place.suffix.lower() == ".txt"):
            return None
        if any(place.is_relative_to(other) or other.is_relative_to(place) for other in taken):
            return None
        other = guessed.setdefault(place, split)
        if other != split:
            raise InputError(
                f"{self.where}: {other} and {split} are both found as {place}; correct their paths, or remove train, val "
                f"and test, so that the images beside the file are split"
            )
        shown = os.path.relpath(place, self.root)
        report(
            Note("found_elsewhere", f"{self.where}: {split}: {entry} is not there; {shown} is used", split)
        )
        return place

    def _problem(self, entry: str) -> str:
        try:
            place = resolve_under(self.root, entry)
        except InputError as error:
            return (
                str(error) if (self.root / entry).exists() else f"{entry}: no such folder or list of images"
            )
        parent = next((folder for folder in place.parents if folder.is_dir()), self.root)
        part = place.relative_to(parent).parts[0]
        hint = did_you_mean(part, [name.name for name in parent.iterdir()])
        return f"{place}: no such folder or list of images{hint}"

    def _images(self, place: Path, split: str) -> list[Path]:
        """The images in a folder, or those in a list."""
        if place.is_dir():
            images = image_files(place, recursive=True)
            report_unreadable_kinds(place, f"{self.where}: {split}")
            _warn_about_orphans(images, f"{self.where}: {split}")
            return images
        listed = _ImageList(self.root, place)
        images = []
        for number, line in enumerate(read_text(place).splitlines(), 1):
            if line.strip():
                try:
                    images.append(listed.find(line.strip()))
                except InputError as error:
                    raise InputError(f"{place}:{number}: {error}") from error
        listed.report_moved()
        return images


class _ImageList:
    """Finds the images that the lines of a text file name."""

    def __init__(self, root: Path, file: Path) -> None:
        self.root = root
        self.file = file
        self._search = ImageSearch(root)
        self._folders: dict[str, Path | None] = {}
        self._moved: list[tuple[str, Path]] = []
        self._count = 0

    def find(self, line: str) -> Path:
        """The image of a line; a missing one is a path without a file."""
        self._count += 1
        exact = self._exact(line)
        if exact is not None and exact.is_file():
            return exact
        image = self._by_folder(line) or self._search.find_likely(line, str(self.file))
        if image is None:
            return exact or self._outside(line)
        self._moved.append((line, image))
        return image

    def _outside(self, line: str) -> Path:
        try:
            return resolve_under(self.root, line)
        except InputError as error:
            raise InputError(
                f"{error}, and no image there is called so; set data.images to the folder that holds the images"
            ) from error

    def report_moved(self) -> None:
        """Report the images that are not at the paths of the lines."""
        if self._moved:
            line, image = self._moved[0]
            text = (
                f"{self.file}: {len(self._moved):,} of {plural(self._count, 'image')} {agree(len(self._moved), 'is not at the given path and was', 'are not at the given paths and were')} found by name: "
                f"{line} is {image.relative_to(self.root)}"
            )
            values = {"images": len(self._moved), "of": self._count}
            report(Note("found_elsewhere", text, str(self.file), values))

    def _exact(self, line: str) -> Path | None:
        """A path relative to the folder of the data set, or with ``./`` to that of the list."""
        if Path(line).is_absolute():
            if not Path(line).is_relative_to(self.root):
                return None
            return resolve_under(self.root, str(Path(line).relative_to(self.root)))
        try:
            image = resolve_under(
                self.root,
                os.path.relpath(self.file.parent / line, self.root) if line.startswith("./") else line,
            )
        except InputError:
            return None
        if image.suffix.lower() not in IMAGE_SUFFIXES:
            if self._search.find_other_suffix(line, str(self.file)) is not None:
                return None  # a name without suffix, which is searched
            raise InputError(
                f"{line!r}: is not an image of a kind that Pillow reads; convert it to PNG or JPEG"
            )
        return image

    def _by_folder(self, line: str) -> Path | None:
        """The file of the same name in the folder whose path is the end of the line's folder."""
        folder, _, name = line.replace("\\", "/").rpartition("/")
        if folder not in self._folders:
            place = find_under(self.root, folder) if folder else None
            self._folders[folder] = place if place is not None and place.is_dir() else None
        place = self._folders[folder]
        if place is None or not name:
            return None
        image = resolve_under(self.root, str((place / name).relative_to(self.root)))
        return image if image.is_file() else None


def _warn_about_orphans(images: list[Path], where: str) -> None:
    """Warn about label files without an image, in folders that contain only labels."""
    labels = {(label.parent, name_key(label.stem)) for label in map(label_path, images)}
    folders = {folder for folder, _ in labels} - {image.parent for image in images}
    files = [file for folder in folders for file in image_text_files(folder, "*.txt")]
    orphans = np.array([(file.parent, label_name(file)) not in labels for file in files], np.bool_)
    warn_rows(where, orphans, "label files have no image; they are left out", "labels_without_image")
