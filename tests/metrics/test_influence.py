"""Leave-one-out influence of images, against evaluation without them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from scene_runs import run, scene_of
from strategies import Scene

from metrics.compare import influence
from metrics.compare.influence import _reversal_size
from metrics.evaluator import evaluate
from metrics.registry import UnknownName


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


def test_influence_equals_evaluation_without_the_image(scene: Scene) -> None:
    runs = {"a": run(scene), "b": run(scene, 0.8)}
    found = influence(runs, "a", "b")
    for image in (0, 17, 59):
        rest = np.delete(np.arange(60), image)
        truth = scene.truth.select(rest)
        values = [evaluate(truth, of.select(rest)).headline["ap"] for _, of in runs.values()]
        assert found.without[image] == pytest.approx(values[0] - values[1], abs=1e-12)
    assert_allclose(found.influence, found.delta - found.without)
    strongest = int(np.argmax(found.influence))
    assert found.top(1) == (scene.truth.catalog.image_ids[strongest],)
    assert found.to_frame()["image_id"].iloc[0] == scene.truth.catalog.image_ids[strongest]


def test_without_the_most_influential_images_the_difference_is_gone(scene: Scene) -> None:
    runs = {"a": run(scene), "b": run(scene, 0.8)}
    found = influence(runs, "a", "b")
    assert found.delta > 0
    assert found.undone_by is not None
    order = np.argsort(-found.influence, kind="stable")
    left = []
    for count in (found.undone_by - 1, found.undone_by):
        rest = np.sort(order[count:])
        truth = scene.truth.select(rest)
        values = [evaluate(truth, of.select(rest)).headline["ap"] for _, of in runs.values()]
        left.append(values[0] - values[1])
    assert left[0] > 0 >= left[1]
    turned = influence(runs, "b", "a")
    assert turned.undone_by == found.undone_by
    assert turned.top(5) == found.top(5)


def test_undone_by_is_exact_in_a_large_set() -> None:
    scene = scene_of(400)  # more images than are left out in one grid
    runs = {"a": run(scene), "b": run(scene, 0.85)}
    found = influence(runs, "a", "b")
    assert found.undone_by is not None
    order = np.argsort(-found.influence, kind="stable")
    left = []
    for count in (found.undone_by - 1, found.undone_by):
        rest = np.sort(order[count:])
        truth = scene.truth.select(rest)
        values = [evaluate(truth, of.select(rest)).headline["ap"] for _, of in runs.values()]
        left.append(values[0] - values[1])
    assert left[0] > 0 >= left[1]


def test_influence_of_groups_and_of_seeds(scene: Scene) -> None:
    groups = [k // 6 for k in range(60)]
    runs = {"a": [run(scene), run(scene, 0.95)], "b": run(scene, 0.8)}
    found = influence(runs, "a", "b", "f1", groups=groups)
    assert found.influence.shape == (10,)
    assert found.of_images.shape == (60,)
    assert (found.of_images[:6] == found.influence[0]).all()
    rest = np.arange(6, 60)
    truth = scene.truth.select(rest)
    values = [
        np.mean([evaluate(truth, table.select(rest), ["operating_point"]).value("f1") for _, table in of])
        for of in (runs["a"], [runs["b"]])
    ]
    assert found.without[0] == pytest.approx(values[0] - values[1], abs=1e-12)  # type: ignore[operator]


def test_identical_runs_have_no_influential_image(scene: Scene) -> None:
    found = influence({"a": run(scene), "b": run(scene)}, "a", "b")
    assert (found.undone_by, found.top()) == (0, ())
    with pytest.raises(UnknownName, match="unknown model 'c'"):
        influence({"a": run(scene)}, "a", "c")


def test_undone_by_is_the_exact_minimum() -> None:
    units = 5000  # so that a grid of choices must grow finer twice
    moved = 1.0 + np.random.default_rng(0).random(units)
    falling = np.cumsum(np.sort(moved)[::-1])
    calls = []

    def difference(weights: NDArray[np.uint8]) -> NDArray[np.float64]:
        calls.append(len(weights))
        return np.asarray(delta - (1 - weights.astype(np.float64)) @ moved)

    for count in (1, 2, 78, 79, 80, 81, 157, 1234, 2499, 4921, 4999, 5000):
        delta = (
            float(falling[count - 1]) - 0.5
        )  # gone when the strongest `count` are left out, and not before
        assert _reversal_size(delta, moved, np.arange(units), difference) == count
    assert len(calls) <= 3 * 12
    delta = float(falling[-1]) + 1
    assert _reversal_size(delta, moved, np.arange(units), difference) is None
