"""Targets whose label maps show their boxes, for variants that learn from pixels."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from detectors.types import Targets


def with_label_maps(targets: Sequence[Targets], size: tuple[int, int]) -> list[Targets]:
    """The targets with label maps of `size` (height, width), in which each object fills its box, the last one in front.

    Boxes that are degenerate or beyond the image leave no pixels.
    """
    height, width = size
    filled = []
    for target in targets:
        label_map = torch.zeros(height, width, dtype=torch.uint8)
        for box, label in zip(target.boxes, target.labels.tolist(), strict=True):
            if box.isfinite().all():
                x0, y0, x1, y1 = box.clamp(min=0).int().tolist()
                label_map[y0:y1, x0:x1] = 1 + label
        filled.append(Targets(target.boxes, target.labels, label_map))
    return filled
