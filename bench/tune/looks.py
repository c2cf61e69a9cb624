"""Looks of a study at the test split, recorded in its storage, so that all calls and machines count together."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bench.runs.folders import digest
from bench.tune.plan import Values
from bench.tune.study import Study
from reports.records.final_evaluation import Finalist, Look

_PREFIX = "look at the test split "


def record_look(studies: Iterable[Study], chosen: Finalist, seeds: int) -> None:
    """Record that the chosen and the default settings are about to be tested.

    A look is identified by what was tested after how many trials: the same command again, or another machine that
    finishes the same study, repeats it and adds none.

    Args:
        studies: of all stages. Each one stores the look, because another result of an early stage starts new studies.
        chosen: the chosen settings.
        seeds: number of fresh seeds per setting.
    """
    studies = list(studies)
    trials = sum(study.num_finished() for study in studies)
    values: Values = dict(chosen.values)
    key = _PREFIX + digest({"trials": trials, "values": values, "seeds": seeds})
    look = Look(trials=trials, chosen=chosen.trial, fresh_seeds=seeds, when=datetime.now(UTC))
    for study in studies:
        if key not in study.study.user_attrs:
            study.study.set_user_attr(key, look.model_dump(mode="json"))


def recorded_looks(studies: Iterable[Study]) -> tuple[Look, ...]:
    """Looks of any of these studies, in order of time."""
    stored = {
        key: value
        for study in studies
        for key, value in study.study.user_attrs.items()
        if key.startswith(_PREFIX)
    }
    looks = [Look.model_validate(value) for value in stored.values()]
    return tuple(sorted(looks, key=lambda look: (look.when, look.trials)))
