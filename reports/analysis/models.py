"""Models: runs that differ only in their seed, and the name that each model has in tables and legends."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np

from metrics.errors import InputError
from reports.analysis.compression_method import compression_method
from reports.analysis.other_runs import OTHER_RUNS, PARENT, TEACHER, OtherRun
from reports.records.run import RunFolder, RunResult

MAY_DIFFER = frozenset({"seed", "device", "threads", "workers"})
"""Settings in which two runs of one model may differ."""


@dataclass(frozen=True, slots=True)
class Model:
    """Runs that differ only in their seed.

    Attributes:
        label: its name in tables and legends, unique in a report.
        number: its rank by AP, from 0; determines colour, marker and dash.
        runs: ordered by seed.
    """

    label: str
    number: int
    runs: tuple[RunFolder, ...]

    @property
    def results(self) -> tuple[RunResult, ...]:
        return tuple(run.result for run in self.runs)


def group_models(runs: Sequence[RunFolder], names: Mapping[str, str] | None = None) -> tuple[Model, ...]:
    """Group runs into models, the highest mean AP first, NaN last, ties by label.

    Runs that differ only in their seed are one model. If a seed occurs twice, the program itself must have changed:
    then the runs in one folder are one model, and the runs in another folder another.

    Args:
        runs: evaluated on the same truth.
        names: label of the model of each run, by the run's name; those of `model_labels` by default.

    Raises:
        InputError: there is no run, two have the same name, or they were not evaluated on the same truth.
    """
    check_comparable(runs)
    groups = [((names or {}).get(members[0].result.name, label), members) for label, members in _group(runs)]
    groups.sort(key=lambda group: (*_best_first(group[1]), group[0]))
    return tuple(Model(label, number, members) for number, (label, members) in enumerate(groups))


def model_labels(runs: Sequence[RunFolder]) -> dict[str, str]:
    """Return the label of each run's model by the run's name: the same on the page, in tables and on the terminal."""
    return {run.result.name: label for label, members in _group(runs) for run in members}


def check_comparable(runs: Sequence[RunFolder]) -> None:
    """Refuse runs that cannot be compared in one table.

    Raises:
        InputError: no run, a name that occurs twice, or different truth.
    """
    if not runs:
        raise InputError("no run to report on; give at least one folder of a finished run")
    seen: dict[str, RunFolder] = {}
    for run in runs:
        if run.result.name in seen:
            other = seen[run.result.name]
            raise InputError(
                f"{run.path} and {other.path}: two runs named {run.result.name!r}; leave one of them out"
            )
        seen[run.result.name] = run
    first = runs[0].result
    for run in runs[1:]:
        if run.result.data.fingerprint != first.data.fingerprint:
            raise InputError(
                f"{run.result.name} and {first.name}: evaluated on different truth ({_describe_truth(run.result)}, "
                f"{_describe_truth(first)}), so their numbers cannot be compared; evaluate both on the same split of the "
                "same data"
            )


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Flatten a tree of settings: ``{"nms": {"iou": 0.5}}`` becomes ``{"nms.iou": 0.5}``; lists stay whole."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            leaves.update(flat(value, path))
        else:
            leaves[path] = value
    return leaves


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the settings that differ between trees: by dotted path the value in each tree, None if absent."""
    leaves = [flat(config) for config in configs]
    paths = sorted({path for tree in leaves for path in tree})
    rows = {path: [tree.get(path) for tree in leaves] for path in paths}
    return {path: values for path, values in rows.items() if any(value != values[0] for value in values)}


def model_settings(result: RunResult) -> dict[str, Any]:
    """Return the settings that tell one model from another."""
    return {key: value for key, value in result.config.items() if key not in MAY_DIFFER}


def model_digest(result: RunResult) -> str:
    """Return 16 hex digits that runs of the same model share."""
    return hashlib.sha256(_identity(result).encode()).hexdigest()[:16]


def _group(runs: Sequence[RunFolder]) -> list[tuple[str, tuple[RunFolder, ...]]]:
    """The label and the runs of each model."""
    groups: dict[str, list[RunFolder]] = defaultdict(list)
    for run in runs:
        groups[_identity(run.result)].append(run)
    members = [
        tuple(sorted(version, key=_seed_first)) for group in groups.values() for version in _versions(group)
    ]
    return list(zip(_labels([group[0].result for group in members]), members, strict=True))


