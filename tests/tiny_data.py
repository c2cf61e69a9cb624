"""Tiny data sets: in memory, and written in each format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.types import Split
from metrics.tables import AnnotationTable, Catalog

Box = tuple[float, float, float, float]


@dataclass
class Picture:
    """One image of a written data set: a coloured rectangle in each xyxy box, of class ``label``."""

    name: str
    size: tuple[int, int] = (48, 64)
    objects: list[tuple[int, Box]] = field(default_factory=lambda: [(0, (8, 8, 32, 24))])

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3): each name has its own background, so that no two pictures have the same bytes."""
        shade = 40 + sum(self.name.encode()) % 150
        image = np.full((*self.size, 3), shade, dtype=np.uint8)
        image[0, 0] = [len(self.name) % 256, *self.name.rjust(2).encode()[-2:]]
        for label, (x0, y0, x1, y1) in self.objects:
            image[int(y0) : int(y1), int(x0) : int(x1), label % 3] = 255
        return image

    def save(self, folder: Path, suffix: str = ".png") -> Path:
        """Write the image and return its path."""
        path = folder / f"{self.name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self.pixels()).save(path)
        return path


CLASSES = ("cat", "dog")


def write_coco(
    file: Path, pictures: Sequence[Picture], images: Path | None = None, classes: Sequence[str] = CLASSES
) -> Path:
    """Write a COCO file, and its images beside it or in `images`; category ids count from 1."""
    folder = images or file.parent
    file.parent.mkdir(parents=True, exist_ok=True)
    rows, entries = [], []
    for k, picture in enumerate(pictures, start=1):
        path = picture.save(folder)
        height, width = picture.size
        entries.append({"id": k, "file_name": path.name, "width": width, "height": height})
        for label, (x0, y0, x1, y1) in picture.objects:
            row = {
                "id": len(rows) + 1,
                "image_id": k,
                "category_id": label + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
            }
            rows.append(row | {"area": (x1 - x0) * (y1 - y0), "iscrowd": 0})
    categories = [{"id": k, "name": name} for k, name in enumerate(classes, start=1)]
    file.write_text(json.dumps({"images": entries, "annotations": rows, "categories": categories}))
    return file


def write_voc(
    root: Path,
    pictures: Sequence[Picture],
    lists: dict[str, Sequence[str]] | None = None,
    classes: Sequence[str] = CLASSES,
) -> Path:
    """Write a Pascal VOC folder; boxes count pixels from 1 and include the last one."""
    for picture in pictures:
        path = picture.save(root / "JPEGImages")
        height, width = picture.size
        objects = "".join(
            f"<object><name>{escape(classes[label])}</name><difficult>0</difficult><bndbox>"
            f"<xmin>{x0 + 1:g}</xmin><ymin>{y0 + 1:g}</ymin><xmax>{x1:g}</xmax><ymax>{y1:g}</ymax>"
            f"</bndbox></object>"
            for label, (x0, y0, x1, y1) in picture.objects
        )
        text = (
            f"<annotation><filename>{escape(path.name)}</filename><size><width>{width}</width>"
            f"<height>{height}</height><depth>3</depth></size>{objects}</annotation>"
        )
        (root / "Annotations").mkdir(parents=True, exist_ok=True)
        (root / "Annotations" / f"{picture.name}.xml").write_text(text)
    for name, ids in (lists or {}).items():
        (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{i}\n" for i in ids))
    return root


def write_yolo(
    root: Path,
    parts: dict[str, Sequence[Picture]],
    classes: Sequence[str] = CLASSES,
    folder: str = "images/{}",
) -> Path:
    """Write a YOLO folder with data.yaml, images in ``images/<split>`` and labels in ``labels/<split>``."""
    lines = ["path: ."]
    for name, pictures in parts.items():
        images = root / folder.format(name)
        labels = root / folder.format(name).replace("images", "labels")
        labels.mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            picture.save(images)
            height, width = picture.size
            rows = [
                f"{label} {(x0 + x1) / 2 / width:.8f} {(y0 + y1) / 2 / height:.8f} "
                f"{(x1 - x0) / width:.8f} {(y1 - y0) / height:.8f}\n"
                for label, (x0, y0, x1, y1) in picture.objects
            ]
            (labels / f"{picture.name}.txt").write_text("".join(rows))
        lines.append(f"{name}: {folder.format(name)}")
    lines.append("names: [" + ", ".join(classes) + "]")
    (root / "data.yaml").write_text("\n".join(lines) + "\n")
    return root / "data.yaml"


def pictures(count: int, start: int = 0) -> list[Picture]:
    """Pictures named by number, with the two classes alternating."""
    return [Picture(f"img{k:03d}", objects=[(k % 2, (8, 8, 32, 24))]) for k in range(start, start + count)]


def split_of(
    images: Sequence[NDArray[np.uint8]],
    objects: Sequence[Sequence[tuple[int, Box]]],
    crowd: Sequence[bool] | None = None,
    ignored: Sequence[bool] | None = None,
    classes: Sequence[str] = CLASSES,
) -> Split:
    """A split in memory from images and, for each image, its objects (label, xyxy)."""
    rows = [(k, label, *box) for k, of_image in enumerate(objects) for label, box in of_image]
    table = np.array(rows, dtype=np.float64).reshape(-1, 6)
    xywh = table[:, 2:].copy()
    xywh[:, 2:] -= xywh[:, :2]
    catalog = Catalog.of(range(len(images)), classes, [image.shape[:2] for image in images])
    truth = AnnotationTable.of(
        catalog,
        table[:, 0].astype(np.int32),
        table[:, 1].astype(np.int32),
        xywh,
        crowd=None if crowd is None else np.array(crowd),
        ignored=None if ignored is None else np.array(ignored),
    )
    return Split("train", truth, images.__getitem__, truth.fingerprint, in_memory=True)
