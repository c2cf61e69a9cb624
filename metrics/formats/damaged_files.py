"""Files beside annotation files that are damaged or of another kind: the first are refused, the others named."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from os import SEEK_END
from pathlib import Path

from metrics.errors import InputError
from metrics.formats.file_listing import visible_files
from metrics.formats.untrusted import LARGEST, read_json, read_json_lines, read_text, read_xml
from metrics.notes import Note, report
from metrics.plurals import plural

_LINES = (".jsonl", ".ndjson", ".odgt", ".manifest")
_LARGE = 2**26
"""Number of bytes of JSON above which only the ends of a file are looked at."""
_SHORT = 64
_NAMED = 5
"""Number of files that a note names."""


def with_damaged(ours: Collection[Path], files: Sequence[Path], everywhere: bool = False) -> list[Path]:
    """The files of a layout, and those of `files` that may be of it, but are damaged, so that reading refuses them.

    Args:
        ours: files that were recognised.
        files: all files that were looked at, in their order.
        everywhere: whether each image has its own file, so that any of the files may be of the layout; otherwise those in a folder
            of recognised files, or with the name of one.
    """
    own, folders, names = set(ours), {file.parent for file in ours}, {file.name for file in ours}
    return [
        file
        for file in files
        if file in own
        or (ours and (everywhere or file.parent in folders or file.name in names) and is_damaged(file))
    ]


def is_damaged(file: Path) -> bool:
    """Whether a file is empty, or not the JSON, XML or UTF-8 text that its suffix promises, so that its layout cannot be told.

    The reader of the layout that other files have then refuses it, with the place of the error.
    """
    suffix = file.suffix.lower()
    try:
        if suffix in (".json", ".geojson") and file.stat().st_size > _LARGE:
            return not _is_closed(file)
        if suffix in (".json", ".geojson"):
            read_json(file)
        elif suffix == ".xml":
            read_xml(file, largest=LARGEST)
        elif suffix in _LINES:
            return not list(read_json_lines(file))
        elif suffix in (".csv", ".txt"):
            return not read_text(file, LARGEST).strip()
    except InputError:
        return True
    return False


def _is_closed(file: Path) -> bool:
    """Whether JSON ends with what it begins with."""
    with file.open("rb") as opened:
        head = opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
        opened.seek(-64, SEEK_END)
        tail = opened.read().rstrip()[-1:]
    return head + tail in (b"{}", b"[]")


def refuse_empty(files: Sequence[Path]) -> None:
    """Refuse annotation files that are empty, of formats in which one without an image has more than that.

    Raises:
        InputError: the first one.
    """
    for file in files:
        if file.stat().st_size < _SHORT and not file.read_bytes().strip():
            raise InputError(f"{file}: the file is empty; copy or export it again, or remove it")


def report_other_files(files: Sequence[Path], root: Path) -> None:
    """Report files in the folders of annotation files, and of their suffix, that are not among them, where each image has its own.

    Args:
        files: annotation files that are read.
        root: the data set, for the message.
    """
    own = set(files)
    pairs = sorted({(file.parent, file.suffix.lower()) for file in files if file.suffix})
    others = [
        file for folder, suffix in pairs for file in visible_files(folder, f"*{suffix}") if file not in own
    ]
    if others:
        names = ", ".join(str(file.relative_to(root)) for file in others[:_NAMED])
        more = f" and {len(others) - _NAMED:,} more" * (len(others) > _NAMED)
        text = f"{root}: {plural(len(others), 'file is', 'files are')} of another layout and not read: {names}{more}"
        report(
            Note("other_files", text, str(root), {"files": len(others)}, tuple(str(file) for file in others))
        )
