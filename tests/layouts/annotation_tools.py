"""Tools with which a person draws boxes: Label Studio, labelImg, makesense, VIA, LabelMe, Supervisely."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import escape

from tiny_data import Box, Picture, write_coco

from layouts.registry import Scene, centre, truth, write_json, write_lines, write_text, xywh

_UPLOAD = "cb06191f-"
"""What Label Studio writes before the names of uploads."""


def _studio_region(name: str, box: Box) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    sides = {
        "x": x0 / 64 * 100,
        "y": y0 / 48 * 100,
        "width": (x1 - x0) / 64 * 100,
        "height": (y1 - y0) / 48 * 100,
    }
    return sides | {"rotation": 0, "rectanglelabels": [name]}


@truth("label_studio_json", "label_studio")
def label_studio(root: Path, scene: Scene) -> None:
    """JSON, with images of local files, of uploads, and with backslashes."""
    tasks = []
    for k, picture in enumerate(scene.pictures):
        picture.save(root / "images")
        result = [
            {
                "id": f"r{n}",
                "type": "rectanglelabels",
                "from_name": "label",
                "to_name": "image",
                "image_rotation": 0,
            }
            | {
                "original_width": 64,
                "original_height": 48,
                "value": _studio_region(scene.classes[label], box),
            }
            for n, (label, box) in enumerate(picture.objects)
        ]
        image = (
            f"/data/upload/3/{quote(picture.name)}.png",
            f"/data/local-files/?d=shots/{quote(picture.name)}.png",
            f"/data/local-files/?d=shots%5C{quote(picture.name)}.png",
        )[k % 3]
        annotations = [{"id": k, "was_cancelled": False, "ground_truth": False, "result": result}]
        tasks.append(
            {
                "id": k,
                "file_upload": f"{picture.name}.png",
                "data": {"image": image},
                "annotations": annotations,
            }
        )
    write_json(root / "project-1-at-2024-01-01.json", tasks)


@truth("label_studio_min", "label_studio")
def label_studio_min(root: Path, scene: Scene) -> None:
    """JSON-MIN: a task without regions has no key ``label``."""
    tasks = []
    for k, picture in enumerate(scene.pictures):
        picture.save(root / "images")
        regions = [
            _studio_region(scene.classes[label], box) | {"original_width": 64, "original_height": 48}
            for label, box in picture.objects
        ]
        task = {"id": k, "image": f"/data/upload/3/{picture.name}.png", "annotator": 1, "annotation_id": k}
        tasks.append(task | ({"label": regions} if regions else {}))
    write_json(root / "project-1-at-2024-01-01.json", tasks)


@truth("label_studio_csv", "label_studio_csv")
def label_studio_csv(root: Path, scene: Scene) -> None:
    """CSV: regions as JSON in a column; a task without regions has none."""
    columns = ("annotation_id", "annotator", "created_at", "id", "photo", "label", "lead_time", "updated_at")
    rows: list[tuple[object, ...]] = [columns]
    for k, picture in enumerate(scene.pictures):
        picture.save(root / "images")
        regions = [
            _studio_region(scene.classes[label], box) | {"original_width": 64, "original_height": 48}
            for label, box in picture.objects
        ]
        time, photo = "2024-01-01T10:00:00.5Z", f"/data/upload/3/{quote(picture.name)}.png"
        rows.append((k, "me@host.org", time, k, photo, json.dumps(regions) if regions else "", 2.5, time))
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    write_text(root / "project-1-at-2024-01-01.csv", text.getvalue())


def _yolo_files(root: Path, scene: Scene, prefix: str = "") -> None:
    for picture in scene.pictures:
        Picture(f"{prefix}{picture.name}", picture.size, picture.objects).save(root / "images")
        lines = [(label, *centre(box, picture)) for label, box in picture.objects]
        write_lines(root / "labels" / f"{prefix}{picture.name}.txt", lines)


@truth("label_studio_yolo", "yolo")
def label_studio_yolo(root: Path, scene: Scene) -> None:
    """YOLO: ``images``, ``labels``, ``classes.txt`` and ``notes.json``."""
    _yolo_files(root, scene)
    write_text(root / "classes.txt", "\n".join(scene.classes))
    categories = [{"id": k, "name": name} for k, name in enumerate(scene.classes)]
    write_json(
        root / "notes.json", {"categories": categories, "info": {"year": 2024, "contributor": "Label Studio"}}
    )


@truth("label_studio_coco", "coco")
def label_studio_coco(root: Path, scene: Scene) -> None:
    """COCO: ``result.json`` whose names have a backslash."""
    file = write_coco(root / "result.json", scene.pictures, root / "images", scene.classes)
    file.write_text(file.read_text().replace('"file_name": "', r'"file_name": "images\\'))


def _voc(picture: Picture, scene: Scene, more: str = "", shift: int = 1) -> str:
    objects = "".join(
        f"<object><name>{escape(scene.classes[label])}</name><pose>Unspecified</pose><truncated>0</truncated>"
        f"<difficult>{'Unspecified' if more else 0}</difficult><bndbox><xmin>{x0 + shift:g}</xmin>"
        f"<ymin>{y0 + shift:g}</ymin><xmax>{x1:g}</xmax><ymax>{y1:g}</ymax></bndbox></object>"
        for label, (x0, y0, x1, y1) in picture.objects
    )
    return (
        f"<annotation>{more}<filename>{escape(picture.name)}.png</filename><size><width>64</width><height>48</height>"
        f"<depth>3</depth></size>{objects}</annotation>"
    )


@truth("label_studio_voc", "voc")
def label_studio_voc(root: Path, scene: Scene) -> None:
    """Pascal VOC: ``Annotations`` and ``images``."""
    for picture in scene.pictures:
        picture.save(root / "images")
        write_text(root / "Annotations" / f"{picture.name}.xml", _voc(picture, scene))


@truth("labelimg_voc", "voc")
def labelimg_voc(root: Path, scene: Scene) -> None:
    """XML beside the images, with the path of another machine."""
    for picture in scene.pictures:
        picture.save(root)
        text = _voc(
            picture,
            scene,
            f"<folder>shots</folder><path>C:\\Users\\me\\shots\\{escape(picture.name)}.png</path>",
        )
        write_text(root / f"{picture.name}.xml", text.replace("Unspecified</difficult>", "0</difficult>"))


@truth("labelimg_yolo", "yolo")
def labelimg_yolo(root: Path, scene: Scene) -> None:
    """Text files and ``classes.txt`` beside the images."""
    for picture in scene.pictures:
        picture.save(root)
        lines = [(label, *(f"{v:.8f}" for v in centre(box, picture))) for label, box in picture.objects]
        write_lines(root / f"{picture.name}.txt", lines)
    write_text(root / "classes.txt", "".join(f"{name}\n" for name in scene.classes))


@truth("labelimg_createml", "createml")
def labelimg_createml(root: Path, scene: Scene) -> None:
    """CreateML, in a file that is called like the folder."""
    rows = []
    for picture in scene.pictures:
        picture.save(root)
        annotations = []
        for label, box in picture.objects:
            x, y, w, h = centre(box, picture)
            coordinates = {"x": x * 64, "y": y * 48, "width": w * 64, "height": h * 48}
            annotations.append({"label": scene.classes[label], "coordinates": coordinates})
        rows.append({"image": f"{picture.name}.png", "verified": False, "annotations": annotations})
    write_json(root / "shots.json", rows)


@truth("makesense_csv", "makesense_csv", empty=False)
def makesense(root: Path, scene: Scene) -> None:
    """CSV without a line of names."""
    lines = []
    for picture in scene.pictures:
        picture.save(root / "images")
        lines += [
            [scene.classes[label], *map(round, xywh(box)), f"{picture.name}.png", 64, 48]
            for label, box in picture.objects
        ]
    write_lines(root / "labels_my-project_2024-01-01.csv", lines, ",")


@truth("makesense_csv_header", "makesense_csv", empty=False)
def makesense_header(root: Path, scene: Scene) -> None:
    """CSV of newer versions."""
    makesense(root, scene)
    file = root / "labels_my-project_2024-01-01.csv"
    names = "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
    file.write_text(names + file.read_text(encoding="utf-8"), encoding="utf-8")


@truth("makesense_voc", "voc", empty=False)
def makesense_voc(root: Path, scene: Scene) -> None:
    """VOC with ``Unspecified`` flags; images without objects have no file."""
    for picture in scene.pictures:
        picture.save(root / "images")
        if picture.objects:
            write_text(root / f"{picture.name}.xml", _voc(picture, scene, "<folder>my-project</folder>"))


@truth("makesense_yolo", "yolo")
def makesense_yolo(root: Path, scene: Scene) -> None:
    """YOLO, with a list of names that the person adds; images without objects have no file."""
    for picture in scene.pictures:
        picture.save(root / "images")
        if picture.objects:
            lines = [(label, *(f"{v:.8f}" for v in centre(box, picture))) for label, box in picture.objects]
            write_lines(root / "labels" / f"{picture.name}.txt", lines)
    write_text(root / "labels.names", "\n".join(scene.classes))


@truth("makesense_coco", "coco")
def makesense_coco(root: Path, scene: Scene) -> None:
    """COCO, with polygons."""
    write_coco(root / "labels_my-project.json", scene.pictures, root / "images", scene.classes)


def _via(root: Path, scene: Scene, version: int, project: bool = False) -> None:
    entries = {}
    for picture in scene.pictures:
        picture.save(root)
        regions: Any = [
            {
                "shape_attributes": {"name": "rect"}
                | dict(zip(("x", "y", "width", "height"), xywh(box), strict=True)),
                "region_attributes": {
                    "kind": scene.classes[label] if version == 1 else {scene.classes[label]: True},
                },
            }
            for label, box in picture.objects
        ]
        if version == 1:
            regions = {str(k): region for k, region in enumerate(regions)}
        name = f"{picture.name}.png"
        entries[f"{name}9"] = {"filename": name, "size": 9, "regions": regions, "file_attributes": {}}
    write_json(root / "via.json", {"_via_settings": {}, "_via_img_metadata": entries} if project else entries)


@truth("via_1", "via")
def via_1(root: Path, scene: Scene) -> None:
    """VIA 1: regions are an object."""
    _via(root, scene, 1)


@truth("via_2", "via")
def via_2(root: Path, scene: Scene) -> None:
    """VIA 2 with check boxes."""
    _via(root, scene, 2)


@truth("via_2_project", "via")
def via_project(root: Path, scene: Scene) -> None:
    """VIA 2's project."""
    _via(root, scene, 2, project=True)


