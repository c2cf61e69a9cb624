"""Roboflow's exports, as from the web page and from its library."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from tiny_data import Picture

from layouts.registry import Scene, centre, truth, write_json, write_lines, write_text, xywh

_FOLDERS = {"train": "train", "val": "valid", "test": "test"}


def _folders(root: Path, scene: Scene, images: str = "") -> Iterator[tuple[Path, list[Picture]]]:
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / _FOLDERS[split] / images)
        yield root / _FOLDERS[split], list(of)


@truth("roboflow_coco", "coco", splits=True)
def coco(root: Path, scene: Scene) -> None:
    """COCO with a root category 0 that has no objects."""
    for folder, of in _folders(root, scene):
        rows = [(k, label, box) for k, picture in enumerate(of) for label, box in picture.objects]
        annotations = [
            {
                "id": n,
                "image_id": k,
                "category_id": label + 1,
                "bbox": xywh(box),
                "iscrowd": 0,
                "segmentation": [],
            }
            | {"area": xywh(box)[2] * xywh(box)[3]}
            for n, (k, label, box) in enumerate(rows)
        ]
        images = [
            {"id": k, "license": 1, "file_name": f"{p.name}.png", "height": 48, "width": 64}
            for k, p in enumerate(of)
        ]
        categories = [
            {"id": 0, "name": "pets", "supercategory": "none"},
            *({"id": k, "name": name, "supercategory": "pets"} for k, name in enumerate(scene.classes, 1)),
        ]
        write_json(
            folder / "_annotations.coco.json",
            {
                "info": {},
                "licenses": [],
                "categories": categories,
                "images": images,
                "annotations": annotations,
            },
        )


def _yolo(root: Path, scene: Scene, yaml: str) -> None:
    for folder, of in _folders(root, scene, "images"):
        for picture in of:
            lines = [(label, *centre(box, picture)) for label, box in picture.objects]
            write_lines(folder / "labels" / f"{picture.name}.txt", lines)
    write_text(root / "data.yaml", f"{yaml}\nnc: {len(scene.classes)}\nnames: {list(scene.classes)}\n")
    write_text(root / "README.dataset.txt", "# pets > 2024-01-01\n")


@truth("roboflow_yolo_web", "yolo", splits=True)
def yolo_web(root: Path, scene: Scene) -> None:
    """YOLOv8 from the web page: paths with ``../``."""
    _yolo(root, scene, "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n")


@truth("roboflow_yolo_api", "yolo", splits=True)
def yolo_api(root: Path, scene: Scene) -> None:
    """YOLOv5 from the library: paths with the project's folder."""
    _yolo(root, scene, "train: pets-1/train/images\nval: pets-1/valid/images\ntest: ../test/images\n")


@truth("roboflow_voc", "voc", splits=True)
def voc(root: Path, scene: Scene) -> None:
    """Pascal VOC: XML beside the images; coordinates from 1."""
    for folder, of in _folders(root, scene):
        for picture in of:
            objects = "".join(
                f"<object><name>{scene.classes[label]}</name><pose>Unspecified</pose><truncated>0</truncated>"
                f"<difficult>0</difficult><occluded>0</occluded><bndbox><xmin>{x0 + 1:g}</xmin><xmax>{x1:g}</xmax>"
                f"<ymin>{y0 + 1:g}</ymin><ymax>{y1:g}</ymax></bndbox></object>"
                for label, (x0, y0, x1, y1) in picture.objects
            )
            write_text(
                folder / f"{picture.name}.xml",
                f"<annotation>\n\t<folder></folder>\n\t<filename>{picture.name}.png</filename>\n\t<path>{picture.name}.png"
                f"</path>\n\t<size><width>64</width><height>48</height><depth>3</depth></size>{objects}</annotation>",
            )


@truth("roboflow_tensorflow_csv", "tensorflow_csv", splits=True, empty=False)
def tensorflow(root: Path, scene: Scene) -> None:
    """TensorFlow's table; images without objects have no row."""
    for folder, of in _folders(root, scene):
        with (folder / "_annotations.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"))
            for picture in of:
                for label, box in picture.objects:
                    writer.writerow((f"{picture.name}.png", 64, 48, scene.classes[label], *box))


@truth("roboflow_retinanet_csv", "retinanet_csv", splits=True, empty=False)
def retinanet(root: Path, scene: Scene) -> None:
    """keras-retinanet's table in each folder, with ``_classes.csv``."""
    for folder, of in _folders(root, scene):
        with (folder / "_annotations.csv").open("w", newline="", encoding="utf-8") as file:
            for picture in of:
                for label, box in picture.objects:
                    csv.writer(file).writerow((f"{picture.name}.png", *box, scene.classes[label]))
        write_text(folder / "_classes.csv", "".join(f"{name},{k}\n" for k, name in enumerate(scene.classes)))


@truth("roboflow_createml", "createml", splits=True)
def createml(root: Path, scene: Scene) -> None:
    """CreateML."""
    for folder, of in _folders(root, scene):
        document = [
            {
                "image": f"{picture.name}.png",
                "annotations": [
                    {
                        "label": scene.classes[label],
                        "coordinates": {
                            "x": (x0 + x1) / 2,
                            "y": (y0 + y1) / 2,
                            "width": x1 - x0,
                            "height": y1 - y0,
                        },
                    }
                    for label, (x0, y0, x1, y1) in picture.objects
                ],
            }
            for picture in of
        ]
        write_json(folder / "_annotations.createml.json", document)


@truth("roboflow_darknet", "yolo", splits=True)
def darknet(root: Path, scene: Scene) -> None:
    """YOLO Darknet: text files beside the images, names in ``_darknet.labels``."""
    for folder, of in _folders(root, scene):
        for picture in of:
            lines = [(label, *centre(box, picture)) for label, box in picture.objects]
            write_lines(folder / f"{picture.name}.txt", lines)
        write_text(folder / "_darknet.labels", "\n".join(scene.classes))


@truth("roboflow_yolov4_pytorch", "keras_yolo", splits=True)
def keras(root: Path, scene: Scene) -> None:
    """YOLO v4 PyTorch and YOLO Keras: one line per image."""
    for folder, of in _folders(root, scene):
        lines = [
            " ".join(
                [
                    f"{p.name}.png",
                    *(",".join(f"{int(v)}" for v in box) + f",{label}" for label, box in p.objects),
                ]
            )
            for p in of
        ]
        write_text(folder / "_annotations.txt", "\n".join(lines) + "\n")
        write_text(folder / "_classes.txt", "\n".join(scene.classes))


@truth("roboflow_obb", "dota", splits=True)
def oriented(root: Path, scene: Scene) -> None:
    """YOLOv5 Oriented Bounding Boxes: ``labelTxt``."""
    for folder, of in _folders(root, scene, "images"):
        for picture in of:
            lines = [
                (x0, y0, x1, y0, x1, y1, x0, y1, scene.classes[label], 0)
                for label, (x0, y0, x1, y1) in picture.objects
            ]
            write_lines(folder / "labelTxt" / f"{picture.name}.txt", lines)
