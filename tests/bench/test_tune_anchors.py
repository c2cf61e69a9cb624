"""The anchors stage of tuning, compared with all priors by brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_runs import tiny_config

from bench.anchors.boxes import input_boxes
from bench.anchors.fit import variants_with_shapes
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.tune.anchors import Anchors
from bench.tune.search_space import parse_space, with_values
from detectors.anchor_fit import detector_priors, measure_fit
from metrics.errors import InputError
from metrics.tables import AnnotationTable


@pytest.fixture(scope="module", params=variants_with_shapes())
def anchors(request):
    """The stage of every variant whose priors have shapes, on tiny images."""
    config = tiny_config(request.param, image__size="64,96", data__train=40)
    dataset = open_run_data(config)
    return Anchors(config, dataset), dataset


def test_a_trial_measures_the_priors_of_the_network(anchors):
    stage, dataset = anchors
    space = parse_space(stage.config, ["anchors"], stage.ranges())
    boxes = input_boxes(dataset.splits["train"], stage.config.image).boxes
    tried = [space.defaults] + [
        {**space.defaults, d.path: option} for d in space for option in (d.options or (d.low, d.high))
    ]
    for values in tried:
        detector = build_detector(with_values(stage.config, values), len(dataset.classes))
        fit = measure_fit(boxes, *detector_priors(detector, stage.config.image.size), stage.fitter.threshold)
        rows = {(row.split, row.group): row for row in stage.measure(None, values)}
        row = rows["train", "all"]
        # Rounding decides about objects whose IoU is the threshold.
        ties = np.abs(fit.best_iou - fit.threshold) < 1e-6
        assert (row.objects, row.recall) == (len(boxes), pytest.approx(fit.recall, abs=ties.mean() + 1e-6))
        assert row.mean_iou == pytest.approx(fit.mean, abs=1e-5)
        small = next(row for row in fit.rows() if row.group == "small")
        of_small = ties.sum() / max(small.objects, 1)
        assert rows["train", "small"].recall == pytest.approx(small.recall, abs=of_small + 1e-6)


def test_explicit_shapes_fit_better_than_the_rule_with_the_same_number_of_priors(anchors):
    stage, _ = anchors
    space = {
        dimension.path: dimension for dimension in parse_space(stage.config, ["anchors"], stage.ranges())
    }
    rule, *explicit = space["shapes"].options
    assert rule == space["shapes"].default == ""
    worth = {
        option: stage.measure(None, {"shapes": option})[0].recall
        + stage.measure(None, {"shapes": option})[0].mean_iou
        for option in space["shapes"].options
    }
    assert max(worth[option] for option in explicit) > worth[rule]
    assert {stage.priors({"shapes": option}).per_cell for option in explicit} == {stage.priors({}).per_cell}


def test_settings_of_priors_are_tuned_in_the_anchors_stage_or_else_by_training(anchors):
    stage, _ = anchors
    own = {path for path, mark in stage.ranges().items() if mark is not None}
    both = parse_space(stage.config, ["anchors", "train"], stage.ranges())
    assert {d.path for d in both.of("anchors")} == own
    assert not own & {d.path for d in both.of("train")}
    marked = own - {"ratios", "shapes"}
    assert marked <= {d.path for d in parse_space(stage.config, ["train"]).of("train")}
    typed = parse_space(stage.config, ["anchors", f"{min(marked)}=1:2"], stage.ranges())
    assert next(d for d in typed if d.path == min(marked)).stage == "anchors"


def test_a_variant_without_prior_shapes_is_refused_naming_those_with_them():
    config = tiny_config("fcos")
    with pytest.raises(
        InputError, match=r"--space anchors: fcos: its priors have no shapes .* retinanet, ssd"
    ):
        Anchors(config, open_run_data(config))


def test_a_training_split_without_boxes_is_refused():
    config = tiny_config("ssd")
    dataset = open_run_data(config)
    train = dataset.splits["train"]
    bare = replace(train, truth=AnnotationTable.of(train.truth.catalog, [], [], np.zeros((0, 4))))
    with pytest.raises(InputError, match="no boxes to fit priors to"):
        Anchors(config, replace(dataset, splits={**dataset.splits, "train": bare}))
