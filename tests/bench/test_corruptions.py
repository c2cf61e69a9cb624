"""Corruptions of images: a contract for all of them, closed forms of single ones, and robustness of finished runs."""

from __future__ import annotations

import colorsys
import io
import json
import pickle

import numpy as np
import pytest
from PIL import Image
from tiny_runs import tiny_config

from bench.cli import main
from bench.data.corruptions import blur, digital, noise, weather
from bench.data.corruptions.corrupted import CORRUPTIONS, SEVERITIES, corrupt, corrupted_split
from bench.datasets import open_dataset
from bench.runs.context import RunContext
from bench.runs.run import run
from reports.records.robustness import load_robustness

RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "glass_blur", "motion_blur", "snow", "frost", "fog", "elastic_transform")  # fmt: skip
"""Corruptions that differ from image to image."""


def picture(height: int = 48, width: int = 60) -> np.ndarray:
    """Smooth colours with an edge and fine stripes."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([40 + 2 * x, 200 - 2 * y, 90 + 60 * (x > width // 2)], -1).astype(np.uint8)
    image[::4, : width // 3] = 30
    return image


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_contract_of_every_corruption(name):
    image = picture()
    before = image.copy()
    made = [corrupt(image, name, severity, "a") for severity in SEVERITIES]
    assert np.array_equal(image, before)
    for severity, one in zip(SEVERITIES, made, strict=True):
        assert (one.shape, one.dtype) == (image.shape, np.uint8)
        assert np.array_equal(one, corrupt(image, name, severity, "a"))
    other = corrupt(image, name, 5, "b")
    assert np.array_equal(other, made[-1]) == (name not in RANDOM)
    change = [np.abs(one.astype(int) - image).mean() for one in made]
    assert change[0] > 0
    if name != "elastic_transform":  # its second severity is the strongest
        assert change[-1] > change[0]
    assert corrupt(picture(9, 21), name, 3, 7).shape == (9, 21, 3)


def test_there_are_the_fifteen_of_the_paper():
    assert len(CORRUPTIONS) == 15


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.08), (3, 0.18), (5, 0.38)])
def test_gaussian_noise_has_the_deviation_of_the_paper(severity, deviation):
    made = noise.gaussian_noise(np.full((100, 100, 3), 0.5), severity, rng())
    assert made.mean() == pytest.approx(0.5, abs=0.01)
    assert made.std() == pytest.approx(deviation, rel=0.02)


def test_shot_noise_has_the_variance_of_photons():
    made = noise.shot_noise(np.full((100, 100, 3), 0.4), 2, rng())
    assert made.mean() == pytest.approx(0.4, abs=0.005)
    assert made.var() == pytest.approx(0.4 / 25, rel=0.05)


def test_impulse_noise_hits_its_share():
    made = noise.impulse_noise(np.full((100, 100, 3), 0.4), 4, rng())
    assert (made != 0.4).mean() == pytest.approx(0.17, abs=0.01)
    assert set(np.unique(made)) == {0.0, 0.4, 1.0}


@pytest.mark.parametrize(
    "name", ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "elastic_transform", "contrast"]
)
def test_a_plain_image_stays_as_it_is(name):
    plain = np.full((30, 40, 3), 0.3)
    assert np.allclose(CORRUPTIONS[name](plain, 4, rng()), 0.3)


def test_defocus_spreads_a_point_over_a_disk():
    image = np.zeros((41, 41, 3))
    image[20, 20] = 1
    made = blur.defocus_blur(image, 3, rng())[..., 0]
    y, x = np.mgrid[-20:21, -20:21]
    assert made.sum() == pytest.approx(1)
    assert made[x**2 + y**2 <= 25].min() > 0.8 * made.max()  # radius 6 with a soft edge
    assert abs(made[x**2 + y**2 > 72]).max() < 1e-6


def test_motion_blur_spreads_a_point_over_a_line():
    image = np.zeros((61, 61))
    image[30, 40] = 1
    made = blur.along_line(image, 10, 3.0, 0.0)
    weights = np.exp(-(np.arange(21) ** 2) / 18)
    assert made[30, 40:19:-1] == pytest.approx(weights / weights.sum())
    assert np.delete(made, 30, axis=0).sum() == 0


def test_zoom_keeps_the_centre():
    image = np.zeros((41, 41))
    image[20, 20] = 1
    assert blur.zoomed(image, 2.0)[20, 20] == pytest.approx(1)
    y, x = np.mgrid[-20:21, -20:21].astype(float)
    assert np.allclose(blur.zoomed(x + 2 * y, 2.0)[5:-5, 5:-5], ((x + 2 * y) / 2)[5:-5, 5:-5])


def test_brightness_is_that_of_the_colour_space_hsv():
    image = np.random.default_rng(1).random((4, 5, 3))
    image[0, 0] = 0
    made = weather.brightness(image, 2, rng())
    for place in np.ndindex(4, 5):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[place])
        assert made[place] == pytest.approx(colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.2)))


def test_contrast_is_measured_from_the_mean_colour():
    image = np.random.default_rng(1).random((6, 7, 3))
    made = digital.contrast(image, 4, rng())
    assert made.mean(axis=(0, 1)) == pytest.approx(image.mean(axis=(0, 1)))
    assert made.std(axis=(0, 1)) == pytest.approx(0.1 * image.std(axis=(0, 1)))


def test_pixels_are_blocks_of_means():
    image = picture(40, 40)
    made = corrupt(image, "pixelate", 5, "a")  # a quarter of the size
    blocks = image.reshape(10, 4, 10, 4, 3).mean((1, 3))
    assert np.abs(made[::4, ::4].astype(float) - blocks).max() <= 1  # rounded once for each axis
    assert np.array_equal(made, made[::4, ::4].repeat(4, 0).repeat(4, 1))


def test_jpeg_compression_is_that_of_pillow():
    buffer = io.BytesIO()
    Image.fromarray(picture()).save(buffer, "JPEG", quality=10)
    assert np.array_equal(corrupt(picture(), "jpeg_compression", 4, "a"), np.asarray(Image.open(buffer)))


def test_fog_lowers_contrast_and_keeps_the_largest_value():
    image = picture().astype(float) / 255
    made = weather.fog(image, 3, rng())
    assert made.max() <= image.max() + 1e-9
    clouds = weather.plasma(100, 2.0, rng())
    assert clouds.shape == (128, 128)
    assert (clouds.min(), clouds.max()) == (0, 1)


@pytest.mark.parametrize("decay", [1.4, 2.0])
def test_noise_of_clouds_decreases_by_the_square_of_the_factor_at_half_the_distance(decay):
    """As in the program of Hendrycks and Dietterich, whose amplitude is multiplied by itself."""
    clouds = weather.plasma(512, decay, rng())

    def noise(step):
        corners = clouds[::step, ::step]
        total = corners + np.roll(corners, -1, 0)
        total = total + np.roll(total, -1, 1)
        return (clouds[step // 2 :: step, step // 2 :: step] - total / 4).std()

    assert noise(8) / noise(4) == pytest.approx(decay**2, rel=0.1)
    assert noise(4) / noise(2) == pytest.approx(decay**2, rel=0.1)


def test_a_corrupted_split_has_the_truth_and_corrupted_images():
    split = open_dataset("shapes", train=4, val=2, test=3, size=(32, 32), scale=(8, 24)).splits["test"]
    made = corrupted_split(split, "snow", 2)
    assert made.truth is split.truth
    assert made.fingerprint != split.fingerprint
    loaded = pickle.loads(pickle.dumps(made.load))(1)
    assert np.array_equal(loaded, corrupt(split.load(1), "snow", 2, split.truth.catalog.image_ids[1]))


def test_robustness_of_a_run_is_measured_cell_by_cell(tmp_path, monkeypatch, capsys):
    finished = run(tiny_config(train__epochs=1), tmp_path, context=RunContext(page=False))
    # Without a change of the pixels, the value is that of the run.
    monkeypatch.setitem(CORRUPTIONS, "fog", lambda image, severity, random: image)
    words = ["robustness", str(finished.path), "--quiet", "--workers", "0", "--device", "cpu", "--json"]
    assert main([*words, "--corruptions", "fog", "--severities", "2"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    clean = finished.result.headline["ap"]
    assert row["clean_ap"] == pytest.approx(clean)
    assert row["mpc"] == pytest.approx(clean)
    record = load_robustness(finished.path)
    assert record.cells[0].replicates == record.clean.replicates
    # What is measured is not measured again.
    monkeypatch.setitem(CORRUPTIONS, "fog", lambda image, severity, random: 0 * image)
    assert main([*words, "--corruptions", "fog", "contrast", "--severities", "2"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert [(cell["corruption"], cell["severity"]) for cell in row["cells"]] == [("fog", 2), ("contrast", 2)]
    assert row["cells"][0]["ap"] == pytest.approx(clean)
    assert main([*words, "--corruptions", "fogg"]) == 2
    assert "--corruptions: no corruption 'fogg'; did you mean 'fog'?" in capsys.readouterr().err
