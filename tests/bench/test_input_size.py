"""`image.pixels`: the size of the network's input follows the training images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import pictures, write_coco

from bench.cli import main
from bench.pipeline.loader import make_loader
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings.config import RunConfig
from bench.settings.input_size import input_size, input_size_of
from bench.settings.presets import presets, read_preset
from bench.settings.resolution import open_run, resolve

FINE_TUNING = [name for name in presets() if name.endswith(("-squeezenet", "-lite0"))]
PORTRAIT = ["data.size=96,72", "data.train=4", "data.val=2", "data.test=2"]


@pytest.mark.parametrize(
    ("size", "pixels", "expected"),
    [
        ((480, 640), 288 * 384, (288, 384)),
        ((640, 480), 288 * 384, (384, 288)),
        ((1000, 1000), 320 * 320, (320, 320)),
        ((500, 500), 330 * 330, (320, 320)),  # 10.3 times 32
        ((1080, 1920), 256 * 448, (256, 448)),  # 253.9 and 451.3
        ((10, 1000), 64 * 64, (64, 640)),  # the height would be 6.4
    ],
)
def test_the_input_has_the_aspect_ratio_of_the_images(size, pixels, expected):
    assert input_size(np.array([size]), pixels) == expected


def test_the_median_image_decides():
    assert input_size(np.array([[480, 640], [640, 480], [960, 720]]), 288 * 384) == (384, 288)


@given(
    st.lists(st.tuples(st.integers(16, 4000), st.integers(16, 4000)), min_size=1, max_size=9),
    st.integers(64**2, 2**21),
)
def test_sides_are_multiples_of_32_and_turned_images_have_a_turned_input(sizes, pixels):
    array = np.array(sizes)
    height, width = input_size(array, pixels)
    assert height % 32 == width % 32 == 0
    assert min(height, width) >= 64
    ratio = np.exp(np.median(np.log(array[:, 0] / array[:, 1])))
    exact = np.sqrt([pixels * ratio, pixels / ratio])
    for side, unrounded in zip((height, width), exact, strict=True):
        assert abs(side - unrounded) <= 16 + 1e-6 or side == 64
    if (np.abs(exact / 32 % 1 - 0.5) > 1e-6).all():  # otherwise rounding decides
        assert input_size(array[:, ::-1], pixels) == (width, height)


def test_a_data_set_without_known_sizes_is_measured_by_its_images(tmp_path):
    for name, start, count in (("train", 0, 3), ("val", 3, 2), ("test", 5, 2)):
        write_coco(tmp_path / f"instances_{name}.json", pictures(count, start))
    dataset, _ = open_run("ssd", {"data": str(tmp_path)})
    train = dataset.splits["train"]
    unknown = replace(train.truth.catalog, sizes=np.zeros_like(train.truth.catalog.sizes))
    blind = replace(train, truth=replace(train.truth, catalog=unknown))
    size, note = input_size_of(replace(dataset, splits={**dataset.splits, "train": blind}), 96 * 128)
    assert size == (96, 128)
    assert note.values == {"height": 96, "width": 128, "pixels": 96 * 128, "images": 3}


@pytest.mark.parametrize("name", FINE_TUNING)
def test_a_preset_for_fine_tuning_suits_any_data(name):
    variant = read_preset(name)["variant"]
    _, portrait = open_run(variant, {"preset": name, "sets": PORTRAIT})
    assert portrait.image.size == (384, 288)
    assert portrait.image.pixels is None
    _, landscape = open_run(variant, {"preset": name, "sets": [*PORTRAIT, "data.size=72,96"]})
    assert landscape.image.size == (288, 384)
    assert resolve(variant, preset=name, data_defaults={}).augment.flip_vertical == 0
    assert portrait.train.precision == portrait.evaluate.precision == "no"


@pytest.mark.parametrize(
    ("sets", "size"),
    [
        (["image.pixels=16384"], (160, 96)),
        (["image.pixels=16384", "image.size=64,64"], (64, 64)),
        (["image.size=64,64", "image.pixels=16384"], (160, 96)),
        (["image.pixels=none"], (96, 72)),
    ],
)
def test_the_later_of_size_and_pixels_applies(sets, size):
    _, config = open_run("ssd", {"sets": [*PORTRAIT, *sets]})
    assert config.image.size == size
    assert config.image.pixels is None
    assert bool(config.notes) == (size == (160, 96))


def test_the_file_of_a_run_has_the_size_and_gives_it_again(tmp_path):
    _, config = open_run("ssd", {"preset": "ssd-squeezenet", "sets": PORTRAIT})
    file = tmp_path / "config.toml"
    file.write_text(config.toml(described=True))
    assert "size = [384, 288]  # training images" in file.read_text()
    _, again = open_run("ssd", {"file": file, "sets": ["data.size=72,96"]})
    assert again.image == config.image
    assert not again.notes


def test_the_note_is_printed_and_stored(tmp_path, capsys):
    sets = [*PORTRAIT, "image.pixels=9216", "train.epochs=0", "backbone.base_channel=4", "device=cpu"]
    assert main(["run", "--variant", "ssd", "--out", str(tmp_path), "--set", *sets]) == 0
    text = (
        "image.size: 96,96 (height, width), by the median aspect ratio of the images of shapes and "
        "image.pixels=9216"
    )
    printed = capsys.readouterr()
    assert f"note: {text}" in printed.out + printed.err


def test_a_run_stores_the_note_and_the_size(tmp_path):
    sets = [*PORTRAIT, "image.pixels=16384", "train.epochs=0", "backbone.base_channel=4", "device=cpu"]
    dataset, config = open_run("ssd", {"sets": sets})
    assert isinstance(config, RunConfig)
    result = run(config, tmp_path, dataset, RunContext(page=False)).result
    assert [*map(str, config.notes)] == [note for note in result.data.notes if "image.size" in note]
    assert result.config["image"]["size"] == [160, 96]
    (batch, *_) = make_loader(dataset.splits["val"], config.image, batch_size=2, workers=0)
    assert batch.images.shape[2:] == (160, 96)
