"""The perceptual hash: transformations that it withstands, images that it tells apart, and the search against brute force."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from checked_data import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bench.process.progress import Progress
from bench.survey import duplicate_images
from bench.survey.duplicate_images import find_twins
from bench.survey.perceptual_hash import BITS, MAX_DISTANCE, ORIENTATIONS, hash_image

DATA = Path(__file__).parents[2] / "../shared/data"

TRANSPOSES = {
    "same": None,
    "mirrored": Image.Transpose.FLIP_LEFT_RIGHT,
    "upside down and mirrored": Image.Transpose.FLIP_TOP_BOTTOM,
    "turned by 180 degrees": Image.Transpose.ROTATE_180,
    "transposed": Image.Transpose.TRANSPOSE,
    "turned by 90 degrees": Image.Transpose.ROTATE_270,
    "turned by 270 degrees": Image.Transpose.ROTATE_90,
    "transposed and turned by 180 degrees": Image.Transpose.TRANSVERSE,
}


def codes(image: Image.Image) -> np.ndarray:
    found = hash_image(image.convert("L"))
    assert found is not None
    return found.codes


def distance(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.bitwise_count(one ^ other).sum())


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue()))


def changed(image: Image.Image) -> dict[str, Image.Image]:
    width, height = image.size
    small = image.resize((width // 3, height // 3), Image.Resampling.BICUBIC)
    return {
        "jpeg": jpeg(image, 30),
        "half": image.resize((width // 2, height // 2), Image.Resampling.BILINEAR),
        "small jpeg": jpeg(small, 50),
        "square": image.resize((416, 416), Image.Resampling.BILINEAR),
        "brighter": Image.eval(image, lambda value: min(255, int(value * 1.2 + 10))),
    }


def test_bits_are_signs_of_the_cosine_transform_of_scipy():
    image = Image.fromarray(noise(3)).convert("L")
    pixels = np.asarray(image.resize((64, 64), Image.Resampling.BOX), np.float64)
    coefficients = scipy.fft.dctn(pixels, norm="ortho")[:16, :16].ravel()
    bits = coefficients > np.median(coefficients[1:])
    bits[0] = False
    np.testing.assert_array_equal(np.unpackbits(codes(image)[0].view(np.uint8)).astype(bool), bits)


@pytest.mark.parametrize("number", range(len(ORIENTATIONS)))
def test_hashes_of_turned_images_follow_from_one_transform(number):
    image = Image.fromarray(noise(4, (128, 128)))
    method = TRANSPOSES[ORIENTATIONS[number]]
    turned = image if method is None else image.transpose(method)
    assert distance(codes(image)[number], codes(turned)[0]) <= 2


@pytest.mark.parametrize("name", list(changed(Image.fromarray(noise(5)))))
def test_changes_of_the_file_leave_the_hash_near(name):
    image = Image.fromarray(noise(5, (240, 320)))
    assert distance(codes(image)[0], codes(changed(image)[name])[0]) <= MAX_DISTANCE / 2


def test_images_of_one_colour_have_no_hash():
    assert hash_image(Image.new("L", (50, 40), 77)) is None


@pytest.mark.skipif(not (DATA / "bccd").is_dir(), reason="../shared/data/bccd is absent")
def test_cells_are_told_apart_and_copies_of_them_found():
    # All images of BCCD show similar cells; the one pair that is alike shows the same cells in another focus.
    paths = sorted((DATA / "bccd").rglob("*.jpg"))
    images = [Image.open(path).convert("RGB") for path in paths]
    all_codes = np.stack([codes(image) for image in images])
    alike = set()
    nearest = BITS
    for number in range(len(ORIENTATIONS)):
        different = np.bitwise_count(all_codes[:, None, 0] ^ all_codes[None, :, number]).sum(
            2, dtype=np.int64
        )
        np.fill_diagonal(different, BITS)
        alike |= {
            tuple(sorted((paths[a].stem, paths[b].stem))) for a, b in np.argwhere(different <= MAX_DISTANCE)
        }
        nearest = min(nearest, int(different[different > MAX_DISTANCE].min()))
    assert alike == {("BloodImage_00037", "BloodImage_00038")}
    assert nearest >= 80
    worst = max(
        distance(codes(new)[0], code[0])
        for image, code in zip(images[::12], all_codes[::12], strict=True)
        for new in changed(image).values()
    )
    assert worst <= 30


@st.composite
def hashed(draw):
    count, splits = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    base = rng.integers(0, 2, (3, BITS))
    bits = base[rng.integers(0, 3, (count, 8))] ^ (rng.random((count, 8, BITS)) < 0.08)
    packed = np.packbits(bits.astype(bool), axis=2).view(np.uint64)
    return packed, rng.integers(0, splits, count), splits, rng.integers(0, max(count - 1, 1), count)


@settings(max_examples=40, deadline=None)
@given(hashed(), st.sampled_from([1, 7, 1 << 21]))
def test_the_nearest_image_of_each_split_is_that_of_brute_force(given_codes, block):
    all_codes, split, splits, content = given_codes
    before = duplicate_images._BLOCK
    duplicate_images._BLOCK = block
    try:
        twins = find_twins(all_codes, split, splits, content, Progress())
    finally:
        duplicate_images._BLOCK = before
    for i in range(len(all_codes)):
        for other_split in range(splits):
            best = min(
                (
                    distance(all_codes[i, 0], all_codes[j, number])
                    for j in range(len(all_codes))
                    for number in range(8)
                    if split[j] == other_split and content[i] != content[j]
                ),
                default=BITS,
            )
            if best > MAX_DISTANCE:
                assert twins.index[i, other_split] == -1
                continue
            j, number = twins.index[i, other_split], twins.orientation[i, other_split]
            assert twins.distance[i, other_split] == best == distance(all_codes[i, 0], all_codes[j, number])
            assert split[j] == other_split
            assert content[i] != content[j]
