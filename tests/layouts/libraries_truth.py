"""Ground truth as libraries and services write it: supervision, Ultralytics, TensorFlow, keras-retinanet, clouds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tiny_data import write_coco, write_voc, write_yolo

from layouts.registry import Scene, centre, relative, truth, write_json, write_lines, write_text, xywh

_USES = {"train": "TRAIN", "val": "VALIDATION", "test": "TEST"}


@truth("supervision_yolo", "yolo", tolerance=1e-3)
def supervision_yolo(root: Path, scene: Scene) -> None:
    """``as_yolo``: ``data.yaml`` with names only."""
    for picture in scene.pictures:
        picture.save(root / "images")
        lines = [(label, *(f"{v:.5f}" for v in centre(box, picture))) for label, box in picture.objects]
        write_lines(root / "labels" / f"{picture.name}.txt", lines)
    write_text(root / "data.yaml", f"names: {list(scene.classes)}\nnc: {len(scene.classes)}\n")


@truth("supervision_coco", "coco")
def supervision_coco(root: Path, scene: Scene) -> None:
    """``as_coco``: class ids from 0."""
    file = write_coco(root / "annotations.json", scene.pictures, root / "images", scene.classes)
    document = json.loads(file.read_text())
    for row in [*document["categories"]]:
        row |= {"id": row["id"] - 1, "supercategory": "common-objects"}
    for row in document["annotations"]:
        row["category_id"] -= 1
    write_json(file, document)


@truth("supervision_voc", "voc")
def supervision_voc(root: Path, scene: Scene) -> None:
    """``as_pascal_voc``: ``annotations`` and ``images``."""
    write_voc(root, scene.pictures, classes=scene.classes)
    (root / "JPEGImages").rename(root / "images")
    (root / "Annotations").rename(root / "annotations")


@truth("ultralytics_detect", "yolo", splits=True)
def ultralytics(root: Path, scene: Scene) -> None:
    """Folders of splits, of which one is a list of folders."""
    write_yolo(root, dict(scene.splits), scene.classes)
    write_text(
        root / "data.yaml",
        "path: ../datasets/pets\ntrain:\n  - images/train\nval: images/val\ntest: images/test\nnames:\n"
        + "".join(f"  {k}: {name}\n" for k, name in enumerate(scene.classes)),
    )


@truth("ultralytics_lists", "yolo", splits=True)
def ultralytics_lists(root: Path, scene: Scene) -> None:
    """Lists of images with ``./``, as ``autosplit`` writes them."""
    write_yolo(root, {"all": scene.pictures}, scene.classes)
    for split, of in scene.splits.items():
        write_text(root / f"autosplit_{split}.txt", "".join(f"./images/all/{p.name}.png\n" for p in of))
    names = "".join(f"  {k}: {name}\n" for k, name in enumerate(scene.classes))
    lists = "".join(f"{split}: autosplit_{split}.txt\n" for split in scene.splits)
    write_text(root / "data.yaml", f"path: .\n{lists}names:\n{names}")


@truth("tensorflow_csv", "tensorflow_csv", splits=True, empty=False)
def tensorflow(root: Path, scene: Scene) -> None:
    """``train_labels.csv``, ``val_labels.csv`` and ``test_labels.csv`` of ``xml_to_csv.py``, images together."""
    for split, of in scene.splits.items():
        lines: list[list[object]] = [["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]]
        for picture in of:
            picture.save(root / "images")
            lines += [
                [f"{picture.name}.png", 64, 48, scene.classes[label], *box] for label, box in picture.objects
            ]
        write_lines(root / f"{split}_labels.csv", lines, ",")


@truth("keras_retinanet", "retinanet_csv", splits=True)
def retinanet(root: Path, scene: Scene) -> None:
    """keras-retinanet: absolute paths; an image without objects has a line of commas."""
    for split, of in scene.splits.items():
        lines: list[list[object]] = []
        for picture in of:
            picture.save(root / "shots")
            path = f"/home/me/shots/{picture.name}.png"
            lines += [[path, *map(round, box), scene.classes[label]] for label, box in picture.objects] or [
                [path, *[""] * 5]
            ]
        write_lines(root / f"{split}.csv", lines, ",")


@truth("vertex_ai_csv", "vertex_ai", splits=True)
def vertex(root: Path, scene: Scene) -> None:
    """Vertex AI's CSV: two or four corners."""
    with (root / "import.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for split, of in scene.splits.items():
            for picture in of:
                picture.save(root / "images")
                url = f"gs://bucket/pets/{picture.name}.png"
                if not picture.objects:
                    writer.writerow((_USES[split], url, *[""] * 9))
                for k, (label, box) in enumerate(picture.objects):
                    x0, y0, x1, y1 = relative(box, picture)
                    corners = (x0, y0, "", "", x1, y1, "", "") if k == 0 else (x0, y0, x1, y0, x1, y1, x0, y1)
                    writer.writerow((_USES[split], url, scene.classes[label], *corners))


@truth("vertex_ai_jsonl", "vertex_ai", splits=True)
def vertex_jsonl(root: Path, scene: Scene) -> None:
    """Vertex AI's JSON lines."""
    uses = {"train": "training", "val": "validation", "test": "test"}
    rows = []
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "images")
            boxes = [
                {"displayName": scene.classes[label]}
                | dict(zip(("xMin", "yMin", "xMax", "yMax"), relative(box, picture), strict=True))
                for label, box in picture.objects
            ]
            use = {"aiplatform.googleapis.com/ml_use": uses[split]}
            row = {"imageGcsUri": f"gs://bucket/{picture.name}.png", "boundingBoxAnnotations": boxes}
            rows.append(json.dumps(row | {"dataItemResourceLabels": use}))
    write_text(root / "import.jsonl", "\n".join(rows) + "\n")


@truth("sagemaker", "sagemaker", splits=True)
def sagemaker(root: Path, scene: Scene) -> None:
    """SageMaker Ground Truth: a manifest per split."""
    for split, of in scene.splits.items():
        rows = []
        for picture in of:
            picture.save(root / "images")
            boxes = [
                dict(zip(("left", "top", "width", "height"), xywh(box), strict=True)) | {"class_id": label}
                for label, box in picture.objects
            ]
            names = {str(k): name for k, name in enumerate(scene.classes)}
            rows.append(
                json.dumps(
                    {
                        "source-ref": f"s3://bucket/pets/{picture.name}.png",
                        "job": {
                            "image_size": [{"width": 64, "height": 48, "depth": 3}],
                            "annotations": boxes,
                        },
                        "job-metadata": {"class-map": names, "type": "groundtruth/object-detection"},
                    }
                )
            )
        write_text(root / f"{split}.manifest", "\n".join(rows) + "\n")


@truth("azure_ml", "azure_ml", splits=True)
def azure(root: Path, scene: Scene) -> None:
    """Azure ML's JSON lines for each split."""
    names = {"train": "train", "val": "validation", "test": "test"}
    for split, of in scene.splits.items():
        rows = []
        for picture in of:
            picture.save(root / "images")
            labels = [
                {"label": scene.classes[label], "isCrowd": "false"}
                | dict(zip(("topX", "topY", "bottomX", "bottomY"), relative(box, picture), strict=True))
                for label, box in picture.objects
            ]
            url = f"azureml://subscriptions/1/datastores/d/paths/pets/{picture.name}.png"
            size = {"format": "png", "width": "64px", "height": "48px"}
            rows.append(json.dumps({"image_url": url, "image_details": size, "label": labels}))
        write_text(root / f"{names[split]}_annotations.jsonl", "\n".join(rows) + "\n")
