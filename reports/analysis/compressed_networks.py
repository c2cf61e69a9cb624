"""Networks that were compressed, and what was made of them: groups of models, methods and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.analysis.compression_method import compression_method
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.records.run import RunFolder


@dataclass(frozen=True, slots=True)
class CompressedNetwork:
    """Models of one trained network.

    Attributes:
        original: number of the model that was trained; None if it is not in the comparison, or has runs of several seeds,
            whose mean is not that of the network that was compressed.
        made: number of each model that was made of it: a file, a network that was compressed and trained further, or a file of
            such a network.
    """

    original: int | None
    made: tuple[int, ...]


def compressed_networks(report: ReportData) -> list[CompressedNetwork]:
    """Networks of which the comparison has two models, itself counted."""
    parents = {
        run.result.name: run.result.parent
        for model in report.models
        for run in model.runs
        if run.result.parent
    }
    made: dict[str, list[int]] = {}
    for model in report.models:
        for run in model.runs:
            source = run.result.parent or (run.result.model_file and run.result.model_file.run)
            if source:
                made.setdefault(_first(source, parents), []).append(model.number)
    groups = []
    for name, members in made.items():
        owner = next((m for m in report.models if any(run.result.name == name for run in m.runs)), None)
        if owner is not None or len(members) > 1:
            alone = owner is not None and len(owner.runs) == 1
            groups.append(
                CompressedNetwork(
                    owner.number if owner is not None and alone else None, tuple(dict.fromkeys(members))
                )
            )
    return groups


def compression_steps(run: RunFolder, report: ReportData) -> str:
    """How a network was compressed, the first step first; empty if it was not."""
    file = run.result.model_file
    steps = [] if file is None or not file.compression else [formatting.printable(file.compression)]
    known = {other.result.name: other for model in report.models for other in model.runs}
    trained = run if file is None else known.get(file.run)
    while trained is not None and trained.result.parent:
        method = compression_method(trained.result.config)
        steps.insert(0, "trained further" if method is None else method.text)
        trained = known.get(trained.result.parent)
    return ", ".join(steps)


def network_size(run: RunFolder) -> int | None:
    """Bytes of the file that predicted, or of the weights."""
    if run.result.model_file is not None:
        return run.result.model_file.size_bytes
    weights = run.path / RunFolder.WEIGHTS
    return weights.stat().st_size if weights.is_file() else None


def _first(name: str, parents: Mapping[str, str]) -> str:
    """The run that a run was compressed from, directly or by others in between; itself if it was not compressed."""
    while name in parents:
        name = parents[name]
    return name
