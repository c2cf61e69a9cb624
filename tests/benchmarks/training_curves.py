"""AP on `shapes` against training images and processor seconds, of our variants beside Ultralytics' YOLO11n.

``python -m tests.benchmarks.training_curves --variants gfl ssd --images 2000 4000 8000 12000 --plot curves.svg``

Every point is a training of its own, with random initial weights and a schedule that ends there, on one thread. Seconds are the
processor time of the whole training, which for ours includes drawing and validation. All models are evaluated by `metrics` on
the same test images. Ultralytics (AGPL-3.0) is no dependency: its row is measured where it is installed, in an environment of
its own (``pip install ultralytics``), with its defaults for training.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from ast import literal_eval
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from bench.data.opening import open_dataset
from bench.data.types import Dataset, Split
from bench.process.allocator import keep_freed_memory
from bench.runs.run import run
from bench.settings.resolution import resolve
from metrics import DetectionTable, evaluate

TRAINING_IMAGES = 2000
SIDE = 128

Train = Callable[[int, int], float]
"""Train on so many images with a seed; returns the AP of the test images."""


class Point(NamedTuple):
    """A training: its model, its images and seed, its processor seconds, and the AP of the test images."""

    model: str
    images: int
    seed: int
    seconds: float
    ap: float


def main() -> None:
    """Train all models with all numbers of images, print a row for each training, and draw the curves."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", nargs="*", default=["gfl"], help="ours")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of ours")
    parser.add_argument(
        "--images", nargs="+", type=int, default=[2000, 4000, 8000, 12000], help="of each training"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each point")
    parser.add_argument("--only-ours", action="store_true", help="without Ultralytics")
    parser.add_argument(
        "--yolo-set", nargs="*", default=[], metavar="NAME=VALUE", help="arguments of Ultralytics' training"
    )
    parser.add_argument("--plot", type=Path, help="file of the figure")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as in training
    dataset = open_dataset("shapes", train=TRAINING_IMAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {
            variant: ours(variant, options.set, folder / "runs", dataset) for variant in options.variants
        }
        if not options.only_ours:
            models |= yolo(dataset, folder / "yolo", dict(map(assignment, options.yolo_set)))
        print(f"{'model':12} {'images':>7} {'seed':>4} {'seconds':>8} {'AP':>6}")
        points = []
        for model, train in models.items():
            for images in options.images:
                for seed in range(options.seeds):
                    points.append(measure(model, train, images, seed))
                    print("{:12} {:7} {:4} {:8.0f} {:6.3f}".format(*points[-1]), flush=True)
    if options.plot:
        draw(points, options.plot)


def assignment(text: str) -> tuple[str, object]:
    """Name and value of ``NAME=VALUE``: a Python literal, or else the text itself."""
    name, equals, value = text.partition("=")
    if not equals:
        raise SystemExit(f"--yolo-set: expected NAME=VALUE, got {text!r}")
    try:
        return name, literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def measure(model: str, train: Train, images: int, seed: int) -> Point:
    """Train once."""
    began = time.process_time()
    ap = train(images, seed)
    return Point(model, images, seed, time.process_time() - began, ap)


def ours(variant: str, sets: Sequence[str], out: Path, dataset: Dataset) -> Train:
    """A variant with its default settings, except for `sets`."""

    def train(images: int, seed: int) -> float:
        settings = [f"train.budget.images={images}", f"seed={seed}", "threads=1", "workers=0", "device=cpu"]
        config = resolve(variant, data="shapes", sets=[f"data.train={TRAINING_IMAGES}", *settings, *sets])
        return float(run(config, out, dataset).result.headline["ap"])

    return train


def yolo(dataset: Dataset, folder: Path, changes: Mapping[str, object]) -> dict[str, Train]:
    """YOLO11n with random initial weights and Ultralytics' defaults except for `changes`. Empty where it is not installed."""
    folder.mkdir()
    os.environ.setdefault("YOLO_CONFIG_DIR", str(folder))
    try:
        from ultralytics import YOLO
        from ultralytics.utils import LOGGER
    except ImportError:
        print("Ultralytics is not installed in this environment: its rows are left out")
        return {}
    LOGGER.setLevel("ERROR")
    data = write_yolo(dataset, folder)
    test = dataset.splits["test"]

    def train(images: int, seed: int) -> float:
        if images % TRAINING_IMAGES:
            raise SystemExit(
                f"--images: Ultralytics trains whole epochs; give multiples of {TRAINING_IMAGES}"
            )
        model = YOLO("yolo11n.yaml")
        model.train(
            data=str(data),
            epochs=images // TRAINING_IMAGES,
            imgsz=SIDE,
            seed=seed,
            device="cpu",
            workers=0,
            cache="ram",
            val=False,
            plots=False,
            project=str(folder),
            name=f"{images}-{seed}",
            verbose=False,
            **changes,
        )
        return average_precision(test, YOLO(folder / f"{images}-{seed}" / "weights" / "last.pt"))

    return {"YOLO11n": train}


def write_yolo(dataset: Dataset, folder: Path) -> Path:
    """The training and validation images in Ultralytics' layout; returns the file that describes them."""
    for name in ("train", "val"):
        split = dataset.splits[name]
        truth = split.truth
        for kind in ("images", "labels"):
            (folder / kind / name).mkdir(parents=True)
        for index in range(len(split)):
            Image.fromarray(split.load(index)).save(folder / "images" / name / f"{index}.png")
            rows = (truth.image == index) & ~truth.ignored
            height, width = truth.catalog.sizes[index].tolist()
            boxes = truth.boxes[rows] / [width, height, width, height]
            centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
            table = np.column_stack([truth.label[rows], centers, sides])
            np.savetxt(folder / "labels" / name / f"{index}.txt", table, fmt="%d %f %f %f %f")
    classes = dataset.splits["train"].truth.catalog.classes
    lines = [f"path: {folder}", "train: images/train", "val: images/val", "names:"]
    file = folder / "data.yaml"
    file.write_text("\n".join([*lines, *(f"  {label}: {name}" for label, name in enumerate(classes))]))
    return file


def average_precision(test: Split, model: Any) -> float:
    """AP of a model of Ultralytics, with the limits of our variants: 100 detections with a score of at least .01."""
    found = [
        model.predict(
            np.ascontiguousarray(test.load(index)[..., ::-1]),  # it reads arrays as BGR
            imgsz=SIDE,
            conf=0.01,
            iou=0.7,
            max_det=100,
            device="cpu",
            verbose=False,
        )[0].boxes
        for index in range(len(test))
    ]
    detections = DetectionTable.from_images(
        test.truth.catalog,
        [boxes.xyxy.numpy().astype(float) for boxes in found],
        [boxes.conf.numpy().astype(float) for boxes in found],
        [boxes.cls.numpy().astype(int) for boxes in found],
    )
    return float(evaluate(test.truth, detections).value("ap"))


def draw(points: Sequence[Point], file: Path) -> None:
    """Draw AP against images and against processor seconds; lines join the means of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, field, label in zip(
        axes, ("images", "seconds"), ("training images", "processor seconds"), strict=True
    ):
        for model in dict.fromkeys(point.model for point in points):
            own = [point for point in points if point.model == model]
            groups = [
                [point for point in own if point.images == images]
                for images in sorted({p.images for p in own})
            ]
            means = [
                (np.mean([getattr(p, field) for p in group]), np.mean([p.ap for p in group]))
                for group in groups
            ]
            (line,) = axis.plot(*zip(*means, strict=True), marker="o", label=model)
            axis.plot(
                [getattr(p, field) for p in own], [p.ap for p in own], ".", color=line.get_color(), alpha=0.4
            )
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("AP")
    axes[0].legend()
    figure.savefig(file)


if __name__ == "__main__":
    main()
