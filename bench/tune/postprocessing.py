"""The post-processing stage: candidates are predicted once; a trial only runs suppression and evaluates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.types import Split
from bench.pipeline.candidates import Candidates
from bench.pipeline.configured_prediction import predict_configured
from bench.pipeline.inference import with_precision
from bench.process.progress import Progress
from bench.settings.config import RunConfig
from bench.tune.search_space import Space, with_values
from detectors.nms import NMS, NMSConfig
from detectors.suppression import is_compiled, suppress
from metrics.tables import AnnotationTable, DetectionTable


def save_candidates(
    detector: Any,
    split: Split,
    config: RunConfig,
    space: Space,
    path: Path,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Candidates:
    """Predict a split and store every candidate that some settings of the space may keep; an existing file is reused.

    Args:
        detector: a `detectors.types.Detector` on `device`, in evaluation mode; its ``nms`` is restored afterwards.
        split: images.
        config: the settings that tuning starts from.
        space: post-processing settings.
        path: the file of candidates; must differ between detectors and spaces.
        device: of the detector.
        progress: display.
    """
    if not path.is_file():
        lowest_score, _ = space.bounds("nms.score", config.get("nms.score"))
        _, top_k = space.bounds("nms.top_k", config.get("nms.top_k"))
        suppression = detector.nms
        # `decode` returns what exceeds the score threshold of suppression: it must be the lowest of all trials.
        detector.nms = NMS(with_values(config, {"nms.score": lowest_score}).detector.nms)
        try:
            predict_configured(
                with_precision(detector, config.evaluate.precision),
                split,
                config,
                device=device,
                candidates=path,
                candidates_per_image=int(top_k),
                progress=progress,
            )
        finally:
            detector.nms = suppression
    return Candidates.load(path)


class PostProcessing:
    """Runs suppression on the same candidates with different settings.

    With equal settings the detections are bit for bit those of predicting again on the CPU.

    Args:
        candidates: of `save_candidates`.
        truth: of the same split.
        config: settings of suppression that a trial changes.
    """

    def __init__(self, candidates: Candidates, truth: AnnotationTable, config: NMSConfig) -> None:
        self.candidates = candidates
        self.truth = truth
        self.config = config
        image = torch.from_numpy(candidates.image).long()
        corners = candidates.placement.to_original(torch.from_numpy(candidates.boxes), image).numpy()
        self._xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)

    def detections(self, values: Mapping[str, Any]) -> DetectionTable:
        """The detections with some settings, given by dotted path: ``{"nms.iou": 0.4}``."""
        changed = {path.rpartition(".")[2]: value for path, value in values.items()}
        config = type(self.config).model_validate({**self.config.model_dump(), **changed})
        candidates = self.candidates
        if not is_compiled(config):
            return self._one_by_one(config)
        rows, score = suppress(candidates.rows, config)
        return DetectionTable(
            self.truth.catalog,
            candidates.image[rows],
            candidates.label[rows],
            self._xywh[rows],
            score.astype(np.float64),
        )

    def _one_by_one(self, config: NMSConfig) -> DetectionTable:
        nms, placement = NMS(config), self.candidates.placement
        builder = DetectionTable.builder(self.truth.catalog)
        image_ids: Sequence[int | str] = self.truth.catalog.image_ids
        for index, image_id in enumerate(image_ids):
            kept = nms(self.candidates.of(index))
            boxes = placement.to_original(kept.boxes, index)
            builder.add(image_id, boxes.numpy(), kept.scores.numpy(), kept.labels.numpy())
        return builder.build()
