"""Box functions, on arrays and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from metrics.boxes import area, clip, columns, convert, degenerate
from metrics.errors import InputError

LAYOUTS = ("xyxy", "xywh", "cxcywh")
WHOLE = arrays(np.float64, (5, 4), elements=st.integers(-100, 100).map(float))


@pytest.mark.parametrize("from_", LAYOUTS)
@pytest.mark.parametrize("to", LAYOUTS)
@given(boxes=WHOLE)
def test_layouts_convert_as_torchvision_converts_them(from_: Any, to: Any, boxes: Any) -> None:
    ours = convert(boxes, from_, to)
    tensor = torch.from_numpy(boxes)
    theirs = torchvision.ops.box_convert(tensor, from_, to)
    np.testing.assert_array_equal(ours, theirs.numpy())
    assert torch.equal(convert(tensor, from_, to), theirs)
    np.testing.assert_array_equal(convert(ours, to, from_), boxes)


def test_integer_boxes_stay_integer_unless_centres_are_needed() -> None:
    boxes = np.array([[1, 2, 4, 7]])
    assert convert(boxes, "xyxy", "xywh").dtype == np.int64
    np.testing.assert_array_equal(convert(boxes, "xyxy", "xywh"), [[1, 2, 3, 5]])
    np.testing.assert_array_equal(convert(boxes, "xyxy", "cxcywh"), [[2.5, 4.5, 3, 5]])


def test_any_leading_shape_is_accepted() -> None:
    boxes = torch.rand(2, 3, 4)
    assert convert(boxes, "cxcywh", "xyxy").shape == (2, 3, 4)
    assert area(boxes).shape == (2, 3)
    assert convert(np.array([1.0, 2, 3, 4]), "xywh", "xyxy").tolist() == [1, 2, 4, 6]
    assert convert(np.zeros((0, 4)), "xyxy", "cxcywh").shape == (0, 4)


def test_arguments_are_not_modified() -> None:
    boxes = np.array([[0.0, 0, 50, 50]])
    before = boxes.copy()
    convert(boxes, "xyxy", "xywh")
    clip(boxes, (10, 20))
    np.testing.assert_array_equal(boxes, before)


def test_area_is_width_times_height_and_zero_where_corners_are_swapped() -> None:
    boxes = np.array([[0.0, 0, 3, 4], [5, 5, 5, 9], [3, 4, 0, 0]])
    np.testing.assert_array_equal(area(boxes), [12, 0, 0])


def test_clip_bounds_x_by_width_and_y_by_height() -> None:
    clipped = clip(np.array([[-5.0, -5, 50, 50], [30, 3, 40, 5]]), size=(10, 20))
    np.testing.assert_array_equal(clipped, [[0, 0, 20, 10], [20, 3, 20, 5]])
    assert degenerate(clipped).tolist() == [False, True]


def test_degenerate_boxes_are_found() -> None:
    boxes = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 1], [0, 1, 1, 0], [0, 0, float("nan"), 1]])
    assert degenerate(boxes).tolist() == [False, True, True, True]


def test_an_unknown_layout_or_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown box layout 'xyhw'; did you mean 'xywh'\?"):
        convert(np.zeros((1, 4)), "xyhw", "xyxy")  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"boxes: expected shape \(\.\.\., 4\), one row per box, got \(3, 5\)"
    ):
        area(np.zeros((3, 5)))
    with pytest.raises(InputError, match=r"truth: expected shape"):
        columns(np.float64(3.0), "truth")
