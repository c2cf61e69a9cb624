"""Splits by name or hash, and images in two splits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data.leaks import find_leaks
from bench.data.splits import hash_split
from metrics.formats.purpose import parse_purpose
from metrics.notes import Note

NAMES = st.lists(st.text(min_size=1, max_size=8), min_size=3, max_size=60, unique=True)
SHARES = st.lists(st.floats(0.05, 1), min_size=2, max_size=3)


@given(NAMES, SHARES, st.integers(0, 2**32))
def test_every_image_is_in_one_part_and_no_part_is_empty(names, shares, seed):
    parts = hash_split(names, shares, seed)
    assert len(parts) == len(shares)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(names)))
    assert all(len(part) for part in parts)


def test_the_parts_are_as_large_as_their_shares():
    parts = hash_split([f"image{k}" for k in range(4000)], (0.7, 0.15, 0.15), seed=0)
    # Four standard deviations of a binomial.
    assert [len(part) for part in parts] == pytest.approx([2800, 600, 600], abs=116)


def test_an_added_image_does_not_move_the_others():
    names = [f"image{k}" for k in range(200)]
    before = hash_split(names, (0.7, 0.15, 0.15), seed=0)
    after = hash_split([*names, *(f"new{k}" for k in range(300))], (0.7, 0.15, 0.15), seed=0)
    for old, new in zip(before, after, strict=True):
        assert set(old) == {index for index in new if index < 200}


def test_order_does_not_matter_and_the_seed_does():
    names = [f"image{k}" for k in range(50)]
    forward = [{names[i] for i in part} for part in hash_split(names, (0.5, 0.5), 3)]
    backward = [{names[::-1][i] for i in part} for part in hash_split(names[::-1], (0.5, 0.5), 3)]
    assert forward == backward
    assert forward != [{names[i] for i in part} for part in hash_split(names, (0.5, 0.5), 4)]


def test_a_split_is_the_same_on_every_machine():
    parts = hash_split(["a", "b", "c", "d", "e", "f", "g", "h"], (0.7, 0.15, 0.15), 0)
    assert [part.tolist() for part in parts] == [[1, 2, 4, 5, 7], [0], [3, 6]]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("instances_train2017", "train"),
        ("instances_val2017", "val"),
        ("valid", "val"),
        ("validation", "val"),
        ("test-dev2017", "test"),
        ("TRAIN", "train"),
        ("trainval", "trainval"),
        ("my_training_set", "train"),
        ("annotations", None),
        ("trains", None),
        ("latest", None),
        ("", None),
    ],
)
def test_the_purpose_of_a_name(name, meant):
    assert parse_purpose(name) == meant


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_fault_9_the_same_bytes_in_two_splits_are_a_leak_under_any_name(tmp_path):
    long = bytes(range(256)) * 100
    train = [
        write(tmp_path / "train" / name, content) for name, content in (("a", long), ("b", b"1"), ("c", b"2"))
    ]
    val = [write(tmp_path / "val" / name, content) for name, content in (("x", long), ("b", b"3"))]
    (leak,) = find_leaks({"train": train, "val": val})
    assert (leak.kind, leak.values) == ("leakage", {"images": 1})
    assert str(leak) == "train and val share 1 image, so results on val are too optimistic: a = x"


def test_fault_9_files_that_differ_only_in_their_middle_are_not_a_leak(tmp_path):
    content = bytearray(20_000)
    train = [write(tmp_path / "a", bytes(content))]
    content[10_000] = 1
    val = [write(tmp_path / "b", bytes(content))]
    assert find_leaks({"train": train, "val": val}) == []


def test_fault_9_one_file_under_two_ids_is_reported(tmp_path):
    path, other = write(tmp_path / "a", b"1"), write(tmp_path / "b", b"2")
    (repeated,) = find_leaks({"train": [path, other, path]})
    assert repeated == Note(
        "repeated_images", "train: 1 image file has more than one id: a", "train", {"images": 1}
    )
    (leak,) = find_leaks({"train": [path], "test": [other, path]})
    assert "train and test share 1 image" in str(leak)


def test_fault_9_only_files_of_one_size_are_read(tmp_path, monkeypatch):
    train = [write(tmp_path / "a", b"1")]
    val = [write(tmp_path / "b", b"22")]
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("read a file that cannot have a copy"))
    assert find_leaks({"train": train, "val": val}) == []


def test_fault_9_a_rewritten_file_is_read_again(tmp_path):
    train, val = [write(tmp_path / "a", b"11")], [write(tmp_path / "b", b"11")]
    assert find_leaks({"train": train, "val": val})
    write(val[0], b"22")
    os.utime(val[0], ns=(1, 1))
    assert find_leaks({"train": train, "val": val}) == []
