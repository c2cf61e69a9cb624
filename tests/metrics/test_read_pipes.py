"""Reading from a pipe in place of a file: it is read to its end, and one without a writer is not waited for."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from metrics.errors import InputError
from metrics.formats.untrusted import read_bytes

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_fault_125_a_pipe_without_writer_is_refused(pipe: Path) -> None:
    with pytest.raises(InputError, match=r"pipe: is a pipe that no process writes to; give a file"):
        read_bytes(pipe)


def test_fault_125_a_pipe_gives_at_most_the_limit(pipe: Path) -> None:
    keeper = os.open(pipe, os.O_RDWR)
    os.write(keeper, b"x" * 101)
    with pytest.raises(InputError, match=r"pipe: the pipe gives more than 100 bytes"):
        read_bytes(pipe, 100)
    os.close(keeper)


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_fault_125_a_pipe_is_read_to_its_end(pipe: Path, pause: float) -> None:
    """More than a pipe holds, and a writer that is slower than the reader."""
    content = bytes(range(1, 255)) * 1000
    opened, reading = threading.Event(), threading.Event()

    def write() -> None:
        with pipe.open("wb") as file:
            opened.set()
            reading.wait(pause)
            file.write(content)

    writer = threading.Thread(target=write, daemon=True)
    keeper = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer can open it first
    writer.start()
    assert opened.wait(10)
    assert read_bytes(pipe) == content
    os.close(keeper)
    writer.join(10)
