"""A comparison in words. Every word follows from a row; where nothing is decisive, that is said."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metrics.compare.comparison import ClassValue, Method, PairDifference, Standing
from metrics.compare.paired_runs import PairedRuns

SHOWN = 5
"""So many models or classes are named; the rest are counted."""


def say_verdict(
    standings: Sequence[Standing],
    differences: Sequence[PairDifference],
    method: Method,
    too_few: bool,
    compared: str,
) -> str:
    """The sentences at the head of a report.

    Args:
        standings: by the deciding measure, best first.
        differences: of all pairs by it.
        method: what they rest on.
        too_few: whether there are too few images or groups to say anything.
        compared: checkpoints or training recipes.
    """
    best, *others = standings
    name = best.measure
    if math.isnan(best.value):
        return f"{name} is not defined on these images: nothing is asked for."
    if not others:
        return f"{best.model} has {name} {_with_interval(best)}. {_compared(standings, compared)}"
    rows = [row for row in differences if row.model_a == best.model]
    equal = [row for row in rows if row.delta == 0]
    beaten = [row for row in rows if row.decisive]
    tied = [row for row in rows if not row.decisive and row.delta != 0]
    leaders = _list([best.model, *(row.model_b for row in equal)])
    superlative = "highest" if best.higher_is_better else "lowest"
    said = [f"{leaders} {'have' if equal else 'has'} the {superlative} {name}, {_with_interval(best)}."]
    units = _counted(method.units, method.unit)
    if too_few:
        said.append(f"With {units} nothing can be decided.")
    elif beaten:
        said.append(f"{'They beat' if equal else 'It beats'} {_list([_margin(row) for row in beaten])}.")
    else:
        said.append("No difference is decisive." if equal else "No difference from it is decisive.")
    if tied and not too_few:
        said.append(
            f"{_list([_behind(row) for row in tied])} {'is' if len(tied) == 1 else 'are'} tied with it."
        )
    least = max((row.mdd for row in rows if row.mdd == row.mdd), default=math.nan)
    if least > 0:
        said.append(f"This test set ({units}) can resolve differences of {_points(least)} or more.")
    said.append(_compared(standings, compared))
    return " ".join(said)


def say_notes(
    paired: PairedRuns,
    method: Method,
    too_few: bool,
    compared: str,
    class_values: Sequence[ClassValue],
) -> list[str]:
    """What a reader must know beside the numbers.

    Args:
        paired: the runs.
        method: what the comparison rests on.
        too_few: whether there are too few images or groups.
        compared: checkpoints or training recipes.
        class_values: of the deciding measure.
    """
    notes = []
    if too_few:
        objects = int(paired.first.positives[0].sum())
        notes.append(
            f"{_counted(method.units, method.unit)} with {_counted(objects, 'object')} are too few to say anything of"
            " others: intervals are a hint at most"
        )
    counts = {row.class_name: row.objects for row in class_values}
    few = [f"{name} ({count})" for name, count in counts.items() if 0 < count < 20]
    if few:
        notes.append(f"too few objects (under 20) to say anything of a class: {_some(few)}")
    none = [name for name, count in counts.items() if count == 0]
    if none:
        notes.append(f"classes without an object take no part: {_some(none)}")
    seeds = {model: len(of) for model, of in paired.matches.items()}
    single = [model for model, count in seeds.items() if count == 1]
    if compared == "training recipes":
        told = _list([f"{model} {count}" for model, count in seeds.items()])
        notes.append(f"training recipes were compared (seeds: {told}): intervals are over images and seeds")
    else:
        notes.append(
            f"checkpoints were compared, not training recipes: seed variance was not measured for {_some(single)};"
            " another seed could change the order"
        )
    pairs = len(seeds) * (len(seeds) - 1) // 2
    needed = math.ceil(pairs / (1 - method.confidence))
    if method.resamples < needed:
        notes.append(f"{pairs} pairs need at least {needed:,} resamples before any can be called decisive")
    elif pairs > 10 and method.resamples < 2000:
        notes.append(
            f"p-values of {pairs} pairs are coarse with {method.resamples:,} resamples; use 2,000 or more"
        )
    return notes


def _compared(standings: Sequence[Standing], compared: str) -> str:
    counts = sorted({len(row.seeds) for row in standings})
    seeds = f"{_list([str(count) for count in counts])} seed{'s' * (counts[-1] > 1)} each"
    unsaid = "; seed variance was not measured" if counts[0] == 1 else ""
    return f"{'Compared were' if len(standings) > 1 else 'Measured were'} {compared} ({seeds}){unsaid}."


def _with_interval(row: Standing) -> str:
    if math.isnan(row.ci_low):
        return _points(row.value)
    return f"{_points(row.value)} [{_points(row.ci_low)}, {_points(row.ci_high)}]"


def _margin(row: PairDifference) -> str:
    sizes = sorted((abs(row.sim_low), abs(row.sim_high)))
    return f"{row.model_b} by {_points(abs(row.delta))} [{_points(sizes[0])}, {_points(sizes[1])}] ({_chance(row.p_adj)})"


def _behind(row: PairDifference) -> str:
    sign = 1.0 if row.delta >= 0 else -1.0
    low, high = sorted((sign * row.sim_low, sign * row.sim_high))
    if math.isnan(low):
        return f"{row.model_b} ({_points(abs(row.delta))} behind)"
    return f"{row.model_b} ({_points(abs(row.delta))} behind [{_points(low)}, {_points(high)}], {_chance(row.p_adj)})"


def _chance(p: float) -> str:
    return "Holm p < .001" if p < 0.001 else f"Holm p = {p:.3f}".replace("0.", ".")


def _points(value: float) -> str:
    """A fraction in points of a hundred, with one decimal; a minus where there is one."""
    text = f"{100 * value:.1f}"
    return ("0.0" if text == "-0.0" else text).replace("-", "−")


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + "s" * (count != 1)


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _some(words: Sequence[str]) -> str:
    more = len(words) - SHOWN
    return ", ".join(words[:SHOWN]) + (f" and {more} more" if more > 0 else "")
