"""Exports as they arrive: byte order marks, line ends, blank lines, files of macOS and Windows, other suffixes, links."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import TRUTH
from layouts.registry import write_text
from test_truth_layouts import contents, require_opened, require_read, scene, wanted

from bench.datasets import open_dataset
from metrics import read_truth
from metrics.errors import InputError, InputNote, InputWarning

_TEXT = {
    ".txt",
    ".csv",
    ".json",
    ".geojson",
    ".xml",
    ".yaml",
    ".data",
    ".names",
    ".odgt",
    ".manifest",
    ".jsonl",
    ".labels",
}
_LINES = {".txt", ".csv", ".data", ".names", ".odgt", ".manifest", ".jsonl", ".labels"}


def text_files(root: Path) -> list[Path]:
    return [file for file in root.rglob("*") if file.is_file() and file.suffix in _TEXT]


def image_files(root: Path) -> list[Path]:
    return [file for file in root.rglob("*") if file.suffix in (".png", ".jpg")]


def windows(root: Path) -> None:
    """A byte order mark, line ends of Windows, blank lines, spaces at ends, capital suffixes, and files of the shell."""
    for file in text_files(root):
        data = file.read_bytes().replace(b"\r\n", b"\n")
        if file.suffix in _LINES:
            data = data.replace(b"\n", b"\n\n") + b"\n  \n"
            data = data.replace(b"\n\n", b" \n\n") if file.suffix != ".csv" else data
        file.write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
    for file in image_files(root):
        file.rename(file.with_suffix(file.suffix.upper()))
    write_text(root / "Thumbs.db", "x")
    write_text(root / "desktop.ini", "[.ShellClassInfo]\n")


def macos(root: Path) -> None:
    """A hidden file for each file, as archives of macOS have; and what people put beside their data."""
    for file in [file for file in root.rglob("*") if file.is_file()]:
        (file.parent / f"._{file.name}").write_bytes(b"\0\5\26\7junk")
    shutil.copytree(root, root.parent / "copy")
    shutil.move(root.parent / "copy", root / "__MACOSX")
    for name, text in {
        ".DS_Store": "x",
        "README.md": "# pets\n",
        "README.roboflow.txt": "pets\n3 images\n",
        "config.yaml": "lr: 1\n",
        "requirements.txt": "torch\n",
        "results.csv": "epoch,loss\n1,2\n",
        "log.json": '{"loss": [1, 2]}',
    }.items():
        write_text(root / name, text)


def other_suffix(root: Path) -> None:
    """Images that were converted: annotations name ``.png`` or ``.jpg``."""
    for file in image_files(root):
        file.rename(file.with_suffix(".JPEG"))


def wrapped(root: Path) -> None:
    """An archive that unpacks to a folder."""
    root.rename(root.parent / "inner")
    root.mkdir()
    (root.parent / "inner").rename(root / "My pets v1")


def linked(root: Path) -> None:
    """The folder is a link."""
    root.rename(root.parent / "real")
    root.symlink_to(root.parent / "real")


VARIATIONS: list[list[Callable[[Path], None]]] = [[windows, macos, linked], [other_suffix, wrapped]]
FORMATS = sorted({layout.format: name for name, layout in TRUTH.items()}.values())
"""A layout of each format."""


@pytest.mark.parametrize("name", TRUTH)
def test_fault_100_variations_of_a_layout_are_read(tmp_path: Path, name: str) -> None:
    layout, made = TRUTH[name], scene()
    for vary in VARIATIONS:
        root = tmp_path / vary[0].__name__ / "root"
        root.mkdir(parents=True)
        layout.write(root, made)
        for change in vary:
            change(root)
        require_opened(root, layout, made)
        require_read(root, layout, made)


@pytest.mark.parametrize("name", FORMATS)
def test_fault_101_utf_16_is_refused_naming_the_file_and_the_fix_works(tmp_path: Path, name: str) -> None:
    layout, made = TRUTH[name], scene()
    layout.write(tmp_path, made)
    texts = {file: file.read_bytes() for file in text_files(tmp_path)}
    for file, data in texts.items():
        file.write_bytes(data.decode().encode("utf-16"))
    for read in (open_dataset, read_truth):
        with pytest.raises(InputError, match=r"is UTF-16 text; save it as UTF-8") as refused:
            read(tmp_path)
        assert any(str(file) in str(refused.value) for file in texts)
    for file, data in texts.items():
        file.write_bytes(data)
    require_opened(tmp_path, layout, made)


def images_moved(root: Path) -> Path:
    """Images become links to files elsewhere."""
    pool = root.parent / "pool"
    pool.mkdir()
    for file in image_files(root):
        if not (pool / file.name).exists():
            shutil.copy(file, pool)
        file.unlink()
        file.symlink_to(pool / file.name)
    return pool


@pytest.mark.parametrize("name", FORMATS)
def test_links_to_images_elsewhere_are_read_or_refused_with_a_fix_that_works(
    tmp_path: Path, name: str
) -> None:
    layout, made, root = TRUTH[name], scene(), tmp_path / "root"
    root.mkdir()
    layout.write(root, made)
    pool = images_moved(root)
    if layout.format == "yolo":
        require_opened(root, layout, made)  # as Ultralytics does
        return
    with pytest.raises(
        InputError,
        match=f"leads outside the folder .*; copy the images into the folder, or set data.images to {pool}",
    ):
        open_dataset(root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        data = open_dataset(root, images=str(pool))
    found = {key: value for split in data.splits.values() for key, value in contents(split.truth).items()}
    assert {key: sorted(name for name, _ in rows) for key, rows in found.items()} == {
        key: sorted(name for name, _ in rows) for key, rows in wanted(made.pictures, layout).items()
    }


def test_the_folder_in_a_folder_is_noted_and_folders_with_a_meaning_are_not_entered(tmp_path: Path) -> None:
    made = scene()
    TRUTH["cvat_ultralytics_detection"].write(tmp_path / "pets" / "v1" / "export", made)
    data = open_dataset(tmp_path / "pets")
    texts = [note.text for note in data.notes if note.kind == "inner_folder"]
    assert texts == [f"{tmp_path / 'pets'}: has nothing but the folder v1/export, which is read"]
    with pytest.warns(InputNote, match="has nothing but the folder v1/export, which is read"):
        read_truth(tmp_path / "pets", "val")
    TRUTH["roboflow_coco"].write(tmp_path / "coco", made)
    for split in ("valid", "test"):
        shutil.rmtree(tmp_path / "coco" / split)
    assert "inner_folder" not in {note.kind for note in open_dataset(tmp_path / "coco").notes}
