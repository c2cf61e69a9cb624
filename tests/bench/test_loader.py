"""Batches: equal for any number of workers, resumable, with correct boxes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import split_of

from bench.data.types import Split
from bench.datasets import open_dataset
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import Batch, Loader, LoaderState, make_loader
from bench.pipeline.placement import Placement, fit_images, place
from bench.pipeline.unit_range import to_unit_range
from metrics.errors import InputError

SMALL = ImageConfig(size=(32, 48))
SIZES = st.tuples(st.integers(1, 700), st.integers(1, 700))


def grey(height: int, width: int, value: int = 100) -> np.ndarray:
    return np.full((height, width, 3), value, dtype=np.uint8)


@pytest.fixture(scope="module")
def shapes() -> Split:
    return open_dataset("shapes", train=22, val=1, test=1, size=(48, 48), scale=(8, 20)).splits["train"]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Several threads wait for each other while other tests keep the processors busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def contents(loader: Loader, epochs: int = 1) -> list[tuple[list[int], bytes, list[list[float]]]]:
    return [content(batch) for _ in range(epochs) for batch in loader]


def content(batch: Batch) -> tuple[list[int], bytes, list[list[float]]]:
    boxes = [torch.cat([t.boxes, t.labels[:, None].float()], 1).flatten().tolist() for t in batch.targets]
    return batch.index.tolist(), batch.images.numpy().tobytes(), boxes


def test_a_batch_has_the_documented_types_and_shapes(shapes):
    loader = make_loader(shapes, SMALL, batch_size=5)
    assert len(loader) == 5
    batches = list(loader)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 2]
    assert torch.cat([batch.index for batch in batches]).tolist() == list(range(22))
    first = batches[0]
    assert first.images.shape == (5, 3, 32, 48)
    assert first.images.dtype == torch.float32
    assert 0 <= first.images.min() < first.images.max() <= 1
    for target in first.targets:
        assert target.boxes.dtype == torch.float32
        assert target.labels.dtype == torch.int64


def test_pixels_are_the_images_divided_by_255(shapes):
    loader = make_loader(shapes, ImageConfig(size=(48, 48)), batch_size=2)
    batch = next(iter(loader))
    expected = shapes.load(1).transpose(2, 0, 1).astype(np.float32) / 255
    np.testing.assert_array_equal(batch.images[1].numpy(), expected)


@given(SIZES, SIZES, st.sampled_from(["letterbox", "stretch"]), st.data())
def test_boxes_there_and_back_are_themselves(size, target, resize, data):
    height, width = size
    image = ImageConfig(size=(max(target[0], 8), max(target[1], 8)), resize=resize)
    (new_height, new_width), (top, left) = place(size, image)
    placement = Placement(
        torch.tensor([[new_width / width, new_height / height]], dtype=torch.float64),
        torch.tensor([[left, top]], dtype=torch.float64),
        torch.tensor([[height, width]]),
    )
    x0, x1 = sorted(data.draw(st.tuples(st.floats(0, width), st.floats(0, width))))
    y0, y1 = sorted(data.draw(st.tuples(st.floats(0, height), st.floats(0, height))))
    box = torch.tensor([[x0, y0, x1, y1]], dtype=torch.float64)
    inside = placement.to_input(box, 0)
    assert (inside >= -1e-9).all()
    assert (inside <= torch.tensor([image.size[1], image.size[0]] * 2) + 1e-9).all()
    # Rounding: a few units in the last place of numbers up to 8192.
    torch.testing.assert_close(placement.to_original(inside, 0), box, rtol=0, atol=1e-8)
    torch.testing.assert_close(placement.to_original(inside, 0, clip=False), box, rtol=0, atol=1e-8)


@given(SIZES, st.sampled_from([(64, 64), (32, 96), (321, 200)]))
def test_letterbox_fits_the_longer_side_and_keeps_the_ratio(size, target):
    (height, width), (top, left) = place(size, ImageConfig(size=target))
    assert height == target[0] or width == target[1]
    assert top + height <= target[0]
    assert left + width <= target[1]
    assert abs((target[0] - height) - 2 * top) <= 1
    # Each side is rounded to a pixel, and is at least one.
    assert abs(height / size[0] - width / size[1]) <= max(1 / size[0], 1 / size[1])


def test_boxes_beyond_the_image_are_cut_off_on_the_way_back():
    split = split_of([grey(20, 40)], [[(0, (0, 0, 10, 10))]])
    batch = next(iter(make_loader(split, ImageConfig(size=(40, 40)))))
    # The image lies in rows 10 to 30.
    boxes = torch.tensor([[-5.0, 0, 50, 40]])
    assert batch.placement.to_original(boxes, 0).tolist() == [[0, 0, 40, 20]]
    assert batch.placement.to_original(boxes, 0, clip=False).tolist() == [[-5, -10, 50, 30]]


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
@pytest.mark.parametrize("size", [(60, 90), (90, 60), (40, 200)])
def test_a_painted_object_is_in_its_box(resize, size):
    image = grey(*size, value=0)
    image[12:36, 18:54] = 255
    split = split_of([image], [[(1, (18, 12, 54, 36))]])
    batch = next(iter(make_loader(split, ImageConfig(size=(64, 64), resize=resize, fill=0))))
    x0, y0, x1, y1 = batch.targets[0].boxes[0].tolist()
    rows, columns = np.nonzero(batch.images[0, 0].numpy() > 0.5)
    # Half a pixel where the edge falls within one.
    assert columns.min() == pytest.approx(x0, abs=0.6)
    assert columns.max() + 1 == pytest.approx(x1, abs=0.6)
    assert rows.min() == pytest.approx(y0, abs=0.6)
    assert rows.max() + 1 == pytest.approx(y1, abs=0.6)


def test_letterbox_pads_with_grey_and_stretch_does_not_pad():
    split = split_of([grey(10, 20, 200)], [[(0, (0, 0, 5, 5))]])
    boxed = next(iter(make_loader(split, ImageConfig(size=(20, 20), fill=114)))).images[0]
    assert (boxed[:, :5] * 255).round().unique().tolist() == [114]
    assert (boxed[:, 5:15] * 255).round().unique().tolist() == [200]
    stretched = next(iter(make_loader(split, ImageConfig(size=(20, 20), resize="stretch")))).images
    assert (stretched * 255).round().unique().tolist() == [200]


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_images_fitted_alone_are_those_of_a_batch_of_the_loader(resize):
    pictures = [grey(20, 40, 200), grey(64, 64, 10), grey(90, 33, 77)]
    image = ImageConfig(size=(48, 64), resize=resize)
    split = split_of(pictures, [[(0, (0, 0, 5, 5))]] * 3)
    batch = next(iter(make_loader(split, image, batch_size=3)))
    images, placement = fit_images(pictures, image)
    assert torch.equal(images, batch.images)
    assert torch.equal(placement.scale, batch.placement.scale)
    assert torch.equal(placement.offset, batch.placement.offset)
    assert torch.equal(placement.sizes, batch.placement.sizes)


@pytest.mark.parametrize("augment", [None, AugmentConfig(zoom_out=0.5)])
def test_batches_do_not_depend_on_the_number_of_workers(shapes, augment):
    def epochs(workers: int) -> list[tuple[list[int], bytes, list[list[float]]]]:
        return contents(
            make_loader(shapes, SMALL, augment, 4, seed=3, workers=workers, shuffle=True), epochs=2
        )

    assert epochs(0) == epochs(2)


def test_batches_do_not_depend_on_torchs_global_randomness_nor_touch_it(shapes):
    torch.manual_seed(1)
    first = contents(make_loader(shapes, SMALL, AugmentConfig(), 4, shuffle=True))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = contents(make_loader(shapes, SMALL, AugmentConfig(), 4, shuffle=True))
    assert first == second
    assert torch.equal(before, torch.get_rng_state())


def test_epochs_and_seeds_differ(shapes):
    loader = make_loader(shapes, SMALL, AugmentConfig(), 4, seed=1, shuffle=True)
    first, second = contents(loader), contents(loader)
    other = contents(make_loader(shapes, SMALL, AugmentConfig(), 4, seed=2, shuffle=True))
    orders = [[index for indices, _, _ in epoch for index in indices] for epoch in (first, second, other)]
    assert all(sorted(order) == list(range(22)) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert {image for _, image, _ in first}.isdisjoint(image for _, image, _ in second)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(shapes, workers):
    def loader() -> Loader:
        return make_loader(shapes, SMALL, AugmentConfig(), 4, seed=9, workers=workers, shuffle=True)

    whole = contents(loader(), epochs=2)
    broken, seen = loader(), []
    for batch in broken:
        seen.append(content(batch))
        if len(seen) == 3:
            break
    assert broken.state == LoaderState(0, 3)
    resumed = loader()
    resumed.state = tuple(broken.state)
    assert seen + contents(resumed, epochs=2) == whole
    assert resumed.state == LoaderState(2, 0)


def test_after_the_last_batch_the_state_names_the_next_epoch_already_while_it_is_used(shapes):
    loader = make_loader(shapes, SMALL, batch_size=22)
    for _ in loader:
        assert loader.state == LoaderState(1, 0)


def test_a_state_of_another_batch_size_is_refused(shapes):
    loader = make_loader(shapes, SMALL, batch_size=22)
    with pytest.raises(
        InputError, match="epoch 0, batch 7: an epoch has batches 0 to 0; resume with the same batch size"
    ):
        loader.state = LoaderState(0, 7)


def test_processes_share_each_batch_and_no_image_twice(shapes):
    whole = [indices for indices, _, _ in contents(make_loader(shapes, SMALL, batch_size=6, shuffle=True))]
    parts = [
        [
            i
            for i, _, _ in contents(
                make_loader(shapes, SMALL, batch_size=6, shuffle=True, rank=rank, world=2)
            )
        ]
        for rank in range(2)
    ]
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(indices) for indices in whole]


def test_the_last_batch_is_dropped_unless_it_is_the_only_one(shapes):
    assert [len(b) for b in make_loader(shapes, SMALL, batch_size=6, drop_last=True)] == [6, 6, 6]
    assert [len(b) for b in make_loader(shapes, SMALL, batch_size=50, drop_last=True)] == [22]


def test_fault_11_crowds_ignored_and_flat_objects_are_no_targets_and_are_counted():
    boxes = [(0, 0, 4, 4), (1, 1, 5, 5), (2, 2, 2, 9), (9, 9, 3, 12), (3, 3, 7, 7), (0, 0, 9, 9)]
    split = split_of(
        [grey(20, 20), grey(20, 20)],
        [[], [(k % 2, box) for k, box in enumerate(boxes)]],
        crowd=[True, False, False, False, False, True],
        ignored=[False, True, False, False, False, True],
    )
    loader = make_loader(split, ImageConfig(size=(20, 20)))
    (batch,) = loader
    assert [len(t.labels) for t in batch.targets] == [0, 1]
    assert batch.targets[1].boxes.tolist() == [[3, 3, 7, 7]]
    assert loader.notes == [
        "train: of 6 objects not trained on: 2 crowd, 1 ignored, 2 without width or height"
    ]


def test_crowds_and_ignored_objects_are_ignored_regions_once_per_image():
    objects = [
        [(0, (2, 2, 6, 8)), (0, (-4, 10, 8, 30)), (1, (-4, 10, 8, 30)), (1, (10, 2, 14, 4))],
        [],
        [(0, (30, 30, 40, 40))],
    ]
    split = split_of(
        [grey(20, 20)] * 3,
        objects,
        crowd=[False, True, True, False, True],
        ignored=[False, False, False, True, False],
    )
    for augment in (None, AugmentConfig(flip=0, zoom_out=0, iou_crop=0, photometric=0)):
        (batch,) = make_loader(split, ImageConfig(size=(40, 40)), augment, batch_size=3)
        first, *others = batch.targets
        assert first.boxes.tolist() == [[4, 4, 12, 16]]
        assert first.labels.tolist() == [0]
        assert sorted(first.ignored.tolist()) == [[0, 20, 16, 40], [20, 4, 28, 8]]
        assert [(len(each.boxes), each.ignored) for each in others] == [(0, None)] * 2
        assert make_loader(split, SMALL).objects == [1, 0, 0]


def test_fault_12_boxes_beyond_the_image_are_cut_off_for_training_and_counted():
    objects = [(0, (-5, -5, 10, 10)), (0, (15, 5, 30, 50)), (1, (20, 20, 30, 30)), (1, (1, 1, 3, 3))]
    split = split_of([grey(20, 20)], [objects])
    loader = make_loader(split, ImageConfig(size=(20, 20)))
    (batch,) = loader
    assert batch.targets[0].boxes.tolist() == [[0, 0, 10, 10], [15, 5, 20, 20], [1, 1, 3, 3]]
    assert loader.notes == [
        "train: of 4 objects not trained on: 1 outside their image",
        "train: 2 boxes extend beyond their image and are clipped for training",
    ]
    assert split.truth.boxes[0].tolist() == [-5, -5, 10, 10], "what is evaluated stays as it is"


def test_fault_29_images_of_one_pixel_and_of_one_column_are_batched():
    images = [grey(1, 1), grey(5000, 1), grey(1, 5000)]
    split = split_of(images, [[(0, (0, 0, 1, 1))] for _ in images])
    for resize in ("letterbox", "stretch"):
        for augment in (None, AugmentConfig(iou_crop=1, zoom_out=1, flip=1)):
            loader = make_loader(split, ImageConfig(size=(32, 32), resize=resize), augment, batch_size=3)
            (batch,) = loader
            assert torch.isfinite(batch.images).all()


def test_targets_of_augmented_images_lie_within_the_network_input(shapes):
    augment = AugmentConfig(flip=0.5, flip_vertical=0.5, zoom_out=0.5, iou_crop=1, min_side=3)
    loader = make_loader(shapes, SMALL, augment, 4, shuffle=True)
    boxes = torch.cat([t.boxes for _ in range(5) for batch in loader for t in batch.targets])
    assert len(boxes) > 100
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([48.0, 32, 48, 32]) + 1e-4).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 3).all()


def test_batches_move_to_a_device(shapes):
    batch = next(iter(make_loader(shapes, SMALL, batch_size=2))).to("meta")
    assert batch.images.device.type == batch.targets[0].boxes.device.type == "meta"
    assert batch.index.device.type == "cpu"


def test_a_wrong_batch_size_is_an_error(shapes):
    with pytest.raises(InputError, match="batch_size 0"):
        make_loader(shapes, SMALL, batch_size=0)


def test_data_in_memory_is_batched_faster_than_any_network_runs(one_thread):
    split = open_dataset("shapes", train=128, val=1, test=1, size=(128, 128)).splits["train"]
    rates = []
    for _ in range(5):
        loader = make_loader(split, ImageConfig(size=(128, 128)), batch_size=32, shuffle=True)
        start = time.process_time()
        count = sum(len(batch) for batch in loader)
        rates.append(count / (time.process_time() - start))
    assert max(rates) > 3000  # measured: 18,000 images a second


@given(st.lists(st.integers(0, 255), min_size=1, max_size=70))
def test_pixels_in_the_unit_range_are_correctly_rounded_quotients(values):
    pixels = torch.tensor(values, dtype=torch.uint8)
    assert to_unit_range(pixels).tolist() == [float(np.float32(value / 255)) for value in values]
