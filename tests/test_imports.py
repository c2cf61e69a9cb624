"""Imports point down, between packages and between the folders of reports; no two modules import each other."""

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
"""For each package the packages that it may import."""

METRICS_FOR_DETECTORS = {
    "boxes",
    "entry_points",
    "errors",
    "iou",
    "kernels",
    "messages",
    "pixel_labels",
    "plurals",
    "registry",
    "tables",
}
"""The modules of metrics that detectors may import: boxes, tables, labels and names, not evaluation."""

TORCH = {"torch", "torchvision", "accelerate", "safetensors"}


def imported(path: Path) -> list[str]:
    """Dotted names that a module imports, in functions and for type checking, too."""
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
def test_metrics_and_reports_do_not_import_torch(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for name in imported(path):
            assert name.split(".")[0] not in TORCH, f"{path} imports {name}"


def test_detectors_import_boxes_and_not_evaluation() -> None:
    for path in (ROOT / "detectors").rglob("*.py"):
        for name in imported(path):
            if name.startswith("metrics."):
                assert name.split(".")[1] in METRICS_FOR_DETECTORS, f"{path} imports {name}"


MAY_IMPORT_IN_REPORTS = {
    "elements": {"elements"},
    "records": {"records"},
    "analysis": {"analysis", "records", "elements"},
    "figures": {"figures", "analysis", "records", "elements"},
    "sections": {"sections", "figures", "analysis", "records", "elements"},
}
"""For each folder of reports the folders that its modules may import; the modules above the folders may import all."""


@pytest.mark.parametrize("folder", MAY_IMPORT_IN_REPORTS)
def test_imports_point_down_between_the_folders_of_reports(folder: str) -> None:
    for path in (ROOT / "reports" / folder).rglob("*.py"):
        for name in imported(path):
            if name.startswith("reports."):
                assert name.split(".")[1] in MAY_IMPORT_IN_REPORTS[folder], f"{path} imports {name}"


def import_graph() -> dict[str, set[str]]:
    """For each module of the four packages the modules that it imports, anywhere in the file."""
    paths = [path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}

    def module_of(name: str) -> str:
        return name if name in modules else name.rpartition(".")[0]

    return {
        name: {module_of(other) for other in imported(path)} & set(modules) - {name}
        for name, path in modules.items()
    }


def reachable(graph: dict[str, set[str]], start: str) -> set[str]:
    """The modules that importing `start` may import in turn."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph[waiting.pop()] - found:
            found.add(name)
            waiting.append(name)
    return found


def test_no_two_modules_import_each_other() -> None:
    graph = import_graph()
    rings = {name for name in graph if name in reachable(graph, name)}
    assert rings == set(), sorted(rings)


def test_no_module_has_an_unspecific_name() -> None:
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            assert path.stem not in {"utils", "common", "helpers", "misc"}, path
