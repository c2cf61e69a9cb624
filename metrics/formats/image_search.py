"""Which image file the annotations of a data set mean: found beneath a folder by the names that are written in them.

Tools write names for the machine that they ran on: with its folders, backslashes, ``%20``, another case, as a URL. A name is
looked for as it is written, then by the end of its path, then by the file's own name; the result is always beneath the
folder of the data set, and nothing is downloaded. Whatever was not found as written is reported, and a name that fits
two files is refused.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote

from metrics.errors import InputError
from metrics.formats.file_listing import is_hidden
from metrics.formats.untrusted import resolve_under
from metrics.notes import Note, report
from metrics.plurals import agree
from metrics.real_path import real_path

IMAGE_SUFFIXES = frozenset(
    [
        ".apng",
        ".avif",
        ".avifs",
        ".blp",
        ".bmp",
        ".bw",
        ".cur",
        ".dcx",
        ".dds",
        ".dib",
        ".fit",
        ".fits",
        ".flc",
        ".fli",
        ".ftc",
        ".ftu",
        ".gbr",
        ".gif",
        ".icb",
        ".icns",
        ".ico",
        ".im",
        ".j2c",
        ".j2k",
        ".jfif",
        ".jp2",
        ".jpc",
        ".jpe",
        ".jpeg",
        ".jpf",
        ".jpg",
        ".jpx",
        ".mpo",
        ".msp",
        ".pbm",
        ".pcd",
        ".pcx",
        ".pfm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".psd",
        ".pxr",
        ".qoi",
        ".ras",
        ".rgb",
        ".rgba",
        ".sgi",
        ".tga",
        ".tif",
        ".tiff",
        ".vda",
        ".vst",
        ".webp",
        ".xbm",
        ".xpm",
    ]
)
"""Suffixes of the images that Pillow reads by itself, in lower case."""

UNREADABLE_SUFFIXES = frozenset(
    [
        ".heic",
        ".heif",
        ".jxl",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".raf",
        ".orf",
        ".rw2",
        ".raw",
        ".svg",
        ".eps",
        ".dcm",
        ".dicom",
    ]
)
"""Suffixes of images that Pillow does not read; they are counted where a folder is searched for images."""

_LONGEST_LIST = 5
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")


class ImageSearch:
    """Image files beneath a folder by name; the folder is listed when the first name is looked for.

    Args:
        root: the folder; hidden files and folders in it are left out.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_name: dict[str, list[tuple[str, ...]]] | None = None
        self._by_stem: dict[str, list[tuple[str, ...]]] = {}

    def find(
        self, name: str, what: str, by_stem: bool = False, strict: bool = True, original: bool = False
    ) -> Path | None:
        """The image whose path ends most like `name`; None where no file has its own name.

        Of several, the only one that is beneath all folders of the name is meant: ``train/images/a.jpg`` by ``train/a.jpg``.
        Upper and lower case, composed and decomposed letters are equal unless several files differ only in them.

        Args:
            name: as written: a path of any system, or a URL.
            what: whose image it is, for messages.
            by_stem: compare own names without suffix.
            strict: whether several files that fit equally well are an error; otherwise None is returned.
            original: look for the name before an upload to Label Studio instead; see `original_spellings`.

        Raises:
            InputError: several files fit equally well.
        """
        index = self._indexed(by_stem)
        for parts in original_spellings(name) if original else spellings(name):
            if by_stem:
                parts = (*parts[:-1], PurePosixPath(parts[-1]).stem if _has_suffix(parts[-1]) else parts[-1])
            candidates = index.get(name_key(parts[-1]), [])
            if not candidates:
                continue
            best = max(_likeness(parts, path, by_stem) for path in candidates)
            fitting = [path for path in candidates if _likeness(parts, path, by_stem) == best]
            beneath = [path for path in fitting if _is_beneath(parts[:-1], path)]
            if len(beneath) == 1:
                fitting = beneath
            if len(fitting) > 1:
                if not strict:
                    return None
                listed = " or ".join("/".join(path) for path in fitting[:_LONGEST_LIST])
                raise InputError(
                    f"{what}: image {name!r} may be {listed} in {self.root}; "
                    f"set data.images to the folder of the images that are meant"
                )
            return self._inside("/".join(fitting[0]), what)
        return None

    def find_other_suffix(self, name: str, what: str, original: bool = False) -> Path | None:
        """The image that is called like `name` but for the suffix: ``a.jpg`` for ``a.jpeg``, or for ``a``."""
        return self.find(name, what, by_stem=True, original=original)

    def has(self, name: str) -> bool:
        """Whether any image is called like a name, with any suffix."""
        stems = self._indexed(by_stem=True)
        return any(
            name_key(PurePosixPath(parts[-1]).stem if _has_suffix(parts[-1]) else parts[-1]) in stems
            for parts in spellings(name)
        )

    def find_likely(self, name: str, what: str) -> Path | None:
        """The image of a name; failing that, the one with another suffix; failing both, those of the name before an upload."""
        return next(
            (
                path
                for original in (False, True)
                for by_stem in (False, True)
                if (path := self.find(name, what, by_stem, original=original)) is not None
            ),
            None,
        )

    def _inside(self, name: str, what: str) -> Path:
        try:
            return resolve_under(self.root, name)
        except InputError as error:
            folder = real_path(self.root / name).parent
            raise InputError(
                f"{what}: {error}; copy the images into the folder, or set data.images to {folder}"
            ) from error

    def _indexed(self, by_stem: bool) -> dict[str, list[tuple[str, ...]]]:
        if self._by_name is None:
            self._by_name, self._by_stem = defaultdict(list), defaultdict(list)
            for path in image_files(self.root, recursive=True):
                parts = path.relative_to(self.root).parts
                self._by_name[name_key(parts[-1])].append(parts)
                self._by_stem[name_key(path.stem)].append(parts)
        return self._by_stem if by_stem else self._by_name


