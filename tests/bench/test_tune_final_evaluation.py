"""The final evaluation: settings of earlier stages, fresh seeds, test intervals, and the number of trials."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from tiny_runs import tiny_sets

from bench import cli
from bench.commands.tune import gain_text, print_study
from bench.runs.context import RunContext
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings.resolution import open_run_data, resolve
from bench.settings.sections import TunedConfig
from bench.tune import tuner
from bench.tune.final_evaluation import choose, gain_of
from bench.tune.objectives import parse_objectives
from bench.tune.predicted import Predicted
from metrics.compare import compare
from metrics.errors import InputError, PartialError
from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.records.final_evaluation import FinalEvaluation, Finalist, Gain
from reports.records.study import StudyFolder, StudyResult
from reports.sections.tuning_text import finding

SETS = tiny_sets("ssd", train__epochs=1, data__train=30)  # enough objects for the shapes of the priors


def tune(out, *words):
    return cli.main(["tune", "--variant", "ssd", "--out", str(out), "--quiet", *words, "--set", *SETS])


def only(out, pattern):
    [path] = out.glob(pattern)
    return path


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    """Studies of anchor priors and training, without fresh seeds."""
    out = tmp_path_factory.mktemp("studies")
    assert tune(out, "--space", "anchors", "train.lr", "--trials", "3", "--again", "0") == 0
    return out


@pytest.fixture
def no_page(monkeypatch):
    """Skip the page, which takes longer than the tuning."""
    monkeypatch.setattr(tuner, "write_study_page", lambda folder: None)


def test_the_best_fit_is_fixed_for_later_stages(staged):
    anchors = StudyFolder.open(only(staged, "ssd-shapes-anchors-*")).result
    last = StudyFolder.open(only(staged, "ssd-shapes-train-*"))
    best = anchors.complete[0]
    assert last.result.fixed == best.params
    assert last.result.earlier == (only(staged, "ssd-shapes-anchors-*").name,)
    assert anchors.final_evaluation is None
    assert anchors.default.number == last.result.default.number == 0
    assert [trial.params["shapes"] != "" for trial in anchors.trials[:2]] == [False, True]
    chosen = resolve("ssd", file=last.path / "winner.toml")
    values = last.result.final_evaluation.winner.values
    if values:
        assert set(best.params) < set(values)
        assert chosen.train.lr == values["train.lr"]
    assert (last.path / "report.html").is_file()


def test_the_fit_of_priors_is_recorded_by_size_for_training_and_validation_boxes(staged):
    fit = StudyFolder.open(only(staged, "ssd-shapes-train-*")).result.final_evaluation.prior_fit
    trials = {row.trial for row in fit}
    assert None in trials
    assert {(row.trial, row.split, row.group) for row in fit} == {
        (t, s, g) for t in trials for s in ("train", "val") for g in ("all", "small", "medium", "large")
    }


def test_without_fresh_seeds_the_weights_of_the_trials_are_measured(staged):
    evaluation = StudyFolder.open(only(staged, "ssd-shapes-train-*")).result.final_evaluation
    measured = [finalist for finalist in evaluation.finalists if finalist.test]
    assert {finalist.trial for finalist in measured} == {None, evaluation.chosen}
    for finalist in measured:
        low, high = finalist.test_interval
        assert low <= finalist.mean_test <= high or finalist.mean_test == 0
    # The trials were trained with the fitted priors, so the default settings need a separate run.
    assert len(list((staged / "runs").glob("*"))) == 1


def test_fitting_priors_alone_trains_no_detector_and_reports_it(tmp_path, capsys, no_page):
    assert tune(tmp_path, "--space", "anchors", "--trials", "3", "--again", "0") == 0
    output = capsys.readouterr().out
    assert "nothing was trained: priors that fit better do not guarantee a better detector" in output
    assert not (tmp_path / "runs").exists()
    folder = only(tmp_path, "ssd-shapes-anchors-*")
    result = StudyFolder.open(folder).result
    assert result.objectives[0].text == "recall + mean_iou"
    assert result.final_evaluation.winner.tuned == result.complete[0].value
    assert resolve("ssd", file=folder / "winner.toml").tuned.trials == 0


def test_priors_alone_are_compared_by_training_with_fresh_seeds(tmp_path, no_page):
    assert tune(tmp_path, "--space", "anchors", "--trials", "2", "--again", "1") == 0
    result = StudyFolder.open(only(tmp_path, "ssd-shapes-anchors-*")).result
    evaluation = result.final_evaluation
    assert (result.objectives[0].text, evaluation.objective.text) == ("recall + mean_iou", "ap")
    assert "optimized recall + mean_iou, which does not measure the detector" in finding(result)
    assert [len(finalist.retrained) for finalist in evaluation.finalists] == [1, 1]
    assert [finalist.tuned for finalist in evaluation.finalists] == [None, None]
    assert len(list((tmp_path / "runs").glob("ssd-shapes-1000-*"))) == 2


def test_limits_that_no_trial_is_within_end_before_any_training(tmp_path, capsys):
    assert (
        tune(tmp_path, "--space", "train.lr", "negatives", "--trials", "3", "--limit", "parameters=10") == 4
    )
    error = capsys.readouterr().err
    assert (
        "no trial is within the limits; 3 trials were measured, and the closest is trial 0: over the limit"
        in error
    )
    assert not list(tmp_path.glob("*/trials/*"))
    states = [t.state for t in StudyFolder.open(only(tmp_path, "ssd-shapes-train-*")).result.trials]
    assert states == ["pruned"] * 3


def test_an_unknown_limit_is_one_line(tmp_path, capsys):
    assert tune(tmp_path, "--space", "nms", "--limit", "parameters=2e6", "latency=3") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_run_of_the_winner_records_how_many_settings_were_tried(staged, tmp_path):
    winner = only(staged, "ssd-shapes-train-*") / "winner.toml"
    text = winner.read_text()
    if "[tuned]" not in text:
        pytest.fail("winner.toml has no section [tuned]")
    file = tmp_path / "mine.toml"
    file.write_text(text.replace('trials = "none"', "trials = 3"))
    config = resolve("ssd", file=file)
    done = run(config, tmp_path, context=RunContext(page=False))
    assert done.result.budget.trials == 3
    assert resolve("ssd", file=done.path / "config.toml").tuned == config.tuned
    by_hand = config.model_copy(update={"tuned": TunedConfig()})
    assert run_name(by_hand, open_run_data(by_hand)) != done.result.name


def test_settings_of_another_variant_are_refused(tmp_path, capsys, staged):
    winner = only(staged, "ssd-shapes-train-*") / "winner.toml"
    words = ["tune", "--variant", "fcos", "--config", str(winner), "--space", "nms", "--out", str(tmp_path)]
    assert cli.main(words) == 2
    assert "made for variant 'ssd', not for fcos" in capsys.readouterr().err


def scene(images=60, seed=0):
    """Truth with one object per image, and detections with box offsets of standard deviation `noise`."""
    random = np.random.default_rng(seed)
    catalog = Catalog.of(range(images), ("a", "b"), [(100, 100)] * images)
    label, corner = random.integers(0, 2, images), random.uniform(0, 60, (images, 2))
    xywh = np.concatenate([corner, np.full((images, 2), 30.0)], axis=1)
    truth = AnnotationTable.of(catalog, range(images), label, xywh)

    def detect(noise):
        moved = xywh + random.normal(size=xywh.shape) * [noise, noise, 0, 0]
        image, score = np.arange(images, dtype=np.int32), random.uniform(0.3, 1, images)
        return DetectionTable(catalog, image, label.astype(np.int32), moved, score)

    return truth, detect


@pytest.mark.parametrize("text", ["ap", "ap50", "0.7*ap + 0.3*ap50", "ap - 0.5*olrp", "olrp"])
def test_a_resampled_objective_is_the_objective(text):
    truth, detect = scene()
    objectives = parse_objectives([text], truth)
    [objective] = objectives.each
    table = detect(4)
    comparison = compare(
        {"x": [(truth, table)]}, objective.statistic(objectives.rule), resamples=20, permutations=0
    )
    assert comparison.standing("x").value == pytest.approx(
        objective(objectives.numbers(truth, Predicted(table))), abs=1e-12
    )


@pytest.mark.parametrize("text", ["ap", "olrp"])
def test_a_gain_is_chosen_minus_default_whichever_is_better(text):
    truth, detect = scene()
    objectives = parse_objectives([text], truth)
    [objective] = objectives.each
    good, bad = detect(1), detect(9)
    value = {n: objective(objectives.numbers(truth, Predicted(t))) for n, t in (("good", good), ("bad", bad))}
    for chosen, default, better in (("good", "bad", 1.0), ("bad", "good", 0.0)):
        tables = {"trial 3": good, "default": bad} if chosen == "good" else {"trial 3": bad, "default": good}
        comparison = compare(
            {name: [(truth, table)] for name, table in tables.items()},
            objective.statistic(objectives.rule),
            resamples=200,
            permutations=0,
        )
        gain = gain_of(value[chosen] - value[default], comparison, 3, 1)
        assert gain.p_better == pytest.approx(better)
        low, high = gain.interval
        assert low <= gain.delta <= high
        assert (gain.delta > 0) == ((chosen == "good") == objective.higher)
        assert not gain.doubt
        assert gain_text(gain).endswith("(decisive)")


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100%"), (0.997, "over 99%"), (0.5, "50%"), (0.001, "under 1%"), (0.0, "0%")]
)
def test_a_percentage_of_replicates_is_0_or_100_only_where_it_is_exact(share, text):
    gain = Gain(delta=0.035, interval=(0.001, 0.07), p_better=share, images=72, seeds=2, doubt="p = .061")
    assert gain_text(gain).endswith(f"better in {text} of bootstrap replicates (not decisive: p = .061)")


def test_an_objective_that_cannot_be_resampled_is_named():
    truth, _ = scene()
    objectives = parse_objectives(["integral_recall"], truth)
    with pytest.raises(InputError, match="no value 'integral_recall' can be resampled"):
        objectives.each[0].statistic(objectives.rule)


DEFAULT = Finalist(
    tuned=0.5,
    retrained=(0.5,),
    test=(0.4,),
    test_interval=(0.3, 0.5),
    measured={"latency_ms": 41.0},
    exceeded=("latency_ms",),
)
OTHER = Finalist(
    trial=3,
    values={"nms.iou": 0.6},
    tuned=0.4,
    retrained=(0.3,),
    test=(0.35,),
    test_interval=(0.2, 0.5),
    measured={"latency_ms": 21.0},
)


def test_settings_over_a_limit_are_never_chosen():
    assert choose([DEFAULT, OTHER], higher=True) is OTHER
    with pytest.raises(PartialError, match="no settings are within the limits"):
        choose([DEFAULT, OTHER.model_copy(update={"exceeded": ("latency_ms",)})], higher=True)


def test_the_final_evaluation_is_printed(tmp_path):
    evaluation = FinalEvaluation(
        objective={"text": "ap"},
        finalists=(DEFAULT, OTHER),
        chosen=3,
        gain=Gain(
            delta=-0.05, interval=(-0.12, 0.02), p_better=0.08, images=72, doubt="its interval holds 0"
        ),
    )
    space = [{"path": "nms.iou", "stage": "nms", "default": 0.5, "low": 0.1, "high": 0.9}]
    trials = [{"number": n, "state": "complete", "values": [0.1]} for n in range(4)]
    result = StudyResult(
        name="s", variant="ssd", stage="nms", data="d", objectives=[{"text": "ap"}], space=space, trials=trials,
        final_evaluation=evaluation,
    )  # fmt: skip
    console = Console(width=160, record=True, file=io.StringIO())
    print_study(StudyFolder(tmp_path, result), console=console)
    output = console.export_text()
    assert "default (over the limit)" in output
    assert "0.350 [0.200, 0.500]" in output
    assert "nms trials: 4 complete" in output
    assert (
        "gain on 72 test images, chosen minus default: −0.050 [−0.120, +0.020], better in 8% of bootstrap replicates "
        "(not decisive: its interval holds 0)" in output
    )
    assert "one set of weights each: the difference may have another sign with other seeds" in output


def test_a_gain_that_rounds_to_zero_has_no_sign():
    gain = Gain(delta=-0.0001, interval=(-0.0021, 0.0004), images=72, seeds=2, doubt="p = .061")
    assert gain_text(gain) == "0.000 [−0.002, 0.000] (not decisive: p = .061)"
