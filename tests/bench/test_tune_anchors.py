"""The anchors stage: priors held against boxes, by brute force and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_runs import tiny_config

from bench.data.types import Split
from bench.loader import ImageConfig, make_loader
from bench.run import build_detector, open_configured
from bench.tune.anchors import Anchors, best_shape, boxes_at_input, has_shapes
from bench.tune.spaces import configured, space_of
from detectors.anchor_fit import measure_fit, priors_of
from detectors.priors import GridPriors
from detectors.registry import VARIANTS
from metrics.errors import InputError
from metrics.iou import box_iou
from metrics.tables import AnnotationTable, Catalog

side = st.sampled_from([3.0, 8.0, 11.0, 16.0, 40.0])
shape = st.tuples(side, side)
number = st.floats(-5, 70)


@given(
    st.lists(st.lists(shape, min_size=1, max_size=3), min_size=2, max_size=2),
    st.lists(st.tuples(number, number, side, side), min_size=1, max_size=8),
    st.sampled_from(["stride", "fit", "floor"]),
    st.sampled_from([0.0, 0.5]),
)
def test_the_nearest_cell_has_the_best_prior(shapes, objects, spacing, offset):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in objects])
    grids, size = [(4, 9), (1, 5)], (33, 70)
    priors = GridPriors(shapes, [8, 16], "pixel", spacing, offset)
    best, which = best_shape(boxes, priors, grids, size)
    table = box_iou(torch.from_numpy(boxes), priors(grids, size).double()).numpy()
    np.testing.assert_allclose(best, table.max(axis=1), atol=1e-6)  # priors are float32
    counts = [r * c * n for (r, c), n in zip(grids, priors.per_cell, strict=True)]
    start, n = [0, counts[0]], priors.per_cell
    for row, kind in enumerate(which):
        level, place = (0, kind) if kind < n[0] else (1, kind - n[0])
        own = table[row, start[level] : start[level] + counts[level]].reshape(-1, n[level])[:, place]
        assert own.max() == pytest.approx(best[row], abs=1e-6)


def split_of(sizes, objects, crowd=None, told=True):
    """Objects are (image, x, y, w, h)."""
    known = sizes if told else [(0, 0)] * len(sizes)
    catalog = Catalog.of(range(len(sizes)), ("a",), known)
    table = np.array(objects, dtype=float).reshape(-1, 5)
    truth = AnnotationTable.of(
        catalog, table[:, 0].astype(int), np.zeros(len(table), int), table[:, 1:], crowd=crowd
    )
    return Split("train", truth, lambda index: np.zeros((*sizes[index], 3), np.uint8), "", in_memory=True)


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("told", [True, False])
def test_boxes_are_those_that_the_loader_gives(resize, told):
    image = ImageConfig(size=(64, 96), resize=resize)
    split = split_of(
        [(50, 30), (20, 80)],
        [(1, 5, 5, 200, 10), (0, 2, 3, 10, 20), (0, 4, 4, 0, 5), (1, -3, 1, 10, 10), (0, 20, 20, 5, 5)],
        told=told,
    )
    targets = next(iter(make_loader(split, image, batch_size=2, workers=0))).targets
    expected = np.concatenate([target.boxes.numpy() for target in targets])
    found = boxes_at_input(split, image)
    if not told:  # the loader cannot cut off at the border of an image whose size it is not told
        expected = expected.clip(0, [96, 64, 96, 64])
        assert len(found) == len(expected)
        return
    np.testing.assert_allclose(
        found[np.lexsort(found.T)], expected[np.lexsort(expected.T)].astype(float), atol=1e-4
    )


def test_crowds_are_no_boxes_to_fit():
    split = split_of([(20, 20)], [(0, 1, 1, 5, 5), (0, 2, 2, 9, 9)], crowd=[False, True])
    np.testing.assert_allclose(boxes_at_input(split, ImageConfig(size=(40, 40))), [[2, 2, 12, 12]])


@pytest.fixture(scope="module", params=[name for name in VARIANTS.names() if has_shapes(name)])
def anchors(request):
    """The stage of every variant whose priors have shapes, on tiny images."""
    config = tiny_config(request.param, image__size="64,96", data__train=40)
    dataset = open_configured(config)
    splits = {name: dataset.splits[name] for name in ("train", "val")}
    return Anchors(config, splits, len(dataset.classes)), dataset


def test_a_trial_measures_what_the_network_has(anchors):
    stage, dataset = anchors
    space = space_of(stage.config, ["anchors"], stage.settings())
    boxes = boxes_at_input(dataset.splits["train"], stage.config.image)
    tried = [space.defaults] + [
        {**space.defaults, d.path: option} for d in space for option in (d.options or (d.low, d.high))
    ]
    for values in tried:
        detector = build_detector(configured(stage.config, values), len(dataset.classes))
        fit = measure_fit(boxes, *priors_of(detector, stage.config.image.size), stage.threshold)
        rows = {(row.split, row.group): row for row in stage.fitted("x", values)}
        row = rows["train", "all"]
        assert (row.objects, row.recall) == (len(boxes), pytest.approx(fit.recall))
        assert row.mean_iou == pytest.approx(fit.mean, abs=1e-5)
        small = next(row for row in fit.rows() if row["group"] == "small")
        assert rows["train", "small"].recall == pytest.approx(small["recall"])


def test_explicit_shapes_fit_better_than_the_rule_and_are_as_many(anchors):
    stage, _ = anchors
    space = {dimension.path: dimension for dimension in space_of(stage.config, ["anchors"], stage.settings())}
    rule, *explicit = space["shapes"].options
    assert rule == space["shapes"].default == ""
    worth = {
        option: stage.fitted("x", {"shapes": option})[0].recall
        + stage.fitted("x", {"shapes": option})[0].mean_iou
        for option in space["shapes"].options
    }
    assert max(worth[option] for option in explicit) > worth[rule]
    assert {stage.priors({"shapes": option}).per_cell for option in explicit} == {stage.priors({}).per_cell}


def test_settings_of_priors_belong_to_the_stage_where_it_is_asked_for_and_else_to_training(anchors):
    stage, _ = anchors
    own = {path for path, mark in stage.settings().items() if mark is not None}
    both = space_of(stage.config, ["anchors", "train"], stage.settings())
    assert {d.path for d in both.of("anchors")} == own
    assert not own & {d.path for d in both.of("train")}
    marked = own - {"ratios", "shapes"}
    assert marked <= {d.path for d in space_of(stage.config, ["train"]).of("train")}
    typed = space_of(stage.config, ["anchors", f"{min(marked)}=1:2"], stage.settings())
    assert next(d for d in typed if d.path == min(marked)).stage == "anchors"


def test_a_variant_without_shapes_says_who_has_them():
    config = tiny_config("fcos")
    with pytest.raises(InputError, match=r"variant 'fcos' has no shapes of priors to fit; .* retinanet, ssd"):
        Anchors(config, {}, 3)


def test_no_box_to_fit_is_said():
    config = tiny_config("ssd")
    with pytest.raises(InputError, match="no box to fit priors to"):
        Anchors(config, {"train": split_of([(20, 20)], [])}, 3)
