"""Detections as they arrive: line ends and marks of Windows, hidden files of macOS, empty files, packed files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from layouts import DETECTIONS
from sampled_detections import FOUND, PICTURES, expected, read, rows

from metrics.errors import InputError

_LINES = {".txt", ".csv"}


def files(root: Path) -> list[Path]:
    return [file for file in sorted(root.rglob("*")) if file.is_file()]


@pytest.mark.parametrize("name", DETECTIONS)
def test_fault_100_detections_with_the_traces_of_windows_and_macos_are_read(
    tmp_path: Path, name: str
) -> None:
    layout = DETECTIONS[name]
    path = layout.write(tmp_path, PICTURES, FOUND)
    for file in files(tmp_path):
        data = file.read_bytes().replace(b"\r\n", b"\n")
        if file.suffix in _LINES:
            data = data.replace(b"\n", b"\n\n") + b"\n\n"
        file.write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
        (file.parent / f"._{file.name}").write_bytes(b"\0\5\26\7junk")
    if path.is_dir():
        (path / "classes.txt").write_text("cat\ndog\n")
        (path / ".DS_Store").write_text("x")
    np.testing.assert_allclose(rows(read(path)[0]), expected(FOUND, PICTURES), atol=layout.tolerance)


@pytest.mark.parametrize("name", DETECTIONS)
def test_fault_101_detections_in_utf_16_are_refused_naming_the_file(tmp_path: Path, name: str) -> None:
    path = DETECTIONS[name].write(tmp_path, PICTURES, FOUND)
    for file in files(tmp_path):
        file.write_bytes(file.read_text().encode("utf-16"))
    with pytest.raises(InputError, match=r"is UTF-16 text; save it as UTF-8") as refused:
        read(path)
    assert any(str(file) in str(refused.value) for file in files(tmp_path))


@pytest.mark.parametrize("name", DETECTIONS)
def test_truncated_and_empty_files_are_refused_naming_the_file(tmp_path: Path, name: str) -> None:
    path = DETECTIONS[name].write(tmp_path, PICTURES, FOUND)
    if path.is_dir() and not any(file.suffix == ".json" for file in files(tmp_path)):
        return  # a text file may end anywhere, and an empty one has no detections
    for file in files(tmp_path):
        data = file.read_bytes()
        for part in (data[:-9], b""):
            file.write_bytes(part)
            if file.name in ("metadata.json", "class-descriptions-boxable.csv"):
                continue
            with pytest.raises(InputError) as refused:
                read(path)
            assert str(file) in str(refused.value) or str(path) in str(refused.value)
        file.write_bytes(data)


@pytest.mark.parametrize("name", [name for name in DETECTIONS if name not in ("open_images_csv",)])
def test_a_packed_file_is_read(tmp_path: Path, name: str) -> None:
    layout = DETECTIONS[name]
    path = layout.write(tmp_path, PICTURES, FOUND)
    if path.is_dir():
        return
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    np.testing.assert_allclose(rows(read(packed)[0]), expected(FOUND, PICTURES), atol=layout.tolerance)