def image_files(folder: Path, recursive: bool = False) -> list[Path]:
    """Image files in a folder, sorted by path; hidden files and folders are left out."""
    return [path for path in _files(folder, recursive) if path.suffix.lower() in IMAGE_SUFFIXES]


def report_unreadable_kinds(folder: Path, what: str) -> None:
    """Report the number of files beneath a folder that are images of a kind that Pillow does not read."""
    if counts := unreadable_kinds(folder):
        text = f"{what}: {_listed(counts)} {agree(counts.total(), 'file is', 'files are')} left out, because Pillow does not read them; convert them to PNG or JPEG"
        report(Note("unreadable_kinds", text, what, {"images": counts.total()}))


def missing_advice(folder: Path) -> str:
    """What to do about images of a data set that are not found, by what there is beneath its folder."""
    if counts := unreadable_kinds(folder):
        return f"there {agree(counts.total(), 'is', 'are')} {_listed(counts)} {agree(counts.total(), 'file')}, which Pillow does not read: convert {agree(counts.total(), 'it', 'them')} to PNG or JPEG"
    return "set data.images to the folder that holds the images"


def unreadable_kinds(folder: Path) -> Counter[str]:
    """The number of files beneath a folder that are images of a kind that Pillow does not read, by suffix."""
    suffixes = (path.suffix for path in _files(folder, recursive=True))
    return Counter(suffix for suffix in suffixes if suffix.lower() in UNREADABLE_SUFFIXES)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(counts.items()))


def spellings(name: str) -> list[tuple[str, ...]]:
    """The folders and file that a written name may stand for, as parts, the likeliest first; ``..`` is left out."""
    text = name.strip()
    scheme, separator, rest = text.partition("://")
    if separator and scheme.isalnum():
        text = rest.partition("/")[2]
    options = [text, unquote(text)]
    if "?" in name:
        query = parse_qs(name.partition("?")[2])
        options = [*query.get("d", []), text.partition("?")[0], unquote(text.partition("?")[0]), *options]
    split = []
    for option in options:
        parts = tuple(
            part
            for part in option.replace("\\", "/").split("/")
            if part not in ("", ".", "..") and "\0" not in part
        )
        if parts and parts not in split:
            split.append(parts)
    return split


def original_spellings(name: str) -> list[tuple[str, ...]]:
    """The spellings of a file before its upload to Label Studio, which puts eight digits before its name; mostly none.

    A file with the whole name is another one, even with another suffix: they are for names of which there is none.
    """
    return [(*parts[:-1], match[1]) for parts in spellings(name) if (match := _UPLOADED.fullmatch(parts[-1]))]


def find_under(root: Path, name: str) -> Path | None:
    """The file or folder whose path below `root` is the longest possible end of `name`, in any case of letters.

    For example ``train/images`` for ``/home/me/parts/train/images`` and for ``../train/images``.
    """
    for parts in spellings(name):
        for first in range(len(parts)):
            path = _descend(root, parts[first:])
            if path is not None:
                return path
    return None


def _descend(root: Path, parts: Sequence[str]) -> Path | None:
    """The path below a folder, each part equal or, failing that, the only one that differs in the case of letters."""
    try:
        if (exact := resolve_under(root, "/".join(parts))).exists():
            return exact
    except (InputError, OSError):
        return None
    place = root
    for part in parts:
        if not (place / part).exists():
            same = [entry for entry in _entries(place) if name_key(entry) == name_key(part)]
            if len(same) != 1:
                return None
            part = same[0]
        place = place / part
    return resolve_under(root, str(place.relative_to(root)))


def _entries(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _files(folder: Path, recursive: bool) -> list[Path]:
    found = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if recursive and not is_hidden(name)]
        found += [os.path.join(place, name) for name in names if not is_hidden(name)]
    return [Path(path) for path in sorted(found)]


def _has_suffix(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES | UNREADABLE_SUFFIXES


def without_suffix(name: str) -> str:
    """A path without the suffix of an image that its last part may have: that of ``1.5`` is a part of the name."""
    return str(PurePosixPath(name).with_suffix("")) if _has_suffix(name) else str(PurePosixPath(name))


def name_key(name: str) -> str:
    """A name by which names are compared: without regard to case and to how letters are composed."""
    return unicodedata.normalize("NFC", name).casefold()


def _likeness(parts: Sequence[str], path: Sequence[str], by_stem: bool) -> tuple[int, int]:
    """Number of equal parts at the end, first in any case of letters, then exactly."""
    own = PurePosixPath(path[-1]).stem if by_stem else path[-1]
    reached = (*path[:-1], own)
    pairs = list(zip(reversed(parts), reversed(reached), strict=False))
    return _run([name_key(a) == name_key(b) for a, b in pairs]), _run([a == b for a, b in pairs])


def _is_beneath(folders: Sequence[str], path: Sequence[str]) -> bool:
    """Whether a path has all of some folders in their order, as ``train/images/a.jpg`` has that of ``train/a.jpg``."""
    further = iter(path[:-1])
    return bool(folders) and all(
        any(name_key(one) == name_key(folder) for one in further) for folder in folders
    )


def _run(equal: Sequence[bool]) -> int:
    return next((count for count, same in enumerate(equal) if not same), len(equal))
