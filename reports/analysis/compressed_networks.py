"""Networks that were compressed, and what was made of them: groups of models, methods and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.analysis.compression_method import compression_method
from reports.analysis.models import model_digest
from reports.analysis.other_runs import TEACHER
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.records.run import RunFolder, RunResult


@dataclass(frozen=True, slots=True)
class CompressedNetwork:
    """Models of one trained network.

    Attributes:
        original: number of the model that was trained; None if it is not in the comparison, or with other seeds than those of
            which each of the others was made, so that means over seeds do not compare.
        made: number of each model that was made of it: a file, a network that was compressed and trained further, or a file of
            such a network.
    """

    original: int | None
    made: tuple[int, ...]


def compressed_networks(report: ReportData) -> list[CompressedNetwork]:
    """Networks of which the comparison has two models, itself counted."""
    results = [(model.number, run.result) for model in report.models for run in model.runs]
    owners = {result.name: number for number, result in results}
    models = {model_digest(result): number for number, result in results}
    parents = {result.name: result for _, result in results if result.parent}
    made: dict[int | str, dict[int, set[str]]] = {}
    for number, result in results:
        if result.parent or (result.model_file and result.model_file.run):
            first, digest = _first(result, parents)
            network = owners.get(first, models.get(digest, digest or first))
            made.setdefault(network, {}).setdefault(number, set()).add(first)
    groups = []
    for network, members in made.items():
        original = network if isinstance(network, int) else None
        if original is not None or len(members) > 1:
            seeds = {name for name, owner in owners.items() if owner == original}
            whole = all(firsts == seeds for firsts in members.values())
            groups.append(CompressedNetwork(original if whole else None, tuple(members)))
    return groups


def compression_steps(run: RunFolder, report: ReportData) -> str:
    """How a network was compressed, the first step first; empty if it was not."""
    file = run.result.model_file
    steps = [] if file is None or not file.compression else [formatting.printable(file.compression)]
    known = {other.result.name: other for model in report.models for other in model.runs}
    trained = run if file is None else known.get(file.run)
    while trained is not None and trained.result.parent:
        method, teacher = compression_method(trained.result.config), TEACHER.given(trained.result.config)
        steps.insert(
            0, ("trained further" if method is None else method.text) + (" and distilled" if teacher else "")
        )
        trained = known.get(trained.result.parent)
    return ", ".join(steps)


def network_size(run: RunFolder) -> int | None:
    """Bytes of the file that predicted, or of the weights."""
    if run.result.model_file is not None:
        return run.result.model_file.size_bytes
    weights = run.path / RunFolder.WEIGHTS
    return weights.stat().st_size if weights.is_file() else None


def _first(result: RunResult, parents: Mapping[str, RunResult]) -> tuple[str, str]:
    """Name and digest of the model of the run that a run or file was made of, directly or by others in between."""
    name, digest = result.parent, result.parent_model
    if name is None:
        assert result.model_file is not None
        name, digest = result.model_file.run, ""
    while name in parents:
        above = parents[name]
        assert above.parent is not None
        name, digest = above.parent, above.parent_model
    return name, digest
