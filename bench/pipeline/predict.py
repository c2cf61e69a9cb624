"""Prediction on a split: detections in pixels of the original images, and optionally the candidates before NMS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor

from bench.data.types import Split
from bench.pipeline.batch_memory import BatchMemory
from bench.pipeline.candidates import Candidates
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.label_maps import original_label_map
from bench.pipeline.loader import Batch, make_loader
from bench.pipeline.placement import Placement
from bench.process.progress import Progress
from detectors.types import Detections, Detector, Predictor, Segmenter
from metrics.errors import InputError
from metrics.tables import Catalog, DetectionTable


def predict(
    detector: Predictor | torch.nn.Module,
    split: Split,
    image: ImageConfig | None,
    *,
    batch: int = 32,
    workers: int = -1,
    device: torch.device | str = "cpu",
    candidates: Path | None = None,
    candidates_per_image: int = 1000,
    progress: Progress | None = None,
    memory: BatchMemory | None = None,
    label_maps: Callable[[int, NDArray[np.uint8]], None] | None = None,
) -> DetectionTable:
    """Detections of a detector on a split.

    A batch that does not fit into memory is halved.

    Several processes (torchrun) share the images, each of which is predicted once; every process gets the whole table.

    Args:
        detector: on `device`, in evaluation mode. With `candidates` it must be a `Detector`; otherwise a `Predictor` is
            enough.
        split: images; its ground truth is not used.
        image: settings of the network's input; None: each image alone, in its original size.
        batch: images per batch; 1 if `image` is None.
        workers: processes that read images, see `bench.pipeline.loader.make_loader`; 0 if `image` is None.
        device: of the detector.
        candidates: file for the candidates before NMS.
        candidates_per_image: number of candidates that are saved, by decreasing score.
        progress: display of the progress.
        memory: what is known of the batches that fit into memory; nothing by default.
        label_maps: is called with the index and the label map of each image, in its original pixels, in the process that
            predicts it; the detector must be a `Segmenter`.

    Returns:
        Boxes in pixels of the original images, clipped to them; images in the order of the catalog, detections of an
        image in the order of the detector.

    Raises:
        InputError: a score or a box is not finite; the message names the image.
        MachineError: a single image does not fit into memory.
    """
    memory = memory or BatchMemory()
    state = PartialState()
    rank, world = state.process_index, state.num_processes
    loader = (
        _original_images(split, rank, world)
        if image is None
        else make_loader(split, image, batch_size=batch, workers=workers, rank=rank, world=world)
    )
    results: list[_ImageResult] = []
    with (
        torch.inference_mode(),
        (progress or Progress()).stage(f"predicting {split.name}", len(split)) as stage,
    ):
        for samples in loader:
            if not len(samples):
                continue
            found = memory(
                samples.images,
                lambda part: _detect(detector, part, device, candidates is not None, label_maps is not None),
            )
            for i, index in enumerate(samples.index.tolist()):
                final = found[i].final
                _require_finite(final, split, index)
                boxes = samples.placement.to_original(final.boxes, i)
                result = _ImageResult(index, boxes.numpy(), final.scores.numpy(), final.labels.numpy())
                before_nms, probabilities = found[i].candidates, found[i].probabilities
                if label_maps is not None and probabilities is not None:
                    label_maps(index, original_label_map(probabilities, samples.placement, i))
                if before_nms is not None:
                    place = samples.placement
                    result.candidates = _highest(before_nms, candidates_per_image)
                    result.placement = tuple(
                        column[i].numpy() for column in (place.scale, place.offset, place.sizes)
                    )
                results.append(result)
            stage.advance(len(samples) * world)
    if world > 1:
        results = gather_object(results)
    results.sort(key=lambda result: result.index)
    if candidates is not None and state.is_main_process:
        _candidates(split.truth.catalog, results).save(candidates)
    return _table(split.truth.catalog, results)


@dataclass(slots=True)
class _ImageResult:
    index: int
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    candidates: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None
    placement: tuple[NDArray[Any], ...] = ()


def _original_images(split: Split, rank: int, world: int) -> Iterator[Batch]:
    """Every `world`-th image in a batch by itself, neither resized nor padded."""
    for index in range(rank, len(split), world):
        pixels = split.load(index)
        image = torch.tensor(pixels).permute(2, 0, 1).unsqueeze(0).to(torch.float32).div_(255)
        placement = Placement(
            torch.ones(1, 2, dtype=torch.float64),
            torch.zeros(1, 2, dtype=torch.float64),
            torch.tensor([pixels.shape[:2]]),
        )
        yield Batch(image, [], torch.tensor([index]), placement)


class _Found(NamedTuple):
    """Detections in an image, and where they are wanted its candidates before NMS, on the CPU; and probabilities of pixels."""

    final: Detections
    candidates: Detections | None
    probabilities: Tensor | None = None


def _detect(
    detector: Predictor | torch.nn.Module,
    images: Tensor,
    device: torch.device | str,
    with_candidates: bool,
    with_pixels: bool,
) -> list[_Found]:
    """Detections of each image, its candidates if `with_candidates`, and probabilities of classes if `with_pixels`."""
    pixels = images.to(device, non_blocking=True)
    if not (with_candidates or with_pixels):
        return [_Found(each, None) for each in on_cpu(cast(Predictor, detector).predict(pixels))]
    network = cast(Detector, detector)
    output = network(pixels)
    raw = network.decode(output)
    final = on_cpu([network.nms(candidates) for candidates in raw])
    before = on_cpu(raw) if with_candidates else [None] * len(final)
    pixelwise = cast(Segmenter, network).class_probabilities(output) if with_pixels else [None] * len(final)
    return [_Found(*each) for each in zip(final, before, pixelwise, strict=True)]


def on_cpu(detections: list[Detections]) -> list[Detections]:
    """Copy the detections of several images to the CPU in three transfers, because each one synchronises the device."""
    if not detections or detections[0].boxes.device.type == "cpu":
        return detections
    counts = [len(each.scores) for each in detections]
    boxes = torch.cat([each.boxes for each in detections]).cpu()
    scores = torch.cat([each.scores for each in detections]).cpu()
    labels = torch.cat([each.labels for each in detections]).cpu()
    columns = (torch.split(column, counts) for column in (boxes, scores, labels))
    return [Detections(*each) for each in zip(*columns, strict=True)]


def _require_finite(detections: Detections, split: Split, index: int) -> None:
    """Before clipping, which would hide an infinite box."""
    if not (torch.isfinite(detections.boxes).all() and torch.isfinite(detections.scores).all()):
        raise InputError(
            f"image {split.truth.catalog.image_ids[index]!r}: a detection is not finite (NaN or infinite); "
            "the weights are damaged, or training diverged: lower train.lr"
        )


def _highest(candidates: Detections, limit: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    # Stable, so that equal scores keep the detector's order, which decides between them in NMS.
    order = torch.argsort(candidates.scores, descending=True, stable=True)[:limit]
    return (
        candidates.boxes[order].float().numpy(),
        candidates.scores[order].float().numpy(),
        candidates.labels[order].numpy(),
    )


def _table(catalog: Catalog, results: Sequence[_ImageResult]) -> DetectionTable:
    counts = [len(result.scores) for result in results]
    corners = np.concatenate([result.boxes for result in results]) if results else np.zeros((0, 4))
    score = np.concatenate([result.scores for result in results]) if results else np.zeros(0)
    image = np.repeat(np.array([result.index for result in results], dtype=np.int32), counts)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    label = np.concatenate([result.labels for result in results]) if results else np.zeros(0)
    return DetectionTable(
        catalog, image, label.astype(np.int32), xywh.astype(np.float64), score.astype(np.float64)
    )


def _candidates(catalog: Catalog, results: Sequence[_ImageResult]) -> Candidates:
    parts = [result.candidates for result in results if result.candidates is not None]
    counts = [len(scores) for _, scores, _ in parts]
    scale, offset, sizes = (np.stack([result.placement[k] for result in results]) for k in range(3))
    return Candidates(
        catalog,
        np.repeat(np.array([result.index for result in results], dtype=np.int32), counts),
        np.concatenate([labels for _, _, labels in parts]).astype(np.int32),
        np.concatenate([scores for _, scores, _ in parts]).astype(np.float32),
        np.concatenate([boxes for boxes, _, _ in parts]).astype(np.float32).reshape(-1, 4),
        scale.astype(np.float64),
        offset.astype(np.float64),
        sizes.astype(np.int64),
    )
