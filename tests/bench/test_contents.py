"""Digests of image files: equal to a plain hash, whatever is stored, and different after any change."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image
from tiny_data import Picture, write_coco
from tiny_runs import tiny_sets

from bench.data import contents
from bench.data.contents import content_digests
from bench.runs.comparison import compare_runs, open_runs
from bench.runs.context import RunContext
from bench.runs.finished_run import evaluated_split
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings.resolution import open_run_data, resolve
from metrics.errors import InputError

OLD = 1_600_000_000


def write(path: Path, data: bytes, time: int = OLD) -> Path:
    path.write_bytes(data)
    os.utime(path, (time, time))
    return path


def plain(paths: list[Path]) -> list[bytes]:
    return [hashlib.blake2b(path.read_bytes(), digest_size=16).digest() for path in paths]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file whose content is read."""
    paths: list[Path] = []
    original = contents._digest
    monkeypatch.setattr(contents, "_digest", lambda path: paths.append(path) or original(path))
    return paths


def test_digests_are_those_of_the_contents_and_are_read_once(tmp_path, reads):
    paths = [write(tmp_path / f"{i}.jpg", bytes([i]) * i * 100_000) for i in range(5)]
    cache = tmp_path / "cache.sqlite"
    assert content_digests(paths, cache) == plain(paths)
    assert sorted(reads) == paths
    reads.clear()
    assert content_digests(list(reversed(paths)), cache) == plain(list(reversed(paths)))
    assert reads == []


@pytest.mark.parametrize("change", ["time", "inode", "recent"])
def test_a_file_of_equal_size_that_changed_is_read_again(tmp_path, reads, change):
    path = write(tmp_path / "a.jpg", b"one")
    if change == "recent":
        path.write_bytes(b"one")  # its time stamp may not change with the next write
    cache = tmp_path / "cache.sqlite"
    content_digests([path], cache)
    if change == "inode":  # replaced by a file with the same time
        os.replace(write(tmp_path / "b.jpg", b"two"), path)
    elif change == "time":
        write(path, b"two", OLD + 1)
    else:
        status = path.stat()
        path.write_bytes(b"two")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_digests([path], cache) == plain([path])
    assert len(reads) == 2


@pytest.mark.parametrize("cache", ["damaged", "folder", "below_a_file", "read_only"])
def test_an_unusable_cache_only_costs_time(tmp_path, cache):
    path = write(tmp_path / "a.jpg", b"one")
    place = {
        "damaged": write(tmp_path / "cache", b"no database" * 100),
        "folder": tmp_path,
        "below_a_file": path / "cache",
        "read_only": Path("/proc/cache.sqlite"),
    }[cache]
    assert content_digests([path], place) == plain([path])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.jpg: cannot be read \(No such file"):
        content_digests([tmp_path / "a.jpg"], tmp_path / "cache")


def test_fault_65_images_replaced_by_others_of_equal_size_make_other_runs(tmp_path):
    data = tmp_path / "data"
    write_coco(
        data / "annotations.json",
        [Picture(f"{i:02}.png", (32, 32), [(i % 2, (4, 4, 9 + i, 20))]) for i in range(22)],
    )
    sets = [value for value in tiny_sets(image__size="32,32", workers=0) if not value.startswith("data.")]
    config = resolve("ssd", sets=[*sets, f"data.path={data}"])
    quiet = RunContext(page=False)
    before = run(config, tmp_path / "runs", context=quiet)
    evaluated_split(before)
    for shade, path in enumerate(data.rglob("*.png")):
        size = path.stat().st_size
        Image.new("RGB", (32, 32), (200, shade, 0)).save(path)
        path.write_bytes(path.read_bytes().ljust(size, b"\0"))  # bytes after the end of a PNG are ignored
        assert path.stat().st_size == size
        os.utime(path, (OLD, OLD))
    assert run_name(config, open_run_data(config)) != before.result.name
    with pytest.raises(InputError, match="image files of its test split have changed since the run"):
        evaluated_split(before)
    after = run(config, tmp_path / "runs", context=quiet)
    opened = [one for of_path in open_runs([before.path, after.path]) for one in of_path]
    with pytest.raises(InputError, match="same ground truth but on different image files"):
        compare_runs(opened, tmp_path / "compared")
