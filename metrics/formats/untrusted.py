"""Files that somebody else made: read within limits, refused with a reason, never trusted with a path."""

from __future__ import annotations

import json
import os
import re
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from metrics.errors import InputError, MachineError

LARGEST = 4 * 2**30
"""Bytes of a file, or of what a gzip file unpacks to, that are read at most."""

_LARGEST_RATIO = 200
_ALWAYS_UNPACKED = 64 * 2**20  # a small file may be as repetitive as it likes
_DEEPEST = 1024

_SIGNATURES = {
    b"PK\x03\x04": "a zip archive; unpack it and give the file in it",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"BZh": "a bzip2 file; unpack it first",
    b"\xfd7zXZ": "an xz file; unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd file; unpack it first",
    b"\x80\x04": "a Python pickle, which could run code and is never read",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; run `git lfs pull`",
}


def read_bytes(path: str | Path, largest: int = LARGEST) -> bytes:
    """The content of a file, unpacked where it is gzip.

    Args:
        path: the file.
        largest: bytes that are read at most, packed or unpacked.

    Raises:
        InputError: no such file, a folder, too large, a gzip bomb (more than 200 times its size), or another
            kind of file than text.
        MachineError: the file exists but cannot be read.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InputError(f"{path}: is a folder, expected a file")
        if size > largest:
            raise InputError(
                f"{path}: has {size / 2**30:.1f} GiB, more than the {largest / 2**30:.1f} GiB that are read; "
                "give it as Parquet (DetectionTable.save), or build the table image by image"
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise MachineError(f"{path}: cannot be read: {error.strerror}") from error
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(data, path, largest)
    for signature, meaning in _SIGNATURES.items():
        if data.startswith(signature):
            raise InputError(f"{path}: is {meaning}")
    return data.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that some editors put before UTF-8


def read_text(path: str | Path, largest: int = 16 * 2**20) -> str:
    """The text of a small file in UTF-8; errors as in `read_bytes`."""
    data = read_bytes(path, largest)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


def parse_json(data: bytes | memoryview, path: str | Path) -> Any:
    """The value of JSON text in UTF-8.

    ``NaN`` and ``Infinity``, which are not JSON but which Python and others write, come back as floats: who
    reads a number finds them and can name the record.

    Raises:
        InputError: not JSON (with line and column), or nested deeper than 1,024 levels.
    """
    import orjson

    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        text = bytes(data)
        if not text.strip():
            raise InputError(f"{path}: the file is empty; an empty list of detections is []") from error
        if "depth" in str(error).lower():
            raise InputError(
                f"{path}: is nested deeper than {_DEEPEST} levels; this is no COCO file"
            ) from error
        if re.search(rb"[:,\[]\s*-?(NaN|Infinity)\b", text):
            return _parse_with_constants(text, path)
        raise InputError(f"{path}: is not JSON: {_where(error)}") from error


def read_json(path: str | Path) -> Any:
    """`read_bytes`, then `parse_json`."""
    return parse_json(read_bytes(path), path)


def resolve_under(root: str | Path, name: str) -> Path:
    """The file that a data set's annotations call `name`, if it lies within the data set's folder.

    A backslash separates folders, as files made on Windows have it. Nothing is opened.

    Args:
        root: the data set's folder.
        name: a relative path, as it stands in somebody's annotations.

    Returns:
        An absolute path under `root`, with symbolic links followed.

    Raises:
        InputError: an absolute path, a URL, a path or a link that leads out of `root`, or no file name at all.
    """
    shown = name if len(name) <= 80 else f"{name[:77]}..."
    relative = PurePosixPath(name.replace("\\", "/"))
    if not name.strip() or "\0" in name:
        raise InputError(f"{shown!r}: is no file name")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name):
        raise InputError(
            f"{shown!r}: is a URL; images are read from the data set's folder, never from a network"
        )
    if relative.is_absolute() or re.match(r"[A-Za-z]:", name):
        raise InputError(f"{shown!r}: is an absolute path; expected one relative to {root}")
    if any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in relative.parts):
        raise InputError(f"{shown!r}: is longer than a file's name can be (255 bytes)")
    folder = Path(root).resolve()
    try:
        resolved = (folder / relative).resolve()
    except (OSError, RuntimeError, UnicodeError) as error:
        raise InputError(f"{shown!r}: is no path: {error}") from error
    if not resolved.is_relative_to(folder):
        raise InputError(f"{shown!r}: leads out of the data set's folder {root} to {resolved}")
    return resolved


def _unpacked(data: bytes, path: Path, largest: int) -> bytes:
    most = min(largest, max(_ALWAYS_UNPACKED, _LARGEST_RATIO * len(data)))
    unpacked = bytearray()
    try:
        while data:
            stream = zlib.decompressobj(wbits=31)
            unpacked += stream.decompress(data, most + 1 - len(unpacked))
            if len(unpacked) > most:
                raise InputError(
                    f"{path}: unpacks to more than {most / 2**20:.0f} MiB; if that is right, unpack it yourself"
                )
            if not stream.eof:
                raise InputError(f"{path}: the gzip file ends too early; copy or download it again")
            data = stream.unused_data.lstrip(b"\0")  # gzip allows members one after another, then zeros
    except zlib.error as error:
        raise InputError(f"{path}: the gzip file is damaged: {error}") from error
    return bytes(unpacked)


def _parse_with_constants(text: bytes, path: str | Path) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deep; this is no COCO file") from error
    except ValueError as error:
        raise InputError(f"{path}: is not JSON: {_where(error)}") from error


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    return str(error)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file, whole or not at all: what stood there before is replaced only when the new one is complete."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(unfinished, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise MachineError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        unfinished.unlink(missing_ok=True)
