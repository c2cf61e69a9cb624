"""Sentences of the section on masks, against plain loops over the label maps."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import pytest
from drawn_masks import (
    CLASSES,
    Maps,
    draw_maps,
    found_maps,
    mask_report,
    mask_run,
    plain_iou,
    plain_miou,
    saved_maps,
)

from reports.analysis import mask_gallery
from reports.analysis.mask_results import MEASURES, mask_results
from reports.analysis.report_data import ReportData
from reports.sections import masks

pytestmark = pytest.mark.usefixtures("no_drawing")

ERRORS = {"equal": (0.2, 0.2), "near": (0.2, 0.21, 0.24), "far": (0.05, 0.4), "alone": (0.1,)}
"""By kind of comparison, the share of wrong pixels of each model."""

KINDS = (("equal", 52, 1), ("near", 12, 1), ("near", 52, 2), ("far", 55, 1), ("far", 55, 2), ("alone", 12, 1))
"""Kind, images and seeds of each report."""


@dataclass(frozen=True)
class Drawn:
    """Truth, a report, and what plain loops over the saved maps count: IoU of each class, by model and seed."""

    truth: Maps
    report: ReportData
    iou: dict[str, list[list[float]]]

    @property
    def miou(self) -> dict[str, float]:
        """Of each model, mean over its runs."""
        return {name: float(np.mean([np.nanmean(run) for run in runs])) for name, runs in self.iou.items()}

    @property
    def class_iou(self) -> dict[str, np.ndarray]:
        """Of each model, mean over its runs."""
        return {name: np.mean(runs, axis=0) for name, runs in self.iou.items()}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(map(str, kind)))
def drawn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    kind, images, seeds = request.param
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng([images, seeds, len(kind)])
    truth = draw_maps(rng, images)
    runs = []
    first = [found_maps(rng, truth, 0.2) for _ in range(seeds)]
    for number, error in enumerate(ERRORS[kind]):
        for seed in range(seeds):
            found = first[seed] if kind == "equal" else found_maps(rng, truth, error)
            runs.append(mask_run(folder, truth, found, f"m{number}", seed))
    report = mask_report(runs, truth)
    counted = {
        model.label: [plain_iou(truth, saved_maps(run)) for run in model.runs] for model in report.models
    }
    return Drawn(truth, report, counted)


def text_of(value: float) -> str:
    return f"{100 * value:.1f}".replace("-", "−")


def test_the_finding_holds_on_the_data(drawn):
    report = drawn.report
    results = mask_results(report)
    text = masks.section(report, results, 10**6).finding
    values = drawn.miou
    top = max(values.values())
    leaders = {name for name, value in values.items() if value > top - 1e-9}
    assert results.value(0, "miou") == pytest.approx(top)
    if len(values) == 1:
        assert text.startswith(f"m0 has mIoU {text_of(top)} [")
        assert f"on {results.images} images with masks" in text
    else:
        named = re.match(r"(.+?) (?:has|have) the highest mIoU, (\d+\.\d)(?: \[|\.)", text)
        assert set(re.findall(r"m\d", named[1])) == leaders
        assert named[2] == text_of(top)
        assert ("too few images" in text) == (results.images < 50)
        for name, delta, low in re.findall(r"(m\d) by ([\d.]+) \[([−\d.]+), ", text):
            assert delta == text_of(top - values[name])
            assert float(low.replace("−", "-")) > 0
    assert ("not measured" in text) == (report.seeds == 1)


def test_what_is_called_better_is_better_in_nearly_all_resamples(drawn):
    report = drawn.report
    statistics = mask_results(report).statistics
    values = drawn.miou
    for row in statistics.pairwise:
        if row.metric == "miou":
            assert row.delta == pytest.approx(values[row.model_a] - values[row.model_b], abs=1e-12)
        if row.decisive:
            delta = (
                statistics.replicates[row.metric][row.model_a]
                - statistics.replicates[row.metric][row.model_b]
            )
            assert np.mean(np.sign(delta) != np.sign(row.delta)) < 0.05
            assert min(row.ci_low, row.sim_low) > 0 or max(row.ci_high, row.sim_high) < 0


def test_the_sentence_on_classes_holds_on_the_data(drawn):
    truth, report = drawn.truth, drawn.report
    results = mask_results(report)
    facts = masks.mask_facts(report, results)
    by_model = drawn.class_iou
    images = [sum((each == label).any() for each in truth) for label in range(len(CLASSES))]
    ranked = {
        CLASSES[label]: float(np.mean([of[label] for of in by_model.values()]))
        for label in range(1, len(CLASSES))
        if images[label] >= 20
    }
    assert facts.compared == len(ranked)
    if ranked:
        assert facts.lowest.value == pytest.approx(min(ranked.values()))
        assert facts.highest.value == pytest.approx(max(ranked.values()))
        assert facts.lowest.holders == tuple(n for n, v in ranked.items() if v < min(ranked.values()) + 1e-9)
    text = masks.class_text(facts)
    assert ("not ranked" in text) == (len(ranked) < 2)
    if len(ranked) > 1:
        assert f"lowest for {facts.lowest.holders[0]} ({text_of(min(ranked.values()))})" in text
        assert (" (mean over models) is lowest" in text) == (len(by_model) > 1)
    largest = re.search(r"is on (\w+): (m\d) is ([\d.]+) percentage points above (m\d)", text)
    if largest:
        label = CLASSES.index(largest[1])
        assert largest[3] == text_of(by_model[largest[2]][label] - by_model[largest[4]][label])
        assert images[label] >= 20
        for row in results.statistics.class_pairs:
            if row.decisive and row.metric == "miou":
                assert abs(row.delta) <= facts.largest[3] + 1e-12
    elif len(by_model) > 1:
        assert "No difference in IoU between two models on a single class is decisive." in text


def test_far_models_are_decisively_different_and_equal_ones_are_tied(tmp_path):
    rng = np.random.default_rng(0)
    truth = draw_maps(rng, 55)
    maps = {name: found_maps(rng, truth, error) for name, error in (("good", 0.02), ("bad", 0.5))}
    maps["same"] = maps["good"]
    runs = [mask_run(tmp_path, truth, found, name) for name, found in maps.items()]
    report = mask_report(runs, truth)
    text = masks.section(report, mask_results(report), 10**6).finding
    assert text.startswith("good and same have the highest mIoU")
    assert re.search(r"They beat bad by [\d.]+ \[[\d.]+, [\d.]+\]", text)
    assert re.search(r"largest decisive difference in IoU on a class is on \w+: (good|same) is", text)


def test_reasons_of_images_hold_on_the_data(drawn):
    truth, report = drawn.truth, drawn.report
    results = mask_results(report)
    labels = [report.labels[number] for number in results.numbers]
    first = [saved_maps(run) for run in mask_gallery.first_runs(report, results)]
    alone = np.array([[plain_miou([t], [f]) for t, f in zip(truth, maps, strict=True)] for maps in first])
    choices = mask_gallery.choose(report, results)
    assert len({choice.image for choice in choices}) == len(choices)
    groups = {name: [c.image for c in choices if c.group == name] for name, *_ in mask_gallery.GROUPS}
    spread, mean = np.ptp(alone, axis=0), alone.mean(axis=0)
    rest = [at for at in range(len(truth)) if at not in groups["differ"]]
    assert all(spread[at] >= spread[rest].max() for at in groups["differ"])
    assert all(
        mean[at] <= min(mean[each] for each in rest if each not in groups["worst"]) for at in groups["worst"]
    )
    assert all(mean[a] < mean[b] for a in groups["worst"] for b in groups["best"])
    assert len(groups["worst"]) == 2
    for choice in choices:
        values = alone[:, choice.image]
        numbers = re.findall(r"[\d.]+$|[\d.]+(?=,)", choice.reason)
        if choice.group == "differ":
            assert numbers == [text_of(values.max()), text_of(values.min())]
            high, low = re.findall(r"(m\d) [\d.]+", choice.reason)
            assert values[labels.index(high)] == values.max() > values.min() == values[labels.index(low)]
        else:
            assert numbers == [text_of(values.mean())]
            assert ("mean over models" in choice.reason) == (len(labels) > 1)


def test_cells_of_the_tables_are_the_values_of_the_maps(drawn):
    truth, report = drawn.truth, drawn.report
    results = mask_results(report)
    section = masks.section(report, results, 10**6)
    by_slug = {table.slug: table for table in section.tables}
    by_model = drawn.class_iou
    for row in by_slug["masks-models"].rows:
        name = report.labels[row.series]
        cells = dict(zip(MEASURES, row.cells[1:], strict=False))
        assert cells["miou"].value == pytest.approx(drawn.miou[name])
        correct = [
            np.mean(np.concatenate([(f == t)[t != 255] for t, f in zip(truth, saved_maps(run), strict=True)]))
            for run in report.models[row.series].runs
        ]
        assert cells["pixel_accuracy"].value == pytest.approx(np.mean(correct))
        assert name == row.cells[0].text
    order = [report.labels[number] for number in results.numbers]
    shown = [row.cells[0].text for row in by_slug["masks-classes-table"].rows]
    assert shown == [name for at, name in enumerate(CLASSES) if any((each == at).any() for each in truth)]
    for row in by_slug["masks-classes-table"].rows:
        label = CLASSES.index(row.cells[0].text)
        assert row.cells[1].value == sum((each == label).any() for each in truth)
        for name, cell in zip(order, row.cells[3:], strict=False):
            assert cell.value == pytest.approx(by_model[name][label])
    assert not any(math.isnan(cell.value) for row in by_slug["masks-models"].rows for cell in row.cells[1:7])
