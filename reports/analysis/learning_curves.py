"""Learning curves of models: values at each number of training images, power laws, and what more images would bring."""

from __future__ import annotations

import math
import warnings
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd

from metrics.compare import Comparison, compare
from metrics.designs.learning_curve import Estimate, LearningCurve, learning_curve
from metrics.errors import InputWarning
from metrics.resampling.multiple_comparisons import holm
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.report_data import Floats, ReportData
from reports.analysis.training_sizes import size_free_identity

MEASURES = ("ap50", "ap")
"""Measures of curves; the first one decides."""

LEVEL = 0.9
"""AP50 whose number of images is asked for."""


@dataclass(frozen=True, eq=False)
class ModelCurve:
    """One model by one measure.

    Attributes:
        number: of the model in the report.
        images: (K,) numbers of training images, increasing.
        seeds: value of each seed at each number.
        values: mean over seeds, with its interval.
        curve: the fit; None for fewer than 3 numbers of images.
    """

    number: int
    images: Floats
    seeds: tuple[tuple[float, ...], ...]
    values: tuple[Estimate, ...]
    curve: LearningCurve | None


@dataclass(frozen=True, slots=True)
class Leader:
    """The best model at one number of training images.

    Attributes:
        images: the number.
        number: of the model with the highest value.
        tied: numbers of the models that it does not beat decisively: the interval of the difference excludes 0, and the p-value,
            adjusted by Holm's method for the models at this number of images, is below 0.05.
        of: number of models that were trained on as many images.
    """

    images: int
    number: int
    tied: tuple[int, ...]
    of: int


@dataclass(frozen=True, slots=True)
class Payoff:
    """What helps a model more: twice the training images, or its replacement by the best model.

    Attributes:
        number: of the model.
        doubling: gain by twice as many images; None where the curve is not extrapolated.
        best: number of the best model with the most images; None if it is this one.
        switching: gain by the best model at the same number of images; None if it is this one.
        verdict: which gain is larger, with 95 % confidence; ``open`` otherwise.
    """

    number: int
    doubling: Estimate | None
    best: int | None
    switching: Estimate | None
    verdict: str


@dataclass(frozen=True, eq=False)
class LearningResults:
    """Learning curves of all models with at least two numbers of training images.

    Attributes:
        curves: by measure.
        leaders: at each number of images that at least two models share, by the first measure.
        payoffs: of each model, by the first measure.
        seeds_vary: whether some model has several seeds, so that intervals contain the variance between seeds.
    """

    curves: dict[str, list[ModelCurve]]
    leaders: list[Leader]
    payoffs: list[Payoff]
    seeds_vary: bool


def learning_results(report: ReportData) -> LearningResults | None:
    """Evaluate the runs with fewer training images beside those of the report; None without such runs or without statistics."""
    if not report.smaller or report.statistics is None:
        return None
    number_of = {size_free_identity(model.runs[0].result): model.number for model in report.models}
    members: dict[tuple[int, int], list[EvaluatedRun]] = defaultdict(list)
    rule = report.evaluated[0][0].rule
    evaluated = [*report.runs, *(EvaluatedRun(run, rule) for run in report.smaller)]
    for run in evaluated:
        number = number_of.get(size_free_identity(run.run.result))
        images = run.run.result.data.train_images
        if number is not None and images:
            members[number, images].append(run)
    sizes = {
        number: sorted(images for one, images in members if one == number) for number in number_of.values()
    }
    sizes = {number: of for number, of in sizes.items() if len(of) > 1}
    if not sizes:
        return None
    cells = {(number, images): f"{number} {images}" for number, of in sizes.items() for images in of}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # the verdict has the same text
        comparison = compare(
            {name: [run.matches for run in members[cell]] for cell, name in cells.items()},
            MEASURES[0],
            also=MEASURES[1:],
            resamples=report.options.resamples,
            groups=report.options.groups,
            image_columns=report.image_columns,
            permutations=0,
        )
    vary = any(len(runs) > 1 for runs in members.values())
    curves = {
        measure: [_curve(comparison, measure, number, of, vary) for number, of in sizes.items()]
        for measure in MEASURES
    }
    leaders = [
        leader
        for images in sorted({n for of in sizes.values() for n in of})
        if (leader := _leader(comparison, sizes, images))
    ]
    return LearningResults(curves, leaders, _payoffs(comparison, curves[MEASURES[0]]), vary)


def _replicates(comparison: Comparison, measure: str, number: int, images: list[int]) -> Floats:
    """(R, K) replicates in which the measure is defined for all models."""
    tables = comparison.replicates[measure]
    defined = ~np.isnan(np.stack(list(tables.values()))).any(axis=0)
    return np.stack([tables[f"{number} {n}"][defined] for n in images], axis=1)


