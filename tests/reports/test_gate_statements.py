"""Sentences of the regression gate, against differences by plain loops; the numbers that are shown agree with the outcome."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import brute_force as brute
import numpy as np
import pytest
from drawn_reports import reports
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from metrics.compare import GateResult, MeasureLimit
from reports.analysis.report_data import ReportData
from reports.sections import verdict


@st.composite
def gated(draw: st.DrawFn) -> ReportData:
    """A report with a limit near one of the ends of an interval, or far from it."""
    report = draw(reports(sizes=(52, 60, 5)))
    assume(len(report.models) > 1 and report.statistics is not None)
    names = [{result.name for result in model.results} for model in report.models]
    old = draw(st.integers(0, len(report.models) - 1))
    assert report.statistics is not None
    new = (old + 1) % len(report.models)
    row = report.statistics.difference(report.models[old].label, report.models[new].label)
    end = 100 * abs(draw(st.sampled_from([row.ci_low, row.ci_high, row.delta, 0.005])))
    offset = draw(st.sampled_from([0.0, 0.002, -0.002, 0.3]))
    limit = max(0.0, (0.5 if math.isnan(end) else round(end, 3)) + offset)
    options = replace(
        report.options, limits=(MeasureLimit("ap", limit, unit="points"),), baseline=frozenset(names[old])
    )
    return replace(report, options=options)


def shown(result: GateResult) -> tuple[float, float, float, float]:
    """Difference, ends of the interval and limit in the line of the gate."""
    found = re.fullmatch(
        r"ap: \S+ vs \S+ ([+−]?[\d.]+)(?: \[([+−]?[\d.]+), ([+−]?[\d.]+)\])?, allowed loss ([\d.]+): \w+",
        str(result),
    )
    assert found, str(result)
    parts = (part and part.replace("−", "-") for part in found.groups())
    delta, low, high, limit = (math.nan if part is None else float(part) for part in parts)
    return delta, low, high, limit


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(gated())
def test_the_outcome_of_the_gate_agrees_with_the_data_and_with_what_is_shown(report: ReportData) -> None:
    few = len(report.truth.catalog.image_ids) < 50 or len(report.truth) < 20
    aps = {
        model.label: float(np.mean([brute.ap(run.truth, run.detections) for run in model.runs]))
        for model in report.models
    }
    for result in report.gate_results:
        difference = 100 * (aps[result.new] - aps[result.old])
        assert result.delta == pytest.approx(difference, abs=1e-9)
        delta, low, high, limit = shown(result)
        assert delta == pytest.approx(difference, abs=0.0051)
        assert limit == pytest.approx(result.limit.points, rel=1e-5)
        equal = difference == 0 and (math.isnan(low) or low == high == 0)
        if result.state == "regressed":
            assert not few
            assert -high > limit
        elif result.state == "passed":
            assert equal or (not few and -low <= limit)
        else:
            assert few or -high <= limit < -low
            assert result.reason == ("too_few" if few else "interval_contains_limit")
        text = result.explanation
        assert (text == "") == (result.state != "inconclusive")
        assert ("too few images" in text) == (result.state == "inconclusive" and few)
        assert ("cannot show whether" in text) == (result.state == "inconclusive" and not few)
        line = f"Gate: {result}."
        assert (line in verdict._warnings(report)) == (result.state != "passed")
        assert (line in verdict._notes(report)) == (result.state == "passed")
