"""ONNX files of other programs, as predictors by one of the conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detectors.candidates import CandidatesConfig, by_falling_score, select_candidates, split_by_image
from detectors.external.file_model import FileModel, ModelFile
from detectors.external.network_input import NetworkInput
from detectors.external.onnx_models.conventions.convention import Convention, Found, image_input
from detectors.external.onnx_models.conventions.rtdetr import SIZES
from detectors.external.onnx_models.graph_file import GraphFile
from detectors.external.onnx_models.mapped_nms import MappedNMS
from detectors.external.onnx_models.pixels import prepared
from detectors.external.onnx_models.runtimes import Session
from detectors.external.onnx_models.settings import OnnxNMSConfig, Pixels
from detectors.nms import NMS, NMSConfig
from detectors.types import Detections
from metrics.boxes import clip
from metrics.errors import InputError
from metrics.plurals import plural

SCORE = 0.001
"""Default score threshold, that of Ultralytics' evaluation: average precision needs the whole curve."""

_CANDIDATES = CandidatesConfig(score=0.0, top_k=30000, per="image")
"""Every class of every box is a candidate (multi-label NMS), at most as many as in Ultralytics' evaluation."""


class ForeignOutput(NamedTuple):
    """Outputs by name of each part of a batch, for an input of (height, width)."""

    parts: list[dict[str, Tensor]]
    size: tuple[int, int]


class ForeignModel(FileModel):
    """A file of another program; calling it, `decode` and `nms` are the parts of `predict`.

    Args:
        file: what it is.
        session: computes it.
        graph: its inputs.
        convention: meaning of its outputs.
        network_input: of the images that `predict` takes.
        pixels: normalisation of the input.
        limits: settings of NMS that replace those of the convention.
        labels: label of the data set for each label of the file.
        classes: number of the file's classes.
    """

    def __init__(
        self,
        file: ModelFile,
        session: Session,
        graph: GraphFile,
        convention: Convention,
        network_input: NetworkInput | None,
        pixels: Pixels,
        limits: OnnxNMSConfig,
        labels: Mapping[int, int],
        classes: int,
    ) -> None:
        super().__init__(file, network_input)
        self.session = session
        self.convention = convention
        self.pixels = pixels
        value = image_input(graph)
        if value is None or value.shape is None:
            raise InputError(
                f"{file.name}: has no input for images of three channels. Found: {graph.description}"
            )
        self._input = value.name
        self._batched = len(value.shape) == 4
        self._single = not self._batched or value.shape[0] == 1 or network_input is None
        if isinstance(value.shape[0], int) and value.shape[0] > 1 and self._batched:
            raise InputError(
                f"{file.name}: is made for batches of {plural(value.shape[0], 'image')}; export it for 1 or for any number"
            )
        self._dtype = np.dtype(value.dtype)
        self._takes_sizes = any(each.name == SIZES for each in graph.inputs)
        if limits.iou is not None and convention.nms is None:
            raise InputError(
                f"nms.iou: {file.name} has detections without overlap ({convention.name}), to which no NMS is applied; remove the setting"
            )
        settings = NMSConfig(
            score=SCORE if limits.score is None else limits.score,
            iou=limits.iou or convention.nms or 0.5,
            method="none" if convention.nms is None else "hard",
            top_k=_CANDIDATES.top_k,
            max_dets=limits.max_dets or convention.max_dets,
        )
        self._clipped_late = convention.nms is not None and network_input is not None
        size = network_input.size if self._clipped_late and network_input is not None else None
        self.nms = MappedNMS(NMS(settings), labels, classes, size)
        self._floor = settings.score
        self._classes = classes

    def __call__(self, images: Tensor) -> ForeignOutput:
        """Outputs for (B, 3, H, W) RGB images in [0, 1]; see `FileModel.fitted`."""
        images = self.fitted(images)
        size = (images.shape[2], images.shape[3])
        given = prepared(images.cpu(), self.pixels).numpy().astype(self._dtype, copy=False)
        parts = np.split(given, len(given)) if self._single else [given]
        return ForeignOutput([self._computed(part, size) for part in parts], size)

    def decode(self, output: ForeignOutput) -> list[Detections]:
        """Candidates of each image by decreasing score; clipped to the input, unless NMS has to see them as they are."""
        found = [self.convention.decode(part, output.size) for part in output.parts]
        return [each for part in found for each in self._candidates(part, output.size)]

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]."""
        return [self.nms(candidates) for candidates in self.decode(self(images))]

    def _computed(self, part: NDArray[Any], size: tuple[int, int]) -> dict[str, Tensor]:
        feeds = {self._input: part if self._batched else part[0]}
        if self._takes_sizes:
            feeds[SIZES] = np.tile(np.array([[size[1], size[0]]], dtype=np.int64), (len(part), 1))
        return {name: torch.from_numpy(np.array(array)) for name, array in self.session(feeds).items()}

    def _candidates(self, found: Found, size: tuple[int, int]) -> list[Detections]:
        boxes, scores = found.boxes.float(), found.scores.float()
        if not self._clipped_late:
            boxes = clip(boxes, size)
        if found.labels is None:
            chosen = select_candidates(scores, (scores.shape[1],), self._floor, _CANDIDATES)
            return split_by_image(chosen, boxes[chosen.image, chosen.prior], len(scores))
        results = []
        for own, score, label in zip(boxes, scores, found.labels, strict=True):
            order = by_falling_score(score)
            order = order[(score[order] > self._floor) & (label[order] >= 0) & (label[order] < self._classes)]
            results.append(Detections(own[order], score[order], label[order]))
        return results
