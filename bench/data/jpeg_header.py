"""The header of a JPEG file: the size of its pixels, if nothing in the file changes how they are shown."""

from __future__ import annotations

_START = b"\xff\xd8"
_FRAMES = (0xC0, 0xC1, 0xC2)
"""Markers of the sizes of baseline, extended and progressive images."""
_SCAN = 0xDA
_EXIF_OR_XMP = 0xE1
_SEVERAL_IMAGES = (0xE2, b"MPF\0")
_LENGTHS = range(0xC0, 0xFF)
"""Markers that a length follows, except those of restarts, start and end."""


def plain_size(content: bytes) -> tuple[int, int] | None:
    """(height, width) of a colour JPEG with 8 bits per channel.

    Args:
        content: of the file, from its start.

    Returns:
        None for other files, for damaged headers, and for files with EXIF or XMP data, which can rotate the image, or with several
        images: Pillow reads those.
    """
    if content[:2] != _START:
        return None
    size, place = None, 2
    while place + 4 <= len(content):
        marker = content[place + 1]
        if content[place] != 0xFF or marker not in _LENGTHS or 0xD0 <= marker <= 0xD9:
            return None
        if marker == _SCAN:
            return size
        if marker == _EXIF_OR_XMP or (marker, content[place + 4 : place + 8]) == _SEVERAL_IMAGES:
            return None
        if marker in _FRAMES:
            frame = content[place + 4 : place + 10]
            if size or len(frame) < 6 or (frame[0], frame[5]) != (8, 3):
                return None
            size = frame[1] << 8 | frame[2], frame[3] << 8 | frame[4]
            if not all(size):
                return None
        place += 2 + (content[place + 2] << 8 | content[place + 3])
    return None
