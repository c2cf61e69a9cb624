"""What identifies a study: two commands with the same key share a study, others are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from optuna.study import Study

from bench.runs.folders import digest, slug
from metrics.errors import InputError
from reports.records.trial import Stage

Direction = Literal["maximize", "minimize"]

_KEY = "key"


@dataclass(frozen=True, slots=True)
class StudyKey:
    """Everything that a study's results depend on.

    Attributes:
        variant: the detector's name.
        data: name of the data set.
        stage: what is tuned.
        facts: plain values: search space, fingerprint of the data, settings, objectives.
    """

    variant: str
    data: str
    stage: Stage
    facts: Mapping[str, Any]

    @property
    def name(self) -> str:
        """``<variant>-<data>-<stage>-<digest of the facts>``."""
        return f"{slug(self.variant)}-{slug(self.data)}-{self.stage}-{digest(dict(self.facts))}"


def check_key(study: Study, name: str, key: StudyKey, directions: Sequence[Direction]) -> bool:
    """Compare the key of a study in storage with that of this command; a study without trials takes it.

    Args:
        study: created or loaded.
        name: its name, for errors.
        key: of this command.
        directions: ``maximize`` or ``minimize`` for each objective of this command.

    Returns:
        Whether the study is new.

    Raises:
        InputError: the keys differ, with the first difference; or the study was not made by this program.
    """
    started = study.get_trials(deepcopy=False)  # before the key, which is written before any trial
    stored = study.user_attrs.get(_KEY)
    ours = json.loads(json.dumps({"variant": key.variant, "stage": key.stage, **key.facts}))
    stored_directions = [direction.name.lower() for direction in study.directions]
    if stored is None and stored_directions != list(directions):
        raise InputError(
            f"study {name!r}: its objectives are to {' and '.join(stored_directions)}, but these are to "
            f"{' and '.join(directions)}; choose another name with --study"
        )
    if stored is None and started:
        raise InputError(
            f"study {name!r}: was not created by this version of bench tune; choose another name with --study"
        )
    if stored is None:
        study.set_user_attr(_KEY, ours)
        return True
    for fact in sorted({*stored, *ours}):
        theirs, mine = stored.get(fact), ours.get(fact)
        if theirs == mine:
            continue
        if isinstance(theirs, dict) and isinstance(mine, dict):
            part = min(part for part in {*theirs, *mine} if theirs.get(part) != mine.get(part))
            fact, theirs, mine = f"{fact}, {part}", theirs.get(part), mine.get(part)
        raise InputError(
            f"study {name!r}: was created with another {fact}: {_brief(theirs)} there, {_brief(mine)} here; "
            "choose another name with --study, or omit it"
        )
    return False


def _brief(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
