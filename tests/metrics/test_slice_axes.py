"""Axes assign each image and object as a plain implementation of their rule does."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from strategies import Scene, random_scene, scenes

from metrics.errors import InputError, InputWarning
from metrics.iou import box_ioa, box_iou
from metrics.registry import UnknownName
from metrics.slices import AXES, UNASSIGNED, Axis, make_axis, read_manifest
from metrics.slices.attributes import (
    aspect,
    border_distance,
    class_frequency,
    covered,
    crowding,
    neighbour_count,
    object_count,
    pixel_statistics,
    relative_area,
)
from metrics.tables import AnnotationTable, Catalog


def words(axis: Axis) -> list[str]:
    return [axis.values[number] for number in axis.index]


@given(scenes(ignored=True))
def test_attributes_of_objects_equal_a_loop_over_pairs(scene: Scene) -> None:
    truth = scene.truth
    truth.catalog.sizes[:] = (100, 120)
    boxes = truth.boxes
    for g in range(len(truth)):
        others = np.flatnonzero((truth.image == truth.image[g]) & (np.arange(len(truth)) != g))
        x, y, w, h = truth.xywh[g]
        ious = box_iou(boxes[[g]], boxes[others])[0]
        parts = box_ioa(boxes[[g]], boxes[others])[0]
        assert_allclose(crowding(truth)[g], max(ious, default=0), atol=1e-9)
        assert_allclose(covered(truth)[g], max(parts, default=0), atol=1e-9)
        centres = truth.xywh[others, :2] + truth.xywh[others, 2:] / 2
        near = [
            abs(cx - x - w / 2) <= 0.75 * w
            and abs(cy - y - h / 2) <= 0.75 * h
            and truth.xywh[other, 2:].all()
            for other, (cx, cy) in zip(others, centres, strict=True)
        ]
        if w and h and not near_the_edge(centres, truth.xywh[g]):
            assert neighbour_count(truth)[g] == sum(map(bool, near))
        assert_allclose(border_distance(truth)[g], min(x, y, 120 - x - w, 100 - y - h), atol=1e-9)
        assert_allclose(relative_area(truth)[g], truth.area[g] / 12000)
        assert_allclose(aspect(truth)[g], w / h if h else math.nan)
        same = {int(image) for image in truth.image[truth.label == truth.label[g]]}
        assert class_frequency(truth)[g] == len(same)
    images = len(truth.catalog.image_ids)
    assert object_count(truth).tolist() == [int((truth.image == image).sum()) for image in range(images)]


def near_the_edge(centres: np.ndarray[tuple[int, int], np.dtype[np.float64]], box: np.ndarray) -> bool:  # type: ignore[type-arg]
    """Whether a centre is so close to the edge of the enlarged box that rounding decides."""
    distance = np.abs(np.abs(centres - box[:2] - box[2:] / 2) - 0.75 * box[2:])
    return bool((distance < 1e-9).any())


@given(scenes(ignored=True), st.booleans())
def test_every_axis_assigns_everything_to_one_slice(scene: Scene, known: bool) -> None:
    if known:
        scene.truth.catalog.sizes[:] = (100, 120)
    for name in AXES:
        axis = make_axis(name, scene.truth)
        expected = len(scene.truth) if axis.target == "object" else len(scene.truth.catalog.image_ids)
        assert len(axis.index) == expected
        assert (axis.index >= 0).all()
        if known and name != "aspect":
            assert UNASSIGNED not in axis.values
        assert axis.name == name
        assert AXES[name].title
        assert not AXES[name].description.endswith(".")


def test_axes_by_example() -> None:
    catalog = Catalog.of([1, 2], ["cat"], [(100, 200), (0, 0)])
    boxes = [[1, 30, 32, 32], [60, 30, 10, 10], [160, 80, 30, 19], [62, 30, 10, 10], [0, 0, 5, 5]]
    truth = AnnotationTable.of(catalog, [0, 0, 0, 0, 1], [0] * 5, boxes)
    assert words(make_axis("area", truth)) == ["small"] * 5
    assert words(make_axis("border", truth)) == [
        "at the border",
        "inside",
        "at the border",
        "inside",
        UNASSIGNED,
    ]
    assert words(make_axis("crowding", truth)) == ["alone", "above 0.5", "alone", "above 0.5", "alone"]
    assert words(make_axis("covered", truth)) == [
        "no overlap",
        "more than half",
        "no overlap",
        "more than half",
        "no overlap",
    ]
    assert words(make_axis("neighbours", truth)) == ["0", "1", "0", "1", "0"]
    assert words(make_axis("place", truth))[:4] == [
        "middle left",
        "middle left",
        "bottom right",
        "middle centre",
    ]
    assert words(make_axis("place", truth))[4] == UNASSIGNED
    assert words(make_axis("relative_area", truth))[0] == "1 to 10%"
    assert words(make_axis("object_count", truth)) == ["2 to 5", "1"]
    assert words(make_axis("class_frequency", truth)) == ["rare (up to 10)"] * 5


def test_hoiems_slices_have_their_shares_of_each_class() -> None:
    scene = random_scene(3, objects=400, classes=2)
    scene.truth.area[:] = np.random.default_rng(0).permutation(400)
    axis = make_axis("size", scene.truth)
    assert axis.values == ("XS", "S", "M", "L", "XL")
    for label in range(2):
        of_class = scene.truth.label == label
        count = np.bincount(axis.index[of_class], minlength=5)
        assert_allclose(count, of_class.sum() * np.array([0.1, 0.2, 0.4, 0.2, 0.1]), atol=1)
        order = np.argsort(scene.truth.area[of_class])
        assert (np.diff(axis.index[of_class][order]) >= 0).all()


def test_equal_numbers_are_in_one_slice() -> None:
    axis = Axis.from_quantiles("x", "image", [5, 5, 5, 5, 1, 9, math.nan])
    assert words(axis) == ["M", "M", "M", "M", "XS", "XL", UNASSIGNED]


def test_an_edge_belongs_to_the_slice_below_it() -> None:
    axis = Axis.from_bins("x", "image", [-9, 0, 0.5, 1, 2, math.nan], [0, 1], ["low", "middle", "high"])
    assert words(axis) == ["low", "low", "middle", "middle", "high", UNASSIGNED]


def test_crossed_slices_are_the_pairs_that_occur() -> None:
    weather = Axis.from_names("weather", "image", ["rain", "sun", "sun", None])
    time = Axis.from_names("time", "image", ["day", "day", "night", "day"])
    both = weather.crossed(time)
    assert both.name == "weather & time"
    assert words(both) == ["rain & day", "sun & day", "sun & night", f"{UNASSIGNED} & day"]
    with pytest.raises(InputError, match="cannot cross"):
        weather.crossed(Axis.from_names("x", "object", ["a"]))


def test_pixels_of_flat_and_of_chequered_images() -> None:
    flat = pixel_statistics(np.full((4, 4, 3), 255, np.uint8))
    assert flat == pytest.approx({"brightness": 1, "contrast": 0, "sharpness": 0}, abs=1e-12)
    chequered = np.indices((6, 6)).sum(0) % 2 * np.uint8(255)
    values = pixel_statistics(chequered.astype(np.uint8))
    assert values == pytest.approx({"brightness": 0.5, "contrast": 0.5, "sharpness": 16})  # Laplacian 4 or -4
    assert math.isnan(pixel_statistics(np.zeros((1, 5), np.uint8))["sharpness"])


def catalog() -> Catalog:
    return Catalog.of([7, 8, 9], ["cat"], file_names=["a.jpg", "b.jpg", "c.jpg"])


def manifest(folder: Path, text: str) -> Path:
    path = folder / "slices.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_manifest_identifies_images_by_id_or_file_name(tmp_path: Path) -> None:
    path = manifest(tmp_path, '\ufeffkey,weather,time\n8,"heavy, rain",day\na.jpg,sun,\n\n')
    weather, time = read_manifest(path, catalog())
    assert (weather.name, weather.target, weather.values) == (
        "weather",
        "image",
        ("heavy, rain", "sun", UNASSIGNED),
    )
    assert words(weather) == ["sun", "heavy, rain", UNASSIGNED]
    assert words(time) == [UNASSIGNED, "day", UNASSIGNED]


def test_unknown_keys_are_counted_in_a_warning(tmp_path: Path) -> None:
    path = manifest(tmp_path, "key,weather\n7,sun\n" + "".join(f"{n},rain\n" for n in range(100, 107)))
    with pytest.warns(
        InputWarning, match="7 keys are neither the id nor the file name of an image: '100', .*'104', ..."
    ):
        axis = read_manifest(path, catalog())[0]
    assert axis.values == ("sun", UNASSIGNED)


def test_many_slices_cause_a_warning(tmp_path: Path) -> None:
    many = Catalog.of(range(60), ["cat"])
    path = manifest(tmp_path, "key,lux\n" + "".join(f"{n},{n / 7}\n" for n in range(60)))
    with pytest.warns(InputWarning, match="'lux' has 60 slices; group"):
        read_manifest(path, many)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "slices.csv:1: expected a first line like key,weather,time, got an empty file"),
        ("image,weather\n", "got 'image'"),
        ("key\n7\n", "no axis besides the key"),
        ("key,a,a\n", "column 3 is 'a'"),
        ("key,a,\n", "column 3 is ''"),
        ("key,a\n7,x,y\n", "slices.csv:2: has 3 cells, expected 2: key, a"),
        ("key,a\n7,x\n8,y\na.jpg,z\n", "slices.csv:4: image 'a.jpg' already has line 2"),
        ('key,a\n7,"x\n', "is not valid CSV"),
    ],
)
def test_an_invalid_manifest_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    path = manifest(tmp_path, text)
    with pytest.raises(InputError, match=message):
        read_manifest(path, catalog())


def test_a_missing_manifest_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_manifest(tmp_path / "none.csv", catalog())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Axis("x", "image", ("a", "a"), np.zeros(2, int)), "two slices have the same name"),
        (lambda: Axis("x", "image", ("a",), np.ones(2, int)), r"expected values in \[-1, 1\)"),
        (lambda: Axis("x", "image", ("a",), np.ones(2)), "one integer per image, got float64"),
        (lambda: Axis.from_bins("x", "image", [1], [1, 1], ["a", "b", "c"]), "ascending edges"),
        (lambda: Axis.from_bins("x", "image", [1], [1], ["a"]), "1 edge makes 2 slices, not 1"),
        (lambda: Axis.from_quantiles("x", "image", [1], {"a": 0.5}), "shares that ascend to 1"),
    ],
)
def test_an_invalid_axis_is_rejected(make: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()  # type: ignore[operator]


def test_the_closest_axis_is_suggested() -> None:
    with pytest.raises(UnknownName, match="did you mean 'border'"):
        make_axis("boarder", random_scene(0).truth)
