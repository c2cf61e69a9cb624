"""Overlaps of label maps and masks equal counts pixel by pixel, for any order of the images."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.segmentation import LabelMaps, Masks, Overlap, mask_dice, mask_iou

Maps = tuple[NDArray[np.uint8], NDArray[np.uint8]]
VOID = 255


def maps() -> st.SearchStrategy[list[Maps]]:
    """Pairs of small label maps of 3 classes, some pixels ignored."""
    labels = st.sampled_from([0, 1, 2, 2, VOID])
    shapes = array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=5)
    pair = shapes.flatmap(lambda shape: st.tuples(*[arrays(np.uint8, shape, elements=labels)] * 2))
    return st.lists(pair, max_size=5)


def masks() -> st.SearchStrategy[tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]]:
    """Two stacks of masks of 2 classes that may overlap, and which pixels are compared."""
    return st.tuples(arrays(bool, (2, 3, 4)), arrays(bool, (2, 3, 4)), arrays(bool, (3, 4)))


def added(pairs: list[Maps]) -> LabelMaps:
    total = LabelMaps(3)
    for truth, found in pairs:
        total.update(truth, found)
    return total


@given(maps())
def test_label_maps_equal_sets_of_pixels(pairs: list[Maps]) -> None:
    overlap = added(pairs).compute()
    pixels = [
        (int(t), int(f))
        for truth, found in pairs
        for t, f in zip(truth.ravel(), found.ravel(), strict=True)
        if t != VOID
    ]
    assert overlap.pixels == len(pixels)
    ious, dices = [], []
    for label in range(3):
        true = {place for place, (t, _) in enumerate(pixels) if t == label}
        found_ = {place for place, (_, f) in enumerate(pixels) if f == label}
        everywhere = set(range(len(pixels)))
        ious.append(share(true & found_, true | found_))
        dices.append(2 * len(true & found_) / (len(true) + len(found_)) if true or found_ else math.nan)
        assert_allclose(overlap.iou[label], ious[-1])
        assert_allclose(overlap.dice[label], dices[-1])
        assert_allclose(overlap.precision[label], share(true & found_, found_))
        assert_allclose(overlap.recall[label], share(true & found_, true))
        assert_allclose(overlap.specificity[label], share(everywhere - true - found_, everywhere - true))
        assert_allclose(overlap.accuracy[label], share(everywhere - (true ^ found_), everywhere))
    assert_allclose(overlap.mean_iou, mean(ious))
    assert_allclose(overlap.mean_dice, mean(dices))
    assert_allclose(overlap.pixel_accuracy, mean([float(t == f) for t, f in pixels]))


def share(part: set[int], whole: set[int]) -> float:
    return len(part) / len(whole) if whole else math.nan


def mean(values: list[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return sum(defined) / len(defined) if defined else math.nan


@given(maps(), st.integers(0, 5), st.integers(0, 5))
def test_any_split_of_the_images_gives_the_same_result(pairs: list[Maps], one: int, other: int) -> None:
    whole = added(pairs)
    merged = LabelMaps(3)
    for first, last in pairwise([0, *sorted((one, other)), len(pairs)]):
        merged.merge(added(pairs[first:last]) if first < last else LabelMaps(3))
    if max(one, other) <= len(pairs):
        assert_array_equal(merged.counts, whole.counts)


@given(masks())
def test_masks_are_compared_class_by_class(given_masks: tuple[NDArray[np.bool_], ...]) -> None:
    truth, found, compared = given_masks
    overlap = Masks(2).update(truth, found, compared).compute()
    for label in range(2):
        true, predicted = truth[label][compared], found[label][compared]
        assert overlap.intersection[label] == (true & predicted).sum()
        union = int((true | predicted).sum())
        assert_allclose(overlap.iou[label], (true & predicted).sum() / union if union else math.nan)
        assert_allclose(overlap.accuracy[label], (true == predicted).mean() if len(true) else math.nan)
    twice = Masks(2).update(truth, found, compared).merge(Masks(2).update(truth, found, compared)).compute()
    assert_allclose(twice.iou, overlap.iou)
    assert twice.pixels == 2 * overlap.pixels


@given(masks())
def test_one_class_gives_the_same_as_masks_and_as_label_map(
    given_masks: tuple[NDArray[np.bool_], ...],
) -> None:
    truth, found, _ = given_masks
    by_mask = Masks(1).update(truth[0], found[0]).compute()
    by_label = LabelMaps(2).update(truth[0].astype(int), found[0].astype(np.int16)).compute()
    for name in ("iou", "dice", "specificity", "accuracy"):
        assert_allclose(getattr(by_mask, name)[0], getattr(by_label, name)[1])


@given(masks())
def test_pairwise_overlaps_are_ratios_of_pixel_counts(given_masks: tuple[NDArray[np.bool_], ...]) -> None:
    a, b, _ = given_masks
    iou, dice = mask_iou(a, b[:1]), mask_dice(a, b[:1])
    assert iou.shape == (2, 1)
    for row in range(2):
        both, union = int((a[row] & b[0]).sum()), int((a[row] | b[0]).sum())
        assert iou[row, 0] == (both / union if union else 0)
        assert dice[row, 0] == pytest.approx(2 * iou[row, 0] / (1 + iou[row, 0]))


@given(maps())
def test_dice_is_a_function_of_iou_and_1_for_identical_maps(pairs: list[Maps]) -> None:
    overlap = added(pairs).compute()
    assert_allclose(overlap.dice, 2 * overlap.iou / (1 + overlap.iou))
    same = added([(truth, truth) for truth, _ in pairs]).compute()
    assert set(same.iou[~np.isnan(same.iou)]) <= {1.0}


def test_the_mean_is_over_the_whole_set_and_not_over_images() -> None:
    big, small = np.zeros((10, 10), int), np.zeros((1, 1), int)
    overlap = LabelMaps(2).update(big, big).update(small, small + 1).compute()
    assert overlap.iou.tolist() == [100 / 101, 0.0]
    assert overlap.mean_iou == 50 / 101
    assert overlap.pixel_accuracy == 100 / 101


def test_a_pixel_predicted_as_void_is_missed_and_a_void_pixel_is_not_compared() -> None:
    truth, found = np.array([[0, 0, VOID]]), np.array([[0, VOID, 1]])
    overlap = LabelMaps(2).update(truth, found).compute()
    assert overlap.pixels == 2
    assert overlap.iou[0] == 1 / 2
    assert math.isnan(overlap.iou[1])


def test_without_pixels_values_are_nan() -> None:
    for overlap in (LabelMaps(2).compute(), Masks(2).compute()):
        assert all(math.isnan(row.value) for row in overlap.rows())


def test_rows_have_the_format_of_an_evaluation() -> None:
    overlap = LabelMaps(["road", "car"]).update(np.array([0, 1]), np.array([0, 0])).compute()
    frame = overlap.to_frame().set_index(["name", "class"])
    assert frame.loc[("miou", ""), "value"] == 0.25
    assert frame.loc[("miou", "road"), "value"] == 0.5
    assert frame.loc[("pixel_accuracy", ""), "value"] == 0.5
    assert frame["higher_is_better"].all()
    assert isinstance(overlap, Overlap)
    assert "pixel_accuracy" not in [row.name for row in Masks().compute().rows() if not row.class_name]


def test_invalid_arguments_are_rejected() -> None:
    labels = np.zeros((2, 2), int)
    with pytest.raises(InputError, match=r"truth has shape \(2, 2\), predicted \(2,\); resize"):
        LabelMaps(2).update(labels, labels[0])
    with pytest.raises(InputError, match="predicted has float64; expected integer labels"):
        LabelMaps(2).update(labels, labels + 0.5)
    with pytest.raises(
        InputError, match="truth has label 7 in 4 pixels; there are 2 classes, and 255 is ignored"
    ):
        LabelMaps(2).update(labels + 7, labels)
    with pytest.raises(InputError, match=r"predicted has label -1 in 4 pixels; there are 2 classes$"):
        LabelMaps(2, ignore=None).update(labels, labels - 1)
    with pytest.raises(InputError, match="0 is the label of class 'road'"):
        LabelMaps(["road"], ignore=0)
    with pytest.raises(InputError, match="different classes"):
        LabelMaps(2).merge(LabelMaps(3))
    with pytest.raises(InputError, match="different classes"):
        Masks(2).merge(Masks(3))
    with pytest.raises(InputError, match="at least one"):
        Masks(0)
    with pytest.raises(InputError, match=r"expected \(2, H, W\), one per class"):
        Masks(2).update(labels, labels)
    with pytest.raises(InputError, match="values other than 0 and 1"):
        Masks(1).update(labels + 255, labels)
    with pytest.raises(InputError, match=r"compared is int64 \(2, 2\); expected bool"):
        Masks(1).update(labels, labels, labels)
    with pytest.raises(InputError, match="resize one"):
        Masks(1).update(labels, labels[:1])
    with pytest.raises(InputError, match=r"masks b: expected bool \(N, H, W\)"):
        mask_iou(np.zeros((1, 2, 2), bool), labels)
    with pytest.raises(InputError, match="resize one"):
        mask_dice(np.zeros((1, 2, 2), bool), np.zeros((1, 2, 3), bool))
