"""Comparison of label maps: against resampling images one by one, closed forms, and simulated data with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from metrics.compare import Comparison, compare_masks
from metrics.compare.masks import DEFAULT_MEASURES, MaskReplicates, MaskStatistic
from metrics.errors import InputError, InputWarning
from metrics.mask_counts import MaskCounts, count_image
from metrics.resampling.weights import unit_weights
from metrics.segmentation import LabelMaps
from tests.benchmarks.mask_coverage import MaskWorld, draw_counts, simulate

CLASSES = ("background", "cat", "dog", "emu")
MEASURES = ("miou", *DEFAULT_MEASURES)
Maps = list[NDArray[np.uint8]]


def draw_truth(rng: np.random.Generator, images: int, labels: tuple[int, ...] = (0, 0, 1, 2, 255)) -> Maps:
    """Label maps of 6 x 5 pixels; every third image lacks class 2."""
    maps = [rng.choice(np.array(labels, np.uint8), (6, 5)) for _ in range(images)]
    return [
        np.where(each == 2, 1, each).astype(np.uint8) if at % 3 == 0 else each for at, each in enumerate(maps)
    ]


def disturb(rng: np.random.Generator, maps: Maps, share: float, label: int | None = None) -> Maps:
    """The maps with other labels in a share of the pixels: random ones, or one label."""
    found = []
    for each in maps:
        other = rng.integers(0, 3, each.shape) if label is None else np.full(each.shape, label)
        guess = np.where(each == 255, 0, each)
        found.append(np.where(rng.random(each.shape) < share, other, guess).astype(np.uint8))
    return found


def counts_of(truth: Maps, found: Maps) -> MaskCounts:
    return MaskCounts.of(CLASSES, [count_image(t, f, CLASSES) for t, f in zip(truth, found, strict=True)])


def values_of(truth: Maps, found: Maps, times: NDArray[np.integer]) -> dict[tuple[str, str], float]:
    """Every measure, of all classes and of each, of a data set in which image i occurs `times[i]` times."""
    total = LabelMaps(CLASSES)
    for index, count in enumerate(times):
        for _ in range(count):
            total.update(truth[index], found[index])
    return {(row.name, row.class_name): row.value for row in total.compute().rows()}


@pytest.fixture(scope="module")
def three() -> tuple[Maps, dict[str, list[Maps]]]:
    """Truth of 12 images, and the label maps of a model with two seeds, of one with one, and of one that invents a class."""
    rng = np.random.default_rng(0)
    truth = draw_truth(rng, 12)
    invents = disturb(rng, truth, 0.4)
    invents[5][:2] = 3
    return truth, {
        "good": [disturb(rng, truth, 0.2), disturb(rng, truth, 0.25)],
        "fair": [disturb(rng, truth, 0.5)],
        "invents": [invents],
    }


def test_replicates_equal_evaluations_of_copied_images(three: tuple[Maps, dict[str, list[Maps]]]) -> None:
    truth, found = three
    counts = {model: [counts_of(truth, maps) for maps in runs] for model, runs in found.items()}
    unit = np.array([0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 7])
    weights = unit_weights(unit, 6, 3)
    given = MaskReplicates(counts, tuple(map(MaskStatistic.named, MEASURES)), unit, 8, 6, 3)
    for model, runs in found.items():
        plain = [[values_of(truth, maps, row) for maps in runs] for row in (np.ones(12, int), *weights)]
        for name in MEASURES:
            statistic = MaskStatistic.named(name)
            for label in (None, 0, 1, 2, 3):
                key = (name, "" if label is None else CLASSES[label])
                expected = np.array([[of[key] for of in row] for row in plain])
                estimate = given.estimate(model, statistic, label)
                np.testing.assert_allclose(estimate.value, expected[0].mean(), rtol=0, atol=1e-12)
                np.testing.assert_allclose(estimate.images, expected[1:].mean(1), rtol=0, atol=1e-12)
                np.testing.assert_allclose(
                    given.seed_values(model, statistic, label), expected[0], rtol=0, atol=1e-12
                )


def test_the_parts_of_a_mean_have_it_as_their_mean(three: tuple[Maps, dict[str, list[Maps]]]) -> None:
    """Also where a model predicts a class that the truth lacks, so that its mean is over other classes."""
    truth, found = three
    counts = {model: [counts_of(truth, maps) for maps in runs] for model, runs in found.items()}
    given = MaskReplicates(counts, tuple(map(MaskStatistic.named, MEASURES)), np.arange(12), 12, 4, 0)
    for name in set(MEASURES) - {"pixel_accuracy"}:
        statistic = MaskStatistic.named(name)
        for model in found:
            estimate = given.estimate(model, statistic)
            assert estimate.classes is not None
            assert estimate.classes.estimates.mean() == pytest.approx(estimate.value, abs=1e-12)
            delta = estimate - given.estimate("good", statistic)
            assert delta.classes is not None
            assert delta.classes.estimates.mean() == pytest.approx(delta.value, abs=1e-12)


def test_a_comparison_has_the_values_of_the_whole_set(three: tuple[Maps, dict[str, list[Maps]]]) -> None:
    truth, found = three
    counts = {model: [counts_of(truth, maps) for maps in runs] for model, runs in found.items()}
    comparison = compare_masks(counts, resamples=50)
    for model, runs in found.items():
        plain = [values_of(truth, maps, np.ones(12, int)) for maps in runs]
        for name in MEASURES:
            row = comparison.standing(model, name)
            assert row.value == pytest.approx(np.mean([of[name, ""] for of in plain]))
            assert row.ci_low < row.value < row.ci_high
        for value in comparison.class_values:
            if value.model == model:
                expected = np.mean([of[value.measure, value.class_name] for of in plain])
                assert value.value == pytest.approx(expected, nan_ok=True)
                label = CLASSES.index(value.class_name)
                assert value.objects == sum((each == label).any() for each in truth)
    good, fair = (comparison.standing(model).value for model in ("good", "fair"))
    row = comparison.difference("good", "fair")
    assert row.delta == pytest.approx(good - fair)
    assert comparison.difference("good", "fair", scope="cat").p_raw <= 1
    with pytest.raises(InputError, match="no row for 'good' and 'fair' in scope 'emu'"):
        comparison.difference("good", "fair", scope="emu")
    assert "invents" in str(comparison)


def test_standard_errors_equal_those_of_plain_resampling() -> None:
    """With images that all have all classes, the correction by n / (n - 1) is all that is added."""
    rng = np.random.default_rng(1)
    truth = [rng.integers(0, 2, (6, 5)).astype(np.uint8) for _ in range(60)]
    runs = {"a": counts_of(truth, disturb(rng, truth, 0.2)), "b": counts_of(truth, disturb(rng, truth, 0.3))}
    comparison = compare_masks(runs, resamples=400, seed=5)
    weights = unit_weights(np.arange(60), 400, 5)
    for name in ("miou", "mdice", "pixel_accuracy"):
        deltas = []
        for row in weights:
            a, b = (run.select(np.repeat(np.arange(60), row)).overlap() for run in runs.values())
            short = {"miou": "mean_iou", "mdice": "mean_dice", "pixel_accuracy": "pixel_accuracy"}[name]
            deltas.append(getattr(a, short) - getattr(b, short))
        found = comparison.difference("a", "b", name)
        sign = 1 if found.model_a == "a" else -1
        assert found.se == pytest.approx(np.std(deltas, ddof=1) * np.sqrt(60 / 59), rel=0.02)
        assert comparison.replicates[name]["a"] - comparison.replicates[name]["b"] == pytest.approx(deltas)
        assert sign * found.delta > 0


def test_identical_models_have_a_zero_interval_and_are_not_decisive() -> None:
    rng = np.random.default_rng(2)
    truth = draw_truth(rng, 60)
    maps = disturb(rng, truth, 0.3)
    comparison = compare_masks({"a": counts_of(truth, maps), "b": counts_of(truth, maps)}, resamples=100)
    for row in (*comparison.pairwise, *comparison.class_pairs):
        assert (row.delta, row.ci_low, row.ci_high, row.p_raw, row.decisive) == (0, 0, 0, 1, False)
    assert comparison.verdict.equal == ("b",)


def test_a_clear_difference_is_decisive_and_few_images_are_not() -> None:
    rng = np.random.default_rng(3)
    truth = draw_truth(rng, 60)
    runs = {
        "worse": counts_of(truth, disturb(rng, truth, 0.5)),
        "better": counts_of(truth, disturb(rng, truth, 0.1)),
    }
    whole = compare_masks(runs, resamples=200)
    assert whole.models == ("better", "worse")
    assert whole.verdict.kind == "decisive"
    assert whole.difference("better", "worse").p_adj < 1e-3
    assert [row.scope for row in whole.class_pairs if row.decisive and row.metric == "miou"] == list(
        CLASSES[:3]
    )
    few = compare_masks({name: run.select(range(40)) for name, run in runs.items()}, resamples=200)
    assert few.verdict.kind == "too_few"
    assert not any(row.decisive for row in (*few.pairwise, *few.class_pairs))
    assert [str(note) for note in few.notes if note.kind == "too_few"] == [
        "40 images are too few to generalize to other images: treat intervals as a rough guide"
    ]
    grouped = compare_masks(runs, resamples=200, groups=np.repeat(range(10), 6).tolist())
    assert grouped.method.unit == "group"
    assert grouped.verdict.kind == "too_few"


def test_images_without_a_mask_change_nothing() -> None:
    rng = np.random.default_rng(4)
    truth = draw_truth(rng, 55)
    found = disturb(rng, truth, 0.3), disturb(rng, truth, 0.35)
    empty = [np.full((6, 5), 255, np.uint8)] * 3
    plain = compare_masks(
        {n: counts_of(truth, maps) for n, maps in zip("ab", found, strict=True)}, resamples=60
    )
    runs = {n: counts_of([*empty, *truth], [*empty, *maps]) for n, maps in zip("ab", found, strict=True)}
    more = compare_masks(runs, resamples=60)
    assert more.pairwise == plain.pairwise
    assert more.method.images == 55
    assert "3 of 58 images have no mask and are left out" in map(str, more.notes)


def test_rare_classes_and_classes_without_truth_are_named() -> None:
    rng = np.random.default_rng(5)
    truth = draw_truth(rng, 60, (0, 1))
    for each in truth[:7]:
        each[0, :3] = 2
    notes = {
        note.kind: str(note) for note in compare_masks({"a": counts_of(truth, truth)}, resamples=50).notes
    }
    assert notes["few_objects"] == "too few images (under 20) for a decision on these classes: dog (7)"
    assert notes["rare_classes"].startswith(
        "classes with fewer than 20 images (1 of 3) carry 33% of the mean"
    )
    assert notes["no_objects"] == "classes without pixels in the ground truth are not compared: emu"


def test_groups_are_resampled_as_a_whole() -> None:
    """Four copies of each image carry no more information than one."""
    rng = np.random.default_rng(6)
    truth = draw_truth(rng, 60)
    runs = {n: counts_of(truth, disturb(rng, truth, share)) for n, share in (("a", 0.3), ("b", 0.35))}
    once = compare_masks(runs, resamples=100).difference("a", "b")
    copies = {name: run.select(np.repeat(range(60), 4)) for name, run in runs.items()}
    video = [f"v{k}" for k in np.repeat(range(60), 4)]
    ids = [f"i{k}" for k in range(240)]
    given = compare_masks(
        copies, resamples=100, image_ids=ids, groups="video", image_columns={"video": video}
    ).difference("a", "b")
    assert (given.delta, given.ci_low, given.ci_high) == pytest.approx(
        (once.delta, once.ci_low, once.ci_high)
    )
    with pytest.warns(InputWarning, match="'video' .* is not used"):
        single = compare_masks(copies, resamples=100, image_columns={"video": video}).difference("a", "b")
    assert single.se == pytest.approx(once.se / 2, rel=0.25)


def test_runs_that_cannot_be_compared_are_refused() -> None:
    rng = np.random.default_rng(7)
    truth = draw_truth(rng, 4)
    run = counts_of(truth, truth)
    changed = [each.copy() for each in truth]
    changed[2][0, 0] = (changed[2][0, 0] + 1) % 2
    others = MaskCounts(
        ("background", "cat", "dog", "owl"), run.intersection, run.truth, run.predicted, run.pixels
    )
    nothing = counts_of([np.full((6, 5), 255, np.uint8)], [np.zeros((6, 5), np.uint8)])
    for runs, message in (
        ({}, "no runs were given"),
        ({"a": run, "b": []}, "b has no runs"),
        (
            {"a": run, "b": counts_of(changed, truth)},
            "a and b were measured on different masks in 1 of 4 images",
        ),
        ({"a": run, "b": run.select([0, 1])}, "a has 4 images, b 2"),
        ({"a": run, "b": others}, r"a and b have label maps of different classes \('emu', 'owl'\)"),
        ({"a": nothing}, "no image has a pixel to compare"),
    ):
        with pytest.raises(InputError, match=message):
            compare_masks(runs, resamples=10)
    with pytest.raises(InputError, match="no value 'mio' of label maps; did you mean 'miou'"):
        compare_masks({"a": run}, "mio")
    with pytest.raises(InputError, match="image_ids: expected one for each of 4 images, got 1"):
        compare_masks({"a": run}, image_ids=["x"])


def test_seeds_of_recipes_are_part_of_the_variance() -> None:
    rng = np.random.default_rng(8)
    truth = draw_truth(rng, 60)
    seeds = [counts_of(truth, disturb(rng, truth, share)) for share in (0.1, 0.3, 0.5)]
    other = [counts_of(truth, disturb(rng, truth, share)) for share in (0.2, 0.35, 0.6)]
    recipes: Comparison = compare_masks({"a": seeds, "b": other}, resamples=200)
    single = compare_masks({"a": seeds[1], "b": other[1]}, resamples=200)
    assert recipes.compared == "training recipes"
    assert recipes.difference("a", "b").se > 3 * single.difference("a", "b").se
    assert recipes.difference("a", "b").limited_by == "seeds"
    assert recipes.standing("a").seeds == pytest.approx([run.overlap().mean_iou for run in seeds])


def test_intervals_of_the_difference_cover_the_difference_in_the_population() -> None:
    """At least what intervals of 95% contain in all but 1e-5 of all simulations."""
    world = MaskWorld("short", 60, (1.0, 0.6, 0.5), (0.0, 0.0))
    found = simulate(world, sets=150, resamples=100)
    least = stats.binom.ppf(1e-5, 150, 0.95) / 150
    for name in world.measures:
        assert least <= found.difference_coverage(name) < 1
        assert least <= found.population_coverage(name)
    assert found.decisive.mean() <= 1 - least
    assert not found.too_few.any()


def test_the_population_is_that_of_many_images() -> None:
    world = MaskWorld("large", 20_000, (1.0, 0.5, 0.3), (0.3, 0.0))
    runs = draw_counts(np.random.default_rng(0), world)
    for model, gain in zip(world.models, world.gains, strict=True):
        overlap = runs[model].overlap()
        assert overlap.mean_iou == pytest.approx(world.population(gain)["miou"], abs=0.005)
        assert overlap.mean_dice == pytest.approx(world.population(gain)["mdice"], abs=0.005)
        assert overlap.pixel_accuracy == pytest.approx(world.population(gain)["pixel_accuracy"], abs=0.005)
