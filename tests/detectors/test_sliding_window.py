"""The sliding window: its grid, its training windows, their pixels, and boxes back in the image."""

from __future__ import annotations

import pytest
import torch

from detectors.sliding_window import WindowOutput
from detectors.types import Targets
from detectors.variants.sliding_window import SlidingWindowConfig, build
from detectors.windows import WindowsConfig, cut_windows, draw_windows, window_grid
from metrics.iou import box_iou

OBJECTS = [
    Targets(torch.tensor([[10.0, 12, 40, 36], [30, 20, 60, 70]]), torch.tensor([1, 0])),
    Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    Targets(torch.tensor([[50.0, 50, 200, 75], [5, 5, 5, 9]]), torch.tensor([2, 1])),
]
SIZE = (80, 96)


def sliding_window(**windows):
    config = SlidingWindowConfig.model_validate({"backbone": {"base_channel": 4}, "windows": windows})
    return build(config, 3).eval()


@pytest.mark.parametrize("size", [(64, 64), (50, 130), (20, 9)])
def test_the_grid_covers_the_image_without_large_steps(size):
    config = WindowsConfig(scale_min=0.2, scale_max=1.0, scales=3, stride=0.4, ratios=(0.5, 1.0))
    levels = window_grid(config, size)
    assert len(levels) == 6
    for level in levels:
        for axis, side in ((0, size[1]), (1, size[0])):
            starts, ends = level[:, axis].unique(), level[:, axis + 2].unique()
            length = (level[0, axis + 2] - level[0, axis]).item()
            assert starts.min().item() == pytest.approx(0, abs=1e-4)
            assert ends.max().item() == pytest.approx(side, rel=1e-5)
            assert (starts.diff() <= 0.4 * length * (1 + 1e-5)).all()
        assert len(level) == len(level[:, 0].unique()) * len(level[:, 1].unique())


def test_the_grid_has_the_number_of_windows_that_one_counts():
    config = WindowsConfig(scale_min=0.25, scale_max=0.5, scales=2, stride=0.5, ratios=(1.0,))
    # sides 16 and 32 of 64: 64 / 8 - 1 and 64 / 16 - 1 positions in each direction
    assert [len(level) for level in window_grid(config, (64, 64))] == [7 * 7, 3 * 3]


def test_windows_around_objects_overlap_them_and_the_others_are_background():
    config = WindowsConfig(per_image=40, share=0.25, positive=0.6, negative=0.2)
    drawn = draw_windows(config, OBJECTS, SIZE, seed=4)
    assert [len(windows) for windows in drawn.windows] == [40, 40, 40]
    limits = torch.tensor([SIZE[1], SIZE[0], SIZE[1], SIZE[0]])
    labels = drawn.targets
    for image, (windows, target) in enumerate(zip(drawn.windows, OBJECTS, strict=True)):
        own, labels = labels[:40], labels[40:]
        positive = torch.tensor([len(each.labels) == 1 for each in own])
        assert int(positive.sum()) == (10 if len(target.labels) else 0)
        assert (windows >= 0).all()
        assert (windows <= limits).all()
        if not len(target.labels):
            continue
        iou = box_iou(windows, torch.minimum(target.boxes, limits)).amax(dim=1)
        assert (iou[positive] >= 0.6 - 1e-5).all()
        assert (iou[~positive] < 0.2).all()
        for window, each in zip(windows[positive], own, strict=False):
            size = (window[2:] - window[:2]).repeat(2)
            box = window[:2].repeat(2) + each.boxes[0] / config.pixels * size
            visible = torch.minimum(target.boxes, limits)
            matching = (visible - box).abs().amax(dim=1) < 1e-3
            assert matching.any(), image
            assert target.labels[matching].tolist() == each.labels.tolist()


def test_windows_depend_on_the_seed_and_the_image_alone():
    config = WindowsConfig()
    together = draw_windows(config, OBJECTS, SIZE, seed=1)
    alone = [draw_windows(config, [each], SIZE, seed=1) for each in OBJECTS]
    for image, one in zip(together.windows, alone, strict=True):
        assert image.equal(one.windows[0])
    other = draw_windows(config, OBJECTS, SIZE, seed=2)
    assert not any(a.equal(b) for a, b in zip(together.windows, other.windows, strict=True))
    assert list(map(len, together.windows)) == list(map(len, other.windows))


