"""JPEG files have the pixels, and the faults, that they have when Pillow alone reads them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bench.data import jpeg
from bench.data.images import read_image
from bench.data.jpeg_header import plain_size
from metrics.errors import InputError

Read = Callable[[Path], NDArray[np.uint8]]


def scene(height: int = 33, width: int = 50) -> Image.Image:
    """Smooth areas, noise and an edge; sides that are no multiples of a block."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 60, (height, width))
    pixels = np.stack([rows * 4, 255 - columns * 3, noise + 120 * (columns > width // 2)], 2)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def content_of(image: Image.Image, file_format: str = "JPEG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _exif_after_frame() -> bytes:
    """A file whose EXIF data follow the size of its pixels, right before the scan."""
    content = content_of(scene(), exif=orientation(6))
    start = content.index(b"\xff\xe1")
    end = start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    rest = content[:start] + content[end:]
    scan = rest.index(b"\xff\xda")
    return rest[:scan] + content[start:end] + rest[scan:]


KINDS = {
    "plain": content_of(scene()),
    "whole resolution of colours": content_of(scene(), quality=95, subsampling=0),
    "half of the resolution": content_of(scene(), subsampling=1),
    "progressive": content_of(scene(), progressive=True),
    "restart markers": content_of(scene(), restart_marker_blocks=2),
    "RGB, not YCbCr": content_of(scene(), keep_rgb=True),
    "colour profile": content_of(scene(), icc_profile=b"not a profile" * 50),
    "comment": content_of(scene(), comment=b"hello"),
    "grey": content_of(scene().convert("L")),
    "CMYK": content_of(scene().convert("CMYK")),
    "one pixel": content_of(scene().crop((0, 0, 1, 1))),
    "metadata that rotate": content_of(
        scene(), xmp=b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"></x:xmpmeta>'
    ),
    "metadata after the frame": _exif_after_frame(),
    "two images": content_of(scene(), save_all=True, append_images=[scene()], file_format="MPO"),
    "bytes after the end": content_of(scene()) + b"more",
    "bytes before the end": content_of(scene())[:-2] + b"more\xff\xd9",
    **{f"orientation {k}": content_of(scene(), exif=orientation(k)) for k in range(10)},
}


@pytest.fixture(params=["with torchvision", "with Pillow alone"])
def read(request, monkeypatch) -> Read:
    if request.param == "with Pillow alone":
        monkeypatch.setattr(jpeg, "_decoder", lambda: None)
    return read_image


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_pillows(tmp_path, kind, read):
    path = tmp_path / "a.jpg"
    path.write_bytes(KINDS[kind])
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        stored = np.asarray(image.convert("RGB"))
    pixels = read(path)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    np.testing.assert_array_equal(read(path, upright=False), stored)


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_colour_is_decoded_by_torchvision_and_all_else_by_pillow(tmp_path):
    decoded = set()
    for kind, content in KINDS.items():
        path = tmp_path / "a.jpg"
        path.write_bytes(content)
        with Image.open(path) as image:
            if jpeg.decode_jpeg(path, image) is not None:
                decoded.add(kind)
    assert set(KINDS) - decoded == {"grey", "CMYK", "two images"}


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
def test_files_that_only_need_decoding_are_not_opened_by_pillow(tmp_path):
    alone = set()
    for kind, content in KINDS.items():
        path = tmp_path / "a.jpg"
        path.write_bytes(content)
        with Image.open(path) as image:
            size = image.size
        assert plain_size(content) in (None, size[::-1])
        if jpeg.read_plain_jpeg(path) is not None:
            alone.add(kind)
    others = {"grey", "CMYK", "metadata that rotate", "metadata after the frame", "two images"}
    assert set(KINDS) - alone == others | {kind for kind in KINDS if kind.startswith("orientation")}


@given(st.sampled_from(["plain", "progressive", "comment", "colour profile"]), st.data())
def test_a_damaged_header_has_the_size_that_pillow_reads_or_none(kind, data):
    content = bytearray(KINDS[kind])
    place = data.draw(st.integers(2, content.index(b"\xff\xda") + 4))
    content[place] = data.draw(st.sampled_from([0, 1, 3, 8, 17, 0xC0, 0xC4, 0xDA, 0xE1, 0xFF]))
    del content[data.draw(st.integers(place, len(content))) :]
    found = plain_size(bytes(content))
    try:
        with Image.open(io.BytesIO(content)) as image:
            expected = image.size[::-1]
    except Exception:  # Pillow raises nearly anything on a broken file
        return
    assert found in (None, expected)


@pytest.mark.parametrize("kind", ["plain", "progressive"])
def test_fault_27_truncated_files_are_refused_as_by_pillow(tmp_path, kind, monkeypatch):
    content = KINDS[kind]
    path = tmp_path / "a.jpg"
    ends = [*range(100, len(content), 97), len(content) - 2, len(content) - 1]

    def outcomes() -> list[str]:
        told = []
        for end in ends:
            path.write_bytes(content[:end])
            with pytest.raises(InputError, match=r"a\.jpg: .*(truncated or corrupt|not an image)") as error:
                read_image(path)
            told.append(str(error.value))
        return told

    by_torchvision = outcomes()
    monkeypatch.setattr(jpeg, "_decoder", lambda: None)
    assert by_torchvision == outcomes()


def test_damaged_files_have_the_pixels_or_the_error_that_pillow_gives(tmp_path, monkeypatch, capfd):
    random = np.random.default_rng(0)
    path = tmp_path / "a.jpg"

    def outcome() -> bytes | str:
        try:
            return read_image(path).tobytes()
        except InputError as error:
            return str(error)

    found = []
    for _ in range(60):
        content = bytearray(KINDS["plain"])
        content[int(random.integers(2, len(content)))] = int(random.integers(256))
        path.write_bytes(content)
        by_torchvision = outcome()
        with monkeypatch.context() as patch:
            patch.setattr(jpeg, "_decoder", lambda: None)
            assert outcome() == by_torchvision
        found.append(type(by_torchvision))
    capfd.readouterr()  # the decoder's messages on damaged data
    assert set(found) == {bytes, str}


def test_fault_28_the_limit_of_pixels_is_that_of_other_files(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(KINDS["plain"])
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 33 * 50 // 2 - 1)
    with pytest.raises(InputError, match=r"a\.jpg: more than 1,648 pixels"):
        read_image(path)


def test_real_photographs_have_pillows_pixels(shared_data, monkeypatch):
    files = sorted(shared_data.rglob("*.jpg"))[::25]
    assert files
    decoded = [read_image(file) for file in files]
    monkeypatch.setattr(jpeg, "_decoder", lambda: None)
    for file, pixels in zip(files, decoded, strict=True):
        np.testing.assert_array_equal(pixels, read_image(file), err_msg=str(file))
