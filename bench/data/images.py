"""Image files as 8-bit RGB, by one rule for all formats.

The content decides, not the suffix. The first frame of an animation is used; EXIF rotation is applied; transparency is
composited over white; grey is repeated in all channels; the upper eight of 16 bits are kept; CMYK and other colour spaces
are converted by Pillow without a colour profile. 32-bit and floating-point images are refused, because their white level is
not defined.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.data.jpeg import decode_jpeg, read_plain_jpeg
from bench.data.library_warnings import ignored_warnings
from metrics.errors import InputError
from metrics.messages import reason
from metrics.plurals import plural

_ORIENTATION = 0x0112
_ORIENTATIONS = range(1, 9)
_SWAPS_SIDES = (5, 6, 7, 8)

_OTHER_CONTENTS = (
    (b"version https://git-lfs", "a Git LFS pointer; run 'git lfs pull'"),
    (b"<svg", "an SVG drawing; convert it to PNG"),
    (b"<!doctype html", "a web page; download the image again"),
    (b"<html", "a web page; download the image again"),
    (b"<?xml", "XML; replace it by the image"),
    (b"%pdf", "a PDF; convert its pages to PNG"),
    (b"pk\x03\x04", "a zip archive; unpack it"),
    (b"\x1f\x8b", "gzip; unpack it"),
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Size and orientation of an image.

    Attributes:
        stored: (height, width) of the stored pixels; of a TIFF, after rotation.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
    """

    stored: tuple[int, int]
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) after EXIF rotation."""
        height, width = self.stored
        return (width, height) if self.orientation in _SWAPS_SIDES else (height, width)


def read_header(path: Path) -> ImageHeader:
    """Read size and orientation of an image; its pixels are neither read nor checked.

    Raises:
        InputError: the file is missing, empty, not an image, or above Pillow's limit of pixels.
    """
    with _opened(path) as image:
        return ImageHeader((image.height, image.width), _orientation(image))


def read_class_image(path: Path, colors: bool = False) -> NDArray[np.uint8]:
    """An image whose pixels stand for classes, without the changes that are made for looking at it, such as EXIF rotation.

    Args:
        path: the file.
        colors: the colours of a palette, instead of its numbers.

    Returns:
        (H, W) uint8 numbers of a palette or grey values, or (H, W, 3) uint8 RGB.

    Raises:
        InputError: as `read_header`; or the file is truncated, or has other pixels.
    """
    with _opened(path) as image:
        image.load()
        if image.mode not in {"1", "P", "L", "RGB", "RGBA"}:
            raise InputError(
                f"{path}: pixels of mode {image.mode}; expected a palette, grey values or RGB for the classes of an image"
            )
        keep = image.mode in {"1", "L"} or (image.mode == "P" and not colors)
        pixels: NDArray[np.uint8] = np.array(image if keep else image.convert("RGB"), np.uint8)
        return pixels


def rotate_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (H, W, ...) of an image as its EXIF orientation, 1 to 8, says."""
    if orientation in _SWAPS_SIDES:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


@dataclass(frozen=True, slots=True, eq=False)
class ImageContent:
    """What an image file holds.

    Attributes:
        format: Pillow's name of the format: ``JPEG``.
        mode: Pillow's name of the colour mode: ``RGB``, ``L``, ``CMYK``.
        orientation: EXIF orientation, 1 to 8.
        grey: the stored pixels as an image of mode L; of a JPEG at reduced size.
    """

    format: str
    mode: str
    orientation: int
    grey: Image.Image


def read_content(path: Path, side: int) -> ImageContent:
    """Decode an image as fast as its format allows.

    Args:
        path: the file.
        side: smallest side to which a JPEG may be reduced while it is decoded. All of the file is read, so that it is found
            to be truncated as by `read_image`.

    Raises:
        InputError: as `read_image`.
    """
    with _opened(path) as image:
        kind, mode, orientation = image.format or "", image.mode, _orientation(image)
        image.draft("L", (side, side))
        image.load()
        return ImageContent(kind, mode, orientation, to_rgb(path, image).convert("L"))


