"""Sentences on a decision, made from its record."""

from __future__ import annotations

import math
from collections.abc import Sequence

from metrics.compare.percent import difference_interval, points, points_interval
from metrics.plurals import agree
from reports.analysis.decisions import Fate, Surer, fates, surer
from reports.elements.formatting import join_words, p_value, plural, printable
from reports.records.decision import Decision, Look, PairRecord, Standing

_MEASURES = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}


def decision_sentences(decision: Decision) -> list[str]:
    """Which model to use, how certain that is, and what would make it more certain."""
    return [*finding(decision), *more_certain(decision)]


def before_verdict(decision: Decision) -> str:
    """What a comparison of the models on the test images is beside the decision."""
    used = printable(decision.used)
    return (
        f"This section compares the models on the test images alone. {used} was chosen by the validation images, so it need not "
        "be the first here; the test images decide only if a difference on them is significant (see Decision)."
    )


def measure_name(decision: Decision) -> str:
    """The deciding measure as prose writes it."""
    return _MEASURES.get(decision.measure, decision.measure)


def finding(decision: Decision) -> list[str]:
    """Which model to use, and how certain that is."""
    found = fates(decision)
    used, others = found[0], found[1:]
    rivals = [fate for fate in others if fate.outcome == "tied"]
    aside = [fate for fate in others if fate.outcome == "set_aside" and fate.eliminated_in is None]
    worse_before = [fate for fate in others if fate.outcome == "set_aside" and fate.eliminated_in is not None]
    worse = [fate for fate in others if fate.outcome == "eliminated"]
    chosen = _chosen(decision) if rivals else ""
    sentences = [f"Use {printable(used.name)}{chosen}.{_value(decision, used.test)}"]
    length = plural(decision.rounds[-1].epochs, "epoch")
    guarantee = f"At most {50 * decision.error:g}% of such decisions eliminate the best model."
    if worse and not rivals and not aside and not worse_before:
        which = (
            "the other model was shown to be worse"
            if len(worse) == 1
            else f"each of the {plural(len(worse), 'other model')} was shown to be worse than another one"
        )
        sentences.append(f"This is decided for trainings of {length}: {which}. {guarantee}")
    elif worse:
        names = join_words([printable(fate.name) for fate in worse])
        start = "" if rivals else f"Among the models with trainings of {length} this is decided: "
        sentences.append(f"{start}{names} {_was(worse)} shown to be worse than another model. {guarantee}")
    sentences += [_tied(decision, fate) for fate in rivals]
    for outcome, why in (("failed", "training failed"), ("over_limit", "over the limit")):
        left_out = [printable(fate.name) for fate in others if fate.outcome == outcome]
        if left_out:
            sentences.append(f"Not compared ({why}): {join_words(left_out)}.")
    if aside:
        names = join_words([printable(fate.name) for fate in aside])
        sentences.append(
            f"{names} {_was(aside)} set aside for lack of time after shorter trainings and {_was(aside)} not shown to be worse"
            f"{_behind(aside)}."
        )
    sentences += [
        f"{printable(fate.name)} was worse after {_trainings(fate.eliminated_in)}{_margin(fate.by)}; for lack of time it was not trained longer."
        for fate in worse_before
    ]
    return sentences


def _chosen(decision: Decision) -> str:
    """By what the used model was chosen from those that are left."""
    measure = f"the highest validation {measure_name(decision)} of the models that are left"
    tuned = any(each.settings for each in decision.tuned)
    if decision.used_value is None:
        return f", which had {measure}{', before post-processing was tuned' if tuned else ''}"
    return f", which has {measure}, {points(decision.used_value)}{' with tuned post-processing' if tuned else ''}"


def _trainings(look: Look | None) -> str:
    """The trainings of a look: ``trainings of 8 epochs``."""
    return "shorter trainings" if look is None else f"trainings of {plural(look.epochs, 'epoch')}"


def _was(fates: Sequence[Fate]) -> str:
    return agree(len(fates), "was", "were")


def _value(decision: Decision, standing: Standing | None) -> str:
    if standing is None or standing.value is None:
        return ""
    seeds = f", mean of {plural(len(standing.seeds), 'seed')}"
    return f" Its {measure_name(decision)} on the test images is {points(standing.value)} {_interval(standing)}{seeds}."


