"""Images per processor second of the loader, beside torchvision's reference transforms and Ultralytics' data set.

``python -m tests.benchmarks.loader ../shared/data/bccd``

Every loader reads the same files in one thread, resizes them to the same input and makes float batches. Passes are interleaved,
and the best of each is shown. Ultralytics (AGPL-3.0) is no dependency: its rows are measured where it is installed, in an
environment of its own (``pip install ultralytics``).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from bench.data.image_cache import cache_images
from bench.data.opening import open_dataset
from bench.data.reduced_split import reduce_images
from bench.data.types import Split
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.process.allocator import keep_freed_memory
from bench.training.decoding import reduction_factors

Pass = Callable[[], Iterable[int]]
"""Load all images once; yields the number of images of each batch."""

BATCH = 16
NOTHING = {"zoom_out": 0.0, "iou_crop": 0.0, "photometric": 0.0, "flip": 0.0}
ROWS: dict[str, AugmentConfig | None] = {
    "none": None,
    "flips": AugmentConfig.model_validate(NOTHING | {"flip": 0.5}),
    "default": AugmentConfig(),
    "default and hue": AugmentConfig(hue=0.1),
    "mosaic": AugmentConfig(mosaic=1.0, close_mosaic=0.0, hue=0.1),
}
"""Changes that are compared with those of the other loaders, by the name of the row."""


def main() -> None:
    """Measure all loaders and print a table: a row for each kind of change, a column for each loader."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--side", type=int, default=320, help="of the network's input")
    parser.add_argument("--images", type=int, default=160, help="of each pass, at most")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--cached", action="store_true", help="with decoded images in memory")
    parser.add_argument("--reduced", action="store_true", help="ours also with train.decoding=reduced")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as in training
    warnings.simplefilter("ignore")
    split = open_dataset(options.data).splits["train"]
    with tempfile.TemporaryDirectory() as folder:
        arguments = (
            options.side,
            options.images,
            options.passes,
            Path(folder),
            options.cached,
            options.reduced,
        )
        show(measure(split, *arguments))


def measure(
    split: Split, side: int, images: int, passes: int, folder: Path, cached: bool, reduced: bool
) -> dict[str, dict[str, float]]:
    """Images per processor second, by loader and row.

    Args:
        split: of image files.
        side: of the network's input, which is square.
        images: of each pass, at most.
        passes: of each loader and row.
        folder: an empty one for files in Ultralytics' layout.
        cached: with decoded images in memory, which torchvision does not offer.
        reduced: measure ours also with images that are decoded at a reduced size.
    """
    split = first_images(split, images)
    loaders = {"ours": our_passes(split, side, cached)}
    if reduced:
        loaders["ours, reduced"] = our_passes(split, side, cached, reduced)
    if not cached:
        loaders["torchvision"] = torchvision_passes(split, side)
    loaders["Ultralytics"] = ultralytics_passes(split, side, folder, cached)
    if cached:
        for rows in loaders.values():
            for load in rows.values():
                sum(load())
    rates: dict[str, dict[str, float]] = {name: {} for name, rows in loaders.items() if rows}
    for _ in range(passes):
        for row in ROWS:
            for name in (name for name in rates if row in loaders[name]):
                began = time.process_time()
                count = sum(loaders[name][row]())
                rate = count / (time.process_time() - began)
                rates[name][row] = max(rate, rates[name].get(row, 0.0))
    return rates


def show(rates: dict[str, dict[str, float]]) -> None:
    """Print rates, and those of ours divided by the others'."""
    others = [name for name in rates if name != "ours"]
    print(f"{'changes':>20}{'ours':>10}" + "".join(f"{name:>22}" for name in others))
    for row in ROWS:
        ours = rates["ours"][row]
        known = (rates[name].get(row, np.nan) for name in others)
        cells = ("" if np.isnan(rate) else f"{rate:>12.0f} (x {ours / rate:5.2f})" for rate in known)
        print(f"{row:>20}{ours:>10.0f}" + "".join(f"{cell:>22}" for cell in cells))


def first_images(split: Split, count: int) -> Split:
    """The first images of a split and their objects."""
    truth = split.truth
    kept = list(range(min(count, len(split))))
    return Split(
        split.name, truth.select(kept), split.load, split.fingerprint, files=split.files[: len(kept)]
    )


