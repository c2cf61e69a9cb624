"""Optuna user attributes of a trial: facts that Optuna has no field for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from optuna.trial import FrozenTrial

DEFAULT = "default"
"""True for the trial that is queued with the default settings."""

WORKER = "worker"
"""Id of the process that runs it."""

FOLDER = "folder"
"""Name of its folder; a retry uses the folder of the trial that it replaces."""

REASON = "reason"
"""Why it has no value, for people."""

MEASURED = "measured"
"""Measured value of each limited quantity, by the limit's name."""

RETRY_OF = "retry_of"
"""Number of the trial that it replaces, whose worker died or was stopped."""

SUPERSEDED = "superseded"
"""True if another trial replaces it. Missing on trials that Optuna failed for a missing heartbeat; see `superseded`."""

SURPLUS = "surplus"
"""True if it exceeds the requested number of trials."""


def superseded(trials: Sequence[FrozenTrial]) -> Collection[int]:
    """Numbers of the trials that another one replaces; `trials` are all of a study."""
    flagged = {trial.number for trial in trials if trial.user_attrs.get(SUPERSEDED)}
    return flagged | {trial.user_attrs[RETRY_OF] for trial in trials if RETRY_OF in trial.user_attrs}


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The requested trials, each once: neither superseded nor surplus ones."""
    replaced = superseded(trials)
    return [t for t in trials if t.number not in replaced and not t.user_attrs.get(SURPLUS)]
