"""Sentences of the gallery: reasons and the finding, against plain loops over the detections and objects."""

from __future__ import annotations

import itertools
import re

import brute_force as brute
import numpy as np
import pytest
from drawn_reports import SIZE, found_by, reports, run_of, truth_of
from hypothesis import Phase, given, settings
from plain_taxonomy import PlainErrors, overlap_of, plain_errors

from metrics.tables import DetectionTable
from reports.analysis import gallery_choice
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.report_data import ReportData
from reports.records.run import Budget
from reports.sections import gallery

PICTURE = np.full((SIZE, SIZE, 3), 128, np.uint8)


def plain_gallery(report: ReportData) -> list[PlainErrors]:
    """What becomes of the detections of each model's first run at its highest F1."""
    found = []
    for model in report.models:
        run = model.runs[0]
        _, score = brute.best_f1(run.truth, run.detections)
        found.append(plain_errors(run.truth, run.detections, np.inf if np.isnan(score) else score))
    return found


def errors_of(report: ReportData, plain: list[PlainErrors], image: int) -> list[int]:
    """False positives and false negatives of an image, by model."""
    counts = []
    for model, of in zip(report.models, plain, strict=True):
        run = model.runs[0]
        missed = sum(1 for g in of.undetected if run.truth.image[g] == image)
        counts.append(missed + sum(1 for row in of.fp if run.detections.image[row] == image))
    return counts


def most_shared(report: ReportData, plain: list[PlainErrors], image: int) -> int:
    """Largest number of detections on background that all models can share, each used once, by trying all assignments."""
    rows = [
        [
            r
            for r, kind in of.fp.items()
            if kind == "background" and model.runs[0].detections.image[r] == image
        ]
        for model, of in zip(report.models, plain, strict=True)
    ]
    first, others = rows[0], rows[1:]
    tables = [model.runs[0].detections for model in report.models]
    truth = report.truth

    def near(other: int, a: int, b: int) -> bool:
        one, two = tables[0], tables[other]
        return bool(one.label[a] == two.label[b]) and brute.overlap(one.xywh[a], two.xywh[b]) >= 0.5

    assert all(overlap_of(truth, tables[0], row, g) < 0.1 for row in first for g in range(len(truth)))
    return sum(all(any(near(at, row, b) for b in of) for at, of in enumerate(others, 1)) for row in first)


@settings(max_examples=30, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(reports(sizes=(16, 24, 9, 1), pictures=lambda _: PICTURE))
def test_reasons_and_finding_of_the_gallery_hold_on_the_data(report: ReportData) -> None:
    check_gallery(report)


@pytest.mark.parametrize("seed", range(4))
def test_reasons_hold_where_models_share_most_errors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = truth_of(16, 2, 3, rng)
    found = found_by("fair", truth, rng)
    moved = found.xywh + np.r_[rng.integers(-3, 4, 2), 0, 0]
    kept = rng.random(len(found)) < 0.9
    other = DetectionTable(
        truth.catalog, found.image[kept], found.label[kept], moved[kept], rng.permutation(found.score[kept])
    )
    runs = [run_of(truth, one, name, 0, [], Budget()) for name, one in (("m0", found), ("m1", other))]
    options = ComparisonOptions(resamples=40)
    groups = check_gallery(ReportData.from_runs(runs, lambda _: PICTURE, options=options))
    assert {"all_miss", "all_detect", "worst"} <= groups


def check_gallery(report: ReportData) -> set[str]:
    """Check every statement; return the groups that occur."""
    plain = plain_gallery(report)
    images = len(report.truth.catalog.image_ids)
    errors = np.array([errors_of(report, plain, image) for image in range(images)])
    total = errors.sum(axis=1)
    choices = gallery_choice.choose(report)
    assert len({choice.image for choice in choices}) == len(choices)
    for choice in choices:
        check_reason(report, plain, choice, errors[choice.image].tolist())
    by_group = {name: [c.image for c in choices if c.group == name] for name, *_ in gallery_choice.GROUPS}
    worst, best = by_group["worst"], by_group["best"]
    assert all(total[a] > total[b] for a, b in itertools.product(worst, best))
    low, high = np.percentile(total, [25, 75])
    assert all(low <= total[image] <= high for image in by_group["typical"])
    for image in best:
        assert any(
            model.runs[0].detections.image[row] == image
            for model, of in zip(report.models, plain, strict=True)
            for row in of.tp
        )
    differ = sum(len(set(errors[choice.image].tolist())) > 1 for choice in choices)
    text = gallery.section(report, 10**9).finding
    start = f"{len(choices)} of {images} image{'s' * (images > 1)}, "
    if not choices:
        assert text == "There are no images to show."
    elif len(report.models) == 1:
        assert text == f"{start}chosen by the number of errors."
    else:
        assert text.startswith(f"{start}each under all models; ")
        assert text.endswith(f" differs between models in {differ} of them.")
    return {choice.group for choice in choices}


def check_reason(
    report: ReportData, plain: list[PlainErrors], choice: gallery_choice.GalleryChoice, errors: list[int]
) -> None:
    numbers = [int(text) for text in re.findall(r"(?<![\w.-])\d+(?= |$)", choice.reason)]
    labels = report.labels
    if choice.group == "differ":
        low, high = (labels.index(name) for name in re.findall(r"(m\d+): ", choice.reason))
        assert (errors[low], errors[high]) == (min(errors), max(errors))
        assert [int(n) for n in re.findall(r": (\d+)", choice.reason)] == [min(errors), max(errors)]
        assert min(errors) < max(errors)
    elif choice.group == "decides":
        given_points = float(re.findall(r"is ([\d.]+) percentage", choice.reason)[0])
        assert f"the lead of {labels[0]} is" in choice.reason

        def lead(without: frozenset[int]) -> float:
            a, b = (
                np.mean([brute.ap(run.truth, run.detections, without) for run in model.runs])
                for model in report.models[:2]
            )
            return float(a - b)

        whole, rest = lead(frozenset()), lead(frozenset({choice.image}))
        assert whole > 0
        assert given_points == pytest.approx(100 * (whole - rest), abs=0.0051)
    elif choice.group == "all_miss":
        missed = [
            g for g in plain[0].undetected
            if report.truth.image[g] == choice.image and all(g in of.undetected for of in plain)
        ]  # fmt: skip
        assert numbers == [len(missed)]
        assert "undetected by all models" in choice.reason
    elif choice.group == "all_detect":
        assert 0 < numbers[0] <= most_shared(report, plain, choice.image)
        assert len(choice.unannotated[0]) == numbers[0]
    else:
        assert numbers == [sum(errors)]
        assert ("in total" in choice.reason) == (len(errors) > 1)
