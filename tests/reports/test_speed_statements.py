"""Sentences on speed, against plain loops over the samples and t intervals by SciPy.

Drawn: models that were not timed, or whose timing is not valid; one process, few samples, equal models, noise, two machines,
models timed in turn and apart.
"""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp, ttest_ind
from synthetic_runs import found_in, run_in, truth_of
from synthetic_timings import MACHINE, samples_of, timing_in

from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.report_data import ReportData
from reports.analysis.speed import speed_finding, speed_of
from reports.records.timing import FILE, Machine
from reports.sections import latency, speed_accuracy

OTHER = MACHINE.model_copy(update={"cpu": "Other CPU"})
STAGE_WORDS = {
    "decode": "reading and decoding", "preprocess": "preprocessing", "forward": "network", "postprocess": "decoding and NMS",
}  # fmt: skip


@dataclass(frozen=True)
class Timed:
    """A valid timing."""

    samples: pd.DataFrame
    machine: Machine
    session: str

    @cached_property
    def rows(self) -> dict[tuple[str, str, int], dict[int, list[float]]]:
        """Milliseconds by stage, mode and batch size, then by process."""
        found: dict[tuple[str, str, int], dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in self.samples.to_dict("records"):
            found[row["stage"], row["mode"], row["batch"]][row["process"]].append(row["ns"] / 1e6)
        return found

    def times(self, stage: str = "end_to_end", mode: str = "real", batch: int = 1) -> list[list[float]]:
        """Milliseconds of each process."""
        return list(self.rows[stage, mode, batch].values())

    def medians(self, stage: str = "end_to_end", mode: str = "real") -> list[float]:
        """Median of each process."""
        return [statistics.median(times) for times in self.times(stage, mode)]

    def median(self, stage: str = "end_to_end", mode: str = "real") -> float:
        """Geometric mean of the medians of the processes."""
        return statistics.geometric_mean(self.medians(stage, mode))

    def rate(self, batch: int) -> float:
        """Images per second, geometric mean over processes."""
        return statistics.geometric_mean([1000 * batch * len(of) / sum(of) for of in self.times(batch=batch)])


@pytest.fixture(scope="module", params=["different", "equal", "few"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ReportData:
    """Three models of clearly different AP, three with the same detections, or of different AP on too few images."""
    folder, truth = (
        tmp_path_factory.mktemp("base"),
        truth_of(16 if request.param == "few" else 56, ["a"], most=4),
    )
    same = found_in(truth, 0.6, 0) if request.param == "equal" else None
    skills = {"one": 0.9, "two": 0.6, "three": 0.3}
    runs = [run_in(folder, truth, name, skill, found=same) for name, skill in skills.items()]
    return ReportData.from_runs(runs, options=ComparisonOptions(resamples=60))


@st.composite
def timings(draw: st.DrawFn) -> list[Timed | str | None]:
    """For each of three models its timing, the reason why it is not valid, or None."""
    made: list[Timed | str | None] = []
    processes = draw(st.sampled_from([3, 1, 6]))
    for _ in range(3):
        kind = draw(st.sampled_from(["timed", "timed", "timed", "timed", "invalid", "none"]))
        if kind != "timed":
            made.append("the machine slept" if kind == "invalid" else None)
            continue
        samples = samples_of(
            draw(st.sampled_from([10.0, 10.2, 20.0])), processes=processes, rounds=2, iterations=3, batches=(1, 2),
            noise=draw(st.sampled_from([0.001, 0.04, 0.4])), seed=draw(st.integers(0, 99)),
        )  # fmt: skip
        machine = draw(st.sampled_from([MACHINE, MACHINE, MACHINE, OTHER]))
        made.append(Timed(samples, machine, draw(st.sampled_from(["together", "together", "apart"]))))
    return made


def write_timings(report: ReportData, drawn: list[Timed | str | None]) -> None:
    """Write the timings into the folders of the runs, or remove those that are there."""
    for folder, one in zip(report.folders, drawn, strict=True):
        assert folder.path is not None
        (folder.path / FILE).unlink(missing_ok=True)
        if isinstance(one, str):
            timing_in(folder, 10.0, samples=samples_of(10.0, rounds=2, iterations=3), invalid=(one,))
        elif one is not None:
            timing_in(folder, 10.0, samples=one.samples, machine=one.machine, session=one.session)


@pytest.mark.usefixtures("no_drawing")
@settings(
    max_examples=12, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(timings())
def test_sentences_on_speed_hold_on_the_samples(report: ReportData, drawn: list[Timed | str | None]) -> None:
    write_timings(report, drawn)
    speed = speed_of(report)
    by_name = {model.label: one for model, one in zip(report.models, drawn, strict=True)}
    known = {
        model.label: one for model in report.models if isinstance(one := by_name[model.label], Timed)
    }  # by rank
    check_verdict(speed_finding(report, speed), known)
    check_latency(latency.section(report, speed), known, by_name)
    section = speed_accuracy.section(report, speed)
    assert (section is None) == (not known)
    if section is not None:
        aps = {
            model.label: float(np.mean(seeds))
            for model, seeds in zip(report.models, report.headline("ap"), strict=True)
        }
        decisive = {
            frozenset((row.model_a, row.model_b))
            for row in report.statistics.pairwise
            if row.metric == "ap" and row.decisive
        }
        check_front(section, known, aps, decisive)


def ratio_interval(one: Timed, other: Timed, pairs: int) -> tuple[float, float] | None:
    """Interval of the speed of `one` divided by that of `other`; None with one process."""
    first, second = np.log(other.medians()), np.log(one.medians())
    if len(first) < 2:
        return None
    level = 1 - 0.05 / pairs
    if one.session == other.session:
        low, high = ttest_1samp(first - second, 0).confidence_interval(level)
    else:
        low, high = ttest_ind(first, second, equal_var=False).confidence_interval(level)
    return math.exp(min(low, 700)), math.exp(min(high, 700))


def comparable(known: dict[str, Timed], name: str) -> list[str]:
    """Models timed on the machine of `name`, itself included."""
    return [other for other in known if known[other].machine == known[name].machine]


def check_verdict(text: str, known: dict[str, Timed]) -> None:
    if not known:
        assert text == ""
        return
    best = next(iter(known))
    start = re.match(
        r"(\w+) takes ([\d.]+) ms per image on ([\w ]+), 4 threads, from file to detections", text
    )
    assert start
    assert (start[1], start[3]) == (best, known[best].machine.cpu)
    assert float(start[2]) == pytest.approx(known[best].median(), abs=0.051)
    named = comparable(known, best)
    pairs = len(named) * (len(named) - 1) // 2
    found = re.findall(r"(\w+) has ([\d.]+)×(?: \[([\d.]+), (>99|[\d.]+)\])? its speed", text)
    assert [name for name, *_ in found] == named[1:]
    for name, value, low, high in found:
        assert float(value) == pytest.approx(known[best].median() / known[name].median(), rel=0.03)
        expected = ratio_interval(known[name], known[best], pairs)
        assert (low == "") == (expected is None)
        if expected is not None:
            shown = float(low), math.inf if high == ">99" else float(high)
            for mine, theirs in zip(shown, expected, strict=True):
                assert mine == pytest.approx(theirs, rel=0.03, abs=0.0051) or (
                    mine == math.inf and theirs > 99
                )
                if abs(theirs - 1) > 0.0005:
                    assert (mine > 1) == (theirs > 1)


def check_latency(section: object, known: dict[str, Timed], drawn: dict[str, Timed | str | None]) -> None:
    warnings, finding = section.warnings, section.finding
    invalid = {name for name, one in drawn.items() if isinstance(one, str)}
    if not known:
        assert finding.startswith("There is no valid timing." if invalid else "No run was timed.")
        return
    machines = {one.machine.cpu for one in known.values()}
    assert any("timed on different machines" in text for text in warnings) == (len(machines) > 1)
    assert {text.split()[3] for text in warnings if text.startswith("The timing of")} == invalid
    noisy = set()
    for name, one in known.items():
        fixed = [time for times in one.times(mode="fixed") for time in times]
        low, high = np.quantile(fixed, [0.25, 0.75], method="inverted_cdf")
        share = (high - low) / one.median(mode="fixed")
        if share > 0.2:
            noisy.add(name)
    told = " ".join(text for text in warnings if text.startswith("Noisy timing"))
    assert set(re.findall(r"(\w+) \(\d+%\)", told)) == noisy
    sentences = re.findall(
        r"Median latency of one image from file to detections on ([\w ]+), 4 threads: ([^.]+(?:\.\d+[^.]+)*)\.",
        finding,
    )
    assert {machine for machine, _ in sentences} == machines
    figures = {figure.slug: figure for figure in section.figures}
    for at, (machine, text) in enumerate(sentences):
        of = {name: one for name, one in known.items() if one.machine.cpu == machine}
        told = re.findall(r"(\w+) ([\d.]+) ms", text)
        assert {name for name, _ in told} == set(of)
        for name, value in told:
            assert float(value) == pytest.approx(of[name].median(), abs=0.051)
        medians = [of[name].median() for name, _ in told]
        assert medians == sorted(medians)
        suffix = f"-{at + 1}" if at else ""
        check_stages(figures[f"latency-stages{suffix}"].finding, of)
        check_rates(figures[f"throughput{suffix}"].finding, of)


def check_stages(text: str, known: dict[str, Timed]) -> None:
    found = re.findall(r"([a-zA-Z ]+?) for (\w+) \((\d+)%\)", text.removeprefix("Slowest stage: "))
    assert {name for _, name, _ in found} == set(known)
    for words, name, share in found:
        medians = {stage: known[name].median(stage) for stage in STAGE_WORDS}
        longest = max(medians, key=lambda stage: medians[stage])
        assert words.removeprefix(" and ").strip() == STAGE_WORDS[longest]
        assert int(share) == pytest.approx(100 * medians[longest] / sum(medians.values()), abs=0.51)


def check_rates(text: str, known: dict[str, Timed]) -> None:
    found = re.findall(r"(\w+) ([\d.  ]+) images/s \(batch size (\d+)\)", text)
    assert {name for name, *_ in found} == set(known)
    for name, value, batch in found:
        rates = {size: known[name].rate(size) for size in (1, 2)}
        assert int(batch) == max(rates, key=lambda size: rates[size])
        assert float(re.sub(r"\s", "", value)) == pytest.approx(max(rates.values()), rel=0.006)


def check_front(
    section: object, known: dict[str, Timed], aps: dict[str, float], decisive: set[frozenset[str]]
) -> None:
    groups: dict[str, list[str]] = {}
    for name, one in known.items():
        groups.setdefault(one.machine.cpu, []).append(name)
    rows = {row.cells[0].text: row for row in section.tables[0].rows}
    assert set(rows) == set(known)
    missing = " ".join(text for text in section.warnings if text.startswith("Not shown"))
    assert set(re.findall(r"one|two|three", missing)) == set(aps) - set(known)
    for cpu, names in groups.items():
        slower = {name: set() for name in names}
        for one, other in itertools.permutations(names, 2):
            ends = ratio_interval(known[other], known[one], len(names) * (len(names) - 1) // 2)
            leads = frozenset((one, other)) in decisive and aps[one] > aps[other]
            if ends is not None and ends[0] > 1 and not leads:
                slower[one].add(other)
        front = [
            name
            for name in names
            if not any(
                known[other].median() <= known[name].median()
                and aps[other] >= aps[name]
                and (known[other].median() < known[name].median() or aps[other] > aps[name])
                for other in names
            )
        ]
        for name in names:
            word = rows[name].cells[-1].text
            if slower[name]:
                assert set(re.findall(r"one|two|three", word)) == slower[name]
                assert word.endswith("without a decisively higher AP")
            else:
                assert (word == "on the front") == (name in front)
        if len(names) > 1:
            title = f"AP over latency on {cpu}, 4 threads"
            (text,) = [figure.finding for figure in section.figures if figure.title == title]
            head, *rest = text.removesuffix(".").split("; ")
            assert set(re.findall(r"one|two|three", head)) == set(front)
            assert head.startswith("The Pareto front of speed and AP consists of ")
            told = {
                part.split()[0]: set(re.findall(r"one|two|three", part.split(" slower than ")[1]))
                for part in rest
            }
            assert told == {name: others for name, others in slower.items() if others}
