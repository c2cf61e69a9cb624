"""Detectors that detbench exported to ONNX, as predictors with the same selection and NMS as the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detectors.candidates import select_candidates, split_by_image
from detectors.components import find_components
from detectors.external.file_model import FileModel, ModelFile
from detectors.external.network_input import NetworkInput
from detectors.external.onnx_models.mapped_nms import MappedNMS
from detectors.external.onnx_models.runtimes import Session
from detectors.external.onnx_models.settings import OnnxNMSConfig
from detectors.graph.record import ExportRecord
from detectors.nms import NMS
from detectors.types import Detections
from metrics.errors import InputError


class ExportedOutput(NamedTuple):
    """Outputs of an exported file by name, as tensors on the CPU; see `ExportRecord.outputs`."""

    tensors: dict[str, Tensor]


class ExportedModel(FileModel):
    """An exported detector; calling it, `decode` and `nms` are the parts of `predict`, as in a network.

    Args:
        file: what it is.
        session: computes it.
        record: stored in the file.
        limits: settings of NMS that replace those of the record.
        labels: label of the data set for labels of the file.

    Raises:
        InputError: NMS is part of the file, and `limits` has other settings.
    """

    def __init__(
        self,
        file: ModelFile,
        session: Session,
        record: ExportRecord,
        limits: OnnxNMSConfig,
        labels: Mapping[int, int],
    ) -> None:
        super().__init__(file, NetworkInput(record.size, record.resize, record.fill))
        self.session = session
        self.record = record
        given = limits.model_dump(exclude_none=True)
        if given and record.outputs == "detections":
            raise InputError(
                f"nms.{next(iter(given))}: NMS is part of {file.name}, with its own settings; remove the setting, or export without "
                "--nms"
            )
        settings = record.nms.model_copy(update=given)
        self.nms = MappedNMS(
            None if record.outputs == "detections" else NMS(settings), labels, len(record.classes)
        )
        self._floor = settings.score
        if record.candidates is not None:
            self._floor = min(self._floor, record.candidates.score)

    def __call__(self, images: Tensor) -> ExportedOutput:
        """Outputs for (B, 3, H, W) RGB images in [0, 1]; see `FileModel.fitted`."""
        given = images if self.record.any_size else self.fitted(images)
        feeds = {"images": given.cpu().numpy().astype(np.float32, copy=False)}
        return ExportedOutput({name: torch.from_numpy(array) for name, array in self.session(feeds).items()})

    def decode(self, output: ExportedOutput) -> list[Detections]:
        """Candidates of each image; detections if NMS is part of the file."""
        columns, record = output.tensors, self.record
        if record.outputs == "probabilities":
            assert record.components is not None
            return [find_components(each, record.components) for each in columns["probabilities"]]
        boxes, scores = columns["boxes"], columns["scores"]
        if record.outputs == "detections":
            labels = columns["labels"]
            return [
                Detections(*(column[image][labels[image] >= 0] for column in (boxes, scores, labels)))
                for image in range(len(scores))
            ]
        assert record.candidates is not None
        levels = columns["levels"].tolist() if record.any_size else record.levels
        chosen = select_candidates(scores, levels, self._floor, record.candidates)
        if boxes.ndim == 4:
            selected = boxes[chosen.image, chosen.prior, chosen.label]
        else:
            selected = boxes[chosen.image, chosen.prior]
        return split_by_image(chosen, selected, len(scores))

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]."""
        return [self.nms(candidates) for candidates in self.decode(self(images))]
