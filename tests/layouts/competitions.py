"""Detections of competitions and of MegaDetector, and ground truth of a competition."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from tiny_data import CLASSES, Picture

from layouts.registry import Found, Scene, detections, relative, truth, write_json, write_text, xywh


def _by_picture(pictures: Sequence[Picture], found: Sequence[Found]) -> dict[str, list[Found]]:
    return {picture.name: [each for each in found if each.picture is picture] for picture in pictures}


@detections("megadetector")
def megadetector(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Boxes in fractions; categories are numbers as text, with names of their own."""
    images = []
    for name, of in _by_picture(pictures, found).items():
        rows = []
        for e in of:
            x0, y0, x1, y1 = relative(e.box, e.picture)
            rows.append({"category": str(2 - e.label), "conf": e.score, "bbox": [x0, y0, x1 - x0, y1 - y0]})
        images.append({"file": f"cam/{name}.png", "detections": rows})
    names = {str(2 - label): name for label, name in enumerate(CLASSES)}
    return write_json(root / "md.json", {"info": {}, "detection_categories": names, "images": images})


def _submission(root: Path, rows: Sequence[tuple[str, str]]) -> Path:
    file = root / "submission.csv"
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("ImageId", "PredictionString"), *rows])
    return file


@detections("prediction_string_names")
def names(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Open Images on Kaggle: names and fractions."""
    texts = {
        name: " ".join(
            f"{CLASSES[e.label]} {e.score} " + " ".join(map(repr, relative(e.box, e.picture))) for e in of
        )
        for name, of in _by_picture(pictures, found).items()
    }
    return _submission(root, list(texts.items()))


@detections("prediction_string_indices")
def indices(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """VinBigData: class indices and pixels."""
    texts = {
        name: " ".join(f"{e.label} {e.score} " + " ".join(f"{v:g}" for v in e.box) for e in of)
        for name, of in _by_picture(pictures, found).items()
    }
    return _submission(root, list(texts.items()))


@detections("detectron2_class_files")
def class_files(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Detectron2's evaluator of VOC: a file per class, pixels counted from 1."""
    for label, name in enumerate(CLASSES):
        lines = [
            f"{e.picture.name} {e.score} {e.box[0] + 1:g} {e.box[1] + 1:g} {e.box[2]:g} {e.box[3]:g}\n"
            for e in found
            if e.label == label
        ]
        write_text(root / f"{name}.txt", "".join(lines))
    return root


@detections("dota_task1")
def dota(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """DOTA's first task: a file per class with the four corners of each box."""
    for label, name in enumerate(CLASSES):
        lines = []
        for e in found:
            x, y, w, h = xywh(e.box)
            corners = (x, y, x + w, y, x + w, y + h, x, y + h)
            lines += (
                [f"{e.picture.name} {e.score} {' '.join(map(str, corners))}\n"] if e.label == label else []
            )
        write_text(root / f"Task1_{name}.txt", "".join(lines))
    return root


@detections("visdrone_results")
def visdrone(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """VisDrone-DET: a file per image, categories from 1; an image without detections has an empty file."""
    for name, of in _by_picture(pictures, found).items():
        lines = [[*xywh(e.box), e.score, e.label + 1, -1, -1] for e in of]
        write_text(root / f"{name}.txt", "".join(",".join(map(str, line)) + "\n" for line in lines))
    return root


@detections("ilsvrc_submission")
def ilsvrc(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """ILSVRC's detection task: one file, class numbers from 1, pixels counted from 1."""
    lines = [
        f"{e.picture.name} {e.label + 1} {e.score} {e.box[0] + 1:g} {e.box[1] + 1:g} {e.box[2]:g} {e.box[3]:g}\n"
        for e in found
    ]
    return write_text(root / "submission.txt", "".join(lines))


@truth("rsna_pneumonia", "box_csv", renamed={"cat": "object", "dog": "object"})
def rsna(root: Path, scene: Scene) -> None:
    """RSNA's pneumonia detection: images without a finding have a row without a box."""
    lines = ["patientId,x,y,width,height,Target"]
    for picture in scene.pictures:
        picture.save(root / "stage_2_train_images")
        lines += [f"{picture.name},{','.join(map(str, xywh(box)))},1" for _, box in picture.objects]
        lines += [f"{picture.name},,,,,0"] * (not picture.objects)
    write_text(root / "stage_2_train_labels.csv", "\n".join(lines) + "\n")


@truth("gwhd_2021", "boxes_string", splits=True, renamed={"cat": "wheat head", "dog": "wheat head"})
def gwhd(root: Path, scene: Scene) -> None:
    """Global Wheat Head Dataset 2021: the boxes of an image in one text, and ``no_box``."""
    for split, of in scene.splits.items():
        lines = ["image_name,BoxesString,domain"]
        for picture in of:
            picture.save(root / "images")
            boxes = ";".join(" ".join(str(round(side)) for side in box) for _, box in picture.objects)
            lines.append(f"{picture.name}.png,{boxes or 'no_box'},Arvalis_1")
        write_text(root / f"competition_{split}.csv", "\n".join(lines) + "\n")
