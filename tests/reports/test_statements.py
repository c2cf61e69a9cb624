"""Generated sentences: the facts that they are made from, against predicates computed from the data by plain loops.

`STATEMENTS` lists every kind of generated statement with the data that could make it false or misleading; each is checked on runs
with few objects, one class, ties, equal models, no detections, one image and several seeds.
"""

from __future__ import annotations

import itertools
import math
import re

import brute_force as brute
import numpy as np
import pytest
from drawn_reports import found_by, holders, of_models, reports, run_of, truth_of
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from synthetic_studies import sample, study_of, trial

from metrics.compare import verdict_text
from metrics.compare.percent import difference_interval
from metrics.slices import compare_slices, make_axis
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.report_data import ReportData
from reports.analysis.setting_effects import (
    LEAST_TRIALS,
    best_gain,
    improvements,
    late_gain,
    least_difference,
    setting_effects,
)
from reports.analysis.training_fairness import LearningCurve, training_notes
from reports.records.run import Budget
from reports.sections import calibration, classes, curves, slices, study_history, thresholds, verdict


def check_leader(report: ReportData) -> None:
    aps = of_models(report, brute.ap)
    given = report.statistics
    if given is None:
        assert not len(report.truth)
        return
    assert {given.verdict.best.model, *given.verdict.equal} == holders(aps)
    assert given.verdict.best.value == pytest.approx(max(aps.values()))
    images, objects = len(report.truth.catalog.image_ids), len(report.truth)
    if len(aps) > 1:
        assert (given.verdict.kind == "too_few") == (images < 50 or objects < 20)
    text = verdict_text(given.verdict)
    assert "checkpoint" not in text.lower()
    single = {model.label for model in report.models if len(model.runs) == 1}
    assert ("not measured" in text) == bool(single)


def check_beaten_and_tied(report: ReportData) -> None:
    given = report.statistics
    if given is None:
        return
    aps, found = of_models(report, brute.ap), given.verdict
    beaten = {row.model_b for row in found.beaten}
    for name in beaten:
        for leader in (found.best.model, *found.equal):
            assert aps[leader] > aps[name]
            delta = given.replicates["ap"][leader] - given.replicates["ap"][name]
            assert np.mean(delta <= 0) < 0.05
    assert beaten | {row.model_b for row in found.tied} | {found.best.model, *found.equal} == set(aps)
    for row in given.pairwise:
        if row.decisive:
            ends = (row.ci_low, row.ci_high, row.sim_low, row.sim_high)
            assert min(ends) > 0 or max(ends) < 0
            assert row.delta * ends[0] > 0
    for low, high in re.findall(r" by [\d.]+ \[([−\d.]+), ([−\d.]+)\]", verdict_text(found)):
        assert float(low.replace("−", "-")) > 0, (low, high)


def check_ap_at_ends(report: ReportData) -> None:
    if not len(report.truth):
        return
    for extreme, iou in zip(verdict.ap_at_ends(report), (0.5, 0.95), strict=True):
        values = of_models(
            report, lambda truth, found, iou=iou: float(np.mean(brute.mean_envelope(truth, found, iou)))
        )
        assert set(extreme.holders) == holders(values)
        assert extreme.value == pytest.approx(max(values.values()))
        assert extreme.shared_by_all == (len(values) > 1 and len(holders(values)) == len(values))


def check_precision_reach(report: ReportData) -> None:
    if not len(report.truth):
        return
    for iou in curves.THRESHOLDS:
        drawn = [
            np.stack([curves.mean_over_classes(run.class_precision(iou)) for run in runs])
            for runs in report.evaluated
        ]
        for (_, recall), model in zip(curves.precision_reaches(report, drawn), report.models, strict=True):
            mean = np.mean(
                [brute.mean_envelope(run.truth, run.detections, iou) for run in model.runs], axis=0
            )
            above = [level / 100 for level in range(101) if mean[level] >= 0.5 - 1e-12]
            assert recall == pytest.approx(max(above) if above else math.nan, nan_ok=True)
        text = curves.reach_text(curves.precision_reaches(report, drawn), iou)
        assert ("below one half at every recall" in text) == all(
            math.isnan(recall) for _, recall in curves.precision_reaches(report, drawn)
        )


