"""Which runs are the same model under other seeds, and what each model is called in tables and legends."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.errors import InputError
from reports.records.run import RunFolder, RunResult

NO_PART_OF_A_MODEL = frozenset({"seed", "device", "threads", "workers"})
"""Settings in which two runs of one model may differ."""


@dataclass(frozen=True, slots=True)
class Model:
    """Runs that differ in nothing but their seed.

    Attributes:
        label: what tables and legends call it; no two models of a report share it.
        number: its place when models are ordered by AP, from 0; its colour, marker and dash follow from it.
        runs: by seed.
    """

    label: str
    number: int
    runs: tuple[RunFolder, ...]

    @property
    def results(self) -> tuple[RunResult, ...]:
        return tuple(run.result for run in self.runs)


def group_models(runs: Sequence[RunFolder]) -> tuple[Model, ...]:
    """The models among `runs`, the one of highest mean AP first, NaN last, ties by label.

    Runs that differ in nothing but their seed are one model. Where a seed comes twice the program itself was another, so
    those in one folder are one model, and those in another folder another.

    Raises:
        InputError: there is no run, two have the same name, or they were not evaluated on the same truth.
    """
    check_comparable(runs)
    groups: dict[str, list[RunFolder]] = defaultdict(list)
    for run in runs:
        groups[_cause(run.result)].append(run)
    members = [tuple(sorted(part, key=_by_seed)) for group in groups.values() for part in _versions(group)]
    labels = _labels([group[0].result for group in members])
    order = sorted(range(len(members)), key=lambda at: (*_best_first(members[at]), labels[at]))
    return tuple(Model(labels[at], number, members[at]) for number, at in enumerate(order))


def check_comparable(runs: Sequence[RunFolder]) -> None:
    """Refuse runs that cannot stand in one table.

    Raises:
        InputError: no run at all, a name that occurs twice, or truths that differ; the runs are named.
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
                f"{run.result.name} and {first.name}: evaluated on different truth ({_where(run.result)}, "
                f"{_where(first)}), so their numbers cannot be compared; evaluate both on the same split of the "
                "same data"
            )


def flat(settings: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """A tree of settings by dotted path: ``{"nms": {"iou": 0.5}}`` to ``{"nms.iou": 0.5}``; lists stay whole."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        path = f"{above}.{key}" if above else str(key)
        if isinstance(value, Mapping) and value:
            leaves.update(flat(value, path))
        else:
            leaves[path] = value
    return leaves


def differences(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Dotted paths of the settings in which the trees differ, each with every tree's value (None where absent)."""
    leaves = [flat(config) for config in configs]
    paths = sorted({path for tree in leaves for path in tree})
    rows = {path: [tree.get(path) for tree in leaves] for path in paths}
    return {path: values for path, values in rows.items() if any(value != values[0] for value in values)}


def settings_of(result: RunResult) -> dict[str, Any]:
    """The settings that make a run's model what it is."""
    return {key: value for key, value in result.config.items() if key not in NO_PART_OF_A_MODEL}


def _where(result: RunResult) -> str:
    return f"{result.data.name} {result.data.split} {result.data.fingerprint[:8]}"


def _cause(result: RunResult) -> str:
    """All that makes two runs different models; the seed does not."""
    settings = settings_of(result)
    # Without settings or a seed there is no telling that two runs are one model twice: detections made elsewhere.
    alone = result.name if not settings and result.seed is None else ""
    return json.dumps([result.variant, settings, alone], sort_keys=True, default=str)


def _versions(group: Sequence[RunFolder]) -> list[list[RunFolder]]:
    """Runs of equal settings by the folder they lie in, where a seed comes twice; else all together."""
    if len({run.result.seed for run in group}) == len(group):
        return [list(group)]
    versions: dict[object, list[RunFolder]] = defaultdict(list)
    for run in group:
        versions[run.path.parent].append(run)
    return list(versions.values())


def _by_seed(run: RunFolder) -> tuple[float, str]:
    seed = run.result.seed
    return (-1.0 if seed is None else float(seed), run.result.name)


def _best_first(group: Sequence[RunFolder]) -> tuple[bool, float]:
    values = [run.result.headline.get("ap") for run in group]
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else math.nan
    return (math.isnan(mean), -mean if known else 0.0)


def _labels(results: Sequence[RunResult]) -> list[str]:
    """The variant's name; where it occurs twice, also the settings that tell the two apart; at last the run's name.

    Of a name that begins with a folder (``old/ssd-shapes-0-...``) the folder is enough.
    """
    labels = [result.variant for result in results]
    for variant in {label for label in labels if labels.count(label) > 1}:
        same = [at for at, result in enumerate(results) if result.variant == variant]
        configs = [settings_of(results[at]) for at in same]
        told = differences(configs)
        paths = list(told)[:3]
        for place, at in enumerate(same):
            said = ", ".join(f"{path}={_brief(told[path][place])}" for path in paths)
            labels[at] = (
                f"{variant} ({said})"
                if said
                else f"{variant} ({results[at].name.rpartition('/')[0] or results[at].name})"
            )
    for at, result in enumerate(results):
        if labels.count(labels[at]) > 1:
            labels[at] = result.name
    return labels


def _brief(value: Any) -> str:
    text = (
        "none"
        if value is None
        else value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
    )
    return text if len(text) <= 24 else text[:23] + "…"
