"""Budgets on the page: which one is named, what was spent of it, and which model leads where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import run_in, truth_of

from reports.analysis.report_data import ReportData
from reports.analysis.speed import speed_of
from reports.records.run import Budget, BudgetLimit
from reports.sections import budget, budget_curves, verdict

IMAGES = BudgetLimit(unit="images", amount=1000)
AP = {"ssd": (0.10, 0.30, 0.31, 0.35), "fcos": (0.05, 0.20, 0.40, 0.60)}
"""Validation AP after each of four epochs of 250 images."""


@pytest.fixture(scope="module")
def truth():
    return truth_of(24, ["round", "long"])


def report_of(folder, truth, limits, ap=AP, spent=(1.0, 1.0), seeds=1):
    """Two models; `spent` are shares of the budget, and fcos takes twice the time and thrice the FLOPs of ssd."""
    runs = []
    for (variant, values), limit, share, cost in zip(ap.items(), limits, spent, (1, 2), strict=True):
        for seed in range(seeds):
            images = round(1000 * share)
            made = run_in(
                folder, truth, variant, 0.6 + 0.1 * cost, seed,
                budget=Budget(
                    epochs=4, images_seen=images, step_seconds=120 * cost, train_flops=images * 10**9 * (2 * cost - 1), limit=limit
                ),
            )  # fmt: skip
            steps = np.arange(1, 5) / 4
            made.__dict__["history"] = pd.DataFrame(
                {
                    "epoch": [1, 2, 3, 4],
                    "images_seen": images * steps,
                    "step_seconds": 120 * cost * steps,
                    "loss": 1.0,
                    "val_ap": np.array(values) + 0.02 * seed,
                }
            )
            runs.append(made)
    return ReportData.from_runs(runs)


def drawn(report):
    """Curves of the figure by label, as (x, AP) pairs."""
    unit = budget_curves.curve_unit(report.models)
    curves = [budget_curves.spent_curve(run, unit) for model in report.models for run in model.runs]
    return dict(zip(report.labels, ([*zip(*map(list, curve), strict=True)] for curve in curves), strict=True))


def test_a_shared_budget_is_named_by_verdict_and_section(tmp_path, truth):
    report = report_of(tmp_path, truth, (IMAGES, IMAGES))
    assert (
        budget_curves.budget_text(report)
        == "Each model was trained with a budget of 1\u202f000 training images."
    )
    assert "Each model was trained with a budget of" in verdict.section(report, speed_of(report)).finding
    section = budget.section(report)
    assert section.finding == "All models had the same budget: 1\u202f000 training images."
    assert not section.warnings
    (figure,) = section.figures
    assert figure.finding == (
        "At the end of training, fcos has the highest AP on the validation images (60.0); by half of the budget, ssd has the "
        "highest AP on the validation images (30.0)."
    )
    assert drawn(report)["ssd"] == [(250, 0.10), (500, 0.30), (750, 0.31), (1000, 0.35)]


def test_values_are_means_over_seeds(tmp_path, truth):
    report = report_of(tmp_path, truth, (IMAGES, IMAGES), seeds=3)
    (figure,) = budget.section(report).figures
    assert "(62.0)" in figure.finding
    assert "(32.0)" in figure.finding


@pytest.mark.parametrize(
    ("limit", "text", "expected"),
    [
        (BudgetLimit(unit="minutes", amount=2), "2 minutes of training", [0.5, 1, 1.5, 2]),
        (BudgetLimit(unit="flops", amount=1e12), "1e+12 FLOPs of training", [2.5e11, 5e11, 7.5e11, 1e12]),
    ],
)
def test_the_axis_is_what_the_budget_counts(tmp_path, truth, limit, text, expected):
    report = report_of(tmp_path, truth, (limit, limit))
    assert f"a budget of {text}." in budget_curves.budget_text(report)
    assert [spent for spent, _ in drawn(report)["ssd"]] == pytest.approx(expected)


def test_epochs_and_images_may_differ_under_a_budget_in_minutes_but_not_what_was_spent_of_it(tmp_path, truth):
    limit = BudgetLimit(unit="minutes", amount=2)
    report = report_of(tmp_path, truth, (limit, limit), spent=(1.0, 0.3))
    (note,) = [note for note in report.training_notes if note.kind == "unequal_budget"]
    # fcos takes 4 minutes here.
    assert note.text == (
        "training budgets differ in budget spent: fcos 4 minutes of training and ssd 2 minutes of training"
    )


def test_budgets_that_differ_are_unequal_and_not_named(tmp_path, truth):
    report = report_of(tmp_path, truth, (IMAGES, None), spent=(1.0, 0.5))
    assert budget_curves.budget_text(report) == ""
    section = budget.section(report)
    assert "not trained with the same effort" in section.finding
    assert [note.subject for note in report.training_notes if note.kind == "unequal_budget"] == [
        "training images seen"
    ]
    (figure,) = section.figures
    assert (
        figure.finding == "At the end of training, fcos has the highest AP on the validation images (60.0)."
    )


def test_half_of_the_budget_is_not_mentioned_if_a_model_was_not_measured_by_then(tmp_path, truth):
    report = report_of(tmp_path, truth, (IMAGES, IMAGES), {**AP, "fcos": (np.nan, np.nan, 0.1, 0.35)})
    (figure,) = budget.section(report).figures
    assert figure.finding == (
        "At the end of training, all models have the same AP on the validation images (35.0)."
    )


def test_runs_without_budget_have_no_figure_and_no_sentence(tmp_path, truth):
    report = report_of(tmp_path, truth, (None, None))
    assert budget_curves.budget_text(report) == ""
    assert not budget.section(report).figures


def test_one_model_is_described_by_budget_and_effort(tmp_path, truth):
    both = report_of(tmp_path, truth, (IMAGES, IMAGES))
    report = ReportData.from_runs([run for run in both.folders if run.result.variant == "ssd"])
    finding = budget.section(report).finding
    assert finding.startswith(
        "ssd was trained with a budget of 1\u202f000 training images for 4 epochs with 1\u202f000 "
    )
    assert budget_curves.budget_text(report) == "It was trained with a budget of 1\u202f000 training images."
