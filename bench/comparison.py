"""Several runs on one page: which may be compared, where the page goes, and where its pictures come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.folders import digest
from bench.progress import Progress
from metrics.errors import InputError
from reports.html import write_report
from reports.results import RunFolder

Images = Callable[[Any], NDArray[np.uint8]]


def compare_runs(
    runs: Sequence[RunFolder],
    folder: Path,
    images: Images | None = None,
    progress: Progress | None = None,
    show_paths: bool = False,
) -> Path:
    """Write ``report.html``, ``leaderboard.csv`` and ``metrics.csv`` about all runs into `folder`.

    Returns:
        The path of the page.

    Raises:
        InputError: the runs were measured on different truth, or two have one name.
    """
    require_same_truth(runs)
    with (progress or Progress()).stage("comparison", 1) as stage:
        page = write_report(runs, folder, images, show_paths=show_paths)
        stage.advance()
    return page


def comparison_folder(runs: Sequence[RunFolder], out: Path) -> Path:
    """Where a comparison of these runs goes: the same runs in any order have the same folder."""
    return out / f"comparison-{digest(sorted(run.result.name for run in runs))}"


def require_same_truth(runs: Sequence[RunFolder]) -> None:
    """Refuse runs that were measured on different images or objects.

    Raises:
        InputError: the runs fall into groups by what they were measured on; each is named.
    """
    groups: dict[str, list[RunFolder]] = {}
    for run in runs:
        groups.setdefault(run.result.data.fingerprint, []).append(run)
    if len(groups) < 2:
        return
    told = []
    for fingerprint, members in groups.items():
        facts = members[0].result.data
        names = ", ".join(run.result.name for run in members)
        told.append(f"{facts.name} {facts.split} ({facts.images} images, {fingerprint[:10]}): {names}")
    raise InputError(
        f"these runs were measured on different truth and cannot be compared: {'; '.join(told)}; "
        "compare those of one group, or run the others again on the same --data"
    )


def images_of_runs(runs: Sequence[RunFolder]) -> Images | None:
    """Pictures from the data set that one of the runs was made on, where it can still be opened and is the same."""
    from bench import toml
    from bench.data.opening import open_dataset
    from bench.run import images_of

    for run in runs:
        try:
            data = toml.read(run.path / "config.toml")["data"]
            dataset = open_dataset(data.pop("path"), data.pop("format"), **data)
            split = dataset.splits[run.result.data.split]
            if split.truth.fingerprint == run.result.data.fingerprint:
                return images_of(split)
        except (InputError, KeyError, TypeError, OSError):
            continue
    return None
