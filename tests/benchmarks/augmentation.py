"""Price of each augmentation: images per processor second of the loader, relative to none.

``python -m tests.benchmarks.augmentation ../shared/data/bccd``

Every change is made for every image, in one process and one thread. Passes are interleaved, and the best of each is shown.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.data.opening import open_dataset
from bench.data.types import Split
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.process.allocator import keep_freed_memory
from bench.settings.presets import read_preset
from tests.benchmarks.loader import BATCH, NOTHING, first_images

ALONE: dict[str, dict[str, Any]] = {
    "none": {},
    "flip": {"flip": 1},
    "zoom_out": {"zoom_out": 1},
    "iou_crop": {"iou_crop": 1},
    "photometric": {"photometric": 1},
    "photometric with hue": {"photometric": 1, "hue": 0.02},
    "mosaic": {"mosaic": 1},
    "mixup": {"mixup": 1},
    "copy_paste": {"copy_paste": 1},
    "warp": {"warp": 1},
    "erase": {"erase": 1},
    "equalize": {"equalize": 1},
    "gray": {"gray": 1},
    "blur": {"blur": 1},
    "noise": {"noise": 1},
    "jpeg": {"jpeg": 1},
    "CLAHE of albumentations": {"albumentations": [{"name": "CLAHE", "p": 1}]},
}
"""Settings of each row."""


def main() -> None:
    """Measure all rows and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--side", type=int, default=320, help="of the network's input")
    parser.add_argument("--images", type=int, default=96, help="of each pass, at most")
    parser.add_argument("--passes", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as in training
    warnings.simplefilter("ignore")
    split = first_images(open_dataset(options.data).splits["train"], options.images)
    presets = {
        name: read_preset(name)["augment"] for name in ("augment-light", "augment-medium", "augment-heavy")
    }
    rows = {name: NOTHING | changes for name, changes in (ALONE | presets).items()}
    for name, rate in measure(split, options.side, options.passes, rows | {"default": {}}).items():
        print(f"{name:>26}{rate[0]:>8.0f} images/s{rate[1]:>8.2f}")


def measure(
    split: Split, side: int, passes: int, rows: Mapping[str, Mapping[str, Any]]
) -> dict[str, tuple[float, float]]:
    """Images per processor second of each row, and their ratio to those of the first row.

    Args:
        split: of image files.
        side: of the network's input, which is square.
        passes: over the split, for each row.
        rows: settings of augmentation.
    """
    image = ImageConfig(size=(side, side))
    loaders = {
        name: make_loader(split, image, AugmentConfig.model_validate(changes), BATCH, workers=0)
        for name, changes in rows.items()
    }
    best = dict.fromkeys(loaders, 0.0)
    for _ in range(passes):
        for name, loader in loaders.items():
            began = time.process_time()
            count = sum(map(len, loader))
            best[name] = max(best[name], count / (time.process_time() - began))
    first = next(iter(best.values()))
    return {name: (rate, rate / first) for name, rate in best.items()}


if __name__ == "__main__":
    main()
