"""``bench run --train-sizes``: runs on nested subsets of the training images."""

from __future__ import annotations

import pandas as pd
import pytest
from tiny_runs import tiny_sets

from bench.cli import main
from bench.designs.train_sizes import size_levels
from metrics.errors import InputError
from reports.records.run import RunFolder


def test_sizes_are_sorted_the_largest_first():
    assert [level.settings["data.train_images"] for level in size_levels(["50", "all", "200", "50"])] == [
        None,
        200,
        50,
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["many", "5"], "--train-sizes 'many': expected numbers of training images, or all"),
        (["0", "5"], "--train-sizes '0'"),
        (["5", "5"], "expected at least two sizes"),
    ],
)
def test_wrong_sizes_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        size_levels(words)


def test_runs_of_all_sizes_are_compared_on_the_same_images(tmp_path, capsys):
    more = {"train__epochs": 1, "data__test": 4, "data__train": 8}
    words = ["run", "--variant", "ssd", "--quiet", "--out", str(tmp_path), "--set", *tiny_sets(**more)]
    assert main([*words, "--train-sizes", "9", "all"]) == 2
    assert "data.train_images=9: there are 8 training images" in capsys.readouterr().err
    assert main([*words, "--train-sizes", "4", "all"]) == 0
    (page,) = tmp_path.glob("comparison-*")
    runs = [RunFolder.open(path) for path in tmp_path.iterdir() if path != page]
    assert sorted(run.result.data.train_images for run in runs) == [4, 8]
    assert len({run.result.data.fingerprint for run in runs}) == 1
    rows = pd.read_csv(page / "learning-curves.csv").query("metric == 'ap'")
    by_size = {run.result.data.train_images: run.result.headline["ap"] for run in runs}
    assert dict(zip(rows["train_images"], rows["value"], strict=True)) == pytest.approx(by_size)
    assert main([*words, "--train-sizes", "4", "all", "--folds", "2"]) == 2
    assert "--folds, --train-sizes: two designs; give one of them" in capsys.readouterr().err
