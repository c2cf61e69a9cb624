"""The pixels of a warped image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.kernels.compile_cache import kernel


class WarpSizes(NamedTuple):
    """Numbers of a warp.

    Attributes:
        width, height: of the image in pixels.
        step: side of the squares that the given pixels are the means of.
        fill: value of the canvas outside the image.
        ignored: value of the label map there.
    """

    width: int
    height: int
    step: int
    fill: int
    ignored: int


@kernel
def warp_pixels(
    pixels: NDArray[np.uint8],
    label_map: NDArray[np.uint8],
    inverse: NDArray[np.float64],
    sizes: WarpSizes,
    canvas: NDArray[np.uint8],
    new_map: NDArray[np.uint8],
) -> int:
    """Fill `canvas` and `new_map`; return the number of pixels from within the image.

    Args:
        pixels: (H', W', 3), means of squares of the image.
        label_map: (H, W) of the image; (0, 0) for none.
        inverse: (9,) rows of the map from the canvas to the image.
        sizes: see there.
        canvas: (3, height, width).
        new_map: (height, width); (0, 0) for none.
    """
    rows, columns = canvas.shape[1], canvas.shape[2]
    last_y, last_x = pixels.shape[0] - 1, pixels.shape[1] - 1
    inside = 0
    mapped = new_map.shape[0] > 0
    per_step = 256.0 / sizes.step
    a, b, c = inverse[0], inverse[3], inverse[6]
    for i in range(rows):
        y = i + 0.5
        row_u = inverse[1] * y + inverse[2]
        row_v = inverse[4] * y + inverse[5]
        row_depth = inverse[7] * y + inverse[8]
        for j in range(columns):
            x = j + 0.5
            per_depth = 1.0 / (c * x + row_depth)
            u = (a * x + row_u) * per_depth
            v = (b * x + row_v) * per_depth
            if not (0 <= u < sizes.width and 0 <= v < sizes.height):
                canvas[0, i, j] = sizes.fill
                canvas[1, i, j] = sizes.fill
                canvas[2, i, j] = sizes.fill
                if mapped:
                    new_map[i, j] = sizes.ignored
                continue
            inside += 1
            if mapped:
                new_map[i, j] = label_map[int(v), int(u)]
            # In 256ths of a pixel from the centre of the first one; positive, so that shifts round down.
            across = int(per_step * u + 128.0) - 256
            down = int(per_step * v + 128.0) - 256
            across = min(max(across, 0), 256 * last_x)
            down = min(max(down, 0), 256 * last_y)
            x0, y0, fx, fy = across >> 8, down >> 8, across & 255, down & 255
            x1, y1 = min(x0 + 1, last_x), min(y0 + 1, last_y)
            for channel in range(3):
                upper = 256 * pixels[y0, x0, channel] + fx * (
                    np.int32(pixels[y0, x1, channel]) - np.int32(pixels[y0, x0, channel])
                )
                lower = 256 * pixels[y1, x0, channel] + fx * (
                    np.int32(pixels[y1, x1, channel]) - np.int32(pixels[y1, x0, channel])
                )
                canvas[channel, i, j] = (256 * upper + fy * (lower - upper) + 32768) >> 16
    return inside
