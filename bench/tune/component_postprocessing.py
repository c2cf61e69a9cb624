"""Post-processing trials of segmentation: components are found once, and a trial chooses among them, runs NMS and evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bench.data.types import Split
from bench.pipeline.batch_memory import BatchMemory
from bench.pipeline.candidates import Candidates
from bench.pipeline.inference import with_precision
from bench.pipeline.loader import make_loader
from bench.process.progress import Progress
from bench.settings.config import RunConfig
from bench.tune.postprocessing import PostProcessing, save_candidates
from bench.tune.search_space import Space
from detectors.components import Components, ComponentsConfig, measure_components
from detectors.nms import NMSConfig
from metrics.tables import AnnotationTable, DetectionTable

_SECTION = "components."


class Trials(Protocol):
    """Detections with different settings of post-processing, without predicting again."""

    def detections(self, values: Mapping[str, Any]) -> DetectionTable:
        """The detections with some settings, given by dotted path."""


def post_processing(
    detector: Any,
    split: Split,
    config: RunConfig,
    space: Space,
    path: Path,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Trials:
    """Predict a split once for all trials; arguments as in `save_candidates`.

    Candidates are stored in `path`. Components of label maps are found again by every process.
    """
    settings: Any = config.detector
    if hasattr(detector, "class_probabilities"):
        found = _find_components(detector, split, config, space, device, progress or Progress())
        return ComponentPostProcessing(found, split.truth, settings.components, settings.nms)
    candidates = save_candidates(detector, split, config, space, path, device, progress)
    return PostProcessing(candidates, split.truth, settings.nms)


class ComponentPostProcessing:
    """Chooses among the components of label maps, and runs suppression.

    With equal settings the detections are bit for bit those of predicting again.

    Args:
        found: by connectivity all components that some settings keep, and the area of each.
        truth: of the same split.
        components, nms: settings that a trial changes.
    """

    def __init__(
        self,
        found: Mapping[int, tuple[Candidates, NDArray[np.int64]]],
        truth: AnnotationTable,
        components: ComponentsConfig,
        nms: NMSConfig,
    ) -> None:
        self.found = found
        self.truth = truth
        self.components = components
        self.nms = nms

    def detections(self, values: Mapping[str, Any]) -> DetectionTable:
        """The detections with some settings, given by dotted path: ``{"components.min_area": 30}``."""
        own = {
            path.removeprefix(_SECTION): value for path, value in values.items() if path.startswith(_SECTION)
        }
        chosen = type(self.components).model_validate({**self.components.model_dump(), **own})
        candidates, areas = self.found[chosen.connectivity]
        large = candidates.select(np.flatnonzero(areas >= chosen.min_area))
        others = {path: value for path, value in values.items() if not path.startswith(_SECTION)}
        return PostProcessing(large, self.truth, self.nms).detections(others)


def _find_components(
    detector: Any,
    split: Split,
    config: RunConfig,
    space: Space,
    device: torch.device | str,
    progress: Progress,
) -> dict[int, tuple[Candidates, NDArray[np.int64]]]:
    """Components of the label maps of a split, by every connectivity of the space, and the area of each."""
    default: ComponentsConfig = config.detector.components
    tried = [each.options for each in space if each.path == f"{_SECTION}connectivity"]
    smallest, _ = space.bounds(f"{_SECTION}min_area", default.min_area)
    settings = [
        type(default).model_validate({"connectivity": connectivity, "min_area": int(smallest)})
        for connectivity in (tried[0] if tried else (default.connectivity,))
    ]
    network, memory = with_precision(detector, config.evaluate.precision), BatchMemory()

    def work(images: torch.Tensor) -> list[list[Components]]:
        probabilities = network.class_probabilities(network(images.to(device)))
        return [[measure_components(each, one) for one in settings] for each in probabilities]

    by_image: list[list[Components]] = [[] for _ in range(len(split))]
    places = [np.zeros((len(split), 2)) for _ in range(3)]
    loader = make_loader(
        split, config.image.for_prediction, batch_size=config.evaluate.batch, workers=config.workers
    )
    with torch.inference_mode(), progress.stage(f"predicting {split.name}", len(split)) as stage:
        for batch in loader:
            indices, place = batch.index.tolist(), batch.placement
            for index, found in zip(indices, memory(batch.images, work), strict=True):
                by_image[index] = found
            for column, of_batch in zip(places, (place.scale, place.offset, place.sizes), strict=True):
                column[indices] = of_batch.numpy()
            stage.advance(len(batch))
    return {
        each.connectivity: _table([found[k] for found in by_image], split, places)
        for k, each in enumerate(settings)
    }


def _table(
    components: list[Components], split: Split, places: list[NDArray[np.float64]]
) -> tuple[Candidates, NDArray[np.int64]]:
    """Candidates of all images, and the area of each."""
    scale, offset, sizes = places
    detections = [each.detections for each in components]
    candidates = Candidates(
        split.truth.catalog,
        np.repeat(np.arange(len(components), dtype=np.int32), [len(each.scores) for each in detections]),
        torch.cat([each.labels for each in detections]).cpu().numpy().astype(np.int32),
        torch.cat([each.scores for each in detections]).cpu().numpy(),
        torch.cat([each.boxes for each in detections]).cpu().numpy(),
        scale,
        offset,
        sizes.astype(np.int64),
    )
    return candidates, torch.cat([each.areas for each in components]).numpy()