def our_passes(split: Split, side: int, cached: bool, reduced: bool = False) -> dict[str, Pass]:
    """The loader of detbench."""
    image = ImageConfig(size=(side, side))

    def of(augment: AugmentConfig | None) -> Pass:
        images = split
        if reduced:
            images = reduce_images(split, reduction_factors(split.truth.catalog.sizes, image, augment))
        if cached:
            (images,), _ = cache_images([images], "memory", 100)
        loader = make_loader(images, image, augment, BATCH, workers=0)
        return lambda: map(len, loader)

    return {row: of(augment) for row, augment in ROWS.items()}


def torchvision_passes(split: Split, side: int) -> dict[str, Pass]:
    """The presets hflip, ssdlite and ssd of torchvision's references/detection/presets.py, with tensors, and a resize."""
    mean = (123.0, 117.0, 104.0)
    crop, flip = v2.RandomIoUCrop(), v2.RandomHorizontalFlip(p=0.5)
    presets = {
        "none": [],
        "flips": [flip],
        "default": [crop, flip],
        "default and hue": [v2.RandomPhotometricDistort(), v2.RandomZoomOut(fill=mean), crop, flip],
    }
    truth = split.truth

    def of(changes: list[v2.Transform]) -> Pass:
        ends = [v2.Resize((side, side), antialias=True), v2.ToDtype(torch.float, scale=True)]
        transform = v2.Compose([*changes, *ends, v2.SanitizeBoundingBoxes(), v2.ToPureTensor()])

        def load(index: int) -> torch.Tensor:
            with Image.open(split.files[index]) as file:
                image = v2.functional.pil_to_tensor(file.convert("RGB"))
            rows = truth.image == index
            boxes = tv_tensors.BoundingBoxes(
                torch.from_numpy(truth.boxes[rows]).float(), format="XYXY", canvas_size=image.shape[-2:]
            )
            target = {"boxes": boxes, "labels": torch.from_numpy(truth.label[rows]).long()}
            changed: torch.Tensor = transform(tv_tensors.Image(image), target)[0]
            return changed

        return lambda: (len(torch.stack([load(k) for k in part])) for part in batches(len(split)))

    return {row: of(changes) for row, changes in presets.items()}


def ultralytics_passes(split: Split, side: int, folder: Path, cached: bool) -> dict[str, Pass]:
    """Ultralytics' data set: its defaults without mosaic, and with it. Empty where it is not installed.

    Its mosaics are of images that it has read lately.
    """
    os.environ.setdefault("YOLO_CONFIG_DIR", str(folder))
    try:
        from ultralytics.cfg import get_cfg
        from ultralytics.data.dataset import YOLODataset
        from ultralytics.utils import LOGGER
    except ImportError:
        print("Ultralytics is not installed in this environment: its rows are left out")
        return {}
    import cv2

    cv2.setNumThreads(0)
    LOGGER.setLevel("ERROR")
    write_yolo(split, folder)
    still = dict.fromkeys(("hsv_h", "hsv_s", "hsv_v", "translate", "scale", "fliplr", "erasing"), 0.0)

    def of(augment: bool, changes: dict[str, float]) -> Pass:
        settings = get_cfg(overrides={"mosaic": 0.0, **changes})
        names = dict(enumerate(split.truth.catalog.classes))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            data: Any = YOLODataset(
                img_path=str(folder / "images"),
                data={"names": names},
                imgsz=side,
                augment=augment,
                hyp=settings,
                batch_size=BATCH,
                cache="ram" if cached else None,
            )
        if not settings.mosaic:
            data.max_buffer_length = 2  # it keeps images for mosaics, and would not read them again
        one_batch = data.collate_fn

        def load() -> Iterator[int]:
            for part in batches(len(split)):
                yield len(one_batch([data[k] for k in part])["img"].float() / 255)

        return load

    return {
        "none": of(False, {}),
        "flips": of(True, still | {"fliplr": 0.5}),
        "default": of(True, {}),
        "default and hue": of(True, {}),
        "mosaic": of(True, {"mosaic": 1.0}),
    }


def write_yolo(split: Split, folder: Path) -> None:
    """Links to the images, and their boxes as text files."""
    truth = split.truth
    for name in ("images", "labels"):
        (folder / name).mkdir()
    for index, file in enumerate(split.files):
        (folder / "images" / file.name).symlink_to(file.resolve())
        rows = truth.image == index
        height, width = truth.catalog.sizes[index].tolist()
        boxes = truth.boxes[rows] / [width, height, width, height]
        centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        table = np.column_stack([truth.label[rows], centers, sides])
        np.savetxt(folder / "labels" / f"{file.stem}.txt", table, fmt="%d %f %f %f %f")


def batches(count: int) -> Iterator[range]:
    """Indices of each batch."""
    return (range(first, min(first + BATCH, count)) for first in range(0, count, BATCH))


if __name__ == "__main__":
    main()
