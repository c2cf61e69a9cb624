"""IoU and its variants against torchvision, closed forms and laws, with finite gradients."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.ops as reference
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metrics import iou as overlap
from metrics.errors import InputError

NAMES = ("box_iou", "generalized_box_iou", "distance_box_iou", "complete_box_iou")
LOWEST = {"box_iou": 0.0, "generalized_box_iou": -1.0, "distance_box_iou": -1.0, "complete_box_iou": -1.5}
LOSSES = {
    "generalized_box_iou": reference.generalized_box_iou_loss,
    "distance_box_iou": reference.distance_box_iou_loss,
    "complete_box_iou": reference.complete_box_iou_loss,
}


def corners(boxes: Any) -> Any:
    boxes = np.array(boxes, np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def boxes(count: int, least: float = 0.0) -> st.SearchStrategy[Any]:
    """(count, 4) xyxy of coarse coordinates, so that boxes touch, coincide or are empty."""
    side = st.one_of(st.integers(0, 6).map(float), st.floats(0, 200)).filter(lambda size: size >= least)
    place = st.one_of(st.integers(-3, 6).map(float), st.floats(-100, 100))
    return st.lists(st.tuples(place, place, side, side), min_size=count, max_size=count).map(corners)


def pairwise(name: str) -> Any:
    return getattr(overlap, name)


def aligned(name: str) -> Any:
    return getattr(overlap, f"aligned_{name}")


@pytest.mark.parametrize("name", NAMES)
@given(a=boxes(4, least=0.5), b=boxes(3, least=0.5))
def test_pairs_agree_with_torchvision(name: str, a: Any, b: Any) -> None:
    theirs = getattr(reference, name)(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    # torchvision adds 1e-7 to denominators, which counts most for the smallest boxes here
    np.testing.assert_allclose(pairwise(name)(a, b), theirs, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@given(a=boxes(4, least=0.5), b=boxes(4, least=0.5))
def test_one_minus_the_measure_is_torchvisions_loss_with_its_gradient(name: str, a: Any, b: Any) -> None:
    ours, theirs = (torch.from_numpy(a.copy()).requires_grad_() for _ in range(2))
    (1 - aligned(name)(ours, torch.from_numpy(b))).sum().backward()
    loss = LOSSES[name](theirs, torch.from_numpy(b), reduction="sum")
    loss.backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    # where edges coincide the gradient is one-sided, and each may take another side
    edges_differ = (
        (np.abs(a[:, None, :] - b[None, :, [0, 1, 2, 3]]) > 1e-3).all()
        and (np.abs(a[:, [0, 1]] - b[:, [2, 3]]) > 1e-3).all()
        and (np.abs(a[:, [2, 3]] - b[:, [0, 1]]) > 1e-3).all()
    )
    if edges_differ:
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@given(a=boxes(4), b=boxes(4))
def test_rows_are_the_diagonal_of_all_pairs_for_arrays_and_tensors(name: str, a: Any, b: Any) -> None:
    rows = aligned(name)(a, b)
    np.testing.assert_array_equal(rows, np.diagonal(pairwise(name)(a, b)))
    np.testing.assert_allclose(
        aligned(name)(torch.from_numpy(a), torch.from_numpy(b)).numpy(), rows, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("name", NAMES)
@given(a=boxes(3), b=boxes(3))
def test_the_measure_is_symmetric_and_within_its_range(name: str, a: Any, b: Any) -> None:
    values = pairwise(name)(a, b)
    # alpha v of CIoU is symmetric too: v is a square and IoU is symmetric
    np.testing.assert_allclose(values, pairwise(name)(b, a).T, atol=1e-12)
    assert (values >= LOWEST[name] - 1e-12).all()
    assert (values <= 1 + 1e-12).all()
    if name == "box_iou":
        assert (values <= 1).all()


@pytest.mark.parametrize("name", NAMES)
@given(a=boxes(3, least=0.5), b=boxes(3, least=0.5), scale=st.floats(0.25, 8), shift=st.integers(-50, 50))
def test_the_measure_does_not_depend_on_unit_or_origin(
    name: str, a: Any, b: Any, scale: float, shift: int
) -> None:
    values = pairwise(name)(a, b)
    np.testing.assert_allclose(pairwise(name)(a * scale, b * scale), values, atol=1e-9)
    np.testing.assert_allclose(pairwise(name)(a + shift, b + shift), values, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@given(a=boxes(3, least=0.5))
def test_a_box_has_the_highest_overlap_with_itself(name: str, a: Any) -> None:
    np.testing.assert_allclose(aligned(name)(a, a), 1.0, atol=1e-12)


@given(a=boxes(3), b=boxes(3))
def test_each_refinement_is_at_most_iou(a: Any, b: Any) -> None:
    iou, diou, ciou = (pairwise(name)(a, b) for name in ("box_iou", "distance_box_iou", "complete_box_iou"))
    assert (pairwise("generalized_box_iou")(a, b) <= iou + 1e-12).all()
    assert (diou <= iou + 1e-12).all()
    assert (ciou <= diou + 1e-12).all()


def test_giou_of_disjoint_squares_is_minus_the_gap() -> None:
    a, b = np.array([[0.0, 0, 1, 1]]), np.array([[2.0, 0, 3, 1]])
    assert overlap.generalized_box_iou(a, b) == pytest.approx(-1 / 3)


def test_diou_of_disjoint_squares_is_minus_the_squared_distance() -> None:
    a, b = np.array([[0.0, 0, 1, 1]]), np.array([[2.0, 0, 3, 1]])
    assert overlap.distance_box_iou(a, b) == pytest.approx(-(2**2) / (3**2 + 1**2))


def test_ciou_of_crossed_bars_adds_the_difference_of_their_angles() -> None:
    a, b = np.array([[-2.0, -1, 2, 1]]), np.array([[-1.0, -2, 1, 2]])
    iou = 4 / 12
    v = 4 / math.pi**2 * (math.atan(2) - math.atan(1 / 2)) ** 2
    assert overlap.complete_box_iou(a, b) == pytest.approx(iou - v / (1 - iou + v) * v)


def test_ioa_is_the_covered_fraction_of_the_first_box() -> None:
    found, crowd = np.array([[0.0, 0, 2, 2], [5, 5, 6, 6], [1, 1, 1, 1]]), np.array([[1.0, 0, 100, 100]])
    np.testing.assert_array_equal(overlap.box_ioa(found, crowd), [[0.5], [1], [0]])
    np.testing.assert_array_equal(overlap.aligned_box_ioa(found, np.repeat(crowd, 3, 0)), [0.5, 1, 0])


def test_empty_boxes_have_iou_zero_not_nan() -> None:
    nothing = np.array([[0.0, 0, 0, 0], [2, 2, 1, 1], [0, 0, 5, 0]])
    for name in NAMES:
        assert np.isfinite(pairwise(name)(nothing, nothing)).all()
    np.testing.assert_array_equal(overlap.box_iou(nothing, nothing), 0)


@pytest.mark.parametrize("name", [*NAMES, "box_ioa"])
def test_gradients_are_finite_for_every_degenerate_pair(name: str) -> None:
    hard = torch.tensor(
        [
            [0.0, 0, 0, 0],
            [1, 1, 2, 2],
            [1, 1, 2, 2 + 1e-7],
            [5, 5, 3, 3],
            [0, 0, 1e-30, 1e-30],
            [0, 0, 1e-18, 1e-18],
            [0, 0, 0, 4],
            [0, 0, 4, 0],
            [-1e4, -1e4, 1e4, 1e4],
        ]
    )
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        a, b = (hard.to(dtype, copy=True).requires_grad_() for _ in range(2))
        values = pairwise(name)(a, b)
        assert values.dtype == dtype
        assert values.isfinite().all()
        values.float().sum().backward()
        assert a.grad is not None
        assert b.grad is not None
        assert a.grad.isfinite().all()
        assert b.grad.isfinite().all()


@pytest.mark.parametrize("name", ["box_iou", "generalized_box_iou", "distance_box_iou"])
def test_gradients_equal_finite_differences(name: str) -> None:
    a = torch.tensor([[0.0, 0, 4, 3], [10, 10, 14, 12]], dtype=torch.float64, requires_grad=True)
    b = torch.tensor([[1.0, 0.5, 5, 4], [2, 1, 7, 11.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(pairwise(name), (a, b))


def test_alpha_of_ciou_is_constant_for_the_gradient() -> None:
    b = torch.tensor([[1.0, 0.5, 5, 4]], dtype=torch.float64)
    a = torch.tensor([[0.0, 0, 4, 2]], dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        iou = overlap.aligned_box_iou(a, b)
        gap = overlap.aligned_distance_box_iou(a, b) - overlap.aligned_complete_box_iou(a, b)  # alpha v
        v = (gap + torch.sqrt(gap**2 + 4 * gap * (1 - iou))) / 2  # from alpha = v / (1 - IoU + v)
        alpha = gap / v

    def held(box: torch.Tensor) -> torch.Tensor:
        angle = torch.atan((box[:, 2] - box[:, 0]) / (box[:, 3] - box[:, 1]))
        fixed = torch.atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1]))
        return overlap.aligned_distance_box_iou(box, b) - alpha * 4 / math.pi**2 * (fixed - angle) ** 2

    ours = torch.autograd.grad(overlap.aligned_complete_box_iou(a, b).sum(), a)[0]
    expected = torch.autograd.grad(held(a).sum(), a)[0]
    torch.testing.assert_close(ours, expected)


def test_integers_are_compared_in_the_default_float_type() -> None:
    a = np.array([[0, 0, 3, 3]])
    assert overlap.box_iou(a, a).dtype == np.float64
    assert overlap.box_iou(torch.from_numpy(a), torch.from_numpy(a)).dtype == torch.get_default_dtype()


def test_half_precision_does_not_overflow_on_large_boxes() -> None:
    a = torch.tensor([[0.0, 0, 1000, 1000]], dtype=torch.float16)
    b = torch.tensor([[0.0, 0, 1000, 500]], dtype=torch.float16)
    assert overlap.box_iou(a, b).item() == 0.5  # the areas exceed float16


@given(arrays(np.float32, (3, 4), elements=st.floats(0, 100, width=32)))
def test_the_dtype_stays(boxes: Any) -> None:
    assert overlap.box_iou(boxes, boxes).dtype == np.float32


def test_a_batch_of_pairs_broadcasts() -> None:
    a, b = torch.rand(2, 5, 4), torch.rand(2, 3, 4)
    values = overlap.box_iou(a, b)
    assert values.shape == (2, 5, 3)
    torch.testing.assert_close(values[1], overlap.box_iou(a[1], b[1]))
    assert overlap.box_iou(np.zeros((0, 4)), np.zeros((3, 4))).shape == (0, 3)


def test_an_invalid_shape_names_the_boxes() -> None:
    with pytest.raises(
        InputError, match=r"boxes b: expected shape \(\.\.\., 4\), one row per box, got \(2, 5\)"
    ):
        overlap.box_iou(np.zeros((1, 4)), np.zeros((2, 5)))
