"""`bench data --augment` draws the network's input with its boxes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor
from test_label_maps import masked_split
from tiny_data import split_of

from bench.cli import main
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import SplitSamples
from bench.pipeline.objects import training_objects
from bench.pipeline.order import Use
from bench.survey.augmented_grid import EPOCHS, draw_augmented
from metrics.errors import InputError
from reports.elements.palette import PHOTO

IMAGE = ImageConfig(size=(48, 64))


def test_each_image_is_drawn_as_it_is_and_as_in_the_first_epochs():
    split = replace(masked_split(6), label_maps=None)
    augment = AugmentConfig(mosaic=0.5, warp=0.5)
    picture = np.asarray(draw_augmented(split, IMAGE, augment, 3))
    assert picture.shape == (4 * (48 * 4 + 4) - 4, 6 * (64 * 4 + 4) - 4, 3)
    objects, _ = training_objects(split)
    augmented = SplitSamples(split, objects, IMAGE, make_augment(augment), 3)
    plain = SplitSamples(split, objects, IMAGE, None, 3)
    for row, index in enumerate([1, 2, 3, 4]):
        for column in range(EPOCHS + 1):
            sample = plain[Use(0, index)] if column == 0 else augmented[Use(column - 1, index)]
            tile = picture[row * 196 : row * 196 + 192, column * 260 : column * 260 + 256]
            expected = sample.pixels.permute(1, 2, 0).numpy().repeat(4, 0).repeat(4, 1)
            outside = np.ones((192, 256), bool)
            for (left, top, right, bottom), label in zip(
                sample.boxes.tolist(), sample.labels.tolist(), strict=True
            ):
                area = (
                    slice(max(int(4 * top) - 4, 0), int(4 * bottom) + 4),
                    slice(max(int(4 * left) - 4, 0), int(4 * right) + 4),
                )
                outside[area] = False
                colors = {tuple(color) for color in tile[area].reshape(-1, 3).tolist()}
                assert label < 0 or ImageColor.getrgb(PHOTO[label]) in colors
            np.testing.assert_array_equal(tile[outside], expected[outside])


def test_images_without_objects_are_drawn_if_there_are_no_others():
    split = split_of([np.full((30, 40, 3), 90, np.uint8)], [[]])
    picture = draw_augmented(split, IMAGE, AugmentConfig(), 0)
    assert picture.height == 48 * 4


def test_a_split_without_images_is_an_error():
    with pytest.raises(InputError, match="train: the split has no images to draw"):
        draw_augmented(split_of([], []), IMAGE, AugmentConfig(), 0)


def test_the_command_writes_a_png_file(tmp_path, capsys):
    file = tmp_path / "images.png"
    sets = [
        "--set",
        "data.train=6",
        "--set",
        "data.val=2",
        "--set",
        "data.test=2",
        "--set",
        "image.size=64,64",
    ]
    words = ["data", "shapes", "--augment", str(file), "--preset", "augment-medium", *sets]
    assert main(words) == 0
    assert f"{file}: images without augmentation (left), and in 5 epochs" in capsys.readouterr().out
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        size = picture.size
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(file), "width": size[0], "height": size[1]}
    assert main([*words, "--report", str(tmp_path / "page")]) == 2
    assert "--augment: only draws images" in capsys.readouterr().err
