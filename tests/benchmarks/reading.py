"""Time to read large ground truth and detections in several layouts, and to find the image files that they name.

``python -m tests.benchmarks.reading --images 100000 --objects 1000000``
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from metrics import read_detections, read_truth
from metrics.errors import InputNote, InputWarning
from metrics.formats.image_paths import find_image_files

T = TypeVar("T")
Rows = Sequence[Sequence[int]]
"""Image, class, and x, y, w, h of each box."""

_FOLDERS = 100


def main() -> None:
    """Write the files, and print seconds for each reader; image files are empty, because only their names are read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--objects", type=int, default=1_000_000)
    options = parser.parse_args()
    for category in (InputWarning, InputNote):
        warnings.simplefilter("ignore", category)
    with tempfile.TemporaryDirectory() as name:
        run(Path(name), options.images, options.objects)


def run(root: Path, images: int, objects: int) -> None:
    """Write and read everything below a folder."""
    names = [f"patch{k % _FOLDERS}/{k:08d}.jpg" for k in range(images)]
    random = np.random.default_rng(0)
    columns = np.column_stack(
        [
            np.sort(random.integers(0, images, objects)),
            random.integers(0, 80, objects),
            random.integers(1, 200, (objects, 4)),
        ]
    ).tolist()
    print(f"{images} images, {objects} objects")
    truth = timed("COCO annotations", read_truth, write_coco(root / "truth.json", names, columns))
    for title, path in (
        ("COCO results", write_results(root / "results.json", columns)),
        ("detections as a CSV table", write_table(root / "found.csv", columns)),
        ("detections as text files per image", write_labels(root / "labels", names, columns)),
    ):
        timed(title, read_detections, path, truth)
    timed("TensorFlow's CSV table", read_truth, write_tensorflow(root / "tensorflow.csv", names, columns))
    pictures = root / "pictures"
    for folder in range(_FOLDERS):
        (pictures / f"patch{folder}").mkdir(parents=True)
    for name in names:
        (pictures / name).touch()
    moved = [f"C:\\data\\train\\{name.rpartition('/')[2]}" for name in names]
    converted = [name.replace(".jpg", ".png") for name in names]
    for title, written in (
        ("image files by their path", names),
        ("image files, paths of another machine", moved),
        ("image files, another suffix", converted),
    ):
        timed(title, find_image_files, written, [pictures], pictures, "images")


def timed(title: str, work: Callable[..., T], *arguments: object) -> T:
    """Call `work` and print its seconds."""
    began, used = time.perf_counter(), time.process_time()
    result = work(*arguments)
    wall, processor = time.perf_counter() - began, time.process_time() - used
    print(f"{title:>40}: {wall:7.2f} s, {processor:7.2f} s of processor")
    return result


def write_coco(file: Path, names: Sequence[str], rows: Rows) -> Path:
    """Annotations; images and classes count from 1."""
    images = [{"id": k, "file_name": name, "height": 480, "width": 640} for k, name in enumerate(names, 1)]
    annotations = [
        {
            "id": k,
            "image_id": image + 1,
            "category_id": label + 1,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        for k, (image, label, *box) in enumerate(rows, 1)
    ]
    categories = [{"id": k + 1, "name": f"class {k}"} for k in range(80)]
    return write(file, {"images": images, "annotations": annotations, "categories": categories})


def write_results(file: Path, rows: Rows) -> Path:
    """COCO results."""
    results = [
        {"image_id": image + 1, "category_id": label + 1, "bbox": box, "score": 0.5}
        for image, label, *box in rows
    ]
    return write(file, results)


def write(file: Path, value: object) -> Path:
    """JSON."""
    file.write_text(json.dumps(value))
    return file


def write_table(file: Path, rows: Rows) -> Path:
    """A CSV table of detections."""
    lines = [f"{image + 1},{label + 1},{','.join(map(str, box))},0.5\n" for image, label, *box in rows]
    file.write_text("image_id,class_id,x,y,w,h,score\n" + "".join(lines))
    return file


def write_tensorflow(file: Path, names: Sequence[str], rows: Rows) -> Path:
    """TensorFlow's table."""
    lines = [
        f"{names[image]},640,480,class {label},{x},{y},{x + w},{y + h}\n" for image, label, x, y, w, h in rows
    ]
    file.write_text("filename,width,height,class,xmin,ymin,xmax,ymax\n" + "".join(lines))
    return file


def write_labels(folder: Path, names: Sequence[str], rows: Rows) -> Path:
    """A text file per image with detections, as Ultralytics writes them."""
    lines: dict[int, list[str]] = {}
    for image, label, x, y, w, h in rows:
        box = f"{(x + w / 2) / 640:.6f} {(y + h / 2) / 480:.6f} {w / 640:.6f} {h / 480:.6f}"
        lines.setdefault(image, []).append(f"{label} {box} 0.5\n")
    for k in range(_FOLDERS):
        (folder / f"patch{k}").mkdir(parents=True)
    for image, of in lines.items():
        (folder / names[image]).with_suffix(".txt").write_text("".join(of))
    return folder


if __name__ == "__main__":
    main()
