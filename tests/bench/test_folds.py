"""Folds: every image is tested once, groups are not divided, classes are balanced; nested training sets; pooled detections."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_data_groups import videos
from tiny_data import Picture, write_coco
from tiny_runs import tiny_sets

from bench.cli import main
from bench.data.splits import unit_positions
from bench.data.stratification import first_images, stratified_parts
from bench.datasets import open_dataset
from bench.runs.finished_run import evaluated_split
from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.tables import AnnotationTable, Catalog
from reports.records.run import RunFolder

SHAPES = {"train": 20, "val": 8, "test": 12, "size": (32, 32), "scale": (8, 24)}


def drawn_truth(images: int, classes: int, seed: int) -> AnnotationTable:
    rng = np.random.default_rng(seed)
    image = np.sort(rng.integers(0, images, 3 * images))
    share = 0.5 ** np.arange(classes)
    label = rng.choice(classes, len(image), p=share / share.sum())
    catalog = Catalog.of(range(images), [f"c{k}" for k in range(classes)])
    return AnnotationTable.of(
        catalog, image, label, np.ones((len(image), 4)), ignored=rng.random(len(image)) < 0.1
    )


def positions_of(units: np.ndarray, seed: int = 0) -> np.ndarray:
    return unit_positions([str(unit) for unit in units], units, seed)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 9), min_size=6, max_size=40),
    st.lists(st.floats(0.05, 1), min_size=2, max_size=5),
    st.integers(0, 99),
)
def test_units_are_not_divided_and_no_part_is_empty(groups, shares, seed):
    _, units = np.unique(groups, return_inverse=True)
    shares = shares[: units.max() + 1]
    part = stratified_parts(drawn_truth(len(units), 3, seed), shares, positions_of(units), units)
    assert set(part) == set(range(len(shares)))
    for unit in range(units.max() + 1):
        assert len(set(part[units == unit])) == 1


@pytest.mark.parametrize("folds", [3, 5])
def test_classes_are_balanced_better_than_by_any_of_a_hundred_random_divisions(folds):
    truth = drawn_truth(120, 5, 1)
    units = np.arange(120)
    valid = ~truth.ignored

    def imbalance(part: np.ndarray) -> float:
        counts = np.stack(
            [np.bincount(truth.label[valid & (part[truth.image] == k)], minlength=5) for k in range(folds)]
        )
        wanted = counts.sum(0) / folds
        return float(((counts - wanted) ** 2 / wanted).sum())

    part = stratified_parts(truth, (1,) * folds, positions_of(units), units)
    assert np.ptp(np.bincount(part)) <= 2
    rng = np.random.default_rng(0)
    assert imbalance(part) < min(imbalance(rng.permutation(units % folds)) for _ in range(100))


def test_shares_are_met():
    truth = drawn_truth(200, 3, 2)
    units = np.arange(200)
    part = stratified_parts(truth, (0.8, 0.2), positions_of(units), units)
    assert (part == 1).sum() == pytest.approx(40, abs=2)


def test_a_division_is_the_same_on_every_machine():
    units = np.arange(12)
    part = stratified_parts(drawn_truth(12, 3, 5), (1, 1, 1), positions_of(units, 3), units)
    assert part.tolist() == GOLDEN


GOLDEN = [0, 1, 2, 2, 1, 2, 0, 1, 1, 0, 1, 0]


@settings(max_examples=25)
@given(st.integers(2, 50), st.integers(0, 5), st.data())
def test_fewer_training_images_are_a_subset_of_more(images, seed, data):
    truth = drawn_truth(images, 3, seed)
    names = [f"i{k}" for k in range(images)]
    small, large = sorted(data.draw(st.lists(st.integers(1, images), min_size=2, max_size=2)))
    first, more = (first_images(truth, names, count, seed) for count in (small, large))
    assert (len(first), len(more)) == (small, large)
    assert set(first) <= set(more)
    assert len(set(more)) == large


def test_fewer_training_images_keep_the_shares_of_the_classes():
    truth = drawn_truth(256, 4, 3)
    chosen = first_images(truth, [f"i{k}" for k in range(256)], 64, 0)
    kept = truth.select(chosen)
    counts = [np.bincount(table.label[~table.ignored], minlength=4) for table in (kept, truth)]
    assert counts[0] == pytest.approx(counts[1] / 4, abs=2)


def test_every_drawn_image_is_tested_once_with_its_own_pixels_and_masks():
    whole = open_dataset("shapes", **SHAPES)
    original = {
        image: (split, index)
        for split in whole.splits.values()
        for index, image in enumerate(split.truth.catalog.image_ids)
    }
    tested: list[object] = []
    fingerprints = set()
    for fold in (1, 2, 3):
        data = open_dataset("shapes", **SHAPES, folds=3, fold=fold)
        fingerprints.add(data.fingerprint)
        parts = [set(split.truth.catalog.image_ids) for split in data.splits.values()]
        assert set.union(*parts) == set(original)
        assert sum(map(len, parts)) == len(original)
        test = data.splits["test"]
        tested += test.truth.catalog.image_ids
        for index, image in enumerate(test.truth.catalog.image_ids[:4]):
            split, place = original[image]
            assert np.array_equal(test.load(index), split.load(place))
            assert np.array_equal(test.label_maps(index), split.label_maps(place))
            assert np.array_equal(
                test.truth.xywh[test.truth.image == index], split.truth.xywh[split.truth.image == place]
            )
    assert sorted(tested) == sorted(original)
    assert len(fingerprints) == 3
    assert whole.fingerprint not in fingerprints


def test_groups_and_equal_images_stay_in_one_fold(tmp_path):
    file = videos(tmp_path, count=9, frames=4)
    folds_of: dict[str, set[int]] = {}
    for fold in (1, 2, 3):
        data = open_dataset(file, groups="clip", folds=3, fold=fold)
        groups = [set(split.truth.catalog.image_columns["data.groups"]) for split in data.splits.values()]
        assert not set.intersection(groups[0], groups[1])
        assert not set.intersection(groups[0] | groups[1], groups[2])
        for group in groups[2]:
            folds_of.setdefault(group, set()).add(fold)
    assert len(folds_of) == 9
    assert all(len(folds) == 1 for folds in folds_of.values())


def test_given_splits_are_pooled(tmp_path):
    for split, first in (("train", 0), ("val", 10)):
        shown = [Picture(f"p{first + k}", objects=[(k % 2, (8, 8, 32, 24))]) for k in range(10)]
        write_coco(tmp_path / f"instances_{split}.json", shown, tmp_path / split)
    data = open_dataset(tmp_path, folds=4, fold=2)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 13, "val": 2, "test": 5}
    assert "the given splits (train, val) are not used (data.folds)" in map(str, data.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 3}, "folds is set and fold is not"),
        ({"fold": 2}, "fold is set and folds is not"),
        ({"folds": 3, "fold": 4}, "fold is 4, but there are 3 folds"),
        ({"folds": 41, "fold": 1}, "data.folds=41: the data set has 40 images, too few"),
        ({"train_images": 21}, "data.train_images=21: there are 20 training images; use at most 20"),
    ],
)
def test_impossible_folds_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        open_dataset("shapes", **SHAPES, **options)


def test_folds_and_a_separate_test_set_exclude_each_other(tmp_path):
    one = write_coco(tmp_path / "a" / "one.json", [Picture(f"a{k}") for k in range(6)])
    two = write_coco(tmp_path / "b" / "two.json", [Picture(f"b{k}") for k in range(6)])
    with pytest.raises(
        InputError, match=r"data.test: a split from elsewhere, but data.folds divides all images"
    ):
        open_dataset(one, test=str(two), folds=2, fold=1)


def test_all_training_images_are_the_data_set_itself():
    whole = open_dataset("shapes", **SHAPES)
    assert open_dataset("shapes", **SHAPES, train_images=20).fingerprint == whole.fingerprint
    fewer = open_dataset("shapes", **SHAPES, train_images=7)
    assert len(fewer.splits["train"]) == 7
    assert fewer.splits["test"].truth.fingerprint == whole.splits["test"].truth.fingerprint


def test_detections_of_all_folds_are_pooled_and_runs_are_reused(tmp_path, capsys):
    more = {"train__epochs": 1, "data__test": 4, "data__train": 8}
    words = [
        "run",
        "--variant",
        "ssd",
        "--folds",
        "2",
        "--quiet",
        "--out",
        str(tmp_path),
        "--set",
        *tiny_sets(**more),
    ]
    assert main(words) == 0
    runs = sorted(
        map(RunFolder.open, tmp_path.iterdir()), key=lambda run: run.result.config["data"].get("fold", 3)
    )
    *folds, pooled = runs
    assert len(folds) == 2
    assert pooled.result.data.images == 16 == sum(run.result.data.images for run in folds)
    order = ["image_id", "score", "x", "y"]
    expected = pd.concat([run.detections.to_frame() for run in folds]).sort_values(order)
    found = pooled.detections.to_frame().sort_values(order)
    pd.testing.assert_frame_equal(found.reset_index(drop=True), expected.reset_index(drop=True))
    column = pooled.truth.catalog.image_columns["fold"]
    for number, run in enumerate(folds, start=1):
        mask = np.array(column) == number
        alone = evaluate(pooled.truth.select(mask), pooled.detections.select(mask)).headline["ap"]
        assert alone == pytest.approx(run.result.headline["ap"], nan_ok=True)
    rows = pd.read_csv(pooled.path / "folds.csv")
    assert rows["ap"].tolist() == pytest.approx([run.result.headline["ap"] for run in folds], nan_ok=True)
    assert rows["images"].tolist() == [run.result.data.images for run in folds]
    assert pooled.result.data.train_images == round(sum(run.result.data.train_images for run in folds) / 2)
    split = evaluated_split(pooled)
    assert split.truth.catalog.image_ids == pooled.truth.catalog.image_ids
    assert split.load(0).shape == (64, 64, 3)
    before = {run.path: run.path.joinpath("result.json").stat().st_mtime_ns for run in runs}
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["name"] == pooled.result.name
    assert {path: path.joinpath("result.json").stat().st_mtime_ns for path in before} == before


def test_a_fold_in_the_settings_contradicts_all_folds(tmp_path, capsys):
    words = ["run", "--variant", "ssd", "--folds", "2", "--quiet", "--out", str(tmp_path), "--set"]
    assert main([*words, *tiny_sets(), "data.fold=1"]) == 2
    assert "data.fold: set to 1 by --set, but the design has a run for each" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
