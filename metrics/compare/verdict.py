"""The verdict of a comparison as data, the sentences made from it, and the notes on its reliability."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from metrics.compare.rows import ClassValue, Method, PairDifference, Standing, Subject
from metrics.notes import Note

MAX_NAMES = 5
"""Number of models or classes that a note lists by name."""

VerdictKind = Literal["undefined", "single_model", "too_few", "decisive", "not_decisive"]


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """Which model leads by the deciding measure, and how certain that is.

    Attributes:
        kind: ``undefined``: the measure has no value on these images; ``single_model``: there is no other model;
            ``too_few``: too few images, groups or objects for a decision; ``decisive``: the leader beats at least one
            other model; ``not_decisive``: it beats none.
        best: the leader's standing.
        equal: models whose value equals the leader's.
        beaten: differences from the leader that are decisive.
        tied: the other differences from the leader.
        resolution: largest minimum detectable difference of these pairs; NaN if unknown.
        unit: resampling unit, ``image`` or ``group``.
        units: number of resampling units.
        compared: checkpoints or training recipes.
        seeds: numbers of seeds per model that occur, in ascending order.
    """

    kind: VerdictKind
    best: Standing
    equal: tuple[str, ...]
    beaten: tuple[PairDifference, ...]
    tied: tuple[PairDifference, ...]
    resolution: float
    unit: Literal["image", "group"]
    units: int
    compared: Subject
    seeds: tuple[int, ...]

    @classmethod
    def of(
        cls,
        standings: Sequence[Standing],
        differences: Sequence[PairDifference],
        method: Method,
        too_few: bool,
        compared: Subject,
    ) -> Verdict:
        """Derive the verdict from the rows.

        Args:
            standings: by the deciding measure, best first.
            differences: of all pairs by that measure.
            method: how they were computed.
            too_few: whether there are too few images or groups for a decision.
            compared: checkpoints or training recipes.
        """
        best = standings[0]
        rows = [row for row in differences if row.model_a == best.model]
        beaten = tuple(row for row in rows if row.decisive)
        kind: VerdictKind = "decisive" if beaten else "not_decisive"
        if math.isnan(best.value):
            kind = "undefined"
        elif len(standings) == 1:
            kind = "single_model"
        elif too_few:
            kind = "too_few"
        return cls(
            kind=kind,
            best=best,
            equal=tuple(row.model_b for row in rows if row.delta == 0),
            beaten=beaten,
            tied=tuple(row for row in rows if not row.decisive and row.delta != 0),
            resolution=max((row.mdd for row in rows if row.mdd == row.mdd), default=math.nan),
            unit=method.unit,
            units=method.units,
            compared=compared,
            seeds=tuple(sorted({len(row.seeds) for row in standings})),
        )

    def __str__(self) -> str:
        return verdict_text(self)

    def __repr__(self) -> str:
        return f"Verdict({self.kind}; {self.best.model} leads by {self.best.measure})"


def verdict_text(
    verdict: Verdict, measure: str = "", where: str = "", name: Callable[[str], str] = str
) -> str:
    """Write a verdict as sentences.

    Args:
        verdict: the verdict.
        measure: heading to use instead of the measure's short name: ``AP``.
        where: the data, for a single model: ``on 67 images with 143 objects``.
        name: converts the name of a model into the text to show.
    """
    best, measure = verdict.best, measure or verdict.best.measure
    if verdict.kind == "undefined":
        return f"{measure} is not defined on these images: there are no valid ground-truth objects."
    if verdict.kind == "single_model":
        value = " ".join(filter(None, (_with_interval(best), where)))
        return f"{name(best.model)} has {measure} {value}. {_seeds_text(verdict)}"
    several = bool(verdict.equal)
    leaders = _list([name(model) for model in (best.model, *verdict.equal)])
    superlative = "highest" if best.higher_is_better else "lowest"
    parts = [f"{leaders} {'have' if several else 'has'} the {superlative} {measure}, {_with_interval(best)}."]
    units = _counted(verdict.units, verdict.unit)
    if verdict.kind == "too_few":
        parts.append(f"There are too few images, groups or objects for a decision ({units}).")
    elif verdict.beaten:
        beaten = _list([_margin(row, name) for row in verdict.beaten])
        parts.append(f"{'They beat' if several else 'It beats'} {beaten}.")
    else:
        parts.append("No difference is decisive." if several else "No difference from it is decisive.")
    if verdict.tied and verdict.kind != "too_few":
        tied = _list([_behind(row, name) for row in verdict.tied])
        parts.append(f"{tied} {'is' if len(verdict.tied) == 1 else 'are'} tied with it.")
    if verdict.resolution > 0:
        parts.append(
            f"This test set ({units}) can resolve differences of {_points(verdict.resolution)} or more."
        )
    parts.append(_seeds_text(verdict))
    return " ".join(parts)


def reliability_notes(
    seeds: dict[str, int],
    objects: int,
    method: Method,
    too_few: bool,
    class_values: Sequence[ClassValue],
) -> list[Note]:
    """List what limits the reliability of a comparison.

    Args:
        seeds: number of seeds of each model.
        objects: number of valid ground-truth objects.
        method: how the comparison was computed.
        too_few: whether there are too few images, groups or objects.
        class_values: by the deciding measure.

    Returns:
        Notes of the kinds ``too_few``, ``few_objects``, ``no_objects``, ``recipes``, ``checkpoints``, ``few_resamples`` and
        ``coarse_p_values``.
    """
    notes = []
    if too_few:
        units = _counted(method.units, method.unit)
        notes.append(
            Note(
                "too_few",
                f"{units} with {_counted(objects, 'object')} {'is' if method.units == 1 else 'are'} too few to generalize to other images: treat intervals as"
                " a rough guide",
                values={"units": method.units, "objects": objects},
            )
        )
    counts = {row.class_name: row.objects for row in class_values}
    few = {name: count for name, count in counts.items() if 0 < count < 20}
    if few:
        listed = _some([f"{name} ({count})" for name, count in few.items()])
        notes.append(
            Note(
                "few_objects",
                f"too few objects (under 20) for a decision on these classes: {listed}",
                values=few,
            )
        )
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        notes.append(
            Note(
                "no_objects",
                f"classes without objects are left out: {_some(empty)}",
                values=dict.fromkeys(empty, 0),
            )
        )
    single = [model for model, count in seeds.items() if count == 1]
    if not single:
        listed = _list([f"{model} {count}" for model, count in seeds.items()])
        notes.append(
            Note(
                "recipes",
                f"training recipes were compared (number of seeds: {listed}): intervals cover images and seeds",
                values=seeds,
            )
        )
    else:
        notes.append(
            Note(
                "checkpoints",
                f"checkpoints were compared, not training recipes: seed variance was not measured for {_some(single)};"
                " another seed could change the order",
                values=seeds,
            )
        )
    pairs = len(seeds) * (len(seeds) - 1) // 2
    needed = math.ceil(pairs / (1 - method.confidence))
    values = {"pairs": pairs, "resamples": method.resamples, "needed": needed}
    if method.resamples < needed:
        text = f"{pairs} pairs need at least {needed:,} resamples before a difference can be decisive"
        notes.append(Note("few_resamples", text, values=values))
    elif pairs > 10 and method.resamples < 2000:
        text = f"p-values of {pairs} pairs are coarse with {method.resamples:,} resamples; use 2,000 or more"
        notes.append(Note("coarse_p_values", text, values=values))
    return notes


def _seeds_text(verdict: Verdict) -> str:
    counts = verdict.seeds
    unmeasured = "; seed variance was not measured" if counts[0] == 1 else ""
    if verdict.kind == "single_model":
        seeds = "one seed" if counts == (1,) else f"{counts[0]} seeds"
        return f"One {verdict.compared.removesuffix('s')} was measured ({seeds}){unmeasured}."
    seeds = "one seed" if counts == (1,) else f"{_list([str(count) for count in counts])} seeds"
    return f"{verdict.compared.capitalize()} were compared ({seeds} per model){unmeasured}."


def _with_interval(row: Standing) -> str:
    if math.isnan(row.ci_low):
        return _points(row.value)
    return f"{_points(row.value)} [{_points(row.ci_low)}, {_points(row.ci_high)}]"


def _margin(row: PairDifference, name: Callable[[str], str]) -> str:
    low, high = sorted((abs(row.sim_low), abs(row.sim_high)))
    return f"{name(row.model_b)} by {_points(abs(row.delta))} [{_points(low)}, {_points(high)}] ({_p_text(row.p_adj)})"


def _behind(row: PairDifference, name: Callable[[str], str]) -> str:
    sign = 1.0 if row.delta >= 0 else -1.0
    low, high = sorted((sign * row.sim_low, sign * row.sim_high))
    behind = f"{name(row.model_b)} ({_points(abs(row.delta))} behind"
    return (
        f"{behind})"
        if math.isnan(low)
        else f"{behind} [{_points(low)}, {_points(high)}], {_p_text(row.p_adj)})"
    )


def _p_text(p: float) -> str:
    return "Holm p < .001" if p < 0.001 else f"Holm p = {p:.3f}".replace("0.", ".")


def _points(value: float) -> str:
    """A fraction in points of 100 with one decimal and a typographic minus; never minus zero."""
    text = f"{100 * value:.1f}"
    return ("0.0" if text == "-0.0" else text).replace("-", "−")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + "s" * (count != 1)


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _some(words: Sequence[str]) -> str:
    more = len(words) - MAX_NAMES
    return ", ".join(words[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
