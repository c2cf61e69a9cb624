"""Every kind of image file becomes RGB by one rule, or is refused with its name."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bench.data.images import read_header, read_image
from metrics.errors import InputError

GRADIENT = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def with_orientation(path: Path, orientation: int) -> Path:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(path, Image.fromarray(GRADIENT), exif=exif)


def test_rgb_is_unchanged(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(GRADIENT))
    np.testing.assert_array_equal(read_image(path), GRADIENT)
    assert read_header(path).upright == (6, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_fault_29_exif_rotation_is_applied(tmp_path, orientation, suffix):
    path = tmp_path / f"a{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GRADIENT).save(path, exif=exif, **({"lossless": True} if suffix == ".webp" else {}))
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)
    header = read_header(path)
    assert header.upright == expected.shape[:2]
    if suffix == ".tif":  # Pillow turns it while reading
        return
    assert header.stored == (6, 8)
    np.testing.assert_array_equal(read_image(path, upright=False), GRADIENT)


def test_an_invalid_orientation_is_ignored(tmp_path):
    np.testing.assert_array_equal(read_image(with_orientation(tmp_path / "a.png", 77)), GRADIENT)


def test_corrupt_exif_is_ignored(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(GRADIENT).save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")
    assert read_image(path).shape == (6, 8, 3)
    assert read_header(path).orientation == 1


def test_fault_29_grey_is_repeated(tmp_path):
    grey = GRADIENT[:, :, 0]
    image = read_image(save(tmp_path / "a.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(image, np.repeat(grey[:, :, None], 3, axis=2))


def test_fault_29_one_bit_is_black_and_white(tmp_path):
    bits = np.indices((6, 8)).sum(0) % 2 == 0
    image = read_image(save(tmp_path / "a.png", Image.fromarray(bits)))
    np.testing.assert_array_equal(image[:, :, 1], bits * 255)


def test_fault_29_the_upper_eight_of_sixteen_bits_are_kept(tmp_path):
    values = np.array([[0, 255, 256, 511], [32768, 65279, 65280, 65535]], dtype=np.uint16)
    for name in ("a.png", "a.tif"):
        image = read_image(save(tmp_path / name, Image.fromarray(values)))
        np.testing.assert_array_equal(image[:, :, 0], [[0, 0, 1, 1], [128, 254, 255, 255]])


def test_fault_29_transparency_becomes_white(tmp_path):
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 0] = 255
    rgba[0, :, 3] = [0, 255, 51]  # none, all, and a fifth of red
    image = read_image(save(tmp_path / "a.png", Image.fromarray(rgba)))
    np.testing.assert_array_equal(image[0], [[255, 255, 255], [255, 0, 0], [255, 204, 204]])
    grey = np.array([[[10, 0], [10, 255]]], dtype=np.uint8)
    image = read_image(save(tmp_path / "b.png", Image.fromarray(grey)))
    np.testing.assert_array_equal(image[0, :, 0], [255, 10])


def test_fault_29_a_palette_becomes_its_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8), mode="P")
    image.putpalette([255, 0, 0, 0, 255, 0, 7, 8, 9])
    path = save(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(path)[0], [[255, 0, 0], [0, 255, 0], [7, 8, 9]])
    path = save(tmp_path / "b.png", image, transparency=1)
    np.testing.assert_array_equal(read_image(path)[0], [[255, 0, 0], [255, 255, 255], [7, 8, 9]])


def test_fault_29_cmyk_becomes_rgb(tmp_path):
    inks = np.zeros((16, 32, 4), dtype=np.uint8)
    inks[:, 16:, 1] = inks[:, 16:, 2] = 255  # magenta and yellow make red
    path = save(tmp_path / "a.jpg", Image.fromarray(inks, mode="CMYK"), quality=100)
    image = read_image(path).astype(int)
    assert abs(image[8, 4] - [255, 255, 255]).max() <= 3  # JPEG loses a little
    assert abs(image[8, 28] - [255, 0, 0]).max() <= 3


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".tif", ".png"])
def test_fault_29_the_first_frame_of_an_animation_is_read(tmp_path, suffix):
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", frames[0], save_all=True, append_images=frames[1:], **options)
    image = read_image(path)
    assert image.shape == (6, 8, 3)
    assert (image == [255, 0, 0]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1)])
def test_fault_29_thin_images_are_read(tmp_path, size):
    image = read_image(save(tmp_path / "a.png", Image.new("RGB", size)))
    assert image.shape == (size[1], size[0], 3)


@pytest.mark.parametrize(("mode", "word"), [("F", "floating-point numbers"), ("I", "32-bit integers")])
def test_fault_29_pixels_without_a_defined_white_are_refused(tmp_path, mode, word):
    path = save(tmp_path / "a.tif", Image.new(mode, (4, 4)))
    with pytest.raises(InputError, match=rf"a\.tif: pixels are {word}.*convert the image to 8 or 16 bits"):
        read_image(path)


def test_fault_27_the_content_decides_not_the_suffix(tmp_path):
    path = tmp_path / "a.jpg"
    Image.fromarray(GRADIENT).save(path, format="PNG")
    np.testing.assert_array_equal(read_image(path), GRADIENT)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", r"the file is empty \(0 bytes\)"),
        (b"<!DOCTYPE html><html>404</html>", "not an image but a web page; download the image again"),
        (b"\xef\xbb\xbf\n  <HTML>", "not an image but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer; run 'git lfs pull'"),
        (b"PK\x03\x04aaaa", "a zip archive; unpack it"),
        (b"<svg xmlns=''/>", "an SVG drawing; convert it to PNG"),
        (b"%PDF-1.7", "a PDF"),
        (b"hello", "not an image format that Pillow supports; convert it to PNG or JPEG"),
    ],
)
def test_fault_27_other_content_is_named_with_a_fix(tmp_path, content, complaint):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for read in (read_image, read_header):
        with pytest.raises(InputError, match=rf"a\.jpg: .*{complaint}"):
            read(path)


def test_fault_27_a_missing_image_and_a_folder_are_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.jpg: no such image file"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").mkdir()
    with pytest.raises(InputError, match=r"b\.jpg: a folder, not an image"):
        read_image(tmp_path / "b.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".gif", ".bmp"])
@pytest.mark.parametrize("share", [0.3, 0.8])
def test_fault_27_a_truncated_image_is_refused(tmp_path, suffix, share):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / f"a{suffix}", Image.fromarray(noise))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=rf"a\{suffix}: .*(truncated or corrupt|not an image)"):
        read_image(path)


def test_fault_27_a_damaged_png_is_refused(tmp_path):
    path = save(tmp_path / "a.png", Image.fromarray(GRADIENT))
    content = bytearray(path.read_bytes())
    content[45] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match=r"a\.png: the image is truncated or corrupt"):
        read_image(path)


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_an_aerial_image_is_not_taken_for_a_decompression_bomb(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_that_claims(10_000, 10_000))
    assert read_header(path).stored == (10_000, 10_000)


@pytest.mark.parametrize("side", [14_000, 50_000])
def test_fault_28_a_decompression_bomb_is_refused_by_its_header(tmp_path, side):
    path = tmp_path / "a.png"
    path.write_bytes(png_that_claims(side, side))
    message = rf"a\.png: more than 178,956,970 pixels.*\({side * side} pixels\).*make it smaller, or cut it into tiles"
    for read in (read_image, read_header):
        with pytest.raises(InputError, match=message):
            read(path)
