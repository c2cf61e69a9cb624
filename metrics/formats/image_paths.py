"""The image files of a list of names in annotations, or of annotation files that are called like their images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from metrics.errors import InputError, InputWarning
from metrics.formats.image_search import ImageSearch, missing_advice, name_key, spellings
from metrics.formats.untrusted import resolve_under
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.real_path import real_path


def find_image_files(
    names: Sequence[str], folders: Iterable[Path], root: Path, what: str
) -> tuple[Path, ...]:
    """Paths of images by the names that are written in annotations.

    Most names are those of files in one of `folders`: the first that has the first few names, or else the one with most
    of them. Other names are searched beneath `root`; see `ImageSearch`.

    Args:
        names: as in the annotations.
        folders: folders that names may be relative to, the likeliest first; those that do not exist are skipped.
        root: folder of the data set.
        what: whose images they are, for messages.

    Returns:
        The path of each name, in order. An image may still be missing: then there is no file at its path.

    Raises:
        InputError: an image has no name, none of the images is found, a name fits several files, two names fit one file, or the name of a missing
            image is unsafe.
    """
    nameless = [k for k, name in enumerate(names) if not name.strip()]
    if nameless:
        raise InputError(
            f"{what}: images[{nameless[0]}]: no file name, as {len(nameless):,} of {plural(len(names), 'image')}; write the name of its "
            f"file, or remove the image"
        )
    existing = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    best = _likeliest(existing, names[:8])
    search = ImageSearch(root)
    paths: list[Path | None] = []
    searched: dict[str, Path] = {}
    for name in names:
        path = None if best is None else _file_under(best, name)
        if path is None and name not in searched and (other := search.find(name, what)) is not None:
            searched[name] = other
        paths.append(path or searched.get(name))
    taken = set(paths)
    for k, name in enumerate(names):
        if paths[k] is None and name not in searched:
            other = search.find_other_suffix(name, what)
            if other is None or other in taken:
                other = search.find(name, what, original=True)
            if other is None:
                other = search.find_other_suffix(name, what, original=True)
                other = None if other in taken else other
            if other is not None:
                searched[name] = other
        paths[k] = paths[k] or searched.get(name)
    if names and not any(paths):
        places = ", ".join(map(str, dict.fromkeys([*existing, root]))) if root.is_dir() else "no folder"
        raise InputError(f"{what}: image {names[0]!r} not found; searched {places}; {missing_advice(root)}")
    _refuse_shared(names, paths, searched, what)
    _report_searched(searched, len(names), root, what)
    home = best or root
    for path, name in zip(paths, names, strict=True):
        if path is None:
            _name_parts(what, name)
    return tuple(path or resolve_under(home, name) for path, name in zip(paths, names, strict=True))


def find_annotated(
    written: Sequence[tuple[str, str]], folders: Iterable[Path], what: str
) -> tuple[Path, ...]:
    """Paths of images that have an annotation file each, which also names an image.

    An image is the one that is called like its annotation file, as in the development kit of Pascal VOC: tools that rename
    both leave the name in the file behind. Only where there is none, the written name is used.

    Args:
        written: for each image the path of the annotation file without suffix, and the name that it contains.
        folders: folders of images, the likeliest first; the first that has all images is used, or else the one with most.
        what: whose images they are, for messages.

    Returns:
        The path of each image; without a file where it is missing.

    Raises:
        InputError: a name fits several files, an image would have two annotation files, no image is found, or no file can have the
            name of a missing one.
    """
    existing = [folder for folder in dict.fromkeys(folders) if folder.is_dir()]
    best: list[Path | None] = []
    home = existing[0] if existing else Path()
    others: dict[str, str] = {}
    for folder in existing:
        search = ImageSearch(folder)
        other: dict[str, str] = {}
        found = [_annotated(search, stem, name, what, other) for stem, name in written]
        if not best or _count(found) > _count(best):
            best, home, others = found, folder, other
        if _count(best) == len(written):
            break
    unfound = [stem for path, (stem, _) in zip(best, written, strict=False) if path is None]
    for folder in [home] if any(best) else existing:
        search = ImageSearch(folder)
        for stem in unfound:
            if search.find(stem, what, by_stem=True) is None:  # raises if several fit
                search.find(stem, what, by_stem=True, original=True)
    if written and not any(best):
        places = ", ".join(map(str, existing)) or "no folder"
        advice = missing_advice(Path(os.path.commonpath(existing)) if existing else Path(os.devnull))
        raise InputError(
            f"{what}: image {written[0][1] or written[0][0]!r} not found; searched {places}; {advice}"
        )
    _refuse_two_annotations(written, best, what)
    if others:
        stem, name = next(iter(others.items()))
        text = (
            f"{what}: {len(others):,} of {plural(len(written), 'annotation file')} {agree(len(others), 'names', 'name')} another image than the one called like "
            f"themselves, which is used: {stem} names {name!r}"
        )
        values = {"images": len(others), "of": len(written)}
        report(Note("renamed_images", text, what, values), InputWarning)
    return tuple(
        path or home / _name_parts(what, name, stem)[-1]
        for path, (stem, name) in zip(best, written, strict=True)
    )


def _name_parts(what: str, *names: str) -> tuple[str, ...]:
    """The parts of the path that the first usable name of a missing image spells.

    Raises:
        InputError: no file can have any of the names.
    """
    for name in names:
        if possible := spellings(name):
            return possible[0]
    shown = next(filter(None, names), "")
    raise InputError(f"{what}: no file can have the name of image {shown!r}; correct it")


def _annotated(search: ImageSearch, stem: str, name: str, what: str, others: dict[str, str]) -> Path | None:
    """The image of one annotation file; `others` gets the name if it is that of another image."""
    for original in (False, True):

        def find(text: str, by_stem: bool, original: bool = original) -> Path | None:
            return search.find(text, what, by_stem, strict=False, original=original) if text else None

        named, own = find(name, False), find(stem, True)
        if own is not None and named is not None and own != named:
            others[stem] = name
        if own is None and named is not None and name_key(named.stem) == name_key(PurePosixPath(stem).name):
            return named
        found = own or named or find(name, True)
        if found is not None or search.has(stem) or search.has(name):
            return found
    return None


def _count(paths: Sequence[Path | None]) -> int:
    return sum(path is not None for path in paths)


def _refuse_two_annotations(
    written: Sequence[tuple[str, str]], paths: Sequence[Path | None], what: str
) -> None:
    stem_of: dict[Path, str] = {}
    for (stem, _), path in zip(written, paths, strict=True):
        if path is not None and (other := stem_of.setdefault(path, stem)) != stem:
            raise InputError(
                f"{what}: {other} and {stem} are both annotations of {path}; remove one, or name the images like them"
            )


def _likeliest(folders: Sequence[Path], sample: Sequence[str]) -> Path | None:
    best, most = None, 0
    for folder in folders:
        count = sum(_file_under(folder, name) is not None for name in sample)
        if count > most:
            best, most = folder, count
        if count == len(sample):
            break
    return best


def _file_under(folder: Path, name: str) -> Path | None:
    """The file with exactly this path below a folder."""
    try:
        path = resolve_under(folder, name)
        return path if "\\" not in name and path.is_file() else None
    except (InputError, OSError):
        return None


def _refuse_shared(
    names: Sequence[str], paths: Sequence[Path | None], searched: dict[str, Path], what: str
) -> None:
    """Refuse two different names of one file, of which one was searched for."""
    if not searched:
        return
    name_of: dict[Path, str] = {}
    for name, path in zip(names, paths, strict=True):
        if path is None:
            continue
        other = name_of.setdefault(path, name)
        if other != name and (other in searched or name in searched):
            raise InputError(
                f"{what}: images {other!r} and {name!r} are both found as {path}; "
                f"give their files the folders or names that the annotations have"
            )


def _report_searched(searched: dict[str, Path], count: int, root: Path, what: str) -> None:
    if searched:
        name, path = next(iter(searched.items()))
        folder = real_path(root)
        shown = path.relative_to(folder) if path.is_relative_to(folder) else path
        text = f"{what}: {len(searched):,} of {plural(count, 'image')} {agree(len(searched), 'is not at the given path and was', 'are not at the given paths and were')} found by name: {name!r} is {shown}"
        report(Note("found_elsewhere", text, what, {"images": len(searched), "of": count}))
