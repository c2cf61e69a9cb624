"""Runs to draw before anything was trained: truth from a seed, and detections that are truth gone wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metrics.tables import AnnotationTable, Catalog, DetectionTable
from reports.records.run import Budget, DataFacts, Environment, RunFolder, RunResult, save_result

SIZE = (240, 320)
COLOURS = np.array(
    [[214, 69, 65], [65, 131, 215], [245, 171, 53], [38, 166, 91], [142, 68, 173], [90, 90, 100]]
)


def run_in_memory(truth: AnnotationTable, detections: DetectionTable) -> RunFolder:
    """A run that is not on disk."""
    facts = DataFacts(name="d", format="f", split="test", fingerprint="", images=1, objects=1, classes=1)
    return RunFolder(Path(), RunResult(name="r", variant="v", data=facts), truth, detections)


def truth_of(images: int, classes: Sequence[str], seed: int = 0, most: int = 9) -> AnnotationTable:
    """Boxes of all sizes, class k half as often as class k - 1; every eighth image is empty, some objects ignored."""
    rng = np.random.default_rng(seed)
    names = [f"scene_{at:03d}.jpg" for at in range(images)]
    builder = AnnotationTable.builder(
        Catalog.of(range(1, images + 1), classes, np.tile(SIZE, (images, 1)), file_names=names)
    )
    share = 0.6 ** np.arange(len(classes))
    for image in range(1, images + 1):
        count = 0 if image % 8 == 0 else int(rng.integers(1, most + 1))
        side = np.exp(rng.uniform(np.log(12), np.log(130), (count, 2)))
        corner = rng.uniform(0, np.maximum(1, np.array(SIZE[::-1]) - side))
        boxes = np.round(np.c_[corner, np.minimum(corner + side, SIZE[::-1])], 1)
        labels = rng.choice(len(classes), count, p=share / share.sum())
        builder.add(image, boxes, labels, ignored=rng.random(count) < 0.04)
    return builder.build()


def found_in(truth: AnnotationTable, skill: float, seed: int) -> DetectionTable:
    """Jittered truth with misses, confusions, duplicates and background; better with `skill` in [0, 1]."""
    rng = np.random.default_rng([seed, round(1000 * skill)])
    catalog, width = truth.catalog, len(truth.catalog.classes)
    builder = DetectionTable.builder(catalog)
    for at, image in enumerate(catalog.image_ids):
        rows = np.flatnonzero(truth.image == at)
        side = truth.xywh[rows, 2:]
        easy = np.clip(np.sqrt(side.prod(1)) / 70, 0.35, 1.0)
        kept = rng.random(len(rows)) < 1 - (1 - skill) * (1.5 - easy)
        rows, side, easy = rows[kept], side[kept], easy[kept]
        noise = (
            rng.normal(0, 0.16 * (1.15 - skill) / easy[:, None] ** 0.5, (len(rows), 4)) * np.c_[side, side]
        )
        boxes = truth.boxes[rows] + noise
        labels = np.where(
            rng.random(len(rows)) < 0.12 * (1.2 - skill), rng.integers(0, width, len(rows)), truth.label[rows]
        )
        scores = np.clip(rng.normal(0.45 + 0.4 * skill * easy, 0.14), 0.06, 0.99)
        twice = rng.random(len(rows)) < 0.25 * (1 - skill)
        extra = int(rng.poisson(3.5 * (1.1 - skill)))
        corner = rng.uniform(0, 200, (extra, 2))
        background = np.c_[corner, corner + rng.uniform(10, 110, (extra, 2))]
        boxes = np.r_[boxes, boxes[twice] + rng.normal(0, 4, (int(twice.sum()), 4)), background]
        boxes = np.c_[np.minimum(boxes[:, :2], boxes[:, 2:] - 2), boxes[:, 2:]].round(1)
        labels = np.r_[labels, labels[twice], rng.integers(0, width, extra)]
        scores = np.r_[scores, scores[twice] * 0.7, rng.beta(1.6, 5, extra)].round(4)
        builder.add(image, boxes, scores, labels)
    return builder.build()


def picture(truth: AnnotationTable, image_id: Any) -> NDArray[np.uint8]:
    """(240, 320, 3): a soft ground with the image's objects as coloured ellipses."""
    at = truth.catalog.image_ids.index(image_id)
    rng = np.random.default_rng(at)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    ground = 205 + 25 * np.sin(x / 37 + at) * np.cos(y / 29 - at)
    pixels = np.stack([ground, ground - 6, ground - 16], -1) + rng.normal(0, 4, (*SIZE, 1))
    for row in np.flatnonzero(truth.image == at):
        left, top, width, height = truth.xywh[row]
        far = ((x + 0.5 - left - width / 2) / (width / 2)) ** 2 + (
            (y + 0.5 - top - height / 2) / (height / 2)
        ) ** 2
        shade = np.clip(1.15 - 0.35 * far, 0, 1.2)[..., None]
        pixels = np.where((far < 1)[..., None], COLOURS[truth.label[row] % len(COLOURS)] * shade, pixels)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def history_of(skill: float, epochs: int, seed: int) -> pd.DataFrame:
    """A loss that falls and a validation AP that rises, both with noise."""
    rng = np.random.default_rng([seed, 7])
    epoch = np.arange(1, epochs + 1)
    box = 1.1 * np.exp(-epoch / (6 * skill)) + 0.25 + rng.normal(0, 0.02, epochs)
    kind = 1.6 * np.exp(-epoch / (5 * skill)) + 0.3 + rng.normal(0, 0.03, epochs)
    ap = skill * 0.75 * (1 - np.exp(-epoch / 5)) + rng.normal(0, 0.01, epochs)
    rate = 0.01 * (1 + np.cos(np.pi * epoch / epochs)) / 2
    return pd.DataFrame(
        {"epoch": epoch, "loss": box + kind, "loss_box": box, "loss_class": kind, "lr": rate, "val_ap": ap}
    )


