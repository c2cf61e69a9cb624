"""Annotation platforms with files of their own, Hugging Face's folders, and plain tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiny_data import Box, Picture

from layouts.registry import Scene, truth, write_json, write_lines, write_text, xywh


def _outline(box: Box) -> list[dict[str, float]]:
    x0, y0, x1, y1 = box
    return [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


@truth("hugging_face", "hugging_face", splits=True)
def hugging_face(root: Path, scene: Scene) -> None:
    """``metadata.jsonl`` in a folder for each split; objects as lists, or as a list of objects."""
    folders = {"train": "train", "val": "validation", "test": "test"}
    for split, of in scene.splits.items():
        rows = []
        for k, picture in enumerate(of):
            picture.save(root / folders[split])
            boxes = [xywh(box) for _, box in picture.objects]
            names = [scene.classes[label] for label, _ in picture.objects]
            objects: Any = {"bbox": boxes, "category": names}
            if k % 2:
                objects = [{"bbox": box, "category": name} for box, name in zip(boxes, names, strict=True)]
            rows.append([json.dumps({"file_name": f"{picture.name}.png", "objects": objects})])
        write_lines(root / folders[split] / "metadata.jsonl", rows)


@truth("labelbox", "labelbox", splits=True)
def labelbox(root: Path, scene: Scene) -> None:
    """NDJSON of version 2: boxes, and a polygon for the second object."""
    rows = []
    folds = {"train": "training", "val": "validation", "test": "test"}
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "images")
            objects = []
            for n, (label, box) in enumerate(picture.objects):
                x, y, w, h = xywh(box)
                shape = (
                    {"polygon": _outline(box)}
                    if n
                    else {"bounding_box": {"top": y, "left": x, "height": h, "width": w}}
                )
                objects.append(
                    {"feature_id": "f", "name": scene.classes[label], "classifications": []} | shape
                )
            labels = [{"label_kind": "Default", "annotations": {"objects": objects, "classifications": []}}]
            name = f"{picture.name}.png"
            row = {
                "data_row": {
                    "id": "c",
                    "external_id": name,
                    "row_data": f"https://x/{name}",
                    "split": folds[split],
                },
                "media_attributes": {"height": 48, "width": 64},
                "projects": {"p": {"name": "pets", "labels": labels}},
            }
            rows.append([json.dumps(row)])
    write_lines(root / "export.ndjson", rows)


@truth("labelbox_list", "labelbox")
def labelbox_list(root: Path, scene: Scene) -> None:
    """The JSON list of version 1."""
    rows = []
    for picture in scene.pictures:
        picture.save(root)
        objects = []
        for label, box in picture.objects:
            x, y, w, h = xywh(box)
            at = {"top": y, "left": x, "height": h, "width": w}
            objects.append({"featureId": "f", "title": scene.classes[label], "value": "v", "bbox": at})
        row = {"ID": "c", "Labeled Data": "https://x", "External ID": f"{picture.name}.png"}
        rows.append(row | {"Label": {"objects": objects, "classifications": []}})
    write_json(root / "export.json", rows)


def _darwin(root: Path, scene: Scene, item: Callable[[Picture], dict[str, Any]]) -> None:
    for picture in scene.pictures:
        picture.save(root / "images")
        rows = []
        for n, (label, box) in enumerate(picture.objects):
            x, y, w, h = xywh(box)
            shape = (
                {"polygon": {"paths": [_outline(box)]}}
                if n
                else {"bounding_box": {"x": x, "y": y, "w": w, "h": h}}
            )
            rows.append({"id": "i", "name": scene.classes[label]} | shape)
        document = {"version": "2.0"} | item(picture) | {"annotations": rows}
        write_json(root / "releases" / "latest" / "annotations" / f"{picture.name}.json", document)


@truth("darwin", "darwin")
def darwin(root: Path, scene: Scene) -> None:
    """Version 2."""
    slot = {"type": "image", "slot_name": "0", "width": 64, "height": 48}
    _darwin(root, scene, lambda p: {"item": {"name": f"{p.name}.png", "path": "/", "slots": [slot]}})


@truth("darwin_1", "darwin")
def darwin_1(root: Path, scene: Scene) -> None:
    """Version 1."""
    _darwin(
        root,
        scene,
        lambda p: {
            "image": {
                "width": 64,
                "height": 48,
                "original_filename": f"{p.name}.png",
                "filename": f"{p.name}.png",
            }
        },
    )


def _instances(picture: Picture, scene: Scene) -> dict[str, Any]:
    rows: list[dict[str, Any]] = [{"type": "tag", "className": "indoor"}]
    for n, (label, (x0, y0, x1, y1)) in enumerate(picture.objects):
        points: Any = [x0, y0, x1, y0, x1, y1, x0, y1] if n else {"x1": x0, "y1": y0, "x2": x1, "y2": y1}
        rows.append({"type": "polygon" if n else "bbox", "className": scene.classes[label], "points": points})
    return {"metadata": {"name": f"{picture.name}.png", "width": 64, "height": 48}, "instances": rows}


@truth("superannotate", "superannotate", splits=True)
def superannotate(root: Path, scene: Scene) -> None:
    """A JSON file beside each image, in folders of splits."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / split)
            write_json(root / split / f"{picture.name}.png.json", _instances(picture, scene))
    write_json(root / "classes" / "classes.json", [{"id": 1, "name": name} for name in scene.classes])