def _describe_truth(result: RunResult) -> str:
    return f"{result.data.name} {result.data.split} {result.data.fingerprint[:8]}"


def _identity(result: RunResult) -> str:
    """Everything that makes two runs different models, which the seed does not, nor that of a run that they were made of."""
    settings = model_settings(result)
    for other in OTHER_RUNS:
        if model := other.model(result):
            settings[other.section] = {**settings[other.section], other.setting: model}
    # Runs without settings and seed hold detections made elsewhere: each is a model.
    alone = result.name if not settings and result.seed is None else ""
    return json.dumps([result.variant, settings, alone], sort_keys=True, default=str)


def _versions(group: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Runs of equal settings: all together, or by their folder if a seed occurs twice."""
    if len({run.result.seed for run in group}) == len(group):
        return [list(group)]
    versions: dict[object, list[RunFolder]] = defaultdict(list)
    for run in group:
        versions[run.path.parent].append(run)
    return list(versions.values())


def _seed_first(run: RunFolder) -> tuple[float, str]:
    seed = run.result.seed
    return (-1.0 if seed is None else float(seed), run.result.name)


def _best_first(group: Sequence[RunFolder]) -> tuple[bool, float]:
    known = [value for run in group if (value := run.result.headline.get("ap")) is not None]
    mean = float(np.mean(known)) if known else math.nan
    return (math.isnan(mean), -mean if known else 0.0)


def _labels(results: Sequence[RunResult]) -> list[str]:
    """The variant's name; if it is not unique, with the settings that differ; else the run's name.

    A value that more than half of the models of a variant have is not named: of three, of which one has another threshold, that one
    is ``ssd (nms.iou=0.4)``. The values of two models are both named. A network that was made of another run is named by how it was
    compressed, ``ssd (pruned 50%)``, and one that imitated another run ``ssd (distilled)``. For a name that begins with a folder
    (``old/ssd-shapes-0-...``) the folder is enough.
    """
    labels = [result.variant for result in results]
    for variant in {label for label in labels if labels.count(label) > 1}:
        same = [at for at, result in enumerate(results) if result.variant == variant]
        differing = {
            path: values
            for path, values in differences([model_settings(results[at]) for at in same]).items()
            if path.partition(".")[0] != PARENT.section and path != TEACHER.path
        }
        methods = _methods([results[at] for at in same])
        for place, at in enumerate(same):
            own = [methods[place]] if methods[place] else []
            own += [
                f"{path}={_brief(values[place])}"
                for path, values in differing.items()
                if 2 * values.count(values[place]) <= len(same)
            ]
            name = results[at].name.rpartition("/")[0] or results[at].name
            if own or not (differing or any(methods)):
                labels[at] = f"{variant} ({', '.join(own[:3]) or name})"
    for at, result in enumerate(results):
        if labels.count(labels[at]) > 1:
            labels[at] = result.name
    return labels


def _methods(results: Sequence[RunResult]) -> list[str]:
    """How each network was compressed and whether it was distilled, each with the other run if there are several; all empty if all
    are the same.
    """
    methods = [compression_method(result.config) for result in results]
    parents, teachers = _names(results, PARENT), _names(results, TEACHER)
    words = []
    for method, parent, teacher in zip(methods, parents, teachers, strict=True):
        compressed = [] if method is None else [f"{method.short}{parent and f' of {parent}'}"]
        distilled = [] if teacher is None else [f"distilled{teacher and f' from {teacher}'}"]
        words.append(", ".join([*compressed, *distilled]))
    return words if len(set(words)) > 1 else [""] * len(words)


def _names(results: Sequence[RunResult], other: OtherRun) -> list[str | None]:
    """The name of the other run of each result, empty if all have runs of one model; None where there is none."""
    given = [other.given(result.config) for result in results]
    models = {other.model(result) or run for result, run in zip(results, given, strict=True) if run}
    return [
        None if not run else (other.name(result) or PurePath(str(run)).name) if len(models) > 1 else ""
        for result, run in zip(results, given, strict=True)
    ]


def _brief(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 24 else text[:23] + "…"
