"""Detections as libraries return and write them: JSON with arrays or objects, tables, results of COCO."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_data import CLASSES, Picture

from layouts.registry import Found, centre, detections, relative, write_json, write_text, xywh


@detections("coco_results")
def coco(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """COCO results with ids of the ground truth."""
    of = {picture.name: k for k, picture in enumerate(pictures, 1)}
    rows = [
        {"image_id": of[e.picture.name], "category_id": e.label + 1, "bbox": xywh(e.box), "score": e.score}
        for e in found
    ]
    return write_json(root / "results.bbox.json", rows)


def _by_picture(pictures: Sequence[Picture], found: Sequence[Found]) -> dict[str, list[Found]]:
    return {picture.name: [e for e in found if e.picture is picture] for picture in pictures}


@detections("torchvision_by_image")
def torchvision(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Torchvision's dict of each image, by file name."""
    document = {
        f"{name}.png": {
            "boxes": [list(e.box) for e in of],
            "labels": [e.label + 1 for e in of],
            "scores": [e.score for e in of],
        }
        for name, of in _by_picture(pictures, found).items()
    }
    return write_json(root / "outputs.json", document)


@detections("torchvision_list")
def torchvision_list(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Torchvision's dicts with the image's id beside them."""
    document = [
        {
            "image_id": k,
            "boxes": [list(e.box) for e in of],
            "labels": [e.label + 1 for e in of],
            "scores": [e.score for e in of],
        }
        for k, of in enumerate(_by_picture(pictures, found).values(), 1)
    ]
    return write_json(root / "outputs.json", document)


@detections("tensorflow_object_detection")
def tensorflow(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """TensorFlow's Object Detection API: y before x in fractions, classes from 1, filled with zeros."""
    document = {
        f"{name}.png": {
            "detection_scores": [e.score for e in of] + [0],
            "detection_boxes": [[y0, x0, y1, x1] for x0, y0, x1, y1 in boxes] + [[0, 0, 0, 0]],
            "detection_classes": [float(e.label + 1) for e in of] + [1.0],
            "num_detections": float(len(of)),
        }
        for name, of in _by_picture(pictures, found).items()
        for boxes in [[relative(e.box, e.picture) for e in of]]
    }
    return write_json(root / "outputs.json", document)


@detections("transformers_pipeline")
def transformers(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """The pipeline of Transformers, by file name."""
    document = {
        f"{name}.png": [
            {
                "score": e.score,
                "label": CLASSES[e.label],
                "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), e.box, strict=True)),
            }
            for e in of
        ]
        for name, of in _by_picture(pictures, found).items()
    }
    return write_json(root / "outputs.json", document)


@detections("mmdetection_preds")
def mmdetection(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """``DetInferencer(out_dir=...)``: a file per image in ``preds``, labels from 0."""
    for name, of in _by_picture(pictures, found).items():
        document = {
            "labels": [e.label for e in of],
            "scores": [e.score for e in of],
            "bboxes": [list(e.box) for e in of],
        }
        write_json(root / "preds" / f"{name}.json", document)
    return root


@detections("ultralytics_to_json")
def ultralytics_json(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """``result.to_json()`` of each image."""
    for name, of in _by_picture(pictures, found).items():
        document = [
            {
                "name": CLASSES[e.label],
                "class": e.label,
                "confidence": e.score,
                "box": dict(zip(("x1", "y1", "x2", "y2"), e.box, strict=True)),
            }
            for e in of
        ]
        write_json(root / f"{name}.json", document)
    return root


@detections("roboflow_inference")
def roboflow(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Roboflow's answer for each image, whose x and y are the centre."""
    document: dict[str, Any] = {}
    for name, of in _by_picture(pictures, found).items():
        rows = []
        for e in of:
            x, y, w, h = centre(e.box, e.picture)
            height, width = e.picture.size
            rows.append(
                {"x": x * width, "y": y * height, "width": w * width, "height": h * height}
                | {"confidence": e.score, "class": CLASSES[e.label], "class_id": e.label}
            )
        document[f"{name}.png"] = {"predictions": rows, "image": {"width": 64, "height": 48}}
    return write_json(root / "answers.json", document)


@detections("crowdhuman_results")
def crowdhuman(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """CrowdDet's dump: a line per image, classes from 1."""
    lines = [
        {
            "ID": name,
            "dtboxes": [{"box": xywh(e.box), "score": e.score, "tag": e.label + 1} for e in of],
        }
        for name, of in _by_picture(pictures, found).items()
    ]
    return write_text(
        root / "dump.odgt", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    )


@detections("darknet_result_json")
def darknet(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """``detector test -out result.json``."""
    frames = []
    for k, (name, of) in enumerate(_by_picture(pictures, found).items(), 1):
        objects = []
        for e in of:
            coordinates = dict(
                zip(("center_x", "center_y", "width", "height"), centre(e.box, e.picture), strict=True)
            )
            objects.append(
                {
                    "class_id": e.label,
                    "name": CLASSES[e.label],
                    "relative_coordinates": coordinates,
                    "confidence": e.score,
                }
            )
        frames.append({"frame_id": k, "filename": f"data/images/{name}.png", "objects": objects})
    return write_json(root / "result.json", frames)


@detections("scalabel")
def scalabel(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """BDD100K's results."""
    frames = [
        {
            "name": f"{name}.png",
            "labels": [
                {
                    "category": CLASSES[e.label],
                    "score": e.score,
                    "box2d": dict(zip(("x1", "y1", "x2", "y2"), e.box, strict=True)),
                }
                for e in of
            ],
        }
        for name, of in _by_picture(pictures, found).items()
    ]
    return write_json(root / "det.json", frames)


@detections("fiftyone_dataset")
def fiftyone(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """A FiftyOneDataset with ground truth and predictions, whose folder is given."""
    samples = []
    for name, of in _by_picture(pictures, found).items():
        rows = []
        for e in of:
            x0, y0, x1, y1 = relative(e.box, e.picture)
            rows.append(
                {"_cls": "Detection", "label": CLASSES[e.label], "bounding_box": [x0, y0, x1 - x0, y1 - y0]}
                | {"confidence": e.score, "attributes": {}, "tags": []}
            )
        truth = [{"_cls": "Detection", "label": "cat", "bounding_box": [0, 0, 0.5, 0.5]}]
        samples.append(
            {
                "filepath": f"data/{name}.png",
                "metadata": None,
                "ground_truth": {"_cls": "Detections", "detections": truth},
                "predictions": {"_cls": "Detections", "detections": rows},
            }
        )
    write_json(root / "metadata.json", {"name": "x", "media_type": "image"})
    write_json(root / "samples.json", {"samples": samples})
    return root


def _sink(found: Sequence[Found]) -> list[dict[str, str]]:
    return [
        dict(zip(("x_min", "y_min", "x_max", "y_max"), map(str, e.box), strict=True))
        | {"class_id": str(e.label), "confidence": str(e.score), "tracker_id": ""}
        | {"file_name": f"{e.picture.name}.png", "class_name": CLASSES[e.label]}
        for e in found
    ]


@detections("supervision_csv")
def supervision_csv(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """``CSVSink`` with the file name as custom data, and the class name of the detections' data."""
    rows = _sink(found)
    with (root / "out.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return root / "out.csv"


@detections("supervision_json")
def supervision_json(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """``JSONSink`` with the same."""
    rows = [
        row | {"class_id": int(row["class_id"]), "confidence": float(row["confidence"])}
        for row in _sink(found)
    ]
    return write_json(root / "out.json", rows)


@detections("open_images_csv")
def open_images(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Open Images' columns in fractions, with codes of classes and their descriptions."""
    with (root / "found.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("ImageID", "LabelName", "Score", "XMin", "XMax", "YMin", "YMax"))
        for e in found:
            x0, y0, x1, y1 = relative(e.box, e.picture)
            writer.writerow((e.picture.name, f"/m/0{e.label}", e.score, x0, x1, y0, y1))
    (root / "class-descriptions-boxable.csv").write_text("/m/00,cat\n/m/01,dog\n")
    return root / "found.csv"


@detections("yolov5_pandas_csv")
def pandas_csv(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """``results.pandas().xyxy`` with the image: the class is an index, its name another column."""
    with (root / "found.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "xmin", "ymin", "xmax", "ymax", "confidence", "class", "name"))
        for e in found:
            writer.writerow((f"{e.picture.name}.png", *e.box, e.score, e.label, CLASSES[e.label]))
    return root / "found.csv"
