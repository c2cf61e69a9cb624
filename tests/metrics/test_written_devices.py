"""Writing to what is not a file: a device or pipe gets the content, and is not replaced by a file."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from metrics import atomic_files
from metrics.atomic_files import atomic_write, require_writable


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize("linked", [False, True])
def test_fault_124_a_pipe_gets_the_content_and_stays(tmp_path: Path, linked: bool) -> None:
    pipe, path = tmp_path / "pipe", tmp_path / "results.csv"
    os.mkfifo(pipe)
    if linked:
        path.symlink_to(pipe)
    else:
        path = pipe
    require_writable(path, "--csv", folder=False)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    atomic_write(path, "a,b\n1,2\n")
    reader.join(10)
    assert read == [b"a,b\n1,2\n"]
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert path.is_symlink() == linked
    assert len(list(tmp_path.iterdir())) == 1 + linked


@pytest.mark.skipif(not Path("/dev/null").is_char_device(), reason="needs /dev/null")
def test_fault_124_devices_and_links_of_the_system_are_no_files() -> None:
    assert atomic_files._is_no_file(
        Path("/dev/null")
    )  # not written to here: a mistake would replace it for everybody
    assert atomic_files._is_no_file(Path("/dev/../dev/null"))
    assert not atomic_files._is_no_file(Path("/dev"))
    assert not atomic_files._is_no_file(Path(__file__))
    assert not atomic_files._is_no_file(Path(__file__).with_name("absent"))
    require_writable(Path("/dev/null"), "--csv", folder=False)
