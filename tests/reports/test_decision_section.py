"""The section "Decision": its sentences, tables and files against the record that they are made from."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pandas as pd
import pytest
from synthetic_runs import run_in, truth_of

from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.decisions import fates, surer
from reports.analysis.report_data import ReportData
from reports.pages import write_comparison
from reports.records.decision import (
    BegunRound,
    Decision,
    DecisionModel,
    Look,
    PairRecord,
    PlannedRound,
    SpentTime,
    Standing,
    Tuned,
    load_decision,
    save_decision,
)
from reports.sections.decision_text import decision_sentences, finding, outcome_text


def standing(name: str, value: float, seeds: int, prefix: str = "") -> Standing:
    values = tuple(value + 0.01 * (k - (seeds - 1) / 2) for k in range(seeds))
    runs = tuple(f"{prefix}{name}-cells-{k}" for k in range(seeds))
    return Standing(name=name, value=value, low=value - 0.04, high=value + 0.04, seeds=values, runs=runs)


def pair(better: str, worse: str, delta: float, low: float, **more: float | None) -> PairRecord:
    return PairRecord(
        better=better, worse=worse, delta=delta, low=low, high=2 * delta - low, p_value=0.2, images_se=0.01, seeds_se=0.01, **more
    )  # fmt: skip


def decision_of(**changes: object) -> Decision:
    """Two finalists, one eliminated, one set aside, one over the limit."""
    first = Look(
        number=1, split="val", epochs=2, images=80, level=0.004, pair_level=0.001, final=False, spent_seconds=600,
        standings=(
            standing("fcos", 0.40, 2), standing("ssd", 0.39, 2), standing("gfl", 0.36, 2), standing("atss", 0.20, 2)
        ),
        pairs=(pair("fcos", "atss", 0.20, 0.11), pair("ssd", "atss", 0.19, 0.10), pair("fcos", "ssd", 0.01, -0.05)),
        set_aside=("gfl",),
    )  # fmt: skip
    second = Look(
        number=2, split="val", epochs=4, images=80, level=0.004, pair_level=0.001, final=True, spent_seconds=1500,
        standings=(standing("ssd", 0.50, 2), standing("fcos", 0.47, 2), standing("atss", 0.25, 2)),
        pairs=(
            pair("ssd", "fcos", 0.03, -0.02, more_seeds=2.5, more_images=None),
            pair("ssd", "atss", 0.25, 0.14), pair("fcos", "atss", 0.22, 0.12),
        ),
        eliminated=("atss",),
    )  # fmt: skip
    test = Look(
        number=1, split="test", epochs=4, images=20, level=0.02, pair_level=0.005, final=True, spent_seconds=1600,
        standings=(standing("fcos", 0.48, 2), standing("ssd", 0.47, 2)),
        pairs=(pair("fcos", "ssd", 0.01, -0.04, more_seeds=None, more_images=30.25),),
    )  # fmt: skip
    states = {
        "ssd": "active",
        "fcos": "active",
        "gfl": "set_aside",
        "atss": "eliminated",
        "detr": "over_limit",
    }
    about: dict[str, object] = {
        "data": "cells",
        "fingerprint": "x",
        "minutes": 30,
        "full_epochs": 12,
        "models": tuple(
            DecisionModel(
                name=name, variant=name, state=state, run_seconds=4, epoch_seconds=14, reason="latency_ms 40 of 30" if name == "detr" else ""
            )
            for name, state in states.items()
        ),
        "plan": (PlannedRound(epochs=2, models=4), PlannedRound(epochs=4, models=2)),
        "rounds": (
            BegunRound(planned=0, epochs=2, seeds=2, models=("ssd", "fcos", "gfl", "atss")),
            BegunRound(planned=1, epochs=4, seeds=2, models=("fcos", "ssd", "atss")),
        ),
        "looks": (first, second, test),
        "spent": (SpentTime(step="training", subject="a", seconds=1500), SpentTime(step="test", subject="b", seconds=180)),
        "used": "ssd",
    }  # fmt: skip
    return Decision.model_validate(about | changes)


def test_each_model_has_one_fate_and_the_used_one_comes_first():
    decision = decision_of()
    found = fates(decision)
    assert [(fate.name, fate.outcome, fate.round) for fate in found] == [
        ("ssd", "used", 2), ("fcos", "tied", 2), ("gfl", "set_aside", 1), ("atss", "eliminated", 2), ("detr", "over_limit", 0),
    ]  # fmt: skip
    assert [fate.test.value if fate.test else None for fate in found] == [0.47, 0.48, None, None, None]
    texts = [outcome_text(decision, fate) for fate in found]
    assert texts == [
        "use this one",
        "not told apart",
        "set aside after round 1, for lack of time",
        "eliminated in round 2 after 25 minutes: 25.0 points below ssd, at least 14.0",
        "over the limit: latency_ms 40 of 30",
    ]


def test_sentences_name_what_was_decided_and_what_was_not():
    text = " ".join(finding(decision_of()))
    assert text.startswith(
        "Use ssd, which had the highest validation AP of the models that are left. Its AP on the test images is 47.0 [43.0, 51.0], mean of 2 seeds."
    )
    assert (
        "atss was shown to be worse than another model. At most 2.5% of such decisions eliminate the best model."
        in text
    )
    assert (
        "fcos could not be told apart from it: on the test images, ssd is 1.0 points below (interval of the difference at "
        "99.5%: [−6.0, 4.0]; p = .200)"
    ) in text
    assert (
        "gfl was set aside for lack of time after shorter trainings and was not shown to be worse: gfl was 4.0 points below fcos after 2 "
        "epochs, on validation images."
    ) in text
    assert "Not compared (over the limit): detr." in text
    assert "decided" not in text


TUNED = Tuned(
    name="fcos", settings={"nms.agnostic": False, "nms.iou": 0.45678}, before=0.4, after=0.5, trials=9
)


def test_the_value_by_which_the_model_was_chosen_is_named():
    tuned = decision_of().model_copy(update={"tuned": (TUNED,), "used_value": 0.512})
    assert (
        "Use ssd, which has the highest validation AP of the models that are left, 51.2 with tuned post-processing. Its"
        in finding(tuned)[0]
    )
    earlier = tuned.model_copy(update={"used_value": None})
    assert "of the models that are left, before post-processing was tuned. Its" in finding(earlier)[0]


def test_what_would_be_more_certain_is_computed_from_costs_and_variances():
    found = {each.kind: each for each in surer(decision_of())}
    run = 4 + 14 * 4
    assert set(found) == {"seeds", "test_images", "longer", "whole"}
    # 2.5 times 2 seeds are 5: three more runs of each of two models.
    assert (found["seeds"].number, found["seeds"].have, found["seeds"].rival) == (5, 2, "fcos")
    assert found["seeds"].minutes == pytest.approx(3 * 2 * run / 60)
    assert (found["test_images"].number, found["test_images"].have) == (math.ceil(20 * 30.25), 20)
    assert found["longer"].minutes == pytest.approx(2 * run / 60)
    assert found["whole"].minutes == pytest.approx(2 * 3 * (4 + 14 * 12) / 60)
    text = " ".join(decision_sentences(decision_of()))
    assert "by 5 seeds of each instead of 2, about 6 minutes more on this machine" in text
    assert "by 605 test images instead of 20" in text
    assert "Training gfl for 4 epochs, too, would take about 2 minutes" in text


def test_a_decided_decision_needs_nothing_more():
    models = tuple(
        model.model_copy(update={"state": "active" if model.name == "ssd" else "eliminated"})
        for model in decision_of().models
    )
    decision = decision_of(models=models, full_epochs=4)
    assert decision.decided
    text = " ".join(decision_sentences(decision))
    assert (
        "This is decided for trainings of 4 epochs: each of the 4 other models was shown to be worse than another one."
        in text
    )
    assert surer(decision) == []
    assert not decision_of().decided


def test_more_seeds_that_would_not_help_are_not_advised():
    *looks, test = decision_of().looks
    last = looks[-1].model_copy(update={"pairs": (pair("ssd", "fcos", 0.001, -0.05, more_seeds=None),)})
    decision = decision_of(looks=(looks[0], last, test))
    assert [each.kind for each in surer(decision)] == ["seeds_cannot", "test_images", "longer", "whole"]
    assert (
        "More seeds alone would not show which of ssd and fcos is better: the 80 validation images are too few"
        in " ".join(decision_sentences(decision))
    )


def test_the_page_begins_with_the_decision_and_has_every_look(tmp_path: Path):
    truth = truth_of(20, ("round",))
    runs = [
        run_in(tmp_path / "runs", truth, name, skill, seed)
        for name, skill in (("ssd", 0.7), ("fcos", 0.6))
        for seed in (0, 1)
    ]
    decision = decision_of().model_copy(update={"tuned": (TUNED,)})
    save_decision(tmp_path, decision)
    assert load_decision(tmp_path) == decision
    report = ReportData.from_runs(runs, options=ComparisonOptions(resamples=40))
    page = write_comparison(report, tmp_path / "out", decision=decision).read_text()
    assert page.index('id="decision"') < page.index('id="verdict"')
    assert "Use ssd, which had the highest validation AP" in page
    assert "nms.agnostic=false, nms.iou=0.4568 (validation 40.0 → 50.0)" in page
    assert "ssd was chosen by the validation images, so it need not be the first here" in page
    looks = pd.read_csv(io.StringIO((tmp_path / "out" / "looks.csv").read_text()))
    assert looks.groupby(["split", "look"]).size().to_dict() == {("test", 1): 2, ("val", 1): 4, ("val", 2): 3}
    assert looks.loc[looks["eliminated"], "model"].tolist() == ["atss"]
    assert looks.loc[looks["set_aside"], "model"].tolist() == ["gfl"]
    pairs = pd.read_csv(io.StringIO((tmp_path / "out" / "look-pairs.csv").read_text()))
    assert len(pairs) == 7
    assert (tmp_path / "out" / "figures" / "decision.svg").is_file()
    other = write_comparison(report, tmp_path / "other").read_text()
    assert 'id="decision"' not in other
    assert "chosen by the validation images" not in other


def test_the_whole_page_and_its_tables_name_models_as_the_decision_does(tmp_path: Path):
    truth = truth_of(20, ("round",))
    runs = {
        name: [run_in(tmp_path / "runs", truth, name, skill, seed) for seed in (0, 1)]
        for name, skill in (("ssd", 0.7), ("fcos", 0.6))
    }
    last = decision_of().looks[-1]
    standings = [
        each.model_copy(update={"name": f"{each.name}-lite", "runs": tuple(run.result.name for run in of)})
        for each, of in zip(last.standings, runs.values(), strict=True)
    ]
    decision = decision_of(looks=(last.model_copy(update={"standings": tuple(standings)}),))
    shown = [run for of in runs.values() for run in of]
    report = ReportData.from_runs(shown, options=ComparisonOptions(resamples=40), names=decision.names)
    write_comparison(report, tmp_path / "out")
    assert sorted(report.labels) == sorted(each.name for each in standings)
    for file in ("leaderboard.csv", "resources.csv", "metrics.csv"):
        table = pd.read_csv(tmp_path / "out" / file)
        assert set(table["model_id"]) == {each.name for each in standings}, file