def read_image(path: Path, upright: bool = True) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB by the rule above.

    Args:
        path: the file.
        upright: apply EXIF rotation; False for annotations that were made without it. A TIFF is always upright.

    Raises:
        InputError: as `read_header`; or the file is truncated or corrupt, or has 32-bit or floating-point pixels.
    """
    with ignored_warnings():
        pixels = read_plain_jpeg(path)
    if pixels is not None:
        return pixels
    with _opened(path) as image:
        orientation = _orientation(image) if upright else 1
        pixels = decode_jpeg(path, image)
        if pixels is None:
            image.load()
            pixels = np.array(to_rgb(path, image))
        return np.ascontiguousarray(rotate_upright(pixels, orientation))


def read_reduced_image(path: Path, factor: int, upright: bool = True) -> NDArray[np.uint8]:
    """An image at a fraction of its size, each pixel of which stands for a square of the image's.

    A JPEG is decoded at that size, from the low frequencies of its blocks (libjpeg's scaling), which is faster than decoding
    all of it. Pixels of other files are means over the squares; so are those of a JPEG whose EXIF rotation would put incomplete
    squares at the left or the top.

    Args:
        path: the file.
        factor: side of the squares in pixels: 2, 4 or 8; at most the shorter side of the image.
        upright: see `read_image`.

    Returns:
        (ceil(H / factor), ceil(W / factor), 3) uint8 RGB by the rule above. Squares at the right and the bottom can be
        incomplete.

    Raises:
        InputError: as `read_image`.
    """
    with _opened(path) as image:
        orientation = _orientation(image) if upright else 1
        size = image.size
        if orientation == 1 or not any(side % factor for side in size):
            # Pillow takes the largest of libjpeg's factors by which no side falls below the given one.
            image.draft(None, (size[0] // factor, size[1] // factor))
        image.load()
        pixels = rotate_upright(np.array(to_rgb(path, image)), orientation)
        if image.size == size:
            pixels = np.array(Image.fromarray(pixels).reduce(factor))
        return np.ascontiguousarray(pixels)


def to_rgb(path: Path | str, image: Image.Image) -> Image.Image:
    """An image in mode RGB by the rule above, without rotation.

    Args:
        path: the file, or what else messages name.
        image: with its pixels loaded.

    Raises:
        InputError: its pixels are 32-bit or floating-point numbers.
    """
    mode = image.mode
    if mode == "RGB":
        return image
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if mode in {"I", "F"}:
        raise InputError(
            f"{path}: pixels are {'32-bit integers' if mode == 'I' else 'floating-point numbers'}, "
            f"whose white level is not defined; convert the image to 8 or 16 bits"
        )
    if mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(page, layer).convert("RGB")
    return image.convert("RGB")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with ignored_warnings(), Image.open(path) as image:
            yield image
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such image file") from None
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path}: more than {plural(2 * (Image.MAX_IMAGE_PIXELS or 0), 'pixel')}, the limit that keeps memory from being exhausted "
            f"({str(error).rstrip('.')}); make it smaller, or cut it into tiles"
        ) from None
    except Exception as error:  # Pillow's readers raise nearly anything on a broken file
        raise InputError(f"{path}: {_explain_failure(path, error)}") from error


def _orientation(image: Image.Image) -> int:
    # A PNG may have EXIF after its pixels, which Pillow would have to decode; only the usual place is read.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    if image.format == "TIFF":  # Pillow rotates size and pixels itself
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # corrupt EXIF data
        return 1
    return value if value in _ORIENTATIONS else 1


def _explain_failure(path: Path, error: Exception) -> str:
    """Why a file cannot be read as an image, judging by its content, and how to fix it."""
    if isinstance(error, PermissionError):
        return "permission denied; change the file's permissions"
    if path.is_dir():
        return "a folder, not an image"
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as unreadable:
        return f"cannot be read ({unreadable.strerror or reason(unreadable)})"
    if not head:
        return "the file is empty (0 bytes); download it again, or remove it"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for signature, content in _OTHER_CONTENTS:
        if start.startswith(signature):
            return f"not an image but {content}"
    if isinstance(error, UnidentifiedImageError):
        return "not an image format that Pillow supports; convert it to PNG or JPEG"
    return f"the image is truncated or corrupt ({reason(error)}); download it again, or remove it"
