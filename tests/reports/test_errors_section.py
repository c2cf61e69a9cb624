"""The section on errors: its sentences, tables and files have the counts of a plain count, whatever the data."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_taxonomy import PlainErrors, plain_errors
from strategies import scenes

from metrics.evaluator import evaluate
from metrics.measures.error_types import FALSE_POSITIVES, KINDS
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.evaluated_run import EvaluatedRun
from reports.analysis.models import Model
from reports.analysis.report_data import ReportData
from reports.records.run import DataFacts, RunFolder, RunResult
from reports.sections import confusions, errors, gallery, thresholds

pytestmark = pytest.mark.usefixtures("no_drawing")

NAMES = {
    "classification error": "classification",
    "localization error": "localization",
    "error in both class and localization": "both",
    "errors in both class and localization": "both",
    "duplicate": "duplicate",
    "detection on background": "background",
    "detections on background": "background",
    "missed object": "missed",
}


def report_on(truth: AnnotationTable, tables: list[list[DetectionTable]]) -> ReportData:
    """Models m0, m1 ... with a run for each table; without statistics."""
    facts = DataFacts(name="d", format="f", split="test", fingerprint="", images=1, objects=1, classes=1)
    models, evaluated = [], []
    for number, found in enumerate(tables):
        runs = tuple(
            RunFolder(Path(), RunResult(name=f"m{number}-{seed}", variant="v", data=facts), truth, table)
            for seed, table in enumerate(found)
        )
        models.append(Model(f"m{number}", number, runs))
        evaluated.append(tuple(EvaluatedRun(run) for run in runs))
    return ReportData(tuple(models), tuple(evaluated), options=ComparisonOptions(resamples=0))


@st.composite
def reports(draw: st.DrawFn) -> ReportData:
    """One to three models of one or two runs on a scene; some without detections, with few objects or one class."""
    scene = draw(scenes(most_objects=6, most_detections=14, ignored=True))
    found, classes = scene.detections, len(scene.truth.catalog.classes)
    tables = []
    for _ in range(draw(st.integers(1, 3))):
        runs = []
        for _ in range(draw(st.integers(1, 2))):
            size = st.lists(st.booleans(), min_size=len(found), max_size=len(found))
            rows = np.flatnonzero(np.array(draw(size), bool))
            label = (found.label[rows] + draw(st.integers(0, 1))) % classes
            runs.append(
                DetectionTable(found.catalog, found.image[rows], label, found.xywh[rows], found.score[rows])
            )
        tables.append(runs)
    return report_on(scene.truth, tables)


def plain_of(report: ReportData) -> list[list[PlainErrors]]:
    return [
        [plain_errors(run.run.truth, run.run.detections, run.best_point.score) for run in runs]
        for runs in report.evaluated
    ]


def cells_of(section: object, slug: str) -> list[list[object]]:
    tables = {table.slug: table for table in section.tables}  # type: ignore[attr-defined]
    return [[cell.value for cell in row.cells] for row in tables[slug].rows]


def typed(text: str) -> dict[str, int]:
    """Numbers of errors by type in a list like ``2 duplicates and 1 detection on background``."""
    parts = [part.split(" ", 1) for part in re.split(r", | and (?=\d)", text)]
    return {NAMES.get(name) or NAMES[name.removesuffix("s")]: int(count) for count, name in parts}


@given(reports())
def test_counts_of_sentence_tables_and_files_are_those_of_a_plain_count(report: ReportData) -> None:
    section, plain = errors.section(report), plain_of(report)
    frame, images = confusions.rows(report), gallery.rows(report)
    objects = int(report.evaluated[0][0].outcome.valid.sum())
    tables = {table.slug for table in section.tables}
    assert ("confusion-0" in tables) == (len(report.classes) > 1)
    for number, (label, runs) in enumerate(zip(report.labels, plain, strict=True)):
        tp, fp = sum(len(run.tp) for run in runs), sum(len(run.fp) for run in runs)
        fn = sum(len(run.undetected) for run in runs)
        types = {kind: sum(run.types[kind] for run in runs) for kind in FALSE_POSITIVES}
        assert tp + fn == objects * len(runs)
        row = cells_of(section, "errors-table")[number][1:9]
        assert row == [tp, fn, fp, *types.values()]
        assert sum(row[3:]) == row[2]  # type: ignore[arg-type]
        if objects:
            check_sentence(section.finding, label, len(runs), (tp, fp, fn), types)
        for seed, run in enumerate(runs):
            name = f"m{number}-{seed}"
            table = frame[frame["run_id"] == name]
            by_type = table.groupby("error_type")["count"].sum().drop("", errors="ignore")
            assert by_type.to_dict() == dict(run.types)
            of_images = images[images["run_id"] == name]
            assert of_images[list(FALSE_POSITIVES)].sum().to_dict() == {
                k: run.types[k] for k in FALSE_POSITIVES
            }
            assert (of_images[list(FALSE_POSITIVES)].sum(axis=1) == of_images["fp"]).all()
            assert of_images[["tp", "fn"]].sum().tolist() == [len(run.tp), len(run.undetected)]
        if len(report.classes) > 1:
            check_matrix(report, section, number, fp, types)


@given(reports())
def test_the_shown_counts_of_the_thresholds_add_up_to_the_objects(report: ReportData) -> None:
    objects = int(report.evaluated[0][0].outcome.valid.sum())
    (table,) = thresholds.section(report).tables
    for row, runs in zip(table.rows, report.evaluated, strict=True):
        tp, fp, fn = (float(cell.text) for cell in row.cells[5:8])
        assert tp + fn == objects
        assert fp == np.mean([run.best_point.fp for run in runs])  # of one or two runs, exact with one digit


def check_sentence(
    finding: str, label: str, runs: int, counts: tuple[int, int, int], types: dict[str, int]
) -> None:
    tp, fp, fn = counts
    (sentence,) = [text for text in re.split(r"(?<=\.) ", finding) if re.match(rf"{label}\b", text)]
    assert (f"{label}, summed over {runs} runs," in sentence) == (runs > 1)
    objects = f"{fn} of {tp + fn} object{'s' * (tp + fn != 1)}"
    if not tp:
        assert sentence.endswith(f"so none of its detections is counted and {objects} are undetected.")
        assert fp == 0
        return
    said = re.fullmatch(rf".* leaves {objects} undetected \((.*)%\) and has (.*)\.", sentence)
    assert said
    share = 100 * fn / (tp + fn)
    if said[1] == "<1":
        assert 0 < share < 1
    elif said[1] == ">99":
        assert 99 < share < 100
    else:
        assert abs(float(said[1]) - share) <= 0.5
        assert (said[1] == "0") == (fn == 0)
    if not fp:
        assert said[2] == "no false positives"
        return
    total, listed = said[2].split(": ")
    assert total == f"{fp} false positive{'s' * (fp > 1)}"
    assert typed(listed) == {kind: count for kind, count in types.items() if count}


def check_matrix(report: ReportData, section: object, number: int, fp: int, types: dict[str, int]) -> None:
    """All cells off the diagonal, without the last column, are the false positives; pairs are classification errors."""
    table, classes = cells_of(section, f"confusion-{number}"), len(report.classes)
    counts = np.array([[value or 0 for value in row[1:]] for row in table], int)
    assert counts.shape == (classes + 5, classes + 1)
    right = np.trace(counts[:classes, :classes])
    assert counts[:, :classes].sum() - right == fp
    pairs = counts[:classes, :classes].sum() - right
    unpaired = dict(zip(FALSE_POSITIVES, counts[classes:].sum(1).tolist(), strict=True))
    unpaired["classification"] += pairs
    assert unpaired == types
    objects = report.evaluated[number][0].outcome.positives * len(report.evaluated[number])
    assert counts[:classes].sum(1).tolist() == objects.tolist()
    listed = np.array([row[2 + number] for row in cells_of(section, "confusions-table")], int)
    assert listed.sum() == pairs  # at most 6 pairs of three classes


@given(reports())
def test_the_costs_sentence_names_every_type_with_the_highest_cost(report: ReportData) -> None:
    text = errors.section(report).figures[1].finding
    if not report.evaluated[0][0].outcome.valid.any():
        assert text == "There are no valid objects, so error costs are not defined."
        return
    named: dict[str, tuple[set[str], str]] = {}
    first = re.match(
        r"On these images, AP50 would increase most \(in percentage points\) by correcting (.*?)\.(?!\d)",
        text,
    )
    for part in (
        re.split(r", | and (?=\D)", first[1].replace("both class and loc", "both class & loc"))
        if first
        else []
    ):
        kinds, label, amount = re.fullmatch(r"(.*) for (\S+) \((.*)\)", part).groups()  # type: ignore[union-attr]
        kinds = kinds.replace("&", "and")
        named[label] = {NAMES.get(k) or NAMES[k.removesuffix("s")] for k in kinds.split(" or ")}, amount
    for label, runs in zip(report.labels, report.evaluated, strict=True):
        evaluations = [evaluate(run.run.truth, run.run.detections, ["error_types"]) for run in runs]
        costs = {kind: np.mean([each.value(f"cost_{kind}") for each in evaluations]) for kind in KINDS}
        shown = {kind: f"{100 * cost:+.1f}" for kind, cost in costs.items()}
        highest = max(shown.values(), key=float)
        if float(highest) <= 0:
            assert label not in named
            assert re.search(rf"For .*\b{label}\b.* would increase AP50 by less than 0\.1", text)
            continue
        kinds = {kind for kind, cost in shown.items() if cost == highest}
        assert named[label] == (kinds, highest + " each" * (len(kinds) > 1))


def test_detections_that_name_the_wrong_class_are_not_called_background() -> None:
    """Cards: two thirds of the boxes name another card than the one they lie on, and one lies on the table."""
    catalog = Catalog.of([1], ["seven", "eight", "nine"])
    cards = [[40.0 * at, 0.0, 30.0, 50.0] for at in range(30)]
    truth = AnnotationTable.of(catalog, [0] * 30, [at % 3 for at in range(30)], cards)
    label = [at % 3 if at % 3 == 0 else (at + 1) % 3 for at in range(30)]
    table = DetectionTable(
        catalog, np.zeros(31, np.int32), np.array([*label, 0], np.int32),
        np.array([*cards, [2000.0, 0, 30, 50]]), np.full(31, 0.9),
    )  # fmt: skip
    section = errors.section(report_on(truth, [[table]]))
    assert section.finding == (
        "m0 leaves 20 of 30 objects undetected (67%) and has 21 false positives: 20 classification errors and 1 detection "
        "on background."
    )
    assert cells_of(section, "errors-table")[0][1:9] == [10, 20, 21, 20, 0, 0, 0, 1]
    assert "classification errors for m0" in section.figures[1].finding


def test_types_of_equal_cost_are_named_together() -> None:
    """Two objects of each class, one found; of the others, one has a poorly localized box and one has nothing."""
    catalog = Catalog.of([1], ["a", "b"])
    boxes = [[40.0 * at, 0.0, 10.0, 10.0] for at in range(4)]
    truth = AnnotationTable.of(catalog, [0] * 4, [0, 0, 1, 1], boxes)
    found = np.array([boxes[0], [40.0, 0, 10, 4], boxes[2]])
    table = DetectionTable(catalog, np.zeros(3, int), np.array([0, 0, 1]), found, np.array([0.9, 0.8, 0.9]))
    section = errors.section(report_on(truth, [[table], [table]]))
    assert section.figures[1].finding == (
        "On these images, AP50 would increase most (in percentage points) by correcting localization errors or missed objects for m0 (+24.8 each) and "
        "localization errors or missed objects for m1 (+24.8 each)."
    )


@pytest.mark.parametrize(("undetected", "share"), [(0, "0%"), (1, "<1%"), (150, "50%"), (299, ">99%")])
def test_a_share_is_rounded_to_nothing_or_all_only_if_it_is(undetected: int, share: str) -> None:
    catalog = Catalog.of(range(300), ["a"])
    box = np.tile([0.0, 0.0, 10.0, 10.0], (300, 1))
    truth = AnnotationTable.of(catalog, list(range(300)), [0] * 300, box)
    rows = np.arange(undetected, 300)
    table = DetectionTable(catalog, rows, np.zeros(len(rows), int), box[rows], np.full(len(rows), 0.9))
    section = errors.section(report_on(truth, [[table]]))
    assert (
        section.finding
        == f"m0 leaves {undetected} of 300 objects undetected ({share}) and has no false positives."
    )
    assert next(row.cells[2].note for row in section.tables[0].rows) == share
