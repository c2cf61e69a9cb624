"""Image files become RGB by one rule, or are refused with the reason.

The rule: the file's content decides, not its suffix; of an animation, the first frame; EXIF rotation is applied; what
is transparent is laid over white; grey is repeated in all channels; of 16 bits, the upper eight are kept; CMYK and
other colour spaces are converted by Pillow without a colour profile. 32-bit and floating-point images are refused:
they have no agreed white.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from metrics.errors import InputError

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
)
"""What a file is called that is taken for an image where a folder is searched."""

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)

_NO_IMAGES = (
    (b"version https://git-lfs", "a Git LFS pointer; run 'git lfs pull'"),
    (b"<svg", "an SVG drawing; convert it to PNG"),
    (b"<!doctype html", "a web page; download the image again"),
    (b"<html", "a web page; download the image again"),
    (b"<?xml", "XML; give the image that belongs here"),
    (b"%pdf", "a PDF; convert its pages to PNG"),
    (b"pk\x03\x04", "a zip archive; unpack it"),
    (b"\x1f\x8b", "gzip; unpack it"),
)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says of its image before its pixels are read.

    Attributes:
        stored: (height, width) in pixels as they are stored; of a TIFF, as they stand upright.
        orientation: EXIF's number for how the image must be turned to stand upright, 1 .. 8; 1 is not at all.
    """

    stored: tuple[int, int]
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) after EXIF rotation."""
        height, width = self.stored
        return (width, height) if self.orientation in _SWAPS_SIDES else (height, width)


def read_header(path: Path) -> ImageHeader:
    """Size and orientation of an image; its pixels are neither read nor checked.

    Raises:
        InputError: no such file, an empty one, no image, or one above Pillow's limit of pixels.
    """
    with _opened(path) as image:
        return ImageHeader((image.height, image.width), _orientation(image))


def read_image(path: Path, upright: bool = True) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB by the rule above.

    Args:
        path: of the file.
        upright: apply EXIF rotation; False for annotations that were made without it. A TIFF stands upright in
            any case.

    Raises:
        InputError: as `read_header`; or the file is cut off or broken, or has 32-bit or floating-point pixels.
    """
    with _opened(path) as image:
        orientation = _orientation(image)
        image.load()
        rgb = _to_rgb(path, image)
        if upright and orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[orientation])
        pixels: NDArray[np.uint8] = np.array(rgb)
        return pixels


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            # Pillow warns at its limit of pixels and refuses at twice that; here the limit is the limit. What else
            # it warns of (odd EXIF, odd palettes) says nothing of the pixels.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                yield image
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such image file") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(f"{path}: {_bomb(error)}; make it smaller, or cut it into tiles") from None
    except Exception as error:  # Pillow's readers raise nearly anything on a broken file
        raise InputError(f"{path}: {_complaint(path, error)}") from error


def _orientation(image: Image.Image) -> int:
    # A PNG may say it after its pixels, which Pillow would then decode to know; only the usual place counts.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    if image.format == "TIFF":  # which Pillow turns by itself, size and pixels
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # a broken EXIF block says nothing
        return 1
    return value if value in _UPRIGHT else 1


def _to_rgb(path: Path, image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode == "RGB":
        return image
    if mode.startswith("I;16") or (mode == "I" and image.format == "PNG"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if mode in {"I", "F"}:
        raise InputError(
            f"{path}: pixels are {'32-bit integers' if mode == 'I' else 'floating-point numbers'}, "
            f"which have no agreed white; convert the image to 8 or 16 bits"
        )
    if mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        page = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(page, layer).convert("RGB")
    return image.convert("RGB")


def _bomb(error: Exception) -> str:
    numbers = [int(word.strip("()")) for word in str(error).split() if word.strip("()").isdigit()]
    size = f"{numbers[0]:,} pixels" if numbers else "more pixels"
    return (
        f"{size}, above the limit of {Image.MAX_IMAGE_PIXELS or 0:,} that keeps memory from being exhausted"
    )


def _complaint(path: Path, error: Exception) -> str:
    """Why a file cannot be read as an image, by what is in it, and the mend."""
    if isinstance(error, PermissionError):
        return "may not be read; change its permissions"
    if path.is_dir():
        return "a folder, not an image"
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as reason:
        return f"cannot be read ({reason.strerror or reason})"
    if not head:
        return "the file is empty (0 bytes); fetch it again, or leave it out"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, what in _NO_IMAGES:
        if start.startswith(mark):
            return f"not an image but {what}"
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a kind that Pillow knows; convert it to PNG or JPEG"
    if "truncated" in str(error) or isinstance(error, EOFError):
        return f"the image is cut off ({error}); fetch it again, or leave it out"
    return f"the image is broken ({error}); fetch it again, or leave it out"