def check_operating_points(report: ReportData) -> None:
    if not len(report.truth):
        return
    points = thresholds.operating_means(report)
    text = thresholds.finding_text(points, report.seeds > 1)
    for point, model in zip(points, report.models, strict=True):
        best = [brute.best_f1(run.truth, run.detections) for run in model.runs]
        assert point.f1 == pytest.approx(np.mean([f1 for f1, _ in best]))
        scores = [score for _, score in best if not math.isnan(score)]
        assert point.score == pytest.approx(np.mean(scores) if scores else math.nan, nan_ok=True)
        if scores:
            assert f"{model.label} at {point.score:.2f} (F1 {100 * point.f1:.1f})" in text


def check_calibration(report: ReportData) -> None:
    floor = calibration.minimum_score(report)
    for each, model in zip(calibration.calibration_means(report, floor), report.models, strict=True):
        gaps = []
        for run in model.runs:
            of = [brute.ranked(run.truth, run.detections, label, 0.5) for label in range(len(report.classes))]
            kept = [(s, hit) for one in of for s, hit in zip(one.scores, one.hits, strict=True) if s >= floor]
            gaps.append(np.mean([s - hit for s, hit in kept]) if kept else math.nan)
        assert each.gap == pytest.approx(np.mean(gaps), nan_ok=True)


def check_classes(report: ReportData) -> None:
    facts = classes.class_facts(report)
    counts = np.bincount(report.truth.label, minlength=len(report.classes))
    assert facts.present == (counts > 0).sum()
    values = {
        name: np.mean(list(of_models(report, lambda t, f, at=at: brute.class_ap(t, f, at)).values()))
        for at, name in enumerate(report.classes)
        if counts[at] >= 20
    }
    assert facts.compared == len(values)
    assert set(facts.highest.holders) == holders(values)
    assert set(facts.lowest.holders) == holders({name: -value for name, value in values.items()})
    if facts.largest is not None:
        name, better, other, delta = facts.largest
        aps = of_models(report, lambda t, f: brute.class_ap(t, f, report.classes.index(name)))
        assert counts[report.classes.index(name)] >= 20
        assert aps[better] - aps[other] == pytest.approx(delta)
        assert delta > 0


def check_slices(report: ReportData) -> None:
    compared = slices.comparison_of(report)
    found = slices.largest_differences(report, compared)
    for row in found:
        axis = make_axis(row.axis, report.truth)
        for name in (row.high, row.low):
            member = axis.index == axis.values.index(name)
            assert member.sum() >= 20
            assert len(set(report.truth.image[member].tolist())) >= 10
        assert 0 < row.sim_low <= row.delta
        assert len(report.truth.catalog.image_ids) >= 50
    text = slices.finding_text(report.labels, found, compared is not None)
    named = {row.model for row in found}
    assert all((f"{model.label}, " in text) == (model.label in named) for model in report.models)


def check_influence(report: ReportData) -> None:
    given = report.influence
    if given is None or not given.undone_by:
        return
    strength = given.influence * (1.0 if given.delta >= 0 else -1.0)
    order = np.argsort(-strength, kind="stable")

    def lead(count: int) -> float:
        gone = frozenset(order[:count].tolist())
        aps = of_models(report, lambda truth, found: brute.ap(truth, found, gone))
        return aps[given.model_a] - aps[given.model_b]

    assert not lead(given.undone_by) > 1e-9
    assert lead(given.undone_by - 1) > 0


