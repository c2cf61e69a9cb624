"""Imports point down: metrics <- detectors, reports <- bench; and no torch below metrics and reports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "metrics": {"metrics"},
    "detectors": {"detectors", "metrics"},
    "reports": {"reports", "metrics"},
    "bench": {"bench", "reports", "detectors", "metrics"},
}
"""Of the four packages those that each may know."""

OF_METRICS_FOR_DETECTORS = {"boxes", "errors", "iou", "registry", "tables"}
"""What a detector may know of measuring: boxes, tables and names, not evaluation."""

TORCH = {"torch", "torchvision", "accelerate", "safetensors"}


def imported(path: Path) -> list[str]:
    """Dotted names that a module imports, also within functions."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; write the whole name"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_down(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for name in imported(path):
            first = name.split(".")[0]
            assert first not in MAY_IMPORT or first in MAY_IMPORT[package], f"{path} imports {name}"


@pytest.mark.parametrize("package", ["metrics", "reports"])
def test_results_can_be_read_without_torch(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for name in imported(path):
            assert name.split(".")[0] not in TORCH, f"{path} imports {name}"


def test_detectors_know_boxes_and_not_evaluation() -> None:
    for path in (ROOT / "detectors").rglob("*.py"):
        for name in imported(path):
            if name.startswith("metrics."):
                assert name.split(".")[1] in OF_METRICS_FOR_DETECTORS, f"{path} imports {name}"


def test_no_module_is_called_by_a_word_that_says_nothing() -> None:
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            assert path.stem not in {"utils", "common", "helpers", "misc"}, path
