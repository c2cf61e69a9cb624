"""Kernels are compiled once per installation, stored in a writable folder, and loaded without Numba."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from metrics.kernels import compile_cache
from metrics.kernels.compile_cache import Kernel, kernel

ROOT = Path(__file__).resolve().parents[2]

CALL = """
import numpy as np, sys
from metrics.kernels.sorting import count_sort
keys = np.array([2, 0, 2, 1], np.int32)
order = np.empty(4, np.int32)
count_sort(keys, np.arange(4, dtype=np.int32), np.empty(4, np.int64), order)
print(order.tolist(), "numba" in sys.modules)
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process, from the root of the repository."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_first_use_reports_compilation_and_the_second_does_not_compile(tmp_path: Path) -> None:
    first, second = (run(CALL, NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))
    assert first.stdout == "[1, 3, 0, 2] True\n"
    assert first.stderr.count("\n") == 1
    assert "compiling" in first.stderr
    assert second.stdout == "[1, 3, 0, 2] False\n"
    assert second.stderr == ""
    files = [path.name for path in (tmp_path / "metrics").iterdir()]
    assert len(files) == 1
    assert files[0].startswith("count_sort-")


class Span(NamedTuple):
    """Arguments of a kernel: arrays of two types, a number and a NamedTuple of arrays."""

    first: NDArray[np.float64]
    second: NDArray[np.int64]
    scale: float
    pair: Pair


class Pair(NamedTuple):
    left: NDArray[np.float64]
    right: NDArray[np.float64]


def test_named_tuples_are_taken_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    @kernel
    def weighted(span: Span, offset: int) -> float:
        total = 0.0
        for index in range(span.first.size):
            total += span.first[index] * span.second[index] * span.scale
            span.pair.right[index] = span.pair.left[index] + offset
        return total

    pair = Pair(np.array([1.0, 2.0]), np.zeros(2))
    span = Span(np.array([1.0, 2.0]), np.array([3, 4]), 0.5, pair)
    assert weighted(span, 7) == 5.5
    assert pair.right.tolist() == [8, 9]
    assert Kernel(weighted.function)(span, 7) == 5.5, "loaded from its file"
    assert len(list((tmp_path / "metrics").iterdir())) == 1
    assert weighted.plain(span, 7) == weighted.function(span, 7) == 5.5


@pytest.mark.parametrize("broken", ["_target", "_read", "_numba_type", "_part_types"])
def test_where_the_loader_fails_numba_compiles_in_the_process(
    broken: str,
    double: Kernel[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> None:
        raise AttributeError("no such thing in this version")

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compile_cache, broken, fail)
    monkeypatch.setattr(compile_cache, "_reported", set())

    values = np.ones(3)
    assert double(values, 4, 0.5) == 3
    assert values.tolist() == [3, 3, 3]
    space: dict[str, object] = {"double": double}
    exec("def twice(values) -> int:\n    return double(values, 4, 0.5) + double(values, 4, 0.5)\n", space)
    assert kernel(space["twice"])(values) == 6  # type: ignore[arg-type]
    assert values.tolist() == [7, 7, 7]
    failures = [line for line in capsys.readouterr().err.splitlines() if "cannot be loaded" in line]
    assert len(failures) == 1
    assert "AttributeError: no such thing in this version" in failures[0]


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> Kernel[int]:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)

    @kernel
    def add(values: np.ndarray, times: int, half: float) -> int:
        for index in range(values.size):
            values[index] += times * half
        return int(values.size)

    return add


def test_code_is_stored_in_the_users_folder_if_the_package_is_read_only(
    double: Kernel[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "package"
    blocked.write_text("a file where a folder is wanted refuses every user, also root")
    monkeypatch.setattr(compile_cache, "__file__", str(blocked / "compiling.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    values = np.ones(3)
    assert double(values, 4, 0.5) == 3
    assert values.tolist() == [3, 3, 3]
    (file,) = (tmp_path / "home" / "detbench" / "kernels").iterdir()
    assert file.name.startswith("add-")


def test_kernels_run_without_any_writable_folder(
    double: Kernel[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "package"
    blocked.write_text("")
    monkeypatch.setattr(compile_cache, "__file__", str(blocked / "compiling.py"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert double(np.ones(3), 4, 0.5) == 3


def test_each_type_of_argument_has_its_own_code(
    double: Kernel[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for dtype in (np.float64, np.int32):
        values = np.ones(2, dtype)
        double(values, 4, 0.5)
        assert values.tolist() == [3, 3]
    assert len(list((tmp_path / "metrics").iterdir())) == 2


def test_a_truncated_or_changed_file_is_compiled_again(
    double: Kernel[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    double(np.ones(2), 4, 0.5)
    (file,) = (tmp_path / "metrics").iterdir()
    whole = file.read_bytes()
    for content in (whole[:-100], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        file.write_bytes(content)
        values = np.ones(2)
        Kernel(double.function)(values, 4, 0.5)
        assert values.tolist() == [3, 3]
        assert file.read_bytes() != content
        assert abs(file.stat().st_size - len(whole)) < 1000


def test_stored_code_is_used_only_while_the_source_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    results = []
    for step in (1, 2, 1):
        source = f"def inner(x: int) -> int:\n    return x + {step}\n\ndef outer(x: int) -> int:\n    return inner(x) * SCALE\n"
        space: dict[str, object] = {"SCALE": 10}
        exec(source, space)
        space["inner"] = kernel(space["inner"])  # type: ignore[arg-type]
        results.append(kernel(space["outer"])(1))  # type: ignore[arg-type]
    assert results == [20, 30, 20]
    assert len(list((tmp_path / "metrics").iterdir())) == 2


def test_a_kernel_that_allocates_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))

    @kernel
    def wasteful(count: int) -> int:
        return int(np.zeros(count).size)

    with pytest.raises(TypeError, match="kernel wasteful: cannot be compiled; does it allocate"):
        wasteful(3)


def test_kernels_run_as_python_for_a_debugger(double: Kernel[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert double(np.ones(3), 4, 0.5) == 3


def test_metrics_and_evaluation_do_without_torch_and_heavy_libraries() -> None:
    code = """
import sys
import metrics.cocoeval, metrics.formats.coco
from metrics.evaluator import evaluate
from metrics.tables import AnnotationTable, Catalog, DetectionTable
catalog = Catalog.of([1], ["a"])
truth = AnnotationTable.of(catalog, [0], [0], [[0, 0, 9, 9]])
found = DetectionTable(catalog, truth.image, truth.label, truth.xywh, truth.area)
print(round(evaluate(truth, found).value("ap"), 6))
heavy = ("torch", "torchvision", "pandas", "pyarrow", "scipy", "matplotlib", "numba")
print([name for name in heavy if name in sys.modules])
"""
    run(code)  # so that the kernels are there
    assert run(code).stdout == "1.0\n[]\n"