@truth("superannotate_one", "superannotate")
def superannotate_one(root: Path, scene: Scene) -> None:
    """One JSON file of all images."""
    for picture in scene.pictures:
        picture.save(root)
    write_json(root / "annotations.json", {f"{p.name}.png": _instances(p, scene) for p in scene.pictures})


def _table(file: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([header, *rows])


@truth("box_csv", "box_csv", splits=True)
def box_csv(root: Path, scene: Scene) -> None:
    """Corners with a column of splits; empty values stand for an image without objects."""
    rows: list[tuple[object, ...]] = []
    for split, of in scene.splits.items():
        for picture in of:
            name = picture.save(root / "images").name
            rows += [(f"images/{name}", scene.classes[label], *box, split) for label, box in picture.objects]
            rows += [] if picture.objects else [(f"images/{name}", "", "", "", "", "", split)]
    _table(root / "annotations.csv", ("image_path", "label", "xmin", "ymin", "xmax", "ymax", "split"), rows)


@truth("box_csv_bbox", "box_csv", empty=False)
def box_csv_bbox(root: Path, scene: Scene) -> None:
    """Boxes as text, as in tables of competitions; images are named without suffix."""
    rows: list[tuple[object, ...]] = []
    for _, picture, name, box in scene.objects():
        rows.append((picture.name, 64, 48, str(xywh(box)), name))
    for picture in scene.pictures:
        picture.save(root / "train")
    _table(root / "train.csv", ("image_id", "width", "height", "bbox", "class"), rows)


@truth("sku110k", "retinanet_csv", splits=True, empty=False)
def sku110k(root: Path, scene: Scene) -> None:
    """Lines without names of columns, with the image's size at the end."""
    for picture in scene.pictures:
        picture.save(root / "images")
    for split, of in scene.splits.items():
        lines = [
            (f"{picture.name}.png", *box, scene.classes[label], 64, 48)
            for picture in of
            for label, box in picture.objects
        ]
        write_text(
            root / f"annotations_{split}.csv", "".join(",".join(map(str, line)) + "\n" for line in lines)
        )


@truth("hasty", "hasty", splits=True)
def hasty(root: Path, scene: Scene) -> None:
    """Hasty: one file; images are in data sets, here called like the splits."""
    images = []
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "images")
            labels = [
                {
                    "id": str(k),
                    "class_name": scene.classes[label],
                    "bbox": list(box),
                    "polygon": None,
                    "mask": None,
                }
                for k, (label, box) in enumerate(picture.objects)
            ]
            name = {"image_id": picture.name, "image_name": f"{picture.name}.png", "dataset_name": split}
            images.append(name | {"width": 64, "height": 48, "labels": labels})
    classes = [{"class_name": name, "class_type": "object"} for name in scene.classes]
    document = {"project_name": "pets", "export_format_version": "1.1", "label_classes": classes}
    write_json(root / "pets.json", document | {"images": images})


@truth("dataloop", "dataloop")
def dataloop(root: Path, scene: Scene) -> None:
    """Dataloop: a file for each item; a box has two corners, a polygon is in a list of rings."""
    for picture in scene.pictures:
        picture.save(root / "items")
        annotations = []
        for k, (label, (x0, y0, x1, y1)) in enumerate(picture.objects):
            corners = [(x0, y0), (x1, y1)] if k == 0 else [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
            points = [{"x": x, "y": y, "z": 0} for x, y in corners]
            kind = (
                {"type": "box", "coordinates": points}
                if k == 0
                else {"type": "segment", "coordinates": [points]}
            )
            annotations.append({"datasetId": "d", "label": scene.classes[label]} | kind)
        system = {"width": 64, "height": 48}
        document = {"datasetId": "d", "filename": f"/{picture.name}.png", "metadata": {"system": system}}
        write_json(root / "json" / f"{picture.name}.json", document | {"annotations": annotations})