def _interval(standing: Standing) -> str:
    return points_interval(_number(standing.low), _number(standing.high))


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _tied(decision: Decision, fate: Fate) -> str:
    """How a model that is left compares with the used one, on test images where both were tested."""
    looks = decision.looks_at("test") or decision.looks_at("val")
    pair = looks[-1].pair(decision.used, fate.name)
    name = printable(fate.name)
    if pair is None:
        return f"{name} could not be told apart from it."
    split = "test" if looks[-1].split == "test" else "validation"
    sign = 1 if pair.better == decision.used else -1
    low, high = sorted((sign * _number(pair.low), sign * _number(pair.high)))
    text = f"{name} could not be told apart from it: on the {split} images, {printable(decision.used)} is "
    text += f"{points(abs(pair.delta))} points {'above' if sign > 0 else 'below'}"
    if looks[-1].too_few:
        text += f", but {plural(looks[-1].images, 'image is', 'images are')} too few to decide"
    elif math.isfinite(low):
        text += (
            f" (interval of the difference at {_level(looks[-1].pair_level)}: {difference_interval(low, high)}; p = {p_value(_number(pair.p_value))})"
        ).replace("p = <", "p <")
    return f"{text}."


def _level(error: float) -> str:
    """The confidence of an interval: ``99.5%``."""
    return f"{100 * (1 - error):.4g}%"


def _behind(aside: Sequence[Fate]) -> str:
    """By how much models were behind the best one of the look after which they were set aside."""
    parts = []
    for fate in aside:
        if fate.look is None or fate.validation is None:
            continue
        best = fate.look.standings[0]
        gap = _number(best.value) - _number(fate.validation.value)
        parts.append(
            f"{printable(fate.name)} was {points(gap)} points below {printable(best.name)} after {plural(fate.look.epochs, 'epoch')}"
        )
    return f": {join_words(parts)}, on validation images" if parts else ""


def more_certain(decision: Decision) -> list[str]:
    """What would make the decision more certain."""
    return [_surer_text(decision, each) for each in surer(decision)]


def _surer_text(decision: Decision, each: Surer) -> str:
    used, rival = printable(decision.used), printable(each.rival)
    names = join_words([printable(name) for name in each.names])
    if each.kind == "validation_images":
        return f"With {plural(each.have, 'validation image')} nothing can be eliminated: at least {each.number} are needed, for example by a larger val split."
    if each.kind == "seeds_cannot":
        return (
            f"More seeds alone would not show which of {used} and {rival} is better: the {plural(decision.looks_at('val')[-1].images, 'validation image is', 'validation images are')} too few for "
            "a difference as small as the observed one."
        )
    if each.kind == "seeds":
        more = f", about {_minutes(each.minutes)} more on this machine" if each.number > each.have else ""
        return (
            f"A difference between {used} and {rival} as large as the observed one would be shown with a power of 80% by {plural(each.number, 'seed')} of each "
            f"instead of {each.have}{more}, on the same validation images."
        )
    if each.kind == "test_images":
        return (
            f"A difference between {used} and {rival} as large as that on the test images would be shown with a power of 80% by {plural(each.number, 'test image')} instead of "
            f"{each.have}."
        )
    if each.kind == "longer":
        epochs = plural(each.number, "epoch")
        return (
            f"Training {names} for {epochs}, too, would take about {_minutes(each.minutes)} on this machine."
        )
    return (
        f"The longest trainings had {each.have} of the {plural(each.number, 'epoch')} of the settings, and the order of models can change with longer "
        f"ones; whole trainings of {names} would take about {_minutes(each.minutes)} on this machine."
    )


def _minutes(minutes: float) -> str:
    return plural(max(1, round(minutes)), "minute")


def outcome_text(decision: Decision, fate: Fate) -> str:
    """What became of a model, for tables."""
    if fate.outcome == "used":
        return "use this one"
    if fate.outcome == "tied":
        return "not told apart"
    if fate.outcome == "unfinished":
        return "still in training"
    if fate.outcome == "set_aside":
        if fate.eliminated_in is not None:
            return f"worse after {_trainings(fate.eliminated_in)}{_margin(fate.by)}; no time for longer trainings"
        return f"set aside after round {fate.round}, for lack of time"
    if fate.outcome == "over_limit":
        return f"over the limit: {printable(fate.reason)}"
    if fate.outcome == "failed":
        return f"failed: {printable(fate.reason)}"
    look, pair = fate.eliminated_in, fate.by
    assert look is not None
    where = f"in round {look.number}" if look.split == "val" else "by the test images"
    return f"eliminated {where} after {_minutes(look.spent_seconds / 60)}{_margin(pair)}"


def _margin(pair: PairRecord | None) -> str:
    if pair is None:
        return ""
    return (
        f": {points(pair.delta)} points below {printable(pair.better)}, at least {points(_number(pair.low))}"
    )
