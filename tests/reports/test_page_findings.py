"""Findings of the page: true to its numbers, and no more than they show."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from pages import cells, every, parsed, part, words
from rich.console import Console
from scene_runs import PAIRWISE_COLUMNS
from synthetic_runs import found_in, run_in, truth_of

from bench.commands.results_table import show_results
from metrics.tables import DetectionTable
from reports.analysis.comparison_options import ComparisonOptions
from reports.pages import write_report
from reports.records.run import Budget, Environment


def means_of(runs):
    """AP of each variant, mean over its seeds; best first."""
    of = {}
    for run in runs:
        of.setdefault(run.result.variant, []).append(run.result.headline["ap"])
    return sorted(((float(np.mean(values)), name) for name, values in of.items()), reverse=True)


def test_without_resamples_the_verdict_has_differences_without_significance(runs, tmp_path, no_drawing):
    page = write_report(runs, tmp_path, options=ComparisonOptions(resamples=0))
    text = words(part(parsed(page), "verdict"))
    (best, name), *others = means_of(runs)
    assert f"{name} has the highest AP, {100 * best:.1f}, " in text
    for value, other in others:
        assert f"{100 * (best - value):.1f} percentage points above {other} ({100 * value:.1f})" in text
    assert "no difference is called decisive" in text
    assert not re.search(r"significantly|p ?[<=] ?0?\.\d|\[\d", text)
    assert not (tmp_path / "pairwise.csv").exists()


def test_with_few_images_no_difference_is_decisive(runs, page):
    tree = parsed(page)
    (best, name), *_ = means_of(runs)
    text = words(part(tree, "verdict"))
    assert f"{name} has the highest AP, {100 * best:.1f}. There" in text
    assert "is detected with a probability" not in text
    assert "There are too few images, groups or objects for a decision (16 images)." in text
    assert "too few images, groups or objects for any difference to be decisive" in words(part(tree, "pairs"))
    assert {row[-1] for row in cells(tree, "pairs-table")} == {"too few data"}
    assert {row[2] for row in cells(tree, "leaderboard")} == {"a"}


def test_groups_are_noted_and_too_few_of_them_are_a_warning(runs, tmp_path, no_drawing):
    groups = {image: image % 8 for image in runs[0].truth.catalog.image_ids}
    tree = parsed(write_report(runs[:2], tmp_path, options=ComparisonOptions(groups=groups, resamples=50)))
    verdict = part(tree, "verdict")
    warned = [words(each) for each in every(verdict, "p") if each.get("class") == "warning"]
    facts = [words(each) for each in every(verdict, "li")]
    assert "16 images were resampled in 8 groups." in facts
    (few,) = [text for text in warned if "resampled" in text or "too few" in text]
    assert few.startswith("Note. 8 groups with ")


def test_the_verdict_and_the_tables_agree_on_every_pair(tmp_path, no_drawing):
    truth = truth_of(60, ["a", "b"], seed=5)
    runs = [
        run_in(tmp_path, truth, name, skill)
        for name, skill in (("weak", 0.2), ("good", 0.8), ("better", 0.82))
    ]
    page = write_report(runs, tmp_path / "out")
    tree = parsed(page)
    rows = pd.read_csv(page.parent / "pairwise.csv")
    assert list(rows.columns)[:16] == PAIRWISE_COLUMNS
    pairs = rows[(rows["metric"] == "ap") & (rows["scope"] == "all") & (rows["test"] == "bootstrap")]
    ap = {run.result.variant: run.result.headline["ap"] for run in runs}
    letters = {row[0].split(" ")[0]: row[2] for row in cells(tree, "leaderboard")}
    text = words(part(tree, "verdict"))
    for pair, cell in zip(pairs.itertuples(), cells(tree, "pairs-table"), strict=True):
        assert pair.delta == pytest.approx(ap[pair.model_a] - ap[pair.model_b])
        assert cell[0] == f"{pair.model_a} − {pair.model_b}"
        assert cell[1].startswith(f"{100 * pair.delta:+.1f}")
        assert cell[-1] == (f"{pair.model_a} is better" if pair.decisive else "tied")
        assert bool(set(letters[pair.model_a]) & set(letters[pair.model_b])) == (not pair.decisive)
        assert pair.sim_low <= pair.ci_low or pair.sim_high >= pair.ci_high
    leader = pairs.iloc[0]["model_a"]
    beaten = pairs[(pairs["model_a"] == leader) & pairs["decisive"]]["model_b"]
    assert list(beaten) == ["weak"]
    assert "It beats weak by" in text
    # One run a model: its interval is the run's, and stands beside the run's value.
    metrics = pd.read_csv(page.parent / "metrics.csv")
    own = metrics[(metrics["model_id"] == "good") & (metrics["metric"] == "ap")]
    assert ((own["ci_low"] < own["value"]) & (own["value"] < own["ci_high"])).all()
    assert metrics[metrics["metric"] == "ar_small"]["ci_low"].isna().all()
    # What each image does to the lead: leaving one out changes it by its influence.
    moved = pd.read_csv(page.parent / "influence.csv")
    assert (moved["influence"] + moved["delta_without"]).to_numpy() == pytest.approx(pairs.iloc[0]["delta"])


def test_the_leaderboard_has_the_means_over_seeds(runs, page):
    rows = {row[0].split(" ")[0]: row for row in cells(parsed(page), "leaderboard")}
    for variant in ("ssd", "retinanet", "fcos"):
        values = [run.result.headline for run in runs if run.result.variant == variant]
        ap = [100 * value["ap"] for value in values]
        assert rows[variant][0] == f"{variant} 2 seeds: {ap[0]:.1f}, {ap[1]:.1f}"
        assert rows[variant][3].split(" ")[0] == f"{np.mean(ap):.1f}"
        assert rows[variant][4] == f"{100 * np.mean([value['ap50'] for value in values]):.1f}"


def test_the_counts_of_the_slider_are_consistent(runs, page):
    tree = parsed(page)
    (block,) = [script for script in every(tree, "script") if script.get("type") == "application/json"]
    payload = json.loads("".join(block.itertext()))["thresholds"]
    assert len(payload["scores"]) == 201
    assert payload["classes"] == ["round", "long", "odd"]
    for model in payload["models"]:
        for counts in (model["tp"], model["fp"]):
            assert [sum(column) for column in zip(*counts[1:], strict=True)] == counts[0]
            assert counts[0] == sorted(counts[0], reverse=True)
    assert payload["positives"][0] == sum(payload["positives"][1:])


def test_fault_15_scores_that_are_not_probabilities_leave_out_calibration_only(runs, tmp_path, no_drawing):
    truth = runs[0].truth
    found = runs[0].detections
    logits = DetectionTable(found.catalog, found.image, found.label, found.xywh, 10 * found.score - 3)
    page = write_report([run_in(tmp_path, truth, "logits", 0.7, found=logits)], tmp_path / "out")
    tree = parsed(page)
    assert "Calibration was not measured because some scores are not probabilities" in words(
        part(tree, "calibration")
    )
    assert not (page.parent / "reliability.csv").exists()
    assert cells(tree, "leaderboard")[0][1].split(" ")[0] == f"{100 * runs[0].result.headline['ap']:.1f}"
    assert "F1 over all classes is highest at these score thresholds: logits at" in words(
        part(tree, "thresholds")
    )


def test_fault_36_two_equal_models_share_the_lead(tmp_path, no_drawing):
    truth = truth_of(8, ["a", "b"])
    found = found_in(truth, 0.7, 0)
    runs = [run_in(tmp_path, truth, name, 0.7, found=found) for name in ("one", "two")]
    tree = parsed(write_report(runs, tmp_path / "out"))
    text = words(part(tree, "verdict"))
    assert "too few images, groups or objects for a decision" in text
    assert [row[1:3] for row in cells(tree, "leaderboard")] == [["1 1 to 2", "a"], ["1 1 to 2", "a"]]
    assert cells(tree, "pairs-table")[0][1].startswith("0.0")
    page = write_report(runs, tmp_path / "unmeasured", options=ComparisonOptions(resamples=0))
    assert "one and two share the highest AP" in words(part(parsed(page), "verdict"))


def test_fault_36_identical_detections_are_tied_with_many_images(tmp_path, no_drawing):
    truth = truth_of(64, ["a", "b"])
    found = found_in(truth, 0.7, 0)
    runs = [run_in(tmp_path, truth, name, 0.7, found=found) for name in ("one", "two")]
    page = write_report(runs, tmp_path / "out")
    tree = parsed(page)
    assert "No difference is decisive." in words(part(tree, "verdict"))
    (pair,) = cells(tree, "pairs-table")
    assert pair[1:3] == ["0.0 [0.0, 0.0]", "[0.0, 0.0]"]
    assert (pair[3], pair[-1]) == ("1.000", "tied")
    assert [row[2] for row in cells(tree, "leaderboard")] == ["a", "a"]
    assert not pd.read_csv(page.parent / "pairwise.csv")["decisive"].any()
    assert not every(part(tree, "pairs"), "strong")


def test_fault_34_intervals_from_too_few_images_are_pale_and_explained(runs, page, tmp_path):
    tree = parsed(page)  # of 16 images
    figure = next(one for one in every(tree, "figure") if one.get("id") == "figure-ap")
    assert "Pale bars rest on too few images or objects." in words(figure)
    assert "they rest on too few images" in words(part(tree, "curves"))
    opacity = r"stroke-opacity: ([\d.]+)"
    bars = {
        float(found[1])
        for path in figure.iter()
        if (found := re.search(opacity, path.get("style") or "")) and path.get("clip-path")
    }
    assert bars == {0.3}
    assert pd.read_csv(page.parent / "standings.csv")["too_few"].all()
    one = truth_of(1, ["only"], seed=1)
    alone = parsed(write_report([run_in(tmp_path, one, "ssd", 0.7)], tmp_path / "out"))
    # Of one image nothing is known of others: no interval at all.
    assert "[" not in cells(alone, "leaderboard")[0][1]
    assert pd.read_csv(tmp_path / "out" / "standings.csv")["ci_low"].isna().all()


def test_different_and_equal_budgets_are_reported(runs, page, tmp_path, no_drawing):
    assert "All models had the same budget" in words(part(parsed(page), "budget"))
    truth = runs[0].truth
    given = {"a": Budget(epochs=10, images_seen=1000), "b": Budget(epochs=30, images_seen=3000)}
    other = [run_in(tmp_path, truth, name, 0.7, budget=budget, name=name) for name, budget in given.items()]
    text = words(part(parsed(write_report(other, tmp_path / "out")), "budget"))
    assert "Training budgets differ in epochs: " in text
    assert "were not trained with the same effort, which may explain differences in AP" in text


def test_initial_weights_are_those_of_the_detector_or_else_of_the_backbone(runs, tmp_path, no_drawing):
    random = {"weights": None, "backbone": {"weights": None}}
    given = {
        "a": random,
        "b": random | {"weights": "SSD300_VGG16_Weights.COCO_V1"},
        "c": random | {"backbone": {"weights": "mine.safetensors"}},
    }
    truth, known = runs[0].truth, Budget(epochs=1, images_seen=10)
    made = [
        run_in(tmp_path, truth, name, 0.7, config=settings, budget=known, name=name)
        for name, settings in given.items()
    ]
    tree = parsed(write_report(made, tmp_path / "out"))
    assert {row[0]: row[-2] for row in cells(tree, "budget-table")} == {
        "a": "random weights", "b": "SSD300_VGG16_Weights.COCO_V1", "c": "mine.safetensors",
    }  # fmt: skip
    assert "Only some models start from pretrained weights: b and c." in words(part(tree, "budget"))


def test_the_budget_of_an_external_model_is_not_known(runs, tmp_path, no_drawing):
    truth = runs[0].truth
    elsewhere = run_in(tmp_path, truth, "torchvision/x", 0.7, budget=Budget(total_seconds=3.0), seed=0)
    text = words(part(parsed(write_report([runs[0], elsewhere], tmp_path / "out")), "budget"))
    assert "The training budget of torchvision/x is not known." in text


def test_slices_cover_all_valid_objects(runs, page):
    tree = parsed(page)
    truth = runs[0].truth
    valid = int((~truth.ignored).sum())
    rows = cells(tree, "slices-table")
    by = {}
    for name, axis, objects, *_ in rows[:-1]:
        by.setdefault(axis, {})[name.removesuffix(" too few objects")] = int(objects)
    assert len(by) == 4
    assert all(sum(counts.values()) == valid for counts in by.values())
    edge = (
        (truth.boxes.min(1) <= 2) | (truth.boxes[:, 2] >= 318) | (truth.boxes[:, 3] >= 238)
    ) & ~truth.ignored
    assert by["Contact with the image border"]["at the border"] == edge.sum()
    assert "No two slices of an axis differ decisively" in words(part(tree, "slices"))  # of 16 images


OF_SEVERAL = re.compile(
    r"change the order|ordered by|share a letter|two models|for all models|of different models|each model is shown|no model detects|"
    r"the lead\b|decisively better|pairwise|[Ss]pread"
)
"""What only a page with several models can speak of."""


def test_a_page_with_one_model_does_not_speak_of_others(runs, page, tmp_path, no_drawing):
    text = words(parsed(write_report(runs[:1], tmp_path)))
    assert not [text[max(0, found.start() - 60) : found.end() + 40] for found in OF_SEVERAL.finditer(text)]
    assert "There is only one run: " in text
    several = {found[0] for found in OF_SEVERAL.finditer(words(parsed(page)))}
    assert {"share a letter", "two models", "the lead", "no model detects"} <= several


def test_badges_name_the_limitations(runs, page, tmp_path, no_drawing):
    assert "2 seeds per model" in words(next(iter(every(parsed(page), "header"))))
    truth = runs[0].truth
    dirty = Environment(device="cpu", cpu="one", dirty=True)
    made = [
        run_in(tmp_path, truth, "a", 0.7, environment=dirty, status="partial"),
        run_in(tmp_path, truth, "b", 0.7, environment=Environment(device="cpu", cpu="two")),
    ]
    text = words(next(iter(every(parsed(write_report(made, tmp_path / "out")), "header"))))
    for badge in (
        "one run the variance between training seeds was not measured",
        "partial run",
        "uncommitted code",
        "mixed hardware",
    ):
        assert badge in text


def test_fault_97_a_run_on_leaking_data_wears_a_badge(runs, tmp_path, no_drawing):
    facts = runs[0].result.data
    for leaked, shown in ((0, False), (3, True)):
        run = run_in(
            tmp_path / str(leaked), runs[0].truth, "a", 0.7, data=facts.model_copy(update={"leaked": leaked})
        )
        header = words(next(iter(every(parsed(write_report([run], tmp_path / "out")), "header"))))
        text = f"leakage 3 of {facts.images} images are also in the data of training or validation"
        assert (text in header) is shown
        assert ("leakage" in header) is shown


def test_a_result_that_differs_from_the_detections_is_a_warning(runs, tmp_path, no_drawing):
    truth = runs[0].truth
    run = run_in(tmp_path, truth, "a", 0.7, headline={"ap": 0.99, "ap50": None})
    text = words(part(parsed(write_report([run], tmp_path / "out")), "verdict"))
    assert "ap and ap50 in result.json differ from the detections" in text


def test_numbers_that_a_run_did_not_compute_do_not_differ(runs, tmp_path, no_drawing):
    config = {"evaluate": {"measures": ["average_precision"]}}
    for missing, warns in (("ar_1", False), ("ap50", True)):
        run = run_in(tmp_path / missing, runs[0].truth, "a", 0.7, headline={missing: None}, config=config)
        text = words(part(parsed(write_report([run], tmp_path / "out")), "verdict"))
        assert (f"{missing} in result.json differs from the detections" in text) is warns


def test_terminal_and_page_have_the_same_names_and_notes(runs, tmp_path, no_drawing):
    truth = runs[0].truth
    rising = pd.DataFrame({"epoch": range(1, 9), "loss": 1.0, "val_ap": np.linspace(0.1, 0.4, 8)})
    made = []
    for seed, (rate, epochs) in enumerate(((0.1, 8), (0.2, 16))):
        run = run_in(
            tmp_path,
            truth,
            "ssd",
            0.7,
            seed,
            config={"lr": rate},
            budget=Budget(epochs=epochs),
            name=f"ssd-{seed}",
        )
        rising.to_csv(run.path / "history.csv", index=False)
        made.append(type(run).open(run.path))
    output = io.StringIO()
    show_results(made, console=Console(file=output, width=200))
    page = parsed(write_report(made, tmp_path / "out"))
    shown = {row[0] for row in cells(page, "leaderboard")}
    assert shown == {"ssd (lr=0.1)", "ssd (lr=0.2)"}
    assert all(name in output.getvalue() for name in shown)
    names = [row[0] for row in cells(page, "leaderboard")]
    texts = [
        f"alidation AP was still rising when training ended: {names[0]} and {names[1]}",
        "raining budgets differ in epochs: ",
    ]
    header, verdict = words(next(iter(every(page, "header")))), words(part(page, "verdict"))
    for text in texts:
        assert text in output.getvalue()
        assert text in verdict
    assert f"undertrained validation AP was still rising: {names[0]} and {names[1]}" in header
    assert "unequal budgets training differs in epochs" in header
    alone = io.StringIO()
    show_results(made[:1], console=Console(file=alone, width=200))
    assert "note: validation AP was still rising when training ended: ssd" in alone.getvalue()
