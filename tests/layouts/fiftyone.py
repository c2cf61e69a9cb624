"""FiftyOne's own layouts of ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tiny_data import write_coco, write_voc, write_yolo

from layouts.registry import Scene, relative, truth, write_json, write_lines, write_text

_TAGS = {"train": "train", "val": "validation", "test": "test"}


@truth("fiftyone_dataset", "fiftyone", splits=True)
def dataset(root: Path, scene: Scene) -> None:
    """``export(dataset_type=fo.types.FiftyOneDataset)``: splits are tags."""
    samples = []
    for split, of in scene.splits.items():
        for k, picture in enumerate(of):
            picture.save(root / "data")
            rows: list[dict[str, Any]] = []
            for label, box in picture.objects:
                x0, y0, x1, y1 = relative(box, picture)
                rows.append(
                    {"_id": {"$oid": "1"}, "_cls": "Detection", "attributes": {}, "tags": []}
                    | {"label": scene.classes[label], "bounding_box": [x0, y0, x1 - x0, y1 - y0]}
                )
            height, width = picture.size
            size = {"_cls": "ImageMetadata", "width": width, "height": height, "num_channels": 3}
            samples.append(
                {
                    "filepath": f"data/{picture.name}.png",
                    "tags": [_TAGS[split]],
                    "metadata": size if k % 2 else None,
                }
                | {"ground_truth": {"_cls": "Detections", "detections": rows}}
            )
    write_json(root / "metadata.json", {"name": "x", "media_type": "image", "default_classes": []})
    write_json(root / "samples.json", {"samples": samples})


@truth("fiftyone_image_detection", "fiftyone")
def image_detection(root: Path, scene: Scene) -> None:
    """``FiftyOneImageDetectionDataset``: classes are indices, images are stems."""
    labels: dict[str, Any] = {}
    for picture in scene.pictures:
        picture.save(root / "data")
        rows = []
        for label, box in picture.objects:
            x0, y0, x1, y1 = relative(box, picture)
            rows.append({"label": label, "bounding_box": [x0, y0, x1 - x0, y1 - y0], "attributes": {}})
        labels[picture.name] = rows or None
    write_json(root / "labels.json", {"classes": list(scene.classes), "labels": labels})


@truth("fiftyone_coco", "coco")
def coco(root: Path, scene: Scene) -> None:
    """``COCODetectionDataset``: ``data`` and ``labels.json``."""
    write_coco(root / "labels.json", scene.pictures, root / "data", scene.classes)


@truth("fiftyone_voc", "voc")
def voc(root: Path, scene: Scene) -> None:
    """``VOCDetectionDataset``: ``data`` and ``labels``."""
    write_voc(root, scene.pictures, classes=scene.classes)
    (root / "JPEGImages").rename(root / "data")
    (root / "Annotations").rename(root / "labels")


@truth("fiftyone_yolov5", "yolo", splits=True)
def yolov5(root: Path, scene: Scene) -> None:
    """``YOLOv5Dataset``: ``dataset.yaml``, paths with ``./`` and a slash at the end."""
    write_yolo(root, dict(scene.splits), scene.classes)
    (root / "data.yaml").unlink()
    names = "".join(f"  {k}: {name}\n" for k, name in enumerate(scene.classes))
    splits = "".join(f"{split}: ./images/{split}/\n" for split in scene.splits)
    write_text(root / "dataset.yaml", f"names:\n{names}path: /home/me/export\n{splits}")


@truth("fiftyone_yolov4", "yolo")
def yolov4(root: Path, scene: Scene) -> None:
    """``YOLOv4Dataset``: ``obj.names``, ``images.txt`` and ``data``."""
    write_yolo(root, {"data": scene.pictures}, scene.classes, "images/{}")
    (root / "data.yaml").unlink()
    for folder in ("images", "labels"):
        for file in (root / folder / "data").iterdir():
            (root / "data").mkdir(exist_ok=True)
            file.rename(root / "data" / file.name)
        (root / folder / "data").rmdir()
        (root / folder).rmdir()
    write_text(root / "obj.names", "".join(f"{name}\n" for name in scene.classes))
    write_text(root / "images.txt", "".join(f"data/{p.name}.png\n" for p in scene.pictures))


@truth("fiftyone_kitti", "kitti")
def kitti(root: Path, scene: Scene) -> None:
    """``KITTIDetectionDataset``: ``data`` and ``labels``."""
    for picture in scene.pictures:
        picture.save(root / "data")
        lines = [(scene.classes[label], 0, 0, 0, *box, 0, 0, 0, 0, 0, 0, 0) for label, box in picture.objects]
        write_lines(root / "labels" / f"{picture.name}.txt", lines)


@truth("fiftyone_cvat", "cvat")
def cvat(root: Path, scene: Scene) -> None:
    """``CVATImageDataset``: ``data`` and ``labels.xml``."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<annotations>"]
    for k, picture in enumerate(scene.pictures):
        picture.save(root / "data")
        lines.append(f'<image id="{k}" name={quoteattr(picture.name + ".png")} width="64" height="48">')
        for label, (x0, y0, x1, y1) in picture.objects:
            box = f'xtl="{x0:g}" ytl="{y0:g}" xbr="{x1:g}" ybr="{y1:g}"'
            lines.append(f"<box label={quoteattr(scene.classes[label])} {box}></box>")
        lines.append("</image>")
    write_text(root / "labels.xml", "\n".join([*lines, "</annotations>"]))


@truth("fiftyone_open_images", "open_images", splits=True, empty=False)
def open_images(root: Path, scene: Scene) -> None:
    """``OpenImagesV7Dataset`` as its zoo downloads it: splits with ``data``, ``labels`` and ``metadata``."""
    for split, of in scene.splits.items():
        folder = root / _TAGS[split]
        lines: list[list[object]] = [
            [
                "ImageID",
                "Source",
                "LabelName",
                "Confidence",
                "XMin",
                "XMax",
                "YMin",
                "YMax",
                "IsOccluded",
                "IsGroupOf",
            ]
        ]
        for picture in of:
            picture.save(folder / "data", ".jpg")
            for label, box in picture.objects:
                x0, y0, x1, y1 = relative(box, picture)
                lines.append([picture.name, "xclick", f"/m/0{label}", 1, x0, x1, y0, y1, 0, 0])
        write_lines(folder / "labels" / "detections.csv", lines, ",")
        names = [[f"/m/0{k}", name] for k, name in enumerate(scene.classes)]
        write_lines(folder / "metadata" / "classes.csv", names, ",")
