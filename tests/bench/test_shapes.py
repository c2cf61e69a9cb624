"""The data set `shapes`: the same bytes on every machine, and boxes around the shapes."""

from __future__ import annotations

import hashlib
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.data import drawing
from bench.data.drawing import COVER, FORMS, FRAGMENTS, SINE, TURN, UNIT, RandomIntegers, make_form, texture
from bench.data.shapes_scene import _CLASS_COLORS, _COLOR_DEVIATION, ShapesConfig, draw_image
from bench.datasets import DATASETS, open_dataset
from bench.datasets.shapes import DRAWING_VERSION
from metrics.errors import InputError

FORM_NAMES = [*FORMS, *FRAGMENTS]


def test_the_same_seed_gives_these_bytes():
    # Another digest means that earlier results are not comparable: then DRAWING_VERSION grows with it. The settings are
    # written out, so that choosing other defaults does not look like another drawing.
    config = ShapesConfig(
        seed=5,
        size=(96, 128),
        classes=tuple(FORMS),
        objects=(1, 8),
        scale=(10, 60),
        aspect=2.0,
        rotation=0.9,
        occlusion=0.5,
        truncation=0.3,
        clutter=(0, 8),
        color=0.5,
        noise=24,
        contrast=90,
        imbalance=3.0,
    )
    digest = hashlib.sha256()
    for split in ("train", "val", "test"):
        for index in range(20):
            image, objects, _ = draw_image(config, split, index)
            digest.update(image.tobytes())
            digest.update(repr([(o.label, o.box, o.visible) for o in objects]).encode())
    assert (DRAWING_VERSION, digest.hexdigest()) == (
        1,
        "9a45989acf2f3557fc9b6342da8b4b94db5f93e5a8106d39dc532a38f881a4cc",
    )