def test_an_object_as_large_as_the_image_leaves_fewer_windows():
    config = WindowsConfig(scale_min=0.9, scale_max=1.0, scales=2, per_image=10, share=0.5)
    whole = [Targets(torch.tensor([[0.0, 0, 96, 80]]), torch.tensor([0]))]
    drawn = draw_windows(config, whole, SIZE, seed=0)
    assert len(drawn.windows[0]) == len(drawn.targets) == 5
    assert all(len(each.labels) == 1 for each in drawn.targets)


def test_a_window_of_the_networks_size_is_cut_unchanged():
    image = torch.rand(2, 3, 20, 30)
    (first, second) = cut_windows(
        image, [torch.tensor([[3.0, 4, 11, 12]]), torch.tensor([[22.0, 12, 30, 20]])], 8
    )
    torch.testing.assert_close(first, image[0, :, 4:12, 3:11])
    torch.testing.assert_close(second, image[1, :, 12:20, 22:30])


def test_a_window_that_is_made_smaller_is_averaged():
    image = torch.rand(1, 3, 16, 16)
    cut = cut_windows(image, [torch.tensor([[0.0, 0, 16, 16]])], 4)
    torch.testing.assert_close(cut, torch.nn.functional.avg_pool2d(image, 4))


def test_normalizers_are_those_of_the_loss_and_equal_the_number_of_windows():
    detector = sliding_window(per_image=12)
    images = torch.rand(3, 3, *SIZE)
    sums = detector.loss_sums(detector.train()(images), OBJECTS)
    counts = detector.normalizers(images, OBJECTS)
    assert {name: float(each.normalizer) for name, each in sums.items()} == {"class": 36, "box": 36}
    assert {name: float(count) for name, count in counts.items()} == {"class": 36, "box": 36}


@torch.no_grad()
def test_the_box_of_a_window_is_in_pixels_of_the_image():
    detector = sliding_window()
    output = detector(torch.rand(1, 3, *SIZE))
    grid, chosen = output.grid, 17
    logits = torch.zeros_like(grid.logits)
    logits[..., 0] = 30.0
    logits[0, chosen] = torch.tensor([0.0, 0.0, 30.0, 0.0])
    codes = torch.tensor([0.25, 0.0, 0.75, 1.0]).expand_as(grid.codes)
    (found,) = detector.decode(WindowOutput(output.images, grid._replace(logits=logits, codes=codes)))
    x0, y0, x1, y1 = grid.priors[chosen].tolist()
    expected = [x0 + (x1 - x0) / 4, y0, x1 - (x1 - x0) / 4, y1]
    assert found.labels.tolist() == [1]
    assert found.boxes[0].tolist() == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_windows_are_classified_in_batches_of_limited_size_with_equal_results():
    images, sizes = torch.rand(2, 3, *SIZE), []
    detector = sliding_window(batch=100)
    detector.localizer.register_forward_hook(lambda _, args, output: sizes.append(len(args[0])))
    parts = detector(images).grid
    assert max(sizes) <= 100
    assert sum(sizes) == 2 * sum(map(len, window_grid(detector.windows, SIZE)))
    detector.windows = WindowsConfig(batch=10**6)
    whole = detector(images).grid
    torch.testing.assert_close(parts.logits, whole.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parts.codes, whole.codes, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_output_in_training_mode_is_decoded_too():
    detector = sliding_window()
    images = torch.rand(1, 3, *SIZE)
    (expected,) = detector.decode(detector(images))
    assert WindowOutput(images, None).grid is None
    (found,) = detector.decode(WindowOutput(images, None))
    torch.testing.assert_close(found.boxes, expected.boxes)


def test_the_note_tells_the_price():
    notes = sliding_window(scale_min=0.25, scale_max=0.5, scales=2, stride=0.5, ratios=(1.0,)).training_notes(
        [1], (64, 64)
    )
    assert notes == [
        "prediction classifies 58 windows of each image of 64x64, with 14 times as many pixels as the image"
    ]