def _curve(comparison: Comparison, measure: str, number: int, images: list[int], vary: bool) -> ModelCurve:
    standings = [comparison.standing(f"{number} {n}", measure) for n in images]
    values = [standing.value for standing in standings]
    fitted = None
    if len(images) > 2 and np.isfinite(values).all():
        fitted = learning_curve(images, values, _replicates(comparison, measure, number, images), vary)
    return ModelCurve(
        number,
        np.array(images, np.float64),
        tuple(tuple(standing.seeds) for standing in standings),
        tuple(Estimate(one.value, one.ci_low, one.ci_high) for one in standings),
        fitted,
    )


def _leader(comparison: Comparison, sizes: dict[int, list[int]], images: int) -> Leader | None:
    here = [number for number, of in sizes.items() if images in of]
    if len(here) < 2:
        return None
    values = {number: comparison.standing(f"{number} {images}").value for number in here}
    if any(math.isnan(value) for value in values.values()):
        return None
    best = max(here, key=lambda number: (values[number], -number))
    others = [number for number in here if number != best]
    found = [comparison.difference(f"{best} {images}", f"{number} {images}") for number in others]
    # The comparison adjusts for pairs of different sizes, too; here only this size counts.
    adjusted = holm([row.p_raw for row in found])
    tied = [
        number
        for number, row, p in zip(others, found, adjusted, strict=True)
        if row.too_few or not (p < 0.05 and (row.ci_low > 0 or row.ci_high < 0))
    ]
    return Leader(images, best, tuple(tied), len(here))


def _payoffs(comparison: Comparison, curves: list[ModelCurve]) -> list[Payoff]:
    measure = MEASURES[0]
    most = max(curve.images[-1] for curve in curves)
    # Only models that were trained on as many images can replace one another.
    rivals = [curve for curve in curves if curve.images[-1] == most and math.isfinite(curve.values[-1].value)]
    best = max(rivals, key=lambda curve: curve.values[-1].value, default=None)
    found = []
    for curve in curves:
        size = float(curve.images[-1])
        doubling, gains = None, None
        if curve.curve is not None and curve.curve.unsupported is None:
            doubling, gains = curve.curve.gain(size, 2 * size), curve.curve.gains(size, 2 * size)
        if best is None or curve is best or curve.images[-1] != most:
            found.append(Payoff(curve.number, doubling, None, None, "open"))
            continue
        ours, theirs = (
            _replicates(comparison, measure, each.number, [int(each.images[-1])])[:, 0]
            for each in (curve, best)
        )
        row = comparison.difference(f"{best.number} {int(size)}", f"{curve.number} {int(size)}", measure)
        sign = 1.0 if row.model_a == f"{best.number} {int(size)}" else -1.0
        ends = sorted((sign * row.ci_low, sign * row.ci_high))
        switching = Estimate(sign * row.delta, ends[0], ends[1])
        verdict = "open"
        if gains is not None and len(gains):
            low, high = np.quantile(theirs - ours - gains, [0.025, 0.975])
            verdict = "variant" if low > 0 else "images" if high < 0 else "open"
        found.append(Payoff(curve.number, doubling, best.number, switching, verdict))
    return found


def rows(report: ReportData, results: LearningResults) -> pd.DataFrame:
    """``learning-curves.csv``: one row per model, measure and number of training images."""
    return pd.DataFrame(
        [
            {
                "model_id": report.models[curve.number].label,
                "metric": measure,
                "train_images": int(images),
                "value": value.value,
                "ci_low": value.low,
                "ci_high": value.high,
                "seeds": len(seeds),
                "seed_values": " ".join(repr(float(seed)) for seed in seeds),
                "fitted": math.nan if curve.curve is None else float(curve.curve.law.at(images)),
            }
            for measure, curves in results.curves.items()
            for curve in curves
            for images, value, seeds in zip(curve.images, curve.values, curve.seeds, strict=True)
        ]
    )


def fit_rows(report: ReportData, results: LearningResults) -> pd.DataFrame:
    """``learning-fits.csv``: the power law of each model and measure, and what it says about more images."""
    made = []
    for measure, curves in results.curves.items():
        for curve in curves:
            if curve.curve is None:
                continue
            law, supported = curve.curve.law, curve.curve.unsupported is None
            unknown = Estimate(math.nan, math.nan, math.nan)
            size = float(curve.images[-1])
            doubled = curve.curve.at(2 * size) if supported else unknown
            until = curve.curve.images_until(LEVEL) if supported else unknown
            made.append(
                {
                    "model_id": report.models[curve.number].label,
                    "metric": measure,
                    "a": law.a,
                    "b": law.b,
                    "c": law.c,
                    "not_extrapolated": curve.curve.unsupported or "",
                    "value_at_twice_the_images": doubled.value,
                    "twice_ci_low": doubled.low,
                    "twice_ci_high": doubled.high,
                    "level": LEVEL,
                    "images_until_level": until.value,
                    "images_ci_low": until.low,
                    "images_ci_high": until.high,
                }
            )
    return pd.DataFrame(made)
