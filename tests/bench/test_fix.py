"""Each fix changes exactly what is wrong, leaves everything else as it is, and has nothing to do the second time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from written_sets import HEIGHT, WIDTH, image_sets

from bench.convert.image_set import ImageSet, Picture
from bench.convert.orientation import upright_boxes, write_upright
from bench.data.images import read_header, read_image
from bench.fix.boxes import (
    clip_boxes,
    remove_degenerate,
    remove_outside,
    remove_repeated,
    renumber_objects,
    swap_corners,
)
from bench.fix.changes import TITLES, Change, changes_csv, summary
from bench.fix.classes import trim_class_names, visible_name
from bench.fix.fix import fix_sets
from bench.fix.images import make_upright, remove_copies, remove_unreadable
from metrics.tables import AnnotationTable, Catalog

Fix = Callable[[list[ImageSet]], tuple[list[ImageSet], list[Change]]]
Box = tuple[float, float, float, float]


def same(one: ImageSet, other: ImageSet) -> bool:
    """Whether two sets have equal images, catalogs and columns."""
    columns = zip(one.truth.columns().values(), other.truth.columns().values(), strict=True)
    return (
        one.purpose == other.purpose
        and one.pictures == other.pictures
        and one.truth.catalog == other.truth.catalog
        and all(np.array_equal(a, b) for a, b in columns)
    )


def with_object(one: ImageSet, box: Box, label: int = 0, object_id: int = 999, **flags: bool) -> ImageSet:
    """The set with another object at the end, on its first image."""
    table = one.truth
    row = {"image": 0, "label": label, "xywh": [box], "area": box[2] * box[3], "object_id": object_id}
    row |= {"crowd": flags.get("crowd", False), "ignored": flags.get("ignored", False)}
    columns = {
        name: np.concatenate([column, np.array(row[name], column.dtype).reshape(-1, *column.shape[1:])])
        for name, column in table.columns().items()
    }
    return replace(one, truth=AnnotationTable(table.catalog, **columns))


CLEAN = image_sets(purposes=("train", "val", "test"), awkward=False)
"""Data sets without any defect."""


@settings(max_examples=25, deadline=None)
@given(sets=CLEAN)
def test_a_clean_data_set_is_not_changed(sets: list[ImageSet]) -> None:
    for pixels in (False, True):
        fixed, changes = fix_sets(sets, counts_pixels=pixels, whole_pixels=pixels)
        assert changes == []
        assert all(same(one, other) for one, other in zip(sets, fixed, strict=True))
    assert summary([]) == ["nothing to fix: the copy has the same images and objects"]
    assert changes_csv([]).count("\n") == 1


REMOVED: list[tuple[str, Fix, Box]] = [
    ("outside_boxes", remove_outside, (WIDTH + 3.0, 2.0, 5.0, 5.0)),
    ("outside_boxes", remove_outside, (-7.0, 2.0, 7.0, 5.0)),
    ("outside_boxes", remove_outside, (3.0, HEIGHT, 7.0, 5.0)),
    ("degenerate_boxes", remove_degenerate, (3.0, 4.0, 0.0, 5.0)),
    ("degenerate_boxes", remove_degenerate, (3.0, 4.0, 5.0, 0.0)),
]


@pytest.mark.parametrize(("kind", "fix", "box"), REMOVED)
@settings(max_examples=10, deadline=None)
@given(sets=CLEAN, at=st.integers(0, 2))
def test_a_bad_box_is_removed_and_nothing_else(
    kind: str, fix: Fix, box: Box, sets: list[ImageSet], at: int
) -> None:
    dirty = [with_object(one, box) if k == at else one for k, one in enumerate(sets)]
    for every in (fix, fix_sets):
        fixed, (change,) = every(dirty)
        assert all(same(one, other) for one, other in zip(sets, fixed, strict=True))
        assert (change.kind, change.action, change.object_id, change.box) == (kind, "removed", 999, box)
        assert (change.split, change.image) == (sets[at].purpose, sets[at].pictures[0].name)


CHANGED: list[tuple[str, Fix, Box, Box]] = [
    ("swapped_corners", swap_corners, (20.0, 4.0, -9.0, 5.0), (11.0, 4.0, 9.0, 5.0)),
    ("swapped_corners", swap_corners, (20.0, 14.0, -9.0, -5.0), (11.0, 9.0, 9.0, 5.0)),
    ("boxes_beyond_image", clip_boxes, (-4.0, -3.0, 9.0, 8.0), (0.0, 0.0, 5.0, 5.0)),
    ("boxes_beyond_image", clip_boxes, (40.0, 30.0, 90.0, 80.0), (40.0, 30.0, WIDTH - 40.0, HEIGHT - 30.0)),
]


@pytest.mark.parametrize(("kind", "fix", "box", "right"), CHANGED)
@settings(max_examples=10, deadline=None)
@given(sets=CLEAN, at=st.integers(0, 2))
def test_a_wrong_box_is_corrected_and_nothing_else(
    kind: str, fix: Fix, box: Box, right: Box, sets: list[ImageSet], at: int
) -> None:
    dirty = [with_object(one, box) if k == at else one for k, one in enumerate(sets)]
    clean = [with_object(one, right) if k == at else one for k, one in enumerate(sets)]
    for every in (fix, fix_sets):
        fixed, (change,) = every(dirty)
        assert all(same(one, other) for one, other in zip(clean, fixed, strict=True))
        assert (change.kind, change.action, change.box, change.new_box) == (kind, "changed", box, right)


def test_an_area_of_a_mask_stays_when_its_box_is_clipped() -> None:
    one = single((-4.0, -3.0, 9.0, 8.0))
    masked = replace(one, truth=replace(one.truth, area=np.array([13.0])))
    assert clip_boxes([masked])[0][0].truth.area.tolist() == [13.0]
    assert clip_boxes([one])[0][0].truth.area.tolist() == [25.0]


@settings(max_examples=25, deadline=None)
@given(sets=CLEAN, at=st.integers(0, 2), data=st.data())
def test_an_object_annotated_twice_is_kept_once(sets: list[ImageSet], at: int, data: st.DataObject) -> None:
    table = sets[at].truth
    row = data.draw(st.integers(0, len(table) - 1))
    columns = {name: np.concatenate([column, column[[row]]]) for name, column in table.columns().items()}
    columns["object_id"][-1] = 999
    dirty = list(sets)
    dirty[at] = replace(sets[at], truth=AnnotationTable(table.catalog, **columns))
    fixed, changes = remove_repeated(dirty)
    if table.crowd[row]:
        assert changes == []
        assert same(fixed[at], dirty[at])
    else:
        assert [(change.kind, change.object_id) for change in changes] == [("duplicate_boxes", 999)]
        assert all(same(one, other) for one, other in zip(sets, fixed, strict=True))


def test_of_a_valid_and_an_ignored_copy_the_valid_one_stays() -> None:
    box = (2.0, 3.0, 8.0, 9.0)
    dirty = with_object(single(box, ignored=True), box)
    (fixed,), (change,) = remove_repeated([dirty])
    assert fixed.truth.ignored.tolist() == [False]
    assert change.object_id == 1


@settings(max_examples=25, deadline=None)
@given(sets=CLEAN, at=st.integers(0, 2), data=st.data())
def test_a_repeated_id_is_renumbered_and_the_first_kept(
    sets: list[ImageSet], at: int, data: st.DataObject
) -> None:
    repeated = data.draw(st.sampled_from(sets[at].truth.object_id.tolist()))
    dirty = list(sets)
    dirty[at] = with_object(sets[at], (3.0, 4.0, 5.5, 6.5), object_id=repeated)
    new_id = int(sets[at].truth.object_id.max()) + 1
    fixed, (change,) = renumber_objects(dirty)
    assert (change.kind, change.object_id, change.detail) == ("repeated_ids", repeated, f"id {new_id}")
    assert same(fixed[at], with_object(sets[at], (3.0, 4.0, 5.5, 6.5), object_id=new_id))


def plain_fix(box: Box, width: int, height: int) -> Box | None:
    """What becomes of one box, by the definitions; None if it is removed."""
    x, y, w, h = box
    if w < 0:
        x, w = x + w, -w
    if h < 0:
        y, h = y + h, -h
    if w > 0 and h > 0:
        x2, y2 = x + w, y + h
        if x >= width or y >= height or x2 <= 0 or y2 <= 0:
            return None
        if max(-x, -y, x2 - width, y2 - height) > 1:
            x, y, x2, y2 = max(x, 0), max(y, 0), min(x2, width), min(y2, height)
            return x, y, x2 - x, y2 - y
        return x, y, w, h
    return None


DIRTY_BOXES = st.lists(
    st.tuples(
        st.sampled_from([-60.0, -5.0, -1.0, -0.5, 0.0, 3.0, 31.5, 32.0, 47.0, 48.0, 70.0]),
        st.sampled_from([-60.0, -5.0, -1.0, -0.5, 0.0, 3.0, 31.5, 32.0, 47.0, 48.0, 70.0]),
        st.sampled_from([-20.0, -3.0, 0.0, 0.5, 1.0, 4.0, 30.0, 100.0]),
        st.sampled_from([-20.0, -3.0, 0.0, 0.5, 1.0, 4.0, 30.0, 100.0]),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(boxes=DIRTY_BOXES)
def test_random_boxes_are_fixed_as_by_definition_and_only_once(boxes: list[Box]) -> None:
    one = several(boxes)
    (fixed,), changes = fix_sets([one])
    right = [plain_fix(box, WIDTH, HEIGHT) for box in boxes]
    expected = list(dict.fromkeys(box for box in right if box is not None))
    assert [tuple(row) for row in fixed.truth.xywh.tolist()] == expected
    assert len(boxes) - len(fixed.truth) == sum(change.action == "removed" for change in changes)
    (again,), none = fix_sets([fixed])
    assert none == []
    assert same(fixed, again)


def several(boxes: list[Box]) -> ImageSet:
    catalog = Catalog.of(["a"], ["cat"], [(HEIGHT, WIDTH)], ["a.png"])
    table = AnnotationTable.of(catalog, np.zeros(len(boxes), int), np.zeros(len(boxes), int), boxes)
    return ImageSet("train", table, (Picture("a.png", None, lambda: np.zeros((HEIGHT, WIDTH, 3), np.uint8)),))


def single(box: Box, ignored: bool = False) -> ImageSet:
    one = several([box])
    return replace(one, truth=replace(one.truth, ignored=np.array([ignored])))


def test_class_names_are_trimmed_but_never_merged() -> None:
    catalog = Catalog.of(["a"], ["cat", "cat ", " dog\u200b", "Dog", "two\xa0words", "\u200b", "می\u200cروم"])
    one = ImageSet("train", AnnotationTable.of(catalog, [], [], []), (Picture("a.png", None),))
    (fixed,), changes = trim_class_names([one])
    assert fixed.truth.catalog.classes == ("cat", "cat ", "dog", "Dog", "two words", "\u200b", "می\u200cروم")
    assert [(change.class_name, change.detail) for change in changes] == [
        (" dog\u200b", "dog"),
        ("two\xa0words", "two words"),
    ]
    assert trim_class_names([fixed])[1] == []


@given(st.text())
def test_a_visible_name_is_its_own(name: str) -> None:
    assert visible_name(visible_name(name)) == visible_name(name)


def saved(folder: Path, name: str, shade: int, **options: object) -> Picture:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (WIDTH, HEIGHT), (shade, 9, 9)).save(path, **options)
    return Picture(name, path)


def set_of(purpose: str, pictures: list[Picture], objects: list[int]) -> ImageSet:
    """A split with so many objects on each image."""
    catalog = Catalog.of(
        range(len(pictures)), ["cat"], [(HEIGHT, WIDTH)] * len(pictures), [p.name for p in pictures]
    )
    image = np.repeat(np.arange(len(pictures)), objects)
    xywh = [(float(k), 2.0, 8.0, 9.0) for k in range(len(image))]
    return ImageSet(
        purpose, AnnotationTable.of(catalog, image, np.zeros(len(image), int), xywh), tuple(pictures)
    )


def names(sets: list[ImageSet]) -> dict[str | None, list[str]]:
    return {one.purpose: [picture.name for picture in one.pictures] for one in sets}


def test_copies_are_kept_once_and_leakage_is_removed_from_training(tmp_path: Path) -> None:
    train = [
        saved(tmp_path, f"train/{name}.png", shade)
        for name, shade in zip("abcde", (1, 2, 3, 3, 4), strict=True)
    ]
    val = [saved(tmp_path, f"val/{name}.png", shade) for name, shade in zip("fg", (2, 5), strict=True)]
    test = [saved(tmp_path, f"test/{name}.png", shade) for name, shade in zip("hi", (4, 5), strict=True)]
    sets = [set_of("train", train, [1, 1, 1, 2, 5]), set_of("val", val, [1, 3]), set_of("test", test, [1, 0])]
    fixed, changes = remove_copies(sets)
    # of c and d, d has more objects; e and g give way to the test split, whatever they have
    assert names(fixed) == {
        "train": ["train/a.png", "train/d.png"],
        "val": ["val/f.png"],
        "test": ["test/h.png", "test/i.png"],
    }
    assert [len(one.truth) for one in fixed] == [3, 1, 1]
    assert sorted((change.kind, change.image, change.detail) for change in changes) == [
        ("leakage", "train/b.png", "val: val/f.png is kept"),
        ("leakage", "train/e.png", "test: test/h.png is kept"),
        ("leakage", "val/g.png", "test: test/i.png is kept"),
        ("repeated_images", "train/c.png", "train: train/d.png is kept"),
    ]
    assert remove_copies(fixed)[1] == []


def test_unreadable_images_are_removed_with_their_objects(tmp_path: Path) -> None:
    pictures = [saved(tmp_path, f"{k}.jpg", 40 + k) for k in range(4)]
    whole = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "1.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.jpg").write_bytes(b"<html>not found</html>")
    sets = [set_of("train", pictures, [1, 2, 3, 4])]
    fixed, changes = remove_unreadable(sets)
    assert names(fixed) == {"train": ["0.jpg", "3.jpg"]}
    assert same(fixed[0], sets[0].select([0, 3]))
    assert [(change.image, change.kind) for change in changes] == [
        ("1.jpg", "unreadable_images"),
        ("2.jpg", "unreadable_images"),
    ]
    assert "truncated" in changes[0].detail
    assert "a web page" in changes[1].detail
    assert remove_unreadable(fixed)[1] == []


def test_every_kind_of_change_has_a_sentence() -> None:
    lines = summary([Change(kind, "changed") for kind in TITLES for _ in range(2)])
    assert lines == [f"2 {many}" for _, many in TITLES.values()]
    assert summary([Change("degenerate_boxes", "removed")]) == ["1 box without width or height removed"]


def test_the_log_is_a_table_with_a_row_for_each_change() -> None:
    change = Change(
        "boxes_beyond_image",
        "changed",
        "val",
        'a,"b".jpg',
        7,
        "cat\nx",
        (-4.0, 1.5, 9.0, 8.0),
        (0.0, 1.5, 5.0, 8.0),
    )
    removed = Change("leakage", "removed", "train", "b.jpg", detail="test: c.jpg is kept")
    first, second = csv.DictReader(io.StringIO(changes_csv([change, removed])))
    assert first["image"] == 'a,"b".jpg'
    assert first["class"] == "cat\nx"
    assert [first[f"new_{side}"] for side in ("x", "y", "width", "height")] == ["0.0", "1.5", "5.0", "8.0"]
    assert first["object_id"] == "7"
    assert (second["kind"], second["object_id"], second["x"], second["detail"]) == (
        "leakage",
        "",
        "",
        "test: c.jpg is kept",
    )


def marked(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    """An image with a red box (x, y, w, h)."""
    x, y, w, h = box
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[y : y + h, x : x + w] = (250, 10, 10)
    return Image.fromarray(pixels)


def found_box(pixels: np.ndarray) -> list[int]:
    """The box xywh of the red pixels."""
    rows, columns = np.nonzero((pixels[:, :, 0] > 170) & (pixels[:, :, 1] < 60))
    return [columns.min(), rows.min(), columns.max() - columns.min() + 1, rows.max() - rows.min() + 1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_boxes_turn_with_the_pixels(tmp_path: Path, orientation: int, suffix: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "maker"
    box = (16, 8, 24, 8)
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    marked(64, 32, box).save(
        source, exif=exif, **({"lossless": True} if suffix == ".webp" else {"quality": 95})
    )
    upright = read_image(source)
    turned = upright_boxes(np.array([box], np.float64), orientation, (32, 64))
    assert turned.tolist() == [found_box(upright)]
    if orientation == 1:
        return
    write_upright(source, target)
    assert read_header(target).orientation == 1
    assert read_header(target).stored == upright.shape[:2]
    difference = np.abs(read_image(target).astype(int) - upright)
    # JPEG interpolates colours at the edges of the box from one side, which rotation changes
    assert difference.mean() <= (3.0 if suffix == ".jpg" else 0)
    with Image.open(target) as image:
        assert image.getexif()[0x010F] == "maker"


def test_rotation_is_applied_once_and_boxes_of_stored_pixels_turn(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    marked(WIDTH, HEIGHT, (3, 4, 10, 5)).save(tmp_path / "a.png", exif=exif)
    marked(WIDTH, HEIGHT, (3, 4, 10, 5)).save(tmp_path / "b.png", exif=exif, compress_level=1)
    saved(tmp_path, "c.png", 3)
    stored = Picture("a.png", tmp_path / "a.png", orientation=6, stored_boxes=True)
    upright = Picture("b.png", tmp_path / "b.png", orientation=6)
    catalog = Catalog.of(
        [1, 2, 3], ["cat"], [(HEIGHT, WIDTH), (WIDTH, HEIGHT), (HEIGHT, WIDTH)], ["a.png", "b.png", "c.png"]
    )
    boxes = [(3.0, 4.0, 10.0, 5.0), (float(HEIGHT - 9), 3.0, 5.0, 10.0), (1.0, 1.0, 2.0, 2.0)]
    table = AnnotationTable.of(catalog, [0, 1, 2], [0, 0, 0], boxes)
    one = ImageSet(None, table, (stored, upright, Picture("c.png", tmp_path / "c.png")))
    (fixed,), changes = make_upright([one])
    assert [(change.image, change.kind) for change in changes] == [
        ("a.png", "rotated_images"),
        ("b.png", "rotated_images"),
    ]
    assert fixed.truth.catalog.sizes.tolist() == [[WIDTH, HEIGHT], [WIDTH, HEIGHT], [HEIGHT, WIDTH]]
    for picture, box in zip(fixed.pictures[:2], fixed.truth.xywh.tolist(), strict=False):
        picture.write(tmp_path / "new.png")
        assert found_box(read_image(tmp_path / "new.png")) == box
        (tmp_path / "new.png").unlink()
    assert fixed.truth.xywh[2].tolist() == [1, 1, 2, 2]
    assert make_upright([fixed])[1] == []
