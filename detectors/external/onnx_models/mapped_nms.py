"""NMS of a file's candidates, with the labels of a data set."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from detectors.nms import NMS, NMSConfig
from detectors.types import Detections
from metrics.boxes import clip


class MappedNMS:
    """NMS, then the labels of the data set instead of those of the file.

    Args:
        nms: of the candidates; None if the file has applied it.
        labels: label of the data set for each label of the file; others are dropped.
        classes: number of the file's classes.
        size: (height, width) to which boxes are clipped after NMS; None: they are not. Clipping before NMS would raise the
            IoU of boxes at the border, and suppress detections that the programs of these files keep.
    """

    def __init__(
        self,
        nms: NMS | None,
        labels: Mapping[int, int],
        classes: int,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.nms = nms
        self._size = size
        self._table = torch.full((classes,), -1)
        for own, label in labels.items():
            self._table[own] = label
        self._same = self._table.equal(torch.arange(classes))

    @property
    def config(self) -> NMSConfig | None:
        """Settings of NMS; None if the file has applied it."""
        return None if self.nms is None else self.nms.config

    def __call__(self, candidates: Detections) -> Detections:
        """Detections by decreasing score."""
        found = candidates if self.nms is None else self.nms(candidates)
        if self._size is not None:
            found = Detections(clip(found.boxes, self._size), found.scores, found.labels)
        if self._same:
            return found
        labels = self._table[found.labels]
        known = labels >= 0
        return Detections(found.boxes[known], found.scores[known], labels[known])
