"""Time of `bench data`: of the annotations of many images (``--fast``), and images per second when they are decoded.

``python -m tests.benchmarks.data_looks --images 100000 --objects 1000000 --decoded 2000``
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from bench.survey.data_check import check_data
from bench.survey.opening import open_to_look
from bench.survey.subject import subjects_of


def main() -> None:
    """Write data sets, and print how long opening and checking them takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000, help="with annotations only")
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument(
        "--decoded", type=int, default=2_000, help="JPEG images of 640 x 480 pixels that are decoded"
    )
    parser.add_argument("--workers", type=int, default=-1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.images:
            write_annotations(folder / "fast", options.images, options.objects)
            time_check(folder / "fast", fast=True, workers=0)
        if options.decoded:
            write_images(folder / "decoded", options.decoded)
            time_check(folder / "decoded", fast=False, workers=options.workers)


def time_check(folder: Path, fast: bool, workers: int) -> None:
    """Print the seconds of opening and of checking."""
    start, used = time.perf_counter(), time.process_time()
    opened = open_to_look("ssd", {"data": str(folder), "options": {}}, fast)
    between = time.perf_counter()
    settings = opened.settings
    check = check_data(
        opened.dataset,
        subjects_of(opened.dataset, settings.image),
        opened.reading,
        settings.image,
        settings.augment,
        [8],
        decode=not fast,
        workers=workers,
    )
    end, used = time.perf_counter(), time.process_time() - used
    images, objects = (
        sum(split.images for split in check.splits),
        sum(split.objects for split in check.splits),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print(
        f"{images} images, {objects} objects, {'not decoded' if fast else 'decoded'}: opened in {between - start:.1f} s, "
        f"checked in {end - between:.1f} s ({images / (end - between):.0f} images/s); {len(check.to_json()) / 1e3:.0f} kB of "
        f"JSON; {used:.1f} s of processor in this process; peak memory {peak:.0f} MB"
    )


def write_annotations(folder: Path, images: int, objects: int) -> None:
    """A COCO file with files of a few bytes as images."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    sizes = rng.choice([[480, 640], [640, 480], [427, 640]], images)
    entries = [
        {"id": i + 1, "file_name": f"{i:08d}.jpg", "height": int(h), "width": int(w)}
        for i, (h, w) in enumerate(sizes)
    ]
    of = rng.integers(0, images, objects)
    wh = np.exp(rng.uniform(1, 5.5, (objects, 2)))
    xy = rng.uniform(0, 1, (objects, 2)) * np.maximum(sizes[of][:, ::-1] - wh, 1)
    boxes = np.round(np.concatenate([xy, wh], 1), 2)
    classes = rng.zipf(1.5, objects) % 80
    rows = [
        {
            "id": k,
            "image_id": int(i) + 1,
            "category_id": int(c) + 1,
            "bbox": b,
            "area": b[2] * b[3],
            "iscrowd": 0,
        }
        for k, (i, c, b) in enumerate(zip(of, classes, boxes.tolist(), strict=True), start=1)
    ]
    names = [{"id": c + 1, "name": f"class {c}"} for c in range(80)]
    (folder / "instances.json").write_text(
        json.dumps({"images": entries, "annotations": rows, "categories": names})
    )
    for i in range(images):
        (folder / "images" / f"{i:08d}.jpg").write_bytes(i.to_bytes(8, "little") + bytes(i * 7919 % 4093))


def write_images(folder: Path, images: int) -> None:
    """JPEG images of random patches with one object each."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    entries, rows = [], []
    for i in range(images):
        small = rng.integers(0, 256, (30, 40, 3), np.uint8)
        image = Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC)
        image.save(folder / "images" / f"{i:08d}.jpg", quality=85)
        entries.append({"id": i + 1, "file_name": f"{i:08d}.jpg", "height": 480, "width": 640})
        rows.append(
            {"id": i + 1, "image_id": i + 1, "category_id": 1, "bbox": [50, 50, 100, 80], "area": 8000}
        )
    names = [{"id": 1, "name": "object"}]
    (folder / "instances.json").write_text(
        json.dumps({"images": entries, "annotations": rows, "categories": names})
    )


if __name__ == "__main__":
    main()