def run_in(
    folder: Path,
    truth: AnnotationTable,
    variant: str,
    skill: float,
    seed: int = 0,
    found: DetectionTable | None = None,
    **changes: Any,
) -> RunFolder:
    """A whole run folder of such detections; `changes` go to its `RunResult`."""
    from metrics.evaluator import evaluate

    found = found_in(truth, skill, seed) if found is None else found
    epochs = 20
    started = datetime(2026, 3, 1, 14, 5, tzinfo=UTC)
    about: dict[str, Any] = {
        "name": f"{variant}-cells-{seed}",
        "variant": variant,
        "variant_source": "Somebody et al. 2020, arXiv:2000.00000",
        "data": DataFacts(
            name="cells", format="coco", split="test", fingerprint=truth.fingerprint,
            images=len(truth.catalog.image_ids), objects=len(truth), classes=len(truth.catalog.classes),
            notes=("2 boxes of zero width were left out of training",),
        ),
        "seed": seed,
        "config": {
            "seed": seed,
            "image": {"size": [240, 320], "resize": "letterbox"},
            "train": {"epochs": epochs, "lr": 0.01, "batch": 8},
            "nms": {"iou": 0.45 if variant == "ssd" else 0.6, "score": 0.05},
            "backbone": {"name": "mb_tiny", "weights": "/home/alice/weights/mb_tiny.safetensors"},
        },
        "budget": Budget(
            epochs=epochs, images_seen=400 * epochs, train_seconds=52.0 + 60 * skill, total_seconds=70.0 + 60 * skill,
            parameters=round(1.2e6 * (1 + skill)),
        ),
        "headline": evaluate(truth, found).headline,
        "environment": Environment(
            python="3.11.7", packages={"detbench": "0.1.0", "torch": "2.10.0", "numpy": "2.4.0"}, platform="Linux x86_64",
            device="cpu", cpu="Some CPU @ 2.5 GHz", threads=2, commit="0123456789abcdef", dirty=False,
        ),
        "command": f"python -m bench run --variant {variant} --seed {seed} --data /home/alice/cells",
        "started": started,
        "finished": started + timedelta(seconds=70 + 60 * skill),
    }  # fmt: skip
    result = RunResult.model_validate(about | changes)
    return save_result(
        folder / result.name.replace("/", "_"), result, truth, found, history_of(skill, epochs, seed)
    )


def comparison_in(
    folder: Path, images: int = 40, seeds: int = 2, classes: Sequence[str] = ("round", "long", "odd")
) -> list[RunFolder]:
    """Three variants of different skill, each under `seeds` seeds, on the same truth."""
    truth = truth_of(images, classes)
    skills = {"ssd": 0.62, "retinanet": 0.78, "fcos": 0.76}
    return [
        run_in(folder, truth, name, skill, seed) for name, skill in skills.items() for seed in range(seeds)
    ]
