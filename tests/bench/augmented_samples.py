"""Samples of splits under settings of augmentation, in memory."""

from __future__ import annotations

from typing import Any

import torch

from bench.data.types import Split
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import SplitSamples
from bench.pipeline.objects import training_objects
from bench.pipeline.placement import Sample

NOTHING = {"flip": 0, "zoom_out": 0, "iou_crop": 0, "photometric": 0}
WARP = {"warp": 1.0, "rotate": 40.0, "shear": 12.0, "translate": 0.2, "rescale": 0.6, "perspective": 0.4}
EVERYTHING: dict[str, Any] = {
    "flip": 0.5,
    "zoom_out": 0.3,
    "iou_crop": 0.3,
    "photometric": 0.5,
    "mosaic": 0.5,
    "mixup": 0.4,
    "copy_paste": 0.6,
    "erase": 0.4,
    "equalize": 0.3,
    "gray": 0.2,
    "blur": 0.3,
    "noise": 0.3,
    "jpeg": 0.3,
} | WARP
ALONE: dict[str, dict[str, Any]] = {
    "mosaic": {"mosaic": 1},
    "mixup": {"mixup": 1},
    "copy_paste": {"copy_paste": 1, "paste_count": 4},
    "warp": WARP,
    "erase": {"erase": 1, "erase_count": 3, "erase_area": 0.3},
    "quality": {"equalize": 0.5, "gray": 0.5, "blur": 0.5, "noise": 0.5, "jpeg": 0.5},
    "everything": EVERYTHING,
}


def config(**changes: Any) -> AugmentConfig:
    return AugmentConfig.model_validate(NOTHING | changes)


def samples(split: Split, image: ImageConfig, label_maps: bool = False, **changes: Any) -> SplitSamples:
    augment = make_augment(config(**changes), image.fill)
    return SplitSamples(split, training_objects(split)[0], image, augment, 0, label_maps)


def same(one: Sample, other: Sample) -> bool:
    tensors = zip(one[:3], other[:3], strict=True)
    return all(torch.equal(a, b) for a, b in tensors)  # type: ignore[arg-type]
