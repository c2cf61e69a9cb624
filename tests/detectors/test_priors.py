"""Default boxes, anchors and points."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from detectors.priors import GridPriors, default_boxes, octave_anchors, points


def maps(*grids):
    return [torch.zeros(1, 1, *grid) for grid in grids]


def test_ssd300_has_8732_default_boxes_and_they_are_torchvisions():
    ratios = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]
    scales = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]
    steps = [8, 16, 32, 64, 100, 300]
    grids = [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)]
    theirs = DefaultBoxGenerator(ratios, scales=scales, steps=steps)
    image = ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)])
    ours = GridPriors(default_boxes(6, ratios=ratios, scales=scales), steps, unit="image", spacing="stride")
    found = ours(grids, (300, 300))
    assert len(found) == 8732
    torch.testing.assert_close(found, theirs(image, maps(*grids))[0], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("size", [(320, 320), (240, 320), (197, 301)])
def test_default_boxes_by_the_scale_rule_are_torchvisions_and_stretch_with_the_image(size):
    grids = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    theirs = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    image = ImageList(torch.zeros(1, 3, *size), [size])
    shapes = default_boxes(6, 0.2, 0.95, [[2, 3]])
    ours = GridPriors(shapes, [16, 32, 64, 107, 160, 320], unit="sides", spacing="fit")
    torch.testing.assert_close(ours(grids, size), theirs(image, maps(*grids))[0], rtol=1e-5, atol=1e-3)


def test_scales_rise_evenly_and_the_extra_square_is_the_geometric_mean():
    shapes = default_boxes(4, 0.2, 0.8, [[2]])
    assert [level[0][0] for level in shapes] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert shapes[0][1][0] == pytest.approx(math.sqrt(0.2 * 0.4))
    assert shapes[-1][1][0] == pytest.approx(math.sqrt(0.8))
    wide, tall = shapes[0][2:]
    assert wide[0] / wide[1] == pytest.approx(2)
    assert tall == wide[::-1]
    assert wide[0] * wide[1] == pytest.approx(0.2**2)


def test_ratios_hold_in_pixels_on_images_that_are_not_square():
    priors = GridPriors(default_boxes(1, 0.5, 0.5, [[2]]), [32], unit="image")([(1, 1)], (50, 200))
    sides = priors[:, 2:] - priors[:, :2]
    assert (sides[:, 0] / sides[:, 1]).tolist() == pytest.approx([1, 1, 2, 0.5])
    assert sides[0].tolist() == pytest.approx([50, 50])


def test_anchors_are_torchvisions():
    sizes = tuple((x, int(x * 2 ** (1 / 3)), int(x * 2 ** (2 / 3))) for x in (32, 64))
    theirs = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * 2)
    image = ImageList(torch.zeros(1, 3, 67, 96), [(67, 96)])
    ours = GridPriors(octave_anchors([8, 16], rounded=True), [8, 16], spacing="floor", offset=0.0)
    grids = [(9, 12), (5, 6)]
    torch.testing.assert_close(ours(grids, (67, 96)), theirs(image, maps(*grids))[0])


def test_anchors_have_their_area_and_ratio():
    for stride, shapes in zip([8, 16], octave_anchors([8, 16], 4, 2, [0.5, 2.0]), strict=True):
        assert [w * h for w, h in shapes] == pytest.approx([(4 * stride) ** 2, 2 * (4 * stride) ** 2] * 2)
        assert [h / w for w, h in shapes] == pytest.approx([0.5, 0.5, 2, 2])


def test_points_are_the_middles_of_squares_of_one_stride():
    found = GridPriors(points(2), [8, 16], unit="stride")([(1, 2), (1, 1)], (8, 16))
    assert found.tolist() == [[0, 0, 8, 8], [8, 0, 16, 8], [0, 0, 16, 16]]


def test_order_is_level_row_column_shape():
    shapes = [[(2.0, 2.0), (4.0, 4.0)], [(6.0, 6.0)]]
    found = GridPriors(shapes, [10, 20])([(2, 2), (1, 1)], (20, 20))
    centre = (found[:, :2] + found[:, 2:]) / 2
    side = (found[:, 2] - found[:, 0]).tolist()
    assert side == [2, 4] * 4 + [6]
    assert centre[::2].tolist() == [[5, 5], [15, 5], [5, 15], [15, 15], [10, 10]]


@pytest.mark.parametrize(("spacing", "step"), [("stride", 8), ("fit", 100 / 13), ("floor", 7)])
def test_spacing(spacing, step):
    found = GridPriors([[(1.0, 1.0)]], [8], spacing=spacing)([(13, 13)], (100, 100))
    centre = (found[:, 0] + found[:, 2]) / 2
    assert (centre[1] - centre[0]).item() == pytest.approx(step)


def test_levels_of_shapes_and_strides_must_agree():
    with pytest.raises(ValueError, match="2 levels of shapes for 1 level of strides"):
        GridPriors(points(2), [8])
    with pytest.raises(ValueError, match="scales: 2 given for 2 levels; give 3"):
        default_boxes(2, scales=[0.1, 0.2])
    with pytest.raises(ValueError, match="ratios: 2 lists given for 3 levels"):
        default_boxes(3, ratios=[[2], [2]])


def test_priors_made_under_inference_mode_can_be_trained_on():
    make = GridPriors(points(1), [8], unit="stride")
    with torch.inference_mode():
        made = make([(2, 2)], (16, 16))
    assert not made.is_inference()
    assert make([(2, 2)], (16, 16)) is made


def test_many_sizes_do_not_fill_the_memory():
    make = GridPriors(points(1), [8], unit="stride")
    for side in range(8, 808, 8):
        make([(side // 8, 1)], (side, 8))
    assert len(make._made) <= 16
