"""Reading of untrusted files: within limits, never outside a given folder, and refused with a reason."""

from __future__ import annotations

import codecs
import json
import mmap
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from metrics.errors import InputError, MachineError
from metrics.messages import reason
from metrics.plurals import plural
from metrics.real_path import real_path

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

LARGEST = 4 * 2**30
"""Largest size of a file in bytes, before and after unpacking gzip."""

_LARGEST_RATIO = 200
_XML_ENCODING = (18, 19)  # expat's codes for an unknown and a wrong encoding
_XML_ENDS = 3  # expat's code for a document that ends before its root element does
_ALWAYS_UNPACKED = 64 * 2**20  # below this size any compression ratio is accepted
_DEEPEST = 1024

_SIGNATURES = {
    b"PK\x03\x04": "a zip archive; unpack it and give the file in it",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    b"BZh": "a bzip2 file; unpack it first",
    b"\xfd7zXZ": "an xz file; unpack it first",
    b"\x28\xb5\x2f\xfd": "a zstd file; unpack it first",
    b"\x80\x04": "a Python pickle, which could run code; it is not read",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; run `git lfs pull`",
}


def read_bytes(path: str | Path, largest: int = LARGEST) -> bytes:
    """The content of a file, unpacked if it is gzip.

    Args:
        path: the file.
        largest: maximum number of bytes, packed or unpacked.

    Raises:
        InputError: no such file, a folder, a pipe without a writer, too large, a gzip bomb (more than 200 times its size), or a binary file.
        MachineError: the file exists but cannot be read.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InputError(f"{path}: is a folder, expected a file")
        if size > largest:
            raise InputError(
                f"{path}: has {size / 2**30:.1f} GiB, more than the limit of {largest / 2**30:.1f} GiB; "
                "convert it to Parquet (DetectionTable.save), or build the table image by image"
            )
        with open_input(path, largest) as file:
            data = file.read()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise MachineError(f"{path}: cannot be read: {error.strerror}") from error
    if data.startswith(b"\x1f\x8b"):
        data = _unpacked(data, path, largest)
    _refuse_signature(data, path)
    return data.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that some editors add


def open_input(path: Path, largest: int = LARGEST) -> BinaryIO:
    """Open a file for reading, or take the content of a pipe.

    Args:
        path: the file.
        largest: maximum number of bytes that a pipe gives.

    Raises:
        InputError: no process writes to the pipe, which would be waited for, for ever; or it has more than `largest` bytes.
        OSError: as `open` raises it.
    """
    if not stat.S_ISFIFO(path.stat().st_mode):
        return path.open("rb")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as pipe:
        try:
            content = os.read(descriptor, _CHUNK)
            if not content:
                raise InputError(f"{path}: is a pipe that no process writes to; give a file")
        except BlockingIOError:  # the writer has not written yet
            content = b""
        os.set_blocking(descriptor, True)
        taken = BytesIO()
        taken.write(content)
        while taken.tell() <= largest and (content := pipe.read(_CHUNK)):
            taken.write(content)
    if taken.tell() > largest:
        raise InputError(f"{path}: the pipe gives more than {plural(largest, 'byte')}; give a file")
    taken.seek(0)
    return taken


def read_text(path: str | Path, largest: int = 16 * 2**20) -> str:
    """The text of a small file in UTF-8; errors as in `read_bytes` and `require_utf8`."""
    data = read_bytes(path, largest)
    require_utf8(data, path)
    return data.decode()


def require_utf8(data: bytes, path: str | Path) -> None:
    """Refuse bytes that are not UTF-8, naming the line of the first."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(
            0, len(data), _CHUNK
        ):  # text of the whole file would need up to four times its memory
            decoder.decode(data[start : start + _CHUNK], final=start + _CHUNK >= len(data))
        return
    except UnicodeDecodeError:
        pass
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: byte {error.start} is not UTF-8; save the file as UTF-8") from error


_CHUNK = 2**24


