"""Metadata of the safetensors files that are written here, and digests that do not depend on them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

MAX_HEADER = 100 * 2**20
"""Larger headers are refused by safetensors."""

_OWN = "detbench_version"


def make_metadata(variant: str, classes: Sequence[str], run: str = "") -> dict[str, str]:
    """Metadata of a detector's weights: variant, classes (a JSON list), version of detbench, and name of the run.

    Readers must not require any of them.
    """
    try:
        installed = version("detbench")
    except PackageNotFoundError:  # used from a checkout
        installed = ""
    metadata = {_OWN: installed, "variant": variant, "classes": json.dumps(list(classes), ensure_ascii=False)}
    return metadata | ({"run": run} if run else {})


def read_metadata(path: str | Path) -> Mapping[str, str]:
    """Metadata of a safetensors file; empty without metadata, and for other files."""
    with Path(path).open("rb") as file:
        header = _read_header(file)
    metadata = {} if header is None else header.get("__metadata__", {})
    return metadata if isinstance(metadata, dict) else {}


def content_digest(path: str | Path) -> str:
    """sha256 of a file; for a safetensors file with our metadata, that of the file without them.

    Equal weights therefore have equal digests, whichever run wrote them.
    """
    with Path(path).open("rb") as file:
        header = _read_header(file)
        if header is None or _OWN not in header.get("__metadata__", {}):
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
        del header["__metadata__"]
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)  # as safetensors pads it
        digest = hashlib.sha256(struct.pack("<Q", len(text)) + text)
        while chunk := file.read(2**20):
            digest.update(chunk)
        return digest.hexdigest()


def sort_metadata(path: str | Path) -> None:
    """Sort the metadata of a safetensors file by name, in place: safetensors writes them in no order.

    Equal tensors and metadata then make equal bytes. Tensors are in order already.
    """
    with Path(path).open("r+b") as file:
        header = _read_header(file)
        metadata = {} if header is None else header.get("__metadata__")
        if not header or not isinstance(metadata, dict):
            return
        length = file.tell() - 8
        header["__metadata__"] = dict(sorted(metadata.items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= length, "another JSON of the same values"
        file.seek(8)
        file.write(text.ljust(length))


def _read_header(file: BinaryIO) -> dict[str, dict[str, str]] | None:
    """The header of a safetensors file, and the file positioned after it; None for other files."""
    length = file.read(8)
    if len(length) < 8 or not 2 <= struct.unpack("<Q", length)[0] <= MAX_HEADER:
        return None
    text = file.read(struct.unpack("<Q", length)[0])
    try:
        header = json.loads(text) if text.startswith(b"{") else None
    except ValueError:
        return None
    return header if isinstance(header, dict) else None
