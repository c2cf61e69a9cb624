"""Which models a gate on regressions compares."""

from __future__ import annotations

from collections.abc import Sequence

from metrics.errors import InputError
from reports.analysis.models import Model
from reports.elements import formatting


def gate_pairs(models: Sequence[Model], baseline: frozenset[str]) -> list[tuple[str, str]]:
    """Labels of the baseline and of the new model, for each new model.

    A new model is compared with the baseline model, or, of several, with that of the same variant.

    Args:
        models: of a report.
        baseline: names of the runs of the baseline models.

    Raises:
        InputError: there is no baseline or no new model, or it is ambiguous which baseline a new model has.
    """
    names = [{result.name for result in model.results} for model in models]
    old = [model for model, of in zip(models, names, strict=True) if of & baseline]
    new = [model for model, of in zip(models, names, strict=True) if not of & baseline]
    if len(old) > 1 and not new:
        raise InputError(
            f"--fail-on-regression: all models are in the first path, which is the baseline: {formatting.join_words([model.label for model in old])}; give "
            "the new ones in a separate path"
        )
    if not old or not new:
        raise InputError(
            "--fail-on-regression: expected a baseline model and a new model, but all runs are of one model; runs that differ only in their "
            "seed are one model, unless they are in different folders"
        )
    pairs = []
    for model in new:
        own = old if len(old) == 1 else [one for one in old if _variant(one) == _variant(model)]
        if len(own) != 1:
            labels = formatting.join_words([one.label for one in old])
            raise InputError(
                f"--fail-on-regression: cannot tell which of {labels} is the baseline of {model.label}; compare the two alone"
            )
        pairs.append((own[0].label, model.label))
    return pairs


def _variant(model: Model) -> str:
    return model.results[0].variant
