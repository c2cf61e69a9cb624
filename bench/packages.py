"""Check that the four packages are this program's: their names are common, and other files may take their place."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

NAMES = ("detectors", "metrics", "reports")


def shadowed(names: tuple[str, ...] = NAMES, root: Path = Path(__file__).parents[1]) -> list[str]:
    """An error for each package that Python finds elsewhere than next to `bench`.

    Args:
        names: of packages.
        root: folder that contains them.
    """
    errors = []
    for name in names:
        spec = find_spec(name)
        origin = Path(spec.origin) if spec is not None and spec.origin else None
        if origin is None:
            errors.append(f"{root / name}: the package {name} of detbench is missing; {_REINSTALL}")
        elif origin.resolve() != (root / name / "__init__.py").resolve():
            errors.append(
                f"{origin}: takes the place of the package {name} of detbench; rename it, or run in another folder"
            )
    return errors


def overwritten(names: tuple[str, ...] = NAMES) -> list[str]:
    """An error for each package whose installed files another distribution has replaced."""
    try:
        files = distribution("detbench").files or ()
    except PackageNotFoundError:
        return []
    errors = []
    for file in files:
        if len(file.parts) == 2 and file.parts[0] in names and file.name == "__init__.py" and file.hash:
            content = Path(str(file.locate())).read_bytes()
            stored = base64.urlsafe_b64encode(hashlib.new(file.hash.mode, content).digest())
            if stored.decode().rstrip("=") != file.hash.value:
                others = [name for name in packages_distributions()[file.parts[0]] if name != "detbench"]
                by = " ".join(dict.fromkeys(others))
                uninstall = f"pip uninstall {by}, then " if by else ""
                errors.append(
                    f"{file.locate()}: replaced by {by or 'another package'}; {uninstall}{_REINSTALL}"
                )
    return errors


_REINSTALL = "install again with pip install --force-reinstall --no-deps detbench"
