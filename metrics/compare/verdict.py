"""The verdict of a comparison as data, the sentences made from it, and the notes on its reliability."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from metrics.compare.percent import difference_interval, points, points_interval
from metrics.compare.rows import ClassValue, Limit, Method, PairDifference, Standing, Subject
from metrics.notes import Note
from metrics.plurals import agree, plural

MAX_NAMES = 5
"""Number of models or classes that a note lists by name."""

EQUAL = 1e-12
"""Values that differ by less are equal: the same number may differ by 1e-17 after two sums."""

FEW_RESAMPLES = 200
"""With fewer bootstrap replicates standard errors are uncertain by more than 5%."""

VerdictKind = Literal["undefined", "single_model", "too_few", "decisive", "not_decisive"]


@dataclass(frozen=True, slots=True, repr=False)
class Verdict:
    """Which model leads by the deciding measure, and how certain that is.

    Attributes:
        kind: ``undefined``: the measure has no value on these images; ``single_model``: there is no other model;
            ``too_few``: too few images, groups or objects for a decision; ``decisive``: the leader, or each of several equal
            leaders, beats at least one other model; ``not_decisive``: it beats none.
        best: the leader's standing.
        equal: models whose value equals the leader's.
        beaten: differences from the leader that are decisive; of several equal leaders each has a decisive lead over these
            models.
        tied: the other differences from the leader.
        resolution: largest minimum detectable difference of these pairs; NaN if unknown.
        limited_by: whether more images or more seeds would reduce it most.
        unit: resampling unit, ``image`` or ``group``.
        units: number of resampling units.
        compared: single runs or training recipes.
        runs: number of runs (training seeds) of each model, in the order of the standings.
    """

    kind: VerdictKind
    best: Standing
    equal: tuple[str, ...]
    beaten: tuple[PairDifference, ...]
    tied: tuple[PairDifference, ...]
    resolution: float
    limited_by: Limit
    unit: Literal["image", "group"]
    units: int
    compared: Subject
    runs: Mapping[str, int]

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
            compared: single runs or training recipes.
        """
        best = standings[0]
        rows = [row for row in differences if row.model_a == best.model]
        equal = tuple(row.model_b for row in rows if abs(row.delta) < EQUAL)
        leads = Counter(
            row.model_b for row in differences if row.decisive and row.model_a in (best.model, *equal)
        )
        beaten = tuple(row for row in rows if leads[row.model_b] == 1 + len(equal))
        known = [row for row in rows if not math.isnan(row.mdd)]
        coarsest = max(known, key=lambda row: row.mdd, default=None)
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
            equal=equal,
            beaten=beaten,
            tied=tuple(row for row in rows if row not in beaten and row.model_b not in equal),
            resolution=math.nan if coarsest is None else coarsest.mdd,
            limited_by="images" if coarsest is None else coarsest.limited_by,
            unit=method.unit,
            units=method.units,
            compared=compared,
            runs={row.model: len(row.seeds) for row in standings},
        )

    def __str__(self) -> str:
        return verdict_text(self)

    def __repr__(self) -> str:
        return f"Verdict({self.kind}; {self.best.model} leads by {self.best.measure})"


