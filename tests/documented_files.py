"""Files that documented commands and code name: data sets, detections, label maps, folders of benchmarks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_data import Picture, write_voc


def some_pictures() -> list[Picture]:
    """24 pictures with one to three rectangles each, of two classes."""
    rng = np.random.default_rng(0)
    made = []
    for image_id in range(1, 25):
        objects = []
        for _ in range(rng.integers(1, 4)):
            x, y, width, height = (int(v) for v in (*rng.integers(0, (40, 28)), *rng.integers(10, 20, 2)))
            objects.append((int(rng.integers(2)), (x, y, x + width, y + height)))
        made.append(Picture(f"{image_id:06}", objects=objects))
    return made


def write_devkit(folder: Path, made: list[Picture], truth: dict, results: list[dict]) -> None:
    """The pictures as ``VOCdevkit/VOC2007`` with a list ``test``, and the detections as Pascal VOC's result files."""
    write_voc(folder / "VOCdevkit" / "VOC2007", made, {"test": [picture.name for picture in made]})
    (folder / "results").mkdir()
    stems = {image["id"]: Path(image["file_name"]).stem for image in truth["images"]}
    for category in truth["categories"]:
        lines = [
            f"{stems[row['image_id']]} {row['score']:.6f} {x + 1:.6f} {y + 1:.6f} {x + w:.6f} {y + h:.6f}"
            for row in results
            if row["category_id"] == category["id"]
            for x, y, w, h in [row["bbox"]]
        ]
        (folder / "results" / f"comp4_det_test_{category['name']}.txt").write_text("\n".join(lines))


def write_label_maps(folder: Path) -> None:
    """Two folders of label maps of three classes."""
    rng = np.random.default_rng(2)
    for name in ("label_maps", "found_maps"):
        (folder / name).mkdir()
        for image in ("a", "b"):
            Image.fromarray(rng.integers(0, 3, (8, 8), dtype=np.uint8)).save(folder / name / f"{image}.png")


def write_benchmarks(folder: Path) -> None:
    """One image with an object and a detection as KITTI, CrowdHuman and Open Images write them."""
    line = "Car 0.00 0 -10 10.00 10.00 60.00 70.00 -1 -1 -1 -1000 -1000 -1000 -10"
    for name, text in (("training/label_2", line), ("results", f"{line} 0.9")):
        (folder / "kitti" / name).mkdir(parents=True)
        (folder / "kitti" / name / "000000.txt").write_text(text + "\n")
    sides = {"ID": "1,a", "width": 100, "height": 100}
    person = {"tag": "person", "fbox": [10, 10, 30, 60]}
    found = {"tag": 1, "box": [10, 10, 30, 60], "score": 0.9}
    (folder / "open_images").mkdir()
    boxes = {"ImageID": "a", "LabelName": "Owl", "XMin": "0.1", "XMax": "0.5", "YMin": "0.1", "YMax": "0.5"}
    for name, columns in (
        ("open_images/boxes.csv", boxes | {"IsGroupOf": "0"}),
        ("open_images/imagelabels.csv", {"ImageID": "a", "LabelName": "Owl", "Confidence": "1"}),
        ("found.csv", boxes | {"Score": "0.9"}),
    ):
        (folder / name).write_text(f"{','.join(columns)}\n{','.join(columns.values())}\n")
    (folder / "annotation_val.odgt").write_text(json.dumps(sides | {"gtboxes": [person]}))
    (folder / "results.odgt").write_text(json.dumps(sides | {"dtboxes": [found]}))


def write_table(coco: Path, folder: Path) -> None:
    """The same images and boxes as a CSV file of boxes beside the images."""
    document = json.loads((coco / "annotations.json").read_text())
    shutil.copytree(coco / "images", folder)
    names = {image["id"]: image["file_name"] for image in document["images"]}
    classes = {category["id"]: category["name"] for category in document["categories"]}
    lines = ["image_id,class,x,y,w,h"]
    for row in document["annotations"]:
        lines.append(",".join(map(str, (names[row["image_id"]], classes[row["category_id"]], *row["bbox"]))))
    (folder / "boxes.csv").write_text("\n".join(lines))


def perturbed(truth: dict) -> list[dict]:
    """Detections near the ground truth, with distinct scores."""
    rng = np.random.default_rng(1)
    rows = truth["annotations"]
    return [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "bbox": [
                float(value + shift) for value, shift in zip(row["bbox"], rng.normal(0, 1, 4), strict=True)
            ],
            "score": float(score),
        }
        for row, score in zip(rows, rng.permutation(len(rows)) / len(rows), strict=True)
    ]