@truth("via_2_csv", "via_csv")
def via_csv(root: Path, scene: Scene) -> None:
    """VIA's CSV, with JSON in its values."""
    lines = [
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
    ]
    for picture in scene.pictures:
        picture.save(root)
        if not picture.objects:
            lines.append(f'{picture.name}.png,9,"{{}}",0,0,"{{}}","{{}}"')
        for k, (label, box) in enumerate(picture.objects):
            x, y, w, h = (round(v) for v in xywh(box))
            shape = f'{{""name"":""rect"",""x"":{x},""y"":{y},""width"":{w},""height"":{h}}}'
            attributes = f'{{""kind"":""{scene.classes[label]}""}}'
            lines.append(f'{picture.name}.png,9,"{{}}",{len(picture.objects)},{k},"{shape}","{attributes}"')
    write_text(root / "via_export_csv.csv", "\n".join(lines) + "\n")


@truth("labelme", "labelme")
def labelme(root: Path, scene: Scene) -> None:
    """LabelMe with embedded pixels, X-AnyLabeling's rotation, and paths of another machine."""
    for k, picture in enumerate(scene.pictures):
        picture.save(root)
        shapes = []
        for label, (x0, y0, x1, y1) in picture.objects:
            kind = ("rectangle", "polygon", "rotation")[k % 3]
            polygon = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
            points = [[x1, y0], [x0, y1]] if kind == "rectangle" else polygon  # any two opposite corners
            shapes.append({"label": scene.classes[label], "points": points, "shape_type": kind, "flags": {}})
        document = {
            "version": "5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": f"..\\shots\\{picture.name}.png",
        }
        write_json(
            root / f"{picture.name}.json",
            document | {"imageData": "x" * 9000, "imageHeight": 48, "imageWidth": 64},
        )


@truth("supervisely", "supervisely", splits=True)
def supervisely(root: Path, scene: Scene) -> None:
    """A project whose data sets are splits."""
    write_json(
        root / "meta.json",
        {"classes": [{"title": n, "shape": "rectangle"} for n in scene.classes], "tags": []},
    )
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / split / "img")
            objects = [
                {"id": 1, "classTitle": scene.classes[label], "geometryType": "rectangle", "tags": []}
                | {"points": {"exterior": [[x1, y1], [x0, y0]], "interior": []}}
                for label, (x0, y0, x1, y1) in picture.objects
            ]
            document = {
                "description": "",
                "tags": [],
                "size": {"height": 48, "width": 64},
                "objects": objects,
            }
            write_json(root / split / "ann" / f"{picture.name}.png.json", document)