def verdict_text(
    verdict: Verdict, measure: str = "", where: str = "", name: Callable[[str], str] = str
) -> str:
    """Write a verdict as sentences; values are in percent, differences in percentage points.

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
        return f"{name(best.model)} has {measure} {value}. {_runs_text(verdict, name)}"
    several = bool(verdict.equal)
    leaders = _list([name(model) for model in (best.model, *verdict.equal)])
    superlative = "highest" if best.higher_is_better else "lowest"
    # An interval from too few images can be far too narrow: it is in the tables only.
    value = points(best.value) if verdict.kind == "too_few" else _with_interval(best)
    parts = [f"{leaders} {'have' if several else 'has'} the {superlative} {measure}, {value}."]
    units = plural(verdict.units, verdict.unit)
    if verdict.kind == "too_few":
        parts.append(f"There are too few images, groups or objects for a decision ({units}).")
    elif verdict.beaten:
        beaten = _list([_margin(row, name) for row in verdict.beaten])
        parts.append(f"{'They beat' if several else 'It beats'} {beaten}.")
    elif several and verdict.tied:
        parts.append("No model is decisively behind all of them.")
    else:
        parts.append("No difference is decisive." if several else "No difference from it is decisive.")
    if verdict.tied and verdict.kind != "too_few":
        tied = _list([_behind(row, name) for row in verdict.tied])
        verb, them = agree(len(verdict.tied), "is", "are"), "at least one of them" if several else "it"
        parts.append(f"{tied} {verb} tied with {them}.")
    if verdict.resolution > 0 and verdict.kind != "too_few":
        parts.append(
            f"With {units}, a true difference of {points(verdict.resolution)} percentage points is detected with a probability"
            " of about 80%, a smaller one less often."
        )
        if verdict.limited_by == "seeds":
            parts.append("More seeds, rather than more images, would detect smaller differences.")
    parts.append(_runs_text(verdict, name))
    return " ".join(parts)


def reliability_notes(
    seeds: dict[str, int],
    objects: int,
    method: Method,
    too_few: bool,
    class_values: Sequence[ClassValue],
    rare_share: float,
    counted: Literal["object", "image"] = "object",
) -> list[Note]:
    """List what limits the reliability of a comparison.

    Args:
        seeds: number of seeds of each model.
        objects: number of valid ground-truth objects.
        method: how the comparison was computed.
        too_few: whether there are too few images, groups or objects.
        class_values: by the deciding measure.
        rare_share: share of the deciding measure that rare classes carry; see `Standing.rare_share`.
        counted: what `objects` and those of the classes count: for label maps, images with the class.

    Returns:
        Notes of the kinds ``too_few``, ``rare_classes``, ``few_objects``, ``no_objects``, ``recipes``, ``single_runs`` and
        ``few_resamples``.
    """
    notes = []
    if too_few:
        units = plural(method.units, method.unit)
        if counted == "object" or method.unit == "group":
            units += f" with {plural(objects, counted)}"
        notes.append(
            Note(
                "too_few",
                f"{units} {agree(method.units, 'is', 'are')} too few to generalize to other images: treat intervals as"
                " a rough guide",
                values={"units": method.units, "objects": objects},
            )
        )
    counts = {row.class_name: row.objects for row in class_values}
    few = {name: count for name, count in counts.items() if 0 < count < 20}
    if rare_share > 0:
        classes = sum(count > 0 for count in counts.values())
        notes.append(
            Note(
                "rare_classes",
                f"classes with fewer than 20 {counted}s ({len(few)} of {classes}) carry {100 * rare_share:.0f}% of the mean over classes:"
                f" its interval assumes that {counted}s of these classes vary as much as those of the other classes",
                values={"rare": len(few), "classes": classes, "share": rare_share},
            )
        )
    if few:
        listed = _some([f"{name} ({count})" for name, count in few.items()])
        notes.append(
            Note(
                "few_objects",
                f"too few {counted}s (under 20) for a decision on these classes: {listed}",
                values=few,
            )
        )
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        notes.append(
            Note(
                "no_objects",
                f"classes without {'objects are left out' if counted == 'object' else 'pixels in the ground truth are not compared'}:"
                f" {_some(empty)}",
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
        if len(seeds) == 1:
            runs, consequence = "one run", "and another seed would give other numbers"
        elif len(single) == len(seeds):
            runs, consequence = "one run of each model", "and another seed could change the order"
        else:
            runs, consequence = f"one run of {_some(single)}", "and is assumed to be that of the other models"
        notes.append(
            Note(
                "single_runs",
                f"there is only {runs}: the variance between training seeds was not measured, {consequence}",
                values=seeds,
            )
        )
    if method.resamples < FEW_RESAMPLES:
        error = math.sqrt(0.5 / method.resamples)
        text = (
            f"standard errors from {plural(method.resamples, 'bootstrap replicate is', 'bootstrap replicates are')} themselves uncertain by {100 * error:.0f}%;"
            " use 1,000"
        )
        notes.append(Note("few_resamples", text, values={"resamples": method.resamples, "error": error}))
    return notes


def _runs_text(verdict: Verdict, name: Callable[[str], str]) -> str:
    """How many runs each model has, and so whether the variance between training seeds was measured."""
    single = [name(model) for model, count in verdict.runs.items() if count == 1]
    unmeasured = "the variance between training seeds was not measured"
    counts = sorted(set(verdict.runs.values()))
    if verdict.kind == "single_model":
        return (
            f"There is one run; {unmeasured}."
            if single
            else f"There are {counts[0]} runs with different seeds."
        )
    if counts == [1]:
        return f"There is one run per model; {unmeasured}."
    if single:
        return f"There is one run of {_some(single)}; {unmeasured} there."
    number = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"There are {number} runs per model with different seeds; intervals include their variance."


def _with_interval(row: Standing) -> str:
    return " ".join(filter(None, (points(row.value), points_interval(row.ci_low, row.ci_high))))


def _margin(row: PairDifference, name: Callable[[str], str]) -> str:
    low, high = sorted((abs(row.sim_low), abs(row.sim_high)))
    return (
        f"{name(row.model_b)} by {points(abs(row.delta))} {difference_interval(low, high)} ({_p_text(row)})"
    )


def _behind(row: PairDifference, name: Callable[[str], str]) -> str:
    sign = 1.0 if row.delta >= 0 else -1.0
    low, high = sorted((sign * row.sim_low, sign * row.sim_high))
    behind = f"{name(row.model_b)} ({points(abs(row.delta))} behind"
    return f"{behind})" if math.isnan(low) else f"{behind} {difference_interval(low, high)}, {_p_text(row)})"


def _p_text(row: PairDifference) -> str:
    word = "adjusted p" if row.p_adj > row.p_raw else "p"
    return f"{word} < .001" if row.p_adj < 0.001 else f"{word} = {row.p_adj:.3f}".replace("= 0.", "= .")


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _some(words: Sequence[str]) -> str:
    more = len(words) - MAX_NAMES
    return ", ".join(words[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