def check_training(report: ReportData) -> None:
    notes = {note.kind: note for note in training_notes(report.models) if note.kind != "unequal_budget"}
    rising = set()
    for model in report.models:
        states = []
        for run in model.runs:
            values = run.history["val_ap"].tolist()
            late = [value for epoch, value in enumerate(values, 1) if epoch > 0.75 * len(values)]
            early = values[: len(values) - len(late)]
            if not early:
                continue
            falls = [
                min(now - before, 0)
                for epoch, (before, now) in enumerate(itertools.pairwise(values), 2)
                if epoch > 0.5 * len(values)
            ]
            noise = math.sqrt(sum(fall**2 for fall in falls) / len(falls)) if len(falls) > 1 else 0.0
            states.append((max(late) - max(early), max(2 * noise, min(0.005, 0.05 * max(values)))))
        if states and sum(gain for gain, _ in states) > sum(least for _, least in states) + 1e-12:
            rising.add(model.label)
    assert set(notes["still_rising"].values if "still_rising" in notes else {}) == rising
    once = {model.label for model in report.models if all(len(run.history) == 1 for run in model.runs)}
    told = set(notes["validated_once"].values if "validated_once" in notes else {})
    assert told == (once if len(report.models) > 1 else set())
    known = [run.budget.epochs for run in report.results if run.budget.epochs is not None]
    unequal = [
        note for note in report.training_notes if note.kind == "unequal_budget" and note.subject == "epochs"
    ]
    assert bool(unequal) == bool(known and max(known) - min(known) > 0.05 * max(known))


def check_hardware(report: ReportData) -> None:
    timed = any(result.budget.train_seconds is not None for result in report.results)
    assert bool(report.timed_hardware) == timed


STATEMENTS = [
    ("verdict: the model with the highest AP", "ties, equal models, no objects, few images, single seeds", check_leader),
    ("verdict and pairs: beats, tied, better", "touching and rounded intervals, several leaders", check_beaten_and_tied),
    ("verdict: highest AP at IoU 0.50 and 0.95", "ties at 0, equal models", check_ap_at_ends),
    ("curves: precision at least one half up to a recall", "one half at recall 0 only, never, one model", check_precision_reach),
    ("thresholds: best F1", "several seeds, no detections, ties of scores", check_operating_points),
    ("calibration: mean score minus precision", "several seeds, no detections", check_calibration),
    ("classes: lowest, highest, decisive difference", "ties, few objects, one class", check_classes),
    ("slices: largest decisive difference", "few objects, objects in few images, equal slices", check_slices),
    ("pairs: images that undo the lead", "ties, one image", check_influence),
    ("training: still rising, unequal budgets", "few evaluations, noise, unknown budgets", check_training),
    ("header, reproducibility: hardware", "detections from a file", check_hardware),
]  # fmt: skip
"""Statement, data that could make it false or misleading, and the check of its facts."""


@settings(
    max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # shrinking takes minutes
@given(reports())
def test_the_facts_of_every_statement_hold_on_the_data(report: ReportData) -> None:
    for _, _, check in STATEMENTS:
        check(report)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-6])
def test_a_decisive_interval_never_shows_an_end_of_0(size: float) -> None:
    low, high = difference_interval(0.0004 * size, 0.05).strip("[]").split(", ")
    assert (float(low) > 0) == (0.04 * size > 0.00005)
    assert high == "5.0"


@st.composite
def studies(draw: st.DrawFn) -> object:
    import random

    rng = random.Random(draw(st.integers(0, 10**6)))
    count = draw(st.integers(1, 40))
    levels = draw(st.sampled_from([[0.4], [0.4, 0.401], [0.1, 0.4, 0.6]]))
    trials = []
    for number in range(count):
        params = sample(number, rng)
        value = rng.choice(levels) + draw(st.sampled_from([0.0, 0.0, 0.2])) * (params["nms.iou"] > 0.5)
        trials.append(trial(number, value, params=params, feasible=rng.random() < 0.9))
    shares = {"nms.iou": 0.6, "nms.score": 0.3, "nms.method": 0.1}
    return study_of(trials, importances=shares)


