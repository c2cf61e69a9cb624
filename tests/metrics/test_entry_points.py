"""Entry points: those of `importlib.metadata`, also where a distribution is installed or removed meanwhile."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path

import pytest

from metrics.entry_points import entry_points


def install(folder: Path, distribution: str, group: str) -> Path:
    """Write the metadata of a distribution with one entry point."""
    made = folder / f"{distribution}-1.0.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (made / "entry_points.txt").write_text(f"[{group}]\n{distribution} = {distribution}.module\n")
    return made


@pytest.mark.parametrize("group", ["detbench.tests", "console_scripts", "detbench.absent"])
def test_entry_points_are_found_as_distributions_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    def check(*names: str) -> None:
        found = entry_points(group)
        assert set(found) == set(importlib.metadata.entry_points(group=group))
        assert {entry.name for entry in found} & {"first", "second"} == set(names)

    check()
    monkeypatch.syspath_prepend(str(tmp_path))
    check()
    first = install(tmp_path, "first", "detbench.tests" if group == "detbench.absent" else group)
    known = () if group == "detbench.absent" else ("first",)
    check(*known)
    install(tmp_path, "second", "other.group")
    check(*known)
    shutil.rmtree(first)
    check()
