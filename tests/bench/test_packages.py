"""Other files that take the place of our packages are named, with a remedy that works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def command(arguments: list[str], cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=cwd, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("name", ["detectors", "metrics", "reports"])
@pytest.mark.parametrize("package", [True, False], ids=["package", "module"])
def test_fault_61_a_file_of_the_working_directory_is_named_and_renaming_it_helps(tmp_path, name, package):
    file = tmp_path / name / "__init__.py" if package else tmp_path / f"{name}.py"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    done = command(["--version"], tmp_path, ROOT)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line == (
        f"error: {file}: takes the place of the package {name} of detbench; rename it, or run in another folder"
    )
    (tmp_path / name if package else file).rename(tmp_path / "renamed")
    assert command(["--version"], tmp_path, ROOT).returncode == 0


def installed(folder: Path) -> Path:
    """A stand-in for an installation: copies of the packages, and a record of their files."""
    import base64
    import hashlib

    site = folder / "site"
    record = []
    for name in ("bench", "detectors", "metrics", "reports"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
        content = (site / name / "__init__.py").read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
        record.append(f"{name}/__init__.py,sha256={digest},{len(content)}")
    write_distribution(site, "detbench", record)
    return site


def write_distribution(site: Path, name: str, record: list[str]) -> None:
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text("\n".join(record) + "\n")


def test_fault_61_a_distribution_that_replaced_our_files_is_named(tmp_path):
    site = installed(tmp_path)
    kept = (site / "reports" / "__init__.py").read_bytes()
    assert command(["--version"], tmp_path, site).returncode == 0
    (site / "reports" / "__init__.py").write_text("import a_module_that_is_not_installed")
    write_distribution(site, "plots", ["reports/__init__.py,,"])
    done = command(["list", "--json"], tmp_path, site)
    (line,) = done.stderr.splitlines()
    assert line == (
        f"error: {site}/reports/__init__.py: replaced by plots; pip uninstall plots, then install again with "
        "pip install --force-reinstall --no-deps detbench"
    )
    assert done.returncode == 3
    (site / "reports" / "__init__.py").write_bytes(kept)
    assert command(["--version"], tmp_path, site).returncode == 0
