"""The folder of a written data set: whole or absent, never over other files; names, links and images in it."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from killed import contents, states_after_kills
from PIL import Image

from bench.convert.file_names import distinct_file_names
from bench.convert.folder import FORMATS, planned_files, require_free, write_dataset
from bench.convert.image_set import ImageSet, Picture
from metrics.atomic_files import atomic_folder, atomic_write, remove_unfinished
from metrics.errors import InputError, MachineError
from metrics.formats.image_search import name_key
from metrics.tables import AnnotationTable, Catalog


def image_set(folder: Path, count: int = 3, purpose: str | None = "train") -> ImageSet:
    """A split of image files with one object each."""
    names = [f"{k}.png" for k in range(count)]
    for k, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 12), (k, 50, 60)).save(folder / name)
    catalog = Catalog.of(names, ["cat"], [(12, 16)] * count, names)
    table = AnnotationTable.of(
        catalog, np.arange(count), np.zeros(count, int), [(1.0, 2.0, 5.0, 6.0)] * count
    )
    return ImageSet(purpose, table, tuple(Picture(name, folder / name) for name in names))


@pytest.mark.parametrize("format", FORMATS)
def test_a_killed_conversion_leaves_all_files_or_none(
    tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copyfile = shutil.copyfile

    def copy(*paths: Path, **options: bool) -> object:
        os.close(os.open(paths[1], os.O_CREAT))  # an operation before which the process can be killed
        return copyfile(*paths, **options)

    monkeypatch.setattr(shutil, "copyfile", copy)
    monkeypatch.setattr("bench.convert.folder._THREADS", 1)
    one = image_set(tmp_path / "data")
    work = tmp_path / "work"
    work.mkdir()
    write_dataset([one], format, tmp_path / "whole")
    states = states_after_kills(work, lambda: write_dataset([one], format, work / "out"), tmp_path / "copies")
    assert len(states) > 5
    assert any((state / "out").exists() for state in states)
    for state in states:
        if (state / "out").exists():
            assert contents(state / "out") == contents(tmp_path / "whole")


class BrokenError(Exception):
    pass


def broken() -> np.ndarray:
    raise BrokenError


def full(*arguments: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_error_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = image_set(tmp_path / "data")
    bad = replace(one, pictures=(*one.pictures[:2], Picture("2.png", None, broken)))
    with pytest.raises(BrokenError):
        write_dataset([bad], "coco", tmp_path / "out")
    gone = replace(one, pictures=(*one.pictures[:2], Picture("2.png", tmp_path / "data" / "gone.png")))
    with pytest.raises(InputError, match=r"gone.png: cannot be read \(No such file"):
        write_dataset([gone], "coco", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(
            MachineError, match=r"out: cannot be written \(No space left on device\); free some space"
        ):
            write_dataset([one], "coco", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_that_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "first") as folder:
        (folder / "a" / "b").mkdir(parents=True)
        (folder / "a" / "b" / "c.txt").write_text("c")
        prefix = folder.name.removesuffix(folder.name.rpartition("-")[2])
    abandoned = tmp_path / prefix.replace(str(os.getpid()), "999999999")
    running = tmp_path / f"{prefix}x"
    for left in (abandoned, running):
        (left / "images").mkdir(parents=True)
        (left / "images" / "a.png").write_bytes(b"half")
    with atomic_folder(tmp_path / "second") as folder:
        (folder / "d.txt").write_text("d")
    assert not abandoned.exists()
    assert running.exists()
    assert contents(tmp_path / "first") == {"a/b/c.txt": b"c"}
    assert contents(tmp_path / "second") == {"d.txt": b"d"}
    remove_unfinished(tmp_path)
    assert not running.exists()
    assert (tmp_path / "second").stat().st_mode & 0o777 == 0o777 & ~umask()


def test_an_abandoned_folder_beside_it_does_not_stop_the_writing_of_a_file(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "first") as folder:
        prefix = folder.name.removesuffix(folder.name.rpartition("-")[2])
    (tmp_path / prefix.replace(str(os.getpid()), "999999999")).mkdir()
    atomic_write(tmp_path / "a.txt", "a")
    with atomic_folder(tmp_path / "second"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "first", "second"]


def umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_fault_98_a_folder_with_files_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    image_set(data)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "full", tmp_path / "full" / "mine.txt"):
        with pytest.raises(InputError, match="choose a folder that does not exist yet"):
            require_free(out, [data])
    require_free(tmp_path / "empty", [data])
    require_free(tmp_path / "new", [data])  # the advice
    write_dataset([image_set(data)], "coco", tmp_path / "empty")
    assert (tmp_path / "empty" / "annotations" / "instances_train.json").is_file()


def test_fault_99_a_folder_in_the_data_set_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    image_set(data)
    (tmp_path / "link").symlink_to(data)
    outs = [data / "new", data / "deep" / "new", data / "x" / ".." / "new", tmp_path / "link" / "new"]
    for out in outs:
        with pytest.raises(InputError, match="choose a folder outside of it"):
            require_free(out, [tmp_path / "other", data])
    require_free(tmp_path / "data_coco", [tmp_path / "other", data])  # its name begins alike


def test_hard_links_are_the_same_files_and_copies_are_not(tmp_path: Path) -> None:
    one = image_set(tmp_path / "data")
    assert write_dataset([one], "yolo", tmp_path / "hard", link="hard")[-1].kind != "copied_images"
    write_dataset([one], "yolo", tmp_path / "copy")
    for k in range(3):
        source = (tmp_path / "data" / f"{k}.png").stat()
        assert (tmp_path / "hard" / "images" / "train" / f"{k}.png").stat().st_ino == source.st_ino
        assert (tmp_path / "copy" / "images" / "train" / f"{k}.png").stat().st_ino != source.st_ino
    assert contents(tmp_path / "hard") == contents(tmp_path / "copy")


def test_where_hard_links_are_impossible_images_are_copied_and_this_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = image_set(tmp_path / "data")
    monkeypatch.setattr(os, "link", full)
    *_, note = write_dataset([one], "coco", tmp_path / "out", link="hard")
    assert (note.kind, note.values) == ("copied_images", {"images": 3})
    assert (tmp_path / "out" / "images" / "train" / "0.png").read_bytes() == (
        tmp_path / "data" / "0.png"
    ).read_bytes()


def test_images_of_two_splits_may_have_one_name_except_in_voc(tmp_path: Path) -> None:
    sets = [image_set(tmp_path / "a", 2, "train"), image_set(tmp_path / "b", 2, "test")]
    assert [target for _, target in planned_files(sets, "coco").pictures] == [
        "images/train/0.png", "images/train/1.png", "images/test/0.png", "images/test/1.png",
    ]  # fmt: skip
    written = planned_files(sets, "voc")
    assert [target for _, target in written.pictures] == [
        "JPEGImages/0.png", "JPEGImages/1.png", "JPEGImages/0_2.png", "JPEGImages/1_2.png",
    ]  # fmt: skip
    assert [note.values for note in written.notes if note.kind == "renamed_images"] == [{"images": 2}]
    assert written.texts["ImageSets/Main/test.txt"] == "0_2\n1_2\n"


@example(["a.jpg.png", "a.png"], True)
@example(["x" * 260 + ".png"], True)
@given(
    st.lists(st.text(st.characters(exclude_characters="/"), min_size=1, max_size=12), min_size=1, max_size=8),
    st.booleans(),
)
def test_file_names_are_distinct_safe_and_kept_where_they_can_be(paths: list[str], by_stem: bool) -> None:
    names = distinct_file_names(paths, [None] * len(paths), by_stem)
    keys = [name_key(PurePosixPath(name).stem if by_stem else name) for name in names]
    assert len(set(keys)) == len(names)
    for name in names:
        assert name.isprintable() or name.encode()
        assert len(name.splitlines()) == 1
        assert name == name.strip()
        assert not name.startswith(".")
        assert not set(name) & set("/\\?\0\n")
        assert len(name.encode()) < 250
    assert distinct_file_names(names, [None] * len(names), by_stem) == names


def test_names_that_are_taken_get_their_folder_or_a_number() -> None:
    paths = ["a/1.jpg", "b/1.jpg", "b/b_1.jpg", "1.JPG", "2.png", "2.jpg"]
    assert distinct_file_names(paths, [None] * 6, by_stem=False) == [
        "1.jpg",
        "1_2.jpg",
        "b_1.jpg",
        "1_3.JPG",
        "2.png",
        "2.jpg",
    ]
    assert distinct_file_names(paths[4:], [None] * 2, by_stem=True) == ["2.png", "2_2.jpg"]
    assert distinct_file_names(["a/1.jpg", "b/1.jpg"], [None] * 2, by_stem=True) == ["1.jpg", "b_1.jpg"]
