"""Both commands with an output that lacks characters, is closed, or is full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs /dev/full and POSIX pipes")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments of `metrics` for one detection of a class whose name is not in ASCII.

    The command runs once, so that the kernels are compiled and no later one reports that.
    """
    folder = tmp_path_factory.mktemp("files")
    truth = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 64, "height": 64}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0}
        ],
        "categories": [{"id": 1, "name": "Möwe – 鴎"}],
    }
    (folder / "gt.json").write_text(json.dumps(truth, ensure_ascii=False), encoding="utf-8")
    found = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20], "score": 0.5}]
    (folder / "dets.json").write_text(json.dumps(found))
    words = ["metrics", str(folder / "gt.json"), str(folder / "dets.json")]
    subprocess.run([sys.executable, "-m", *words], env=environment_of({}), capture_output=True, check=True)
    return words


def environment_of(changes: dict[str, str]) -> dict[str, str]:
    base = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}  # tox sets it
    return {**base, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **changes}


def start(words: list[str], stdout: int, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", *words],
        env=environment_of(environment),
        stdout=stdout,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize(
    "environment", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252"}]
)
def test_fault_62_characters_that_the_output_lacks_are_replaced(scored, environment):
    for words in (["bench", "list"], scored):
        process = start(words, subprocess.PIPE, **environment)
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert out
        assert not err
    code = "from metrics.standard_streams import run_to_end; run_to_end(lambda: print('\\u9d0e', flush=True) or 0)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment_of(environment), stdout=subprocess.PIPE
    )
    assert (done.returncode, done.stdout) == (0, b"?\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_sign_that_the_output_lacks_stays_a_sign(encoding):
    code = "from metrics.standard_streams import run_to_end; run_to_end(lambda: print('[\u22126.8, \u22120.5]') or 0)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment_of({"PYTHONIOENCODING": encoding}),
        stdout=subprocess.PIPE,
    )
    assert done.stdout.decode(encoding).strip() == "[-6.8, -0.5]"


def test_fault_62_a_closed_pipe_ends_a_command_silently(scored):
    for words in (["bench", "list"], scored):
        read, write = os.pipe()
        os.close(read)
        process = start(words, write)
        os.close(write)
        _, err = process.communicate()
        assert (process.returncode, err) == (141, b"")


def test_fault_62_a_full_output_is_one_line(scored):
    for words in (["bench", "list"], scored):
        with open("/dev/full", "wb") as full:
            process = start(words, full.fileno())
        _, err = process.communicate()
        (line,) = err.decode().splitlines()
        assert line.startswith("error: standard output: No space left on device")
        assert process.returncode == 3
