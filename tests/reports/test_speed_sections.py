"""Speed on the page: the verdict's sentence, the leaderboard's columns, speed against AP, and latency by stage."""

from __future__ import annotations

import re
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from pages import cells, every, parsed, part, words
from scipy.stats import ttest_1samp
from synthetic_runs import run_in, truth_of
from synthetic_timings import MACHINE, SHARES, samples_of, timing_in

from metrics.errors import InputError
from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.leaderboard import resources
from reports.analysis.process_intervals import Estimate
from reports.analysis.report_data import ReportData
from reports.analysis.speed import COMMAND, faster_and_not_worse, speed_finding, speed_of, times
from reports.pages import write_report
from reports.records.run import RunFolder
from reports.records.timing import FILE
from reports.sections import latency, speed_accuracy, verdict

TERMS = ComparisonOptions(resamples=200)
SKILLS = {"good": 0.9, "middling": 0.6, "poor": 0.3}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three models of clearly different AP on sixty images, not timed."""
    folder, truth = tmp_path_factory.mktemp("made"), truth_of(60, ["a"], most=5)
    return [run_in(folder, truth, name, skill) for name, skill in SKILLS.items()]


@pytest.fixture
def runs(made, tmp_path):
    """Copies by name, to be timed."""
    for run in made:
        shutil.copytree(run.path, tmp_path / run.path.name)
    return {run.result.variant: RunFolder.open(tmp_path / run.path.name) for run in made}


def compared(runs):
    """The report data with models 0: good, 1: middling, 2: poor, and their speed."""
    report = ReportData.from_runs(list(runs.values()), options=TERMS)
    assert [model.label for model in report.models] == list(SKILLS)
    return report, speed_of(report)


def text_of(section):
    """All text of a section."""
    text = [section.title, section.finding, *section.warnings, *section.method]
    text += [figure.title + figure.finding + figure.caption for figure in section.figures]
    for table in section.tables:
        text += [column.title for column in table.columns]
        text += [f"{cell.text} {cell.note}" for row in table.rows for cell in row.cells]
    return " | ".join(text)


def table_of(section, slug):
    table = next(table for table in section.tables if table.slug == slug)
    return [[cell.text for cell in row.cells] for row in table.rows], [c.title for c in table.columns]


def test_without_timings_the_page_names_the_command(runs, no_drawing):
    report, speed = compared(runs)
    assert speed_accuracy.section(report, speed) is None
    assert speed_finding(report, speed) == ""
    section = latency.section(report, speed)
    assert COMMAND in section.finding
    assert (section.figures, section.tables) == ((), ())
    _, titles = table_of(verdict.section(report, speed), "leaderboard")
    assert not {"p50 (ms)", "Memory"} & set(titles)
    frame = resources([*runs.values()])
    assert frame[["latency_p50_ms", "images_per_second", "peak_memory_bytes", "timing"]].isna().all(axis=None)
    assert len(latency.rows(report, speed)) == len(speed_accuracy.rows(report, speed)) == 0


def test_a_single_process_has_no_intervals(runs):
    for name, ms in (("good", 40.0), ("poor", 10.0), ("middling", 80.0)):
        timing_in(runs[name], ms, samples=samples_of(ms, processes=1, rounds=4))
    report, speed = compared(runs)
    assert speed.ratio(2, 1)[1:] == (None, None)
    assert re.search("poor has (3.9|4.[01])× its speed", speed_finding(report, speed))
    assert "[" not in speed_finding(report, speed)
    # Much slower than the poor one, but not decisively: there is no interval.
    assert faster_and_not_worse(report, speed, 1) == []
    rows, titles = table_of(speed_accuracy.section(report, speed), "pareto-table")
    assert {row[titles.index("Probability of being on the front")] for row in rows} == {"–"}
    table = speed_accuracy.section(report, speed).tables[0]
    assert {row.cells[titles.index("Median (ms)")].note for row in table.rows} == {""}


def test_the_verdict_has_the_relative_speed_of_the_other_models(runs):
    for name, ms in (("good", 40.0), ("middling", 20.0), ("poor", 80.0)):
        timing_in(runs[name], ms, samples=exactly(ms))
    text = speed_finding(*compared(runs))
    assert text == (
        "good takes 40.0 ms per image on Example CPU 3000, 4 threads, from file to detections; "
        "middling has 2.0× [2.0, 2.0] its speed and poor has 0.50× [0.50, 0.50] its speed."
    )


def exactly(ms, drift=None):
    """Samples that take just so long, or `drift` (12 rounds) times as long."""
    samples = samples_of(ms)
    factor = np.ones(12) if drift is None else drift
    block = (4 * samples["process"] + samples["round"]).to_numpy()
    share = samples["stage"].map(SHARES | {"end_to_end": 1.0}).to_numpy()
    samples["ns"] = np.maximum(1, np.round(ms * 1e6 * share * factor[block])).astype(int)
    return samples


def test_slow_processes_shared_by_all_models_do_not_widen_the_ratio(runs):
    drift = np.linspace(1, 3, 12)
    timing_in(runs["good"], 40.0, samples=exactly(40.0, drift))
    timing_in(runs["middling"], 20.0, samples=exactly(20.0, drift))
    timing_in(runs["poor"], 20.0, samples=exactly(20.0, drift), session="another day")
    _, speed = compared(runs)
    value, low, high = speed.ratio(1, 0)
    assert (value, low, high) == pytest.approx((2.0, 2.0, 2.0))
    value, low, high = speed.ratio(2, 0)
    assert value == pytest.approx(2.0)
    assert low < 0.6 < 6 < high  # Welch's t with about four degrees of freedom, over three pairs of models
    assert speed.ratio(0, 1).value == pytest.approx(0.5)


def test_the_pareto_front_and_models_that_are_slower_but_not_better(runs, no_drawing):
    for name, ms in (("good", 40.0), ("middling", 60.0), ("poor", 10.0)):
        timing_in(runs[name], ms)
    report, speed = compared(runs)
    section = speed_accuracy.section(report, speed)
    assert section.finding == (
        "The Pareto front of speed and AP consists of good and poor; middling is slower than good without a decisively higher AP."
    )
    rows, _ = table_of(section, "pareto-table")
    assert [row[-1] for row in rows] == [
        "on the front",
        "slower than good without a decisively higher AP",
        "on the front",
    ]
    assert [row[-2] for row in rows] == ["1.00", "0.01", "1.00"]
    frame = speed_accuracy.rows(report, speed).set_index("model_id")
    assert frame["on_front"].tolist() == [True, False, True]
    assert frame.loc["middling", "slower_and_no_better_than"] == "good"
    ap = [float(np.mean(seeds)) for seeds in report.headline("ap")]
    ms = frame["latency_p50_ms"]
    area = np.log(ms["good"] / ms["poor"]) * ap[2] + np.log(100 / ms["good"]) * ap[0]
    assert frame["hypervolume"].tolist() == pytest.approx([area] * 3)
    assert f"{area:.3f} for the reference point (100 ms, AP 0.0)" in text_of(section)


def test_slower_models_are_not_grey_if_better_or_if_times_overlap(runs):
    drift = np.linspace(1, 2, 12)
    timing_in(runs["good"], 40.0, samples=exactly(40.0, drift))
    timing_in(runs["middling"], 41.0, samples=exactly(41.0, drift[::-1]))
    timing_in(runs["poor"], 10.0)
    report, speed = compared(runs)
    overlapping = speed.ratio(0, 1)
    assert overlapping.low < 1 < overlapping.value
    assert faster_and_not_worse(report, speed, 0) == []
    assert faster_and_not_worse(report, speed, 1) == []
    untested = ReportData.from_runs(list(runs.values()), options=ComparisonOptions(resamples=0))
    timing_in(runs["poor"], 90.0)
    assert faster_and_not_worse(untested, speed_of(untested), 2) == []


def test_without_resamples_the_front_has_no_probabilities(runs, no_drawing):
    for name in SKILLS:
        timing_in(runs[name], 40.0)
    report = ReportData.from_runs(list(runs.values()), options=ComparisonOptions(resamples=0))
    section = speed_accuracy.section(report, speed_of(report))
    assert [row[4] for row in table_of(section, "pareto-table")[0]] == ["–"] * 3
    assert "probability of being on the front is" not in text_of(section)


@pytest.mark.parametrize(("spread", "slower"), [(0.002, True), (0.04, False)])
def test_a_model_is_called_slower_only_by_differences_beyond_those_of_its_processes(
    runs, no_drawing, spread, slower
):
    # Within each process, all passes agree and middling is behind; a naive interval over passes would have no width.
    own = np.repeat(1 + spread * np.array([-1.0, 0.3, 0.7]), 4)
    timing_in(runs["good"], 40.0, samples=exactly(40.0))
    timing_in(runs["middling"], 42.0, samples=exactly(42.0, own))
    report, speed = compared(runs)
    assert (faster_and_not_worse(report, speed, 1) == [0]) is slower
    assert ("middling is slower than good" in speed_accuracy.section(report, speed).finding) is slower
    ratio = speed.ratio(1, 0)
    logs = np.log(40 / (42 * own[::4]))
    reference = ttest_1samp(logs, 0).confidence_interval()
    assert (ratio.low, ratio.high) == pytest.approx(np.exp([reference.low, reference.high]), rel=1e-6)


def test_ratios_of_three_models_hold_jointly(runs, no_drawing):
    for name, ms in (("good", 40.0), ("middling", 60.0), ("poor", 10.0)):
        timing_in(runs[name], ms)
    report, speed = compared(runs)
    first, second = (np.log(timed.process_ms) for timed in speed.models[:2])
    reference = ttest_1samp(second - first, 0).confidence_interval(1 - 0.05 / 3)
    ratio = speed.ratio(0, 1)
    assert np.log([ratio.low, ratio.high]) == pytest.approx([reference.low, reference.high])
    assert "the intervals of all 3 pairs hold jointly" in text_of(speed_accuracy.section(report, speed))


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (Estimate(1.4, 1.31, 1.52), "1.40× [1.31, 1.52]"),
        (Estimate(1.02, 1.002, 1.04), "1.02× [1.002, 1.04]"),
        (Estimate(0.99, 0.98, 0.998), "0.99× [0.98, 0.998]"),
        (Estimate(2.26, 0.01, 4e8), "2.3× [0.01, >99]"),
        (Estimate(12.4), "12×"),
        (None, "–"),
    ],
)
def test_a_ratio_is_not_rounded_to_1(ratio, text):
    assert times(ratio) == text


OTHER = MACHINE.model_copy(update={"cpu": "Other <b>CPU</b>", "device": "cpu"})


def test_times_of_two_machines_are_not_compared(runs, no_drawing):
    timing_in(runs["good"], 40.0)
    timing_in(runs["middling"], 20.0, machine=OTHER)
    timing_in(runs["poor"], 10.0)
    report, speed = compared(runs)
    assert [models for _, models in speed.machines] == [(0, 2), (1,)]
    assert speed.ratio(0, 1) is None
    assert "middling" not in speed_finding(report, speed)
    section = speed_accuracy.section(report, speed)
    assert [figure.slug for figure in section.figures] == ["pareto", "pareto-2"]
    assert any("different machines" in warning for warning in section.warnings)
    frame = speed_accuracy.rows(report, speed).set_index("model_id")
    assert frame.loc["middling", "hardware"] != frame.loc["good", "hardware"]
    assert frame.loc["middling", "on_front"]
    _, titles = table_of(verdict.section(report, speed), "leaderboard")
    assert "Timed on" in titles
    slugs = [figure.slug for figure in latency.section(report, speed).figures]
    assert len(set(slugs)) == len(slugs) == 6


def test_an_invalid_timing_is_left_out_with_its_reason(runs, no_drawing):
    timing_in(runs["good"], 40.0)
    timing_in(runs["middling"], 20.0, invalid=("the machine slept for 5.0 s meanwhile",))
    report, speed = compared(runs)
    reason = "The timing of middling is not valid: the machine slept for 5.0 s meanwhile."
    assert speed.left_out == (reason,)
    assert reason in latency.section(report, speed).warnings
    section = speed_accuracy.section(report, speed)
    assert any("there is no valid timing: middling and poor" in warning for warning in section.warnings)
    rows, titles = table_of(verdict.section(report, speed), "leaderboard")
    at = titles.index("p50 (ms)")
    assert [row[at : at + 4] == ["–"] * 4 for row in rows] == [False, True, True]
    frame = resources([*runs.values()]).set_index("model_id")
    assert frame["timing"].fillna("").to_dict() == {"good": "valid", "middling": "invalid", "poor": ""}
    assert frame["latency_p50_ms"].notna().to_dict() == {"good": True, "middling": False, "poor": False}


def test_invalid_timings_only_are_reported_with_their_reasons(runs):
    timing_in(runs["good"], 40.0, invalid=("timed side by side with other work",))
    report, speed = compared(runs)
    section = latency.section(report, speed)
    assert section.finding.startswith("There is no valid timing.")
    assert len(section.warnings) == 1
    assert speed_accuracy.section(report, speed) is None


def test_the_timing_of_another_run_is_not_used(runs):
    timing_in(runs["good"], 40.0, run="somebody-else")
    _, speed = compared(runs)
    assert "it belongs to another run, somebody-else" in speed.left_out[0]


def test_a_timing_of_a_newer_schema_is_refused(runs):
    timing_in(runs["good"], 40.0)
    file = runs["good"].path / FILE
    file.write_text(file.read_text().replace('"schema_version": 2', '"schema_version": 9'))
    with pytest.raises(InputError, match="has schema version 9"):
        compared(runs)


def test_the_first_valid_timing_of_several_seeds_is_used(tmp_path):
    truth = truth_of(8, ["a"])
    first, second, third = (run_in(tmp_path, truth, "one", 0.6, seed) for seed in range(3))
    timing_in(first, 10.0, invalid=("it slept",))
    timing_in(second, 20.0, samples=exactly(20.0))
    timing_in(third, 30.0)
    report = ReportData.from_runs([first, second, third], options=ComparisonOptions(resamples=0))
    speed = speed_of(report)
    (timed,) = speed.known
    assert timed.median_ms == pytest.approx(20.0)
    assert speed.left_out == ()


def test_percentiles_with_too_few_samples_are_marked(runs, no_drawing):
    timing_in(runs["good"], 40.0, samples=samples_of(40.0, iterations=4))
    report, speed = compared(runs)
    text = text_of(latency.section(report, speed))
    assert "n=48 < 368: too few samples" in text
    assert "n=48 < 36:" not in text
    assert "n=48 < 368" in text_of(verdict.section(report, speed))


def test_batches_that_do_not_fit_are_marked(runs, no_drawing):
    timing_in(runs["good"], 40.0, out_of_memory=[8])
    rows, _ = table_of(latency.section(*compared(runs)), "throughput-table")
    assert [row[1:3] for row in rows][-1] == ["8", "out of memory"]
    assert [row[4] for row in rows] == ["410 MB", "420 MB", "440 MB", "–"]


def test_noisy_timings_and_notes_are_warnings(runs, no_drawing):
    timing_in(runs["good"], 40.0, samples=samples_of(40.0, noise=0.4), notes=("timed in 2 processes",))
    section = latency.section(*compared(runs))
    assert any(warning.startswith("Noisy timing: ") and "good (" in warning for warning in section.warnings)
    assert "good: timed in 2 processes." in section.warnings


def test_the_csv_has_every_stage_mode_and_batch(runs):
    timing = timing_in(runs["good"], 40.0)
    frame = latency.rows(*compared(runs))
    assert len(frame) == len(timing.stages) == 5 * 4
    assert set(frame["mode"]) == {"real", "fixed"}
    whole = frame[(frame["stage"] == "end_to_end") & (frame["mode"] == "real")].set_index("batch")
    assert whole["images_per_second"].tolist() == [run.images_per_second for run in timing.batches]
    assert whole.loc[1, "p50_ms"] == timing.headline.median_ms
    assert pd.isna(whole.loc[1, "p99_ms"])


def test_a_page_with_timings_is_valid_and_its_links_exist(runs, tmp_path):
    timing_in(runs["good"], 40.0, samples=samples_of(40.0, noise=0.4))
    timing_in(runs["middling"], 60.0, machine=OTHER)
    timing_in(runs["poor"], 10.0)
    page = write_report([*runs.values()], tmp_path / "page", options=TERMS)
    tree = parsed(page)
    ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    order = [element.get("id") for element in every(tree, "section")]
    assert order.index("pairs") < order.index("pareto") < order.index("curves")
    assert order.index("training") < order.index("latency") < order.index("data")
    assert "Other <b>CPU</b>, 4 threads" in words(part(tree, "latency"))
    assert [row[0] for row in cells(tree, "pareto-table")] == [
        "good Example CPU 3000, 4 threads", "poor Example CPU 3000, 4 threads", "middling Other <b>CPU</b>, 4 threads",
    ]  # fmt: skip
    header = words(next(iter(every(tree, "header"))))
    assert "noisy" in header
    assert "mixed hardware" in header
    for link in every(part(tree, "latency"), "a"):
        assert (page.parent / link.get("href")).is_file()
    assert len(pd.read_csv(page.parent / "pareto.csv")) == 3
    assert len(pd.read_csv(page.parent / "timings.csv")) == 60