@settings(max_examples=60, deadline=None)
@given(studies())
def test_facts_of_a_study_hold_on_its_trials(study: object) -> None:
    result = study  # type: ignore[assignment]
    trials = [t for t in result.trials if t.values]
    for each in setting_effects(result):
        given_values = [(t.params[each.path], t.value) for t in trials]
        if each.path == "nms.method":
            groups = {option: [v for p, v in given_values if p == option] for option, _ in given_values}
        else:
            ordered = sorted(p for p, _ in given_values)
            low, high = (ordered[math.floor((len(ordered) - 1) * share)] for share in (1 / 3, 2 / 3))
            groups = {
                part: [v for p, v in given_values if (p > low) + (p > high) == part] for part in range(3)
            }
        medians = [float(np.median(values)) for values in groups.values() if len(values) >= LEAST_TRIALS]
        expected = max(medians) - min(medians) if len(medians) > 1 else math.nan
        assert each.effect == pytest.approx(expected, nan_ok=True)
    feasible = [t for t in trials if t.feasible is not False]
    best = max((t.value for t in feasible), default=math.nan)
    if feasible and trials[0].feasible is not False:
        assert best_gain(result) == pytest.approx(best - trials[0].value)
    if improvements(result):
        early = [t.value for t in feasible if t.number < 0.9 * len(result.trials)]
        assert late_gain(result) == pytest.approx(best - max(early) if early else math.nan, nan_ok=True)
    effects = setting_effects(result)
    text = study_history.importance_text(result, effects)
    small = "differs by only" in text or "differs by less than 0.001" in text
    assert small == (effects[0].effect < least_difference(result))
    larger = [
        e for e in effects[1:] if e.effect >= least_difference(result) and not e.effect <= effects[0].effect
    ]
    assert ("matters most" in text) == bool(larger)
    gain = best_gain(result)
    assert ("No trial is better than the default settings." in text) == (gain <= 0)
    assert ("better than the default settings by" in text) == (0 < gain < least_difference(result))


def test_a_late_improvement_needs_an_amount_worth_mentioning() -> None:
    def warnings_of(gain: float) -> list[str]:
        values = [0.4] * 19 + [0.4 + gain]
        trials = [trial(number, value, params={"nms.iou": 0.5}) for number, value in enumerate(values)]
        return list(study_history.history(study_of(trials), "history", "History").warnings)

    assert not warnings_of(0.004)
    (text,) = warnings_of(0.012)
    assert text.startswith("The best value improved by 0.012 within the last tenth of the trials")


def test_flat_curves_are_rarely_called_rising_and_rising_ones_nearly_always() -> None:
    rng = np.random.default_rng(0)
    epochs = np.arange(1.0, 21)
    flat = [LearningCurve.of(epochs, 0.5 + rng.normal(0, 0.015, 20)).rising for _ in range(1000)]
    rising = [
        LearningCurve.of(epochs, 0.5 * (1 - np.exp(-epochs / 13)) + rng.normal(0, 0.01, 20)).rising
        for _ in range(1000)
    ]
    assert sum(flat) <= 15  # 5 expected
    assert sum(rising) >= 980
    assert LearningCurve.of(np.ones(1), np.ones(1)).rising is None
    # Of a low AP a twentieth is a gain.
    assert LearningCurve.of(np.arange(1.0, 5), np.array([0.001, 0.004, 0.006, 0.008])).rising
    assert LearningCurve.of(np.zeros(0), np.zeros(0)).rising is None


def test_a_model_without_small_objects_has_a_decisive_difference_by_size() -> None:
    rng = np.random.default_rng(3)
    truth = truth_of(120, 1, 6, rng)
    run = run_of(truth, found_by("large", truth, rng), "m", 0, [], Budget())
    report = ReportData.from_runs([run], options=ComparisonOptions(resamples=200))
    given = slices.comparison_of(report)
    assert given is not None
    axes = [make_axis(name, truth) for name in slices.SHOWN]
    assert given.intervals == compare_slices({"m": (truth, run.detections)}, axes, resamples=200).intervals
    row = given.largest("m", "size")
    assert row is not None
    assert row.low in ("XS", "S")
    assert row.high in ("L", "XL")
    text = slices.finding_text(report.labels, [row], measured=True)
    ends = f"{100 * row.delta:.1f} [{100 * row.sim_low:.1f}, {100 * row.sim_high:.1f}]"
    assert f"m, size within the class, {row.high} above {row.low} by {ends} percentage points." in text
