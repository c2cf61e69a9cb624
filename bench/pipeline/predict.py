"""A predictor over a split: detections in pixels of the original images, and the candidates they were chosen from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from numpy.typing import NDArray
from torch import Tensor

from bench.data.types import Split
from bench.pipeline.candidates import Candidates
from bench.pipeline.loader import Batch, ImageConfig, Placement, make_loader
from bench.process.progress import Progress
from detectors.types import Detections, Detector, Predictor
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
) -> DetectionTable:
    """What a detector finds in a split.

    Several processes (torchrun) share the images, none of which is seen twice; each gets the whole table.

    Args:
        detector: on `device`, in evaluation mode. Anything with ``predict`` will do, unless `candidates` is given:
            then it must have ``decode`` and ``nms`` too.
        split: images; its truth is not looked at.
        image: the network's input; None: each image as it is, in its own size and alone.
        batch: images predicted at a time; one where `image` is None.
        workers: processes that read images, see `bench.pipeline.loader.make_loader`; none where `image` is None.
        device: where the detector is.
        candidates: a file for what was found before suppression.
        candidates_per_image: how many of these are kept, the surest first.
        progress: where to show how far it is.

    Returns:
        Boxes in pixels of the original images, cut off at their borders; images in the catalog's order, the
        detections of an image in the detector's.

    Raises:
        InputError: a score or a box is not finite; the image is named.
    """
    state = PartialState()
    rank, world = state.process_index, state.num_processes
    loader = (
        _as_they_are(split, rank, world)
        if image is None
        else make_loader(split, image, batch_size=batch, workers=workers, rank=rank, world=world)
    )
    wanted = candidates is not None
    found: list[_Found] = []
    with (
        torch.inference_mode(),
        (progress or Progress()).stage(f"predicting {split.name}", len(split)) as stage,
    ):
        for samples in loader:
            if not len(samples):
                continue
            pixels = samples.images.to(device, non_blocking=True)
            kept, raw = _detect(detector, pixels, wanted)
            kept, raw = on_cpu(kept), on_cpu(raw)
            for i, index in enumerate(samples.index.tolist()):
                _require_finite(kept[i], split, index)
                boxes = samples.placement.to_original(kept[i].boxes, i)
                row = _Found(index, boxes.numpy(), kept[i].scores.numpy(), kept[i].labels.numpy())
                if raw:
                    row.candidates = _surest(raw[i], candidates_per_image)
                    row.placement = tuple(
                        part[i].numpy()
                        for part in (
                            samples.placement.scale,
                            samples.placement.offset,
                            samples.placement.sizes,
                        )
                    )
                found.append(row)
            stage.advance(len(samples) * world)
    if world > 1:
        found = gather_object(found)
    found.sort(key=lambda row: row.index)
    if candidates is not None and state.is_main_process:
        _candidates(split.truth.catalog, found).save(candidates)
    return _table(split.truth.catalog, found)


@dataclass(slots=True)
class _Found:
    index: int
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    candidates: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None
    placement: tuple[NDArray[Any], ...] = ()


def _as_they_are(split: Split, rank: int, world: int) -> Iterator[Batch]:
    """Every `world`-th image in a batch of its own, neither resized nor padded."""
    for index in range(rank, len(split), world):
        pixels = split.load(index)
        image = torch.tensor(pixels).permute(2, 0, 1).unsqueeze(0).to(torch.float32).div_(255)
        placement = Placement(
            torch.ones(1, 2, dtype=torch.float64),
            torch.zeros(1, 2, dtype=torch.float64),
            torch.tensor([pixels.shape[:2]]),
        )
        yield Batch(image, [], torch.tensor([index]), placement)


class _Decoder(Protocol):
    def __call__(self, output: Any) -> list[Detections]: ...


def _detect(
    detector: Predictor | torch.nn.Module, pixels: Tensor, wanted: bool
) -> tuple[list[Detections], list[Detections]]:
    """Detections of each image, and if they are wanted the candidates."""
    if not wanted:
        return cast(Predictor, detector).predict(pixels), []
    able = cast(Detector, detector)
    raw = able.decode(able(pixels))
    return [able.nms(candidates) for candidates in raw], raw


def on_cpu(of_images: list[Detections]) -> list[Detections]:
    """Copied in three pieces however many images there are: each copy makes the device wait."""
    if not of_images or of_images[0].boxes.device.type == "cpu":
        return of_images
    counts = [len(found.scores) for found in of_images]
    boxes = torch.cat([found.boxes for found in of_images]).cpu()
    scores = torch.cat([found.scores for found in of_images]).cpu()
    labels = torch.cat([found.labels for found in of_images]).cpu()
    columns = (torch.split(column, counts) for column in (boxes, scores, labels))
    return [Detections(*of_image) for of_image in zip(*columns, strict=True)]


def _require_finite(found: Detections, split: Split, index: int) -> None:
    """Before clipping, which would hide an infinite box."""
    if not (torch.isfinite(found.boxes).all() and torch.isfinite(found.scores).all()):
        raise InputError(
            f"image {split.truth.catalog.image_ids[index]!r}: a detection is not finite (NaN or infinite); "
            "the weights are damaged, or their training diverged: lower train.lr"
        )


def _surest(candidates: Detections, most: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    # Stable, so that equal scores stay in the detector's order, which decides between them in suppression.
    order = torch.argsort(candidates.scores, descending=True, stable=True)[:most]
    return (
        candidates.boxes[order].float().numpy(),
        candidates.scores[order].float().numpy(),
        candidates.labels[order].numpy(),
    )


def _table(catalog: Catalog, found: Sequence[_Found]) -> DetectionTable:
    counts = [len(row.scores) for row in found]
    corners = np.concatenate([row.boxes for row in found]) if found else np.zeros((0, 4))
    score = np.concatenate([row.scores for row in found]) if found else np.zeros(0)
    image = np.repeat(np.array([row.index for row in found], dtype=np.int32), counts)
    xywh = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1)
    label = np.concatenate([row.labels for row in found]) if found else np.zeros(0)
    return DetectionTable(
        catalog, image, label.astype(np.int32), xywh.astype(np.float64), score.astype(np.float64)
    )


def _candidates(catalog: Catalog, found: Sequence[_Found]) -> Candidates:
    parts = [row.candidates for row in found if row.candidates is not None]
    counts = [len(scores) for _, scores, _ in parts]
    scale, offset, sizes = (np.stack([row.placement[k] for row in found]) for k in range(3))
    return Candidates(
        catalog,
        np.repeat(np.array([row.index for row in found], dtype=np.int32), counts),
        np.concatenate([labels for _, _, labels in parts]).astype(np.int32),
        np.concatenate([scores for _, scores, _ in parts]).astype(np.float32),
        np.concatenate([boxes for boxes, _, _ in parts]).astype(np.float32).reshape(-1, 4),
        scale.astype(np.float64),
        offset.astype(np.float64),
        sizes.astype(np.int64),
    )