def test_sines_are_far_from_a_half_so_that_every_library_rounds_them_equally():
    exact = [math.sin(2 * math.pi * k / TURN) * 2**14 for k in range(TURN)]
    assert min(abs(value - math.floor(value) - 0.5) for value in exact) > 1e-3
    assert all(abs(s * s + SINE[(k + TURN // 4) % TURN] ** 2 - 2**28) < 2**15 for k, s in enumerate(SINE))


def test_random_words_are_those_that_numpy_guarantees():
    # A change of NumPy would change every drawing; this distinguishes it from a change of the drawing.
    assert np.random.PCG64(np.random.SeedSequence(0)).random_raw(2).tolist() == [
        11749869230777074271,
        4976686463289251617,
    ]


def test_streams_of_different_keys_differ_and_of_the_same_key_agree():
    first = [RandomIntegers(7, 0, 1).below(1 << 30) for _ in range(2)]
    others = [
        RandomIntegers(7, 1, 0).below(1 << 30),
        RandomIntegers(7, 0, 2).below(1 << 30),
        RandomIntegers(8, 0, 1).below(1 << 30),
    ]
    assert first[0] == first[1]
    assert len({first[0], *others}) == 4


@given(st.integers(0, 2**63 - 1), st.integers(1, 1000))
def test_below_is_below(seed, n):
    rng = RandomIntegers(seed)
    values = [rng.below(n) for _ in range(100)]
    assert min(values) >= 0
    assert max(values) < n


def test_weighted_indices_have_the_frequencies_of_their_weights():
    rng = RandomIntegers(0)
    counts = np.bincount([rng.weighted([1, 0, 3]) for _ in range(4000)], minlength=3)
    assert counts[1] == 0
    assert counts[2] / counts[0] == pytest.approx(3, rel=0.15)  # 4 standard deviations


@pytest.mark.parametrize("name", FORM_NAMES)
@pytest.mark.parametrize("angle", [0, 13, 64, 200])
def test_the_extent_is_the_tight_box_of_half_covered_pixels(name, angle):
    form = make_form(name, 31, 20, angle)
    rows, columns = np.nonzero(form.coverage >= COVER / 2)
    found = (
        int(columns.min()) + form.left,
        int(rows.min()) + form.top,
        int(columns.max()) + 1 + form.left,
        int(rows.max()) + 1 + form.top,
    )
    assert form.extent == found
    border = np.concatenate([form.coverage[0], form.coverage[-1], form.coverage[:, 0], form.coverage[:, -1]])
    assert not border.any(), "the window cuts the form off"


@pytest.mark.parametrize(
    ("name", "area"),
    [("square", 1.0), ("disk", math.pi / 4), ("ring", math.pi / 4 * (1 - (9 / 16) ** 2)), ("triangle", 0.5)],
)
@pytest.mark.parametrize("angle", [0, 21, 100])
def test_areas_of_forms_are_the_geometric_ones(name, area, angle):
    form = make_form(name, 80, 50, angle)
    assert form.coverage.sum() / COVER == pytest.approx(area * 80 * 50, rel=0.02)


def test_the_cross_and_the_star_have_their_symmetries():
    cross = make_form("cross", 41, 41, 0).coverage
    np.testing.assert_array_equal(cross, np.rot90(cross))
    star = make_form("star", 60, 60, 0)
    # By closed form a pentagram of circumradius 1 has area 10 tan(18 deg) / (3 - tan(18 deg)^2) = 1.1226.
    tangent = math.tan(math.pi / 10)
    expected = 10 * tangent / (3 - tangent**2) * 30**2
    assert star.coverage.sum() / COVER == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("angle", range(0, 256, 17))
@pytest.mark.parametrize("size", [(2, 2), (2, 8), (1024, 128), (1024, 1024)])
def test_local_coordinates_do_not_overflow(angle, size):
    form = make_form("disk", *size, angle)
    reach = form.coverage.shape[0] / 2
    bound = 2 * reach / min(size) * 2 * UNIT
    assert abs(form.u).max() <= bound
    assert abs(form.v).max() <= bound
    half = math.pi / 4 * size[0] * size[1]
    assert form.coverage.sum() / COVER == pytest.approx(half, rel=0.1, abs=4)


def test_textures_cover_a_part_of_a_form():
    form = make_form("square", 40, 40, 30)
    shares = {name: texture(name, form, 3)[form.coverage == COVER].mean() for name in drawing.TEXTURES}
    assert shares["plain"] == 0
    assert all(0.2 < shares[name] < 0.8 for name in ("stripes", "checks", "spots"))


def test_an_image_does_not_depend_on_how_many_there_are():
    few = open_dataset("shapes", train=3, val=1, test=1).splits["train"]
    many = open_dataset("shapes", train=5, val=2, test=9).splits["train"]
    for index in range(3):
        np.testing.assert_array_equal(few.load(index), many.load(index))
    np.testing.assert_array_equal(few.truth.boxes, many.truth.select([0, 1, 2]).boxes)


def test_no_image_is_in_two_splits():
    data = open_dataset("shapes", train=60, val=60, test=60)
    images = {data.splits[name].load(index).tobytes() for name in data.splits for index in range(60)}
    assert len(images) == 180


def test_another_seed_draws_other_images():
    first, second = (open_dataset("shapes", seed=seed, train=1, val=1, test=1) for seed in (0, 1))
    assert first.splits["train"].load(0).tobytes() != second.splits["train"].load(0).tobytes()
    assert first.fingerprint != second.fingerprint


def test_stored_images_equal_drawn_images():
    split = open_dataset("shapes", train=2, val=1, test=1).splits["train"]
    image, objects, _ = draw_image(ShapesConfig(train=2, val=1, test=1), "train", 1)
    assert split.in_memory
    np.testing.assert_array_equal(split.load(1), image)
    assert split.load(1).shape == (*ShapesConfig().size, 3)
    mine = split.truth.select([1])
    assert [tuple(box) for box in mine.boxes] == [o.box for o in objects if o.visible > 0]


@given(st.integers(0, 10_000))
def test_boxes_lie_within_the_image_and_are_not_flat(index):
    config = ShapesConfig(size=(128, 128), truncation=0.9, occlusion=0.9)
    _, objects, _ = draw_image(config, "train", index)
    for item in objects:
        x0, y0, x1, y1 = item.box
        assert 0 <= x0 < x1 <= 128
        assert 0 <= y0 < y1 <= 128
        assert 0 <= item.visible <= 1
        assert 0 <= item.label < len(config.classes)


def test_the_colour_setting_is_the_share_of_objects_in_their_class_colour():
    own = _CLASS_COLORS["disk"]
    near = {share: _disks_near(own, share) for share in (0.0, 0.5, 1.0)}
    assert near[0.0] < 0.2 < near[0.5] < 0.8 < near[1.0]


def _disks_near(color, share):
    """Number of isolated disks with this colour at their centre."""
    config = ShapesConfig(
        size=(64, 64), classes=("disk",), objects=(1, 1), scale=(20, 30), truncation=0, clutter=(0, 0),
        noise=0, textures=False, contrast=0, color=share,
    )  # fmt: skip
    hits = 0
    for index in range(60):
        image, (item,), _ = draw_image(config, "train", index)
        x0, y0, x1, y1 = item.box
        centre = image[(y0 + y1) // 2, (x0 + x1) // 2].astype(int)
        hits += bool((np.abs(centre - color) <= _COLOR_DEVIATION).all())
    return hits / 60


def test_a_box_is_tight_around_a_lone_shape():
    # On a plain backdrop, without noise or clutter, what differs from a drawing without objects is the shape.
    plain = {
        "clutter": (0, 0),
        "noise": 0,
        "textures": False,
        "truncation": 0.3,
        "rotation": 1.0,
        "color": 0.0,
        "scale": (14, 64),
        "contrast": 200,
        "size": (128, 128),
    }
    config = ShapesConfig(objects=(1, 1), **plain)
    for index in range(40):
        image, (item,), _ = draw_image(config, "train", index)
        rng = RandomIntegers(0, 0, index)
        backdrop = rng.color(30, 225), rng.color(30, 225)
        empty = drawing.gradient(128, 128, *backdrop, rng.below(TURN)).transpose(1, 2, 0)
        rows, columns = np.nonzero((image != empty).any(2))
        x0, y0, x1, y1 = item.box
        # A pixel of slack: those of which a quarter is covered lie outside, and the colours may nearly agree.
        assert x0 - 1 <= columns.min() <= x0 + 1
        assert x1 - 2 <= columns.max() <= x1
        assert y0 - 1 <= rows.min() <= y0 + 1
        assert y1 - 2 <= rows.max() <= y1


def test_a_hidden_object_is_ignored_and_an_invisible_one_left_out():
    options = {
        "train": 60,
        "val": 1,
        "test": 1,
        "occlusion": 1.0,
        "objects": (12, 12),
        "clutter": (0, 0),
        "scale": (16, 64),
    }
    config = ShapesConfig(**options, min_visible=0.5)
    split = open_dataset("shapes", **options, min_visible=0.5).splits["train"]
    drawn = [item for index in range(60) for item in draw_image(config, "train", index)[1]]
    assert any(item.visible == 0 for item in drawn), "the settings should hide some object wholly"
    assert len(split.truth) == sum(item.visible > 0 for item in drawn)
    assert split.truth.ignored.sum() == sum(0 < item.visible < 0.5 for item in drawn) > 0


def test_no_object_covers_more_of_another_than_occlusion_allows():
    config = ShapesConfig(occlusion=0.0, objects=(6, 6), clutter=(0, 0))
    for index in range(20):
        boxes = [item.box for item in draw_image(config, "train", index)[1]]
        for k, a in enumerate(boxes):
            for b in boxes[k + 1 :]:
                assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


def test_imbalance_is_the_ratio_of_first_to_last():
    split = open_dataset("shapes", train=400, val=1, test=1, imbalance=6.0, classes=tuple(FORMS)[:5]).splits[
        "train"
    ]
    counts = np.bincount(split.truth.label, minlength=5)
    assert counts[0] / counts[-1] == pytest.approx(6, rel=0.35)
    assert (np.diff(counts) < 0.15 * counts[:-1]).all()


def test_images_that_exceed_memory_are_drawn_on_access(monkeypatch):
    monkeypatch.setattr("bench.datasets.shapes._KEEP_IN_MEMORY", 0)
    redrawn = open_dataset("shapes", train=3, val=1, test=1).splits["train"]
    monkeypatch.undo()
    kept = open_dataset("shapes", train=3, val=1, test=1).splits["train"]
    assert not redrawn.in_memory
    np.testing.assert_array_equal(redrawn.load(2), kept.load(2))
    assert redrawn.fingerprint == kept.fingerprint


def test_any_size_can_be_drawn():
    data = open_dataset("shapes", train=2, val=1, test=1, size=(40, 200), scale=(8, 30))
    assert data.splits["train"].load(0).shape == (40, 200, 3)
    assert data.defaults["image.size"] == (40, 200)
    assert data.splits["train"].truth.catalog.sizes.tolist() == [[40, 200]] * 2


def test_fault_55_an_invalid_setting_is_reported_with_its_path_and_a_fix():
    with pytest.raises(
        InputError, match=r"data\.clases: no such setting of shapes; did you mean 'classes'\?"
    ):
        open_dataset("shapes", clases=("disk",))
    with pytest.raises(InputError, match=r"data\.scale: the smaller number must be first; write \[10, 30\]"):
        open_dataset("shapes", scale=(30, 10))
    with pytest.raises(InputError, match=r"data\.classes: unknown shape 'dsik'"):
        open_dataset("shapes", classes=("dsik",))
    with pytest.raises(InputError, match="do not fit images of 32x32"):
        open_dataset("shapes", size=(32, 32))


def test_fault_2_a_split_without_an_object_is_refused_before_training():
    data = open_dataset("shapes", train=1, val=1, test=1, objects=(0, 1), seed=_seed_of_an_empty_image())
    with pytest.raises(InputError, match="train: no image of 1 has a valid object"):
        data.splits["train"]


def _seed_of_an_empty_image() -> int:
    config = ShapesConfig(objects=(0, 1))
    return next(
        seed for seed in range(100) if not draw_image(config.model_copy(update={"seed": seed}), "train", 0)[1]
    )


def test_the_registered_defaults_are_those_of_the_data_set():
    known = DATASETS["shapes"]
    assert known.defaults["image.size"] == ShapesConfig().size
    assert known.layout is None


def test_drawing_takes_about_a_millisecond():
    config = ShapesConfig()
    draw_image(config, "train", 0)
    times = []
    for _ in range(5):
        start = time.process_time()
        for index in range(20):
            draw_image(config, "train", index)
        times.append((time.process_time() - start) / 20)
    assert min(times) < 0.01  # measured: 0.7 to 1.2 ms; ten times that leaves room for a slow machine
