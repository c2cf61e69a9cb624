"""How an image becomes the input of a network of a fixed size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Resize = Literal["letterbox", "corner", "stretch"]
"""How an image gets the size of a network's input: `letterbox` keeps the aspect ratio and pads on both sides, `corner` pads at
the right and bottom, `stretch` changes the aspect ratio."""


@dataclass(frozen=True, slots=True)
class NetworkInput:
    """How an image becomes the input of a network of a fixed size.

    Attributes:
        size: (height, width) in pixels.
        resize: see `Resize`.
        fill: grey value of the padding, 0 to 255.
        antialias: whether images are filtered when they are made smaller.
    """

    size: tuple[int, int]
    resize: Resize
    fill: int
    antialias: bool = True
