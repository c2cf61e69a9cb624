"""Gradients of one step for all variants and losses, divided in different ways, also by two processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from forked import in_two_processes
from torch import Tensor, nn

from bench.pipeline.loader import Batch
from bench.pipeline.placement import Placement
from bench.process.log import Log
from bench.training.device import make_accelerator
from bench.training.gradient import StepGradient
from detectors.registry import VARIANTS
from detectors.types import Targets

CLASSES = 3
SMALL = {"levels": 3, "backbone": {"base_channel": 4}}

ALL = {"proposals": {"samples": 10**6}, "regions": {"samples": 10**6, "hidden": 16}, "head": {"channels": 16}}
"""Everything is drawn: which anchors and regions are drawn depends on the division, like the masks of dropout."""


def small(name: str) -> dict[str, Any]:
    """Those settings of `SMALL` that the variant has."""
    return {key: value for key, value in SMALL.items() if key in VARIANTS[name].config.model_fields}


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        name: (name, ALL if "proposals" in VARIANTS[name].config.model_fields else {})
        for name in VARIANTS.names()
    },
    "fcos, equal weights": ("fcos", {"box_weights": "equal"}),
    "fcos, task-aligned, centerness weights": (
        "fcos",
        {"box_weights": "centerness", "assigner": "task_aligned", "quality": "iou"},
    ),
    "atss, equal weights": ("atss", {"box_weights": "equal"}),
    "retinanet, normalised by image": ("retinanet", {"normalise": "image"}),
    "retinanet, hungarian": ("retinanet", {"assigner": "hungarian"}),
    "ssd, weighted classes": ("ssd", {"class_weights": {"each": {"a": 3.0}}}),
    "gfl, center": ("gfl", {"assigner": "center"}),
    "unet, Jaccard": ("unet", {"loss": {"dice": 0.0, "jaccard": 1.0}}),
}


def detector_of(case: str) -> nn.Module:
    """A detector in double precision, so that rounding decides no near tie, whose BatchNorm uses fixed statistics."""
    torch.manual_seed(3)
    name, settings = CASES[case]
    variant = VARIANTS[name]
    detector = variant.build(variant.config.model_validate({**small(name), **settings}), CLASSES)
    detector.weigh_classes([2, 1, 1], ["a", "b", "c"])
    return detector.double().eval()


def batch_of(images: Sequence[int]) -> Batch:
    """These of four images, which have 3, 0, 1 and 2 objects of different sizes."""
    pixels = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    boxes = [
        [[4.0, 4, 28, 30], [30, 10, 60, 52], [8, 36, 24, 60]],
        [],
        [[2.0, 3, 61, 60]],
        [[10.0, 10, 40, 34], [34, 34, 58, 62]],
    ]
    labels = [[0, 1, 2], [], [1], [0, 2]]
    maps = torch.randint(0, 4, (4, 64, 64), generator=torch.Generator().manual_seed(6), dtype=torch.uint8)
    targets = [
        Targets(torch.tensor(boxes[i]).reshape(-1, 4), torch.tensor(labels[i], dtype=torch.int64), maps[i])
        for i in images
    ]
    place = Placement(
        torch.ones(len(images), 2), torch.zeros(len(images), 2), torch.full((len(images), 2), 64)
    )
    return Batch(pixels[list(images)], targets, torch.tensor(images), place)


def gradient(
    case: str, batches: Sequence[Sequence[int]], parts: int = 1, largest: int = 4
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradient of all parameters and terms of the loss of a step.

    Args:
        case: key of `CASES`.
        batches: images of each accumulated batch in this process.
        parts: number of parts of each batch.
        largest: more images at once do not fit into memory.
    """
    detector = detector_of(case)
    forward = detector.forward

    def limited(images: Tensor) -> Any:
        if torch.is_grad_enabled() and len(images) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory (played)")
        return forward(images)

    detector.forward = limited  # type: ignore[method-assign]
    accelerator = make_accelerator("cpu", "no")  # an earlier test may have trained with another precision
    step = StepGradient(detector, accelerator, Log(), parts)
    terms = step([batch_of(images) for images in batches])
    return {name: p.grad for name, p in detector.named_parameters() if p.grad is not None}, terms


def gradients_in_two_processes(
    folder: Path,
) -> list[dict[str, list[tuple[dict[str, Tensor], dict[str, Tensor]]]]]:
    """Gradients and terms of all cases in each of two processes that share the images of a step.

    For each case three steps: each process has two of the images; the same if one of them lacks memory; with accumulation.

    Args:
        folder: where the processes meet and write.
    """
    in_two_processes(lambda rank: _share(rank, folder), folder)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def _share(rank: int, folder: Path) -> None:
    """Compute the steps of one process."""
    assert Accelerator(cpu=True).num_processes == 2
    own = [rank, rank + 2]
    results = {
        case: [
            gradient(case, [own]),
            gradient(case, [own], largest=4 if rank else 1),
            gradient(case, [[image] for image in own]),
        ]
        for case in CASES
    }
    torch.save(results, folder / f"{rank}.pt")