def refuse_binary(path: Path) -> None:
    """Refuse a file that begins like one of another kind; see `read_bytes`. What cannot be opened, or is no file, is left alone."""
    if not path.is_file():  # the content of a pipe can be read only once
        return
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return
    _refuse_signature(head, path)


_WEIGHTS = (
    ".pt",
    ".pth",
    ".ckpt",
    ".pkl",
    ".safetensors",
    ".onnx",
    ".engine",
    ".h5",
    ".keras",
    ".tflite",
    ".pb",
)
"""Suffixes of files of weights, some of which are archives."""


_PICKLES = (".pkl", ".pickle")


def _refuse_signature(data: bytes, path: Path) -> None:
    if path.suffix.lower() in _PICKLES:
        raise InputError(
            f"{path}: is a pickle, which can execute code and is not read; write detections as JSON or CSV (in MMDetection, set "
            f"outfile_prefix of the evaluator)"
        )
    if path.suffix.lower() in _WEIGHTS:
        raise InputError(
            f"{path}: holds the weights of a model, not data; give annotations, or the detections of the model"
        )
    for signature, meaning in _SIGNATURES.items():
        if data.startswith(signature):
            raise InputError(f"{path}: is {meaning}")


def read_head(path: Path, size: int = 2**16) -> bytes:
    """The first bytes of a file, unpacked if it is gzip, without a byte order mark and leading space; empty if unreadable.

    Formats are recognised by it; nothing is checked.
    """
    try:
        with path.open("rb") as file:
            head = file.read(size)
        if head.startswith(b"\x1f\x8b"):
            head = zlib.decompressobj(wbits=31).decompress(head, size)
    except (OSError, zlib.error):
        return b""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def contains_all(file: Path, texts: Sequence[bytes]) -> bool:
    """Whether a file begins like a JSON object, and all texts occur in it; it is searched in place, and not parsed."""
    try:
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return mapped[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{") and all(
                mapped.find(text) >= 0 for text in texts
            )
    except (OSError, ValueError):  # empty, or not readable
        return False


def parse_json(data: bytes | memoryview, path: str | Path) -> Any:
    """The value of JSON text in UTF-8.

    ``NaN`` and ``Infinity``, which are not JSON but written by Python and others, are returned as floats, so that the
    reader of a number can name the record.

    Raises:
        InputError: invalid JSON (with line and column), or nested deeper than 1,024 levels.
    """
    import orjson

    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        text = bytes(data)
        if not text.strip():
            raise InputError(
                f"{path}: the file is empty; copy or export it again, or write [] for an empty list"
            ) from error
        if "depth" in str(error).lower():
            raise InputError(
                f"{path}: is nested deeper than {_DEEPEST} levels; this is not a COCO file"
            ) from error
        if re.search(rb"[:,\[]\s*-?(NaN|Infinity)\b", text):
            return _parse_with_constants(text, path)
        require_utf8(text, path)
        raise InputError(f"{path}: invalid JSON{_where(error)}{_json_hint(error, text)}") from error


def read_json(path: str | Path) -> Any:
    """`read_bytes`, then `parse_json`."""
    return parse_json(read_bytes(path), path)


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """The place ``file:line`` and the value of each line of JSON that is not empty."""
    for number, line in enumerate(read_bytes(path).splitlines(), 1):
        if line.strip():
            where = f"{path}:{number}"
            yield where, parse_json(line, where)


def read_xml(path: str | Path, tag: str | None = None, largest: int = 16 * 2**20) -> Element:
    """The root element of an XML file.

    Args:
        path: the file. A document type or entities are refused: they can read files and exhaust memory.
        tag: of the root element; None for any.
        largest: maximum number of bytes.

    Raises:
        InputError: another kind of file.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root: Element = fromstring(read_bytes(path, largest), forbid_dtd=True)
    except DefusedXmlException as error:
        raise InputError(
            f"{path}: has a document type or entities, which can read files and exhaust memory, and are refused; "
            "remove the <!DOCTYPE ...>"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        encoded = getattr(error, "code", None) in (None, *_XML_ENCODING)
        hint = '; save it as UTF-8, with encoding="UTF-8" in its first line' if encoded else ""
        if getattr(error, "code", None) == _XML_ENDS:
            hint = "; the file is empty or cut off: copy or export it again"
        raise InputError(f"{path}: is not XML: {reason(error)}{hint}") from error
    if tag is not None and root.tag != tag:
        kind = "a Pascal VOC annotation" if tag == "annotation" else "an annotation file of this layout"
        raise InputError(
            f"{path}: is not {kind}: expected <{tag}>, got <{root.tag[:40]}>; move it out of the data set"
        )
    return root


def resolve_under(root: str | Path, name: str) -> Path:
    """The file called `name` in the annotations of a data set, if it is inside the folder of the data set.

    A backslash separates folders, as on Windows. The file is not opened.

    Args:
        root: folder of the data set.
        name: a relative path, as in the annotations.

    Returns:
        An absolute path under `root`, with symbolic links followed.

    Raises:
        InputError: an absolute path, a URL, a path or link that leads outside `root`, or an empty name.
    """
    short = name if len(name) <= 80 else f"{name[:77]}..."
    relative = PurePosixPath(name.replace("\\", "/"))
    if not name.strip() or "\0" in name:
        raise InputError(f"{short!r}: is not a file name")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", name):
        raise InputError(f"{short!r}: is a URL; images are read only from the folder of the data set")
    if relative.is_absolute() or re.match(r"[A-Za-z]:", name):
        raise InputError(f"{short!r}: is an absolute path; expected a path relative to {root}")
    if any(len(part.encode("utf-8", "surrogatepass")) > 255 for part in relative.parts):
        raise InputError(f"{short!r}: is longer than a file name can be (255 bytes)")
    folder = _resolved(os.fspath(root) if os.path.isabs(root) else os.path.abspath(root))
    try:
        resolved = real_path(folder / relative)
    except (OSError, RuntimeError, UnicodeError) as error:
        raise InputError(f"{short!r}: is not a path: {error}") from error
    if not resolved.is_relative_to(folder):
        raise InputError(f"{short!r}: leads outside the folder {root} of the data set, to {resolved}")
    return resolved


@lru_cache(maxsize=64)
def _resolved(folder: str) -> Path:
    """A folder with symbolic links followed; remembered, because all images of a data set are in the same few folders."""
    return real_path(folder)


def _unpacked(data: bytes, path: Path, largest: int) -> bytes:
    most = min(largest, max(_ALWAYS_UNPACKED, _LARGEST_RATIO * len(data)))
    unpacked = bytearray()
    try:
        while data:
            stream = zlib.decompressobj(wbits=31)
            unpacked += stream.decompress(data, most + 1 - len(unpacked))
            if len(unpacked) > most:
                raise InputError(
                    f"{path}: unpacks to more than {most / 2**20:.0f} MiB; if that is correct, unpack it first"
                )
            if not stream.eof:
                raise InputError(f"{path}: the gzip file is incomplete; copy or download it again")
            data = stream.unused_data.lstrip(b"\0")  # gzip files may have several members, then zeros
    except zlib.error as error:
        raise InputError(f"{path}: the gzip file is damaged: {error}") from error
    return bytes(unpacked)


def _parse_with_constants(text: bytes, path: str | Path) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise InputError(f"{path}: is nested too deeply; this is not a COCO file") from error
    except ValueError as error:
        require_utf8(text, path)
        raise InputError(f"{path}: invalid JSON{_where(error)}{_json_hint(error, text)}") from error


def _json_hint(error: ValueError, text: bytes) -> str:
    """What to do about invalid JSON, as a clause; empty where the place says it."""
    if "after document" in str(error) and text.lstrip().startswith(b"{"):
        return "; a file with a JSON object in each line is called .jsonl"
    at_end = isinstance(error, json.JSONDecodeError) and error.pos >= len(text.decode().rstrip())
    return "; the file is cut off: copy or export it again" if at_end else ""


def _where(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f" at line {error.lineno}, column {error.colno}: {error.msg}"
    return f": {error}"
