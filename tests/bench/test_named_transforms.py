"""Transforms of albumentations, by their names in settings."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from test_augmented_images import config, same, samples
from test_label_maps import FILL, bounds, masked_split, painted, pieces

from bench.pipeline.augmentation import named_transforms
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.augmentation.labelled_image import LabelledImage
from bench.pipeline.augmentation.named_transforms import NamedTransforms
from bench.pipeline.augmentation.randomness import randomness_of
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.order import Use
from bench.settings import toml
from bench.settings.resolution import resolve
from metrics.errors import InputError
from metrics.pixel_labels import IGNORED

installed = pytest.mark.skipif(
    named_transforms.find_spec("albumentations") is None,
    reason="albumentations is absent: pip install detbench[albumentations]",
)


def apply(*tables: dict[str, Any], seed: int = 0, min_visible: float = 0.25) -> LabelledImage:
    with randomness_of(seed):
        return NamedTransforms(tables, FILL, min_visible)(LabelledImage(*pieces(seed)))


@installed
def test_a_flip_moves_pixels_boxes_and_label_map():
    before = LabelledImage(*pieces(0))
    after = apply({"name": "VerticalFlip", "p": 1})
    assert before.label_map is not None
    assert after.label_map is not None
    assert torch.equal(after.image, before.image.flip(1))
    assert torch.equal(after.label_map, before.label_map.flip(0))
    assert after.labels.tolist() == [0, 1, 2, 3]
    for box, label in zip(after.boxes.tolist(), after.labels.tolist(), strict=True):
        assert box == pytest.approx(bounds(after.label_map.numpy() == label + 1), abs=1e-3)


@installed
def test_the_canvas_around_a_moved_image_is_padding_and_ignored():
    after = apply({"name": "Affine", "translate_px": {"x": [20, 20], "y": [0, 0]}, "p": 1})
    assert after.label_map is not None
    assert (after.label_map[:, :20] == IGNORED).all()
    assert not (after.label_map[:, 20:] == IGNORED).any()
    np.testing.assert_array_equal(after.image.permute(1, 2, 0).numpy(), painted(after.label_map.numpy()))


@installed
def test_crops_keep_the_size_and_drop_objects_of_which_too_little_is_left():
    after = apply({"name": "Crop", "x_min": 0, "y_min": 0, "x_max": 40, "y_max": 24, "p": 1}, min_visible=0.9)
    assert after.size == (48, 64)
    (_, boxes, labels, _) = pieces(0)
    clipped = boxes.clamp(max=torch.tensor([40.0, 24, 40, 24]))
    shares = (clipped[:, 2:] - clipped[:, :2]).prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1)
    assert after.labels.tolist() == labels[shares >= 0.9].tolist()
    expected = clipped[shares >= 0.9] * torch.tensor([64 / 40, 2, 64 / 40, 2])
    torch.testing.assert_close(after.boxes, expected, atol=1e-3, rtol=0)


@installed
def test_the_changes_of_an_image_depend_on_its_seed_alone():
    tables = (
        {"name": "Rotate", "p": 0.7},
        {"name": "GaussNoise", "p": 0.7},
        {"name": "CoarseDropout", "p": 0.5},
    )
    augmented = samples(masked_split(6), ImageConfig(size=(48, 64)), True, albumentations=tables)
    first = [augmented[Use(0, index)] for index in range(6)]
    np.random.seed(7)  # noqa: NPY002
    copied = pickle.loads(pickle.dumps(make_augment(config(albumentations=tables), FILL)))
    assert copied.named is not None
    for index in reversed(range(6)):
        assert same(augmented[Use(0, index)], first[index])
    assert any(not same(augmented[Use(1, index)], first[index]) for index in range(6))


@installed
@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"name": "CLAHEE"}, "[0]: unknown transform of albumentations 'CLAHEE'; did you mean 'CLAHE'?"),
        ({"name": "gaussianblur"}, "did you mean 'GaussianBlur'?"),
        ({"name": "BasicTransform"}, "unknown transform of albumentations 'BasicTransform'"),
        (
            {"name": "CLAHE", "cliplimit": 3},
            "unknown argument of CLAHE 'cliplimit'; did you mean 'clip_limit'?",
        ),
        ({"name": "CLAHE", "clip_limit": "much"}, "[0]: CLAHE: "),
        ({"p": 1.0}, '[0]: expected a table with a name, as in {name = "CLAHE", p = 0.3}'),
        ({"name": "FDA"}, "FDA needs fda_metadata, which images of a data set do not have"),
    ],
)
def test_a_wrong_transform_is_one_line(table, text):
    with pytest.raises(InputError) as error:
        make_augment(config(albumentations=(table,)))
    assert text in str(error.value)
    assert str(error.value).startswith("augment.albumentations[0]: ")
    assert "\n" not in str(error.value)


@installed
@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"name": "ToFloat", "p": 1}, "float32 of shape"),
        ({"name": "RandomCrop", "height": 500, "width": 500, "p": 1}, "RandomCrop: "),
    ],
)
def test_a_transform_that_does_not_suit_the_image_is_one_line(table, text):
    with pytest.raises(InputError, match=text) as error:
        apply(table)
    assert "\n" not in str(error.value)


@installed
def test_transforms_are_read_from_toml(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[augment]\nalbumentations = [{name = "CLAHE", p = 0.3, clip_limit = [1, 3]}]\n')
    settings = resolve("ssd", file=file)
    assert make_augment(settings.augment).named is not None
    again = tmp_path / "again.toml"
    again.write_text(settings.toml())
    assert resolve("ssd", file=again).augment == settings.augment
    by_option = resolve("ssd", sets=['augment.albumentations=[{name="CLAHE",p=0.3,clip_limit=[1,3]}]'])
    assert by_option.augment == settings.augment
    assert toml.read(again)["augment"]["albumentations"][0]["name"] == "CLAHE"


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(named_transforms, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'detbench\[albumentations\]'"):
        make_augment(config(albumentations=({"name": "CLAHE"},)))
