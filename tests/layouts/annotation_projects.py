"""Projects of annotation tools and services: VoTT, VIA 3, Scale AI, ODVG, and predictions in Label Studio."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tiny_data import CLASSES, Box, Picture

from layouts.registry import Found, Scene, detections, truth, write_json, write_text, xywh


def _corner_points(box: Box) -> list[dict[str, float]]:
    x0, y0, x1, y1 = box
    return [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


def _vott_asset(picture: Picture, classes: Sequence[str]) -> dict[str, Any]:
    height, width = picture.size
    regions = [
        {
            "id": f"r{k}",
            "type": "RECTANGLE",
            "tags": [classes[label]],
            "boundingBox": dict(zip(("left", "top", "width", "height"), xywh(box), strict=True)),
            "points": _corner_points(box),
        }
        for k, (label, box) in enumerate(picture.objects)
    ]
    name = quote(f"{picture.name}.png")
    asset = {"format": "png", "id": picture.name, "name": name, "path": f"file:C:/Users/me/shots/{name}"}
    return {
        "asset": asset | {"size": {"width": width, "height": height}, "state": 2, "type": 1},
        "regions": regions,
        "version": "2.2.0",
    }


@truth("vott_export", "vott")
def vott_export(root: Path, scene: Scene) -> None:
    """VoTT's JSON export with its images; the folder has a file for each asset as well."""
    assets = {}
    for picture in scene.pictures:
        picture.save(root / "vott-json-export")
        assets[f"{quote(picture.name)}-id"] = _vott_asset(picture, scene.classes)
    tags = [{"name": name, "color": "#ff0000"} for name in scene.classes]
    document = {"name": "pets", "tags": tags, "id": "Ab", "assets": assets}
    write_json(root / "vott-json-export" / "pets-export.json", document)
    for key, entry in assets.items():
        write_json(root / f"{key}-asset.json", entry)


@truth("vott_assets", "vott")
def vott_assets(root: Path, scene: Scene) -> None:
    """VoTT's folder of a project: a file for each asset."""
    for k, picture in enumerate(scene.pictures):
        picture.save(root)
        write_json(root / f"{k:032x}-asset.json", _vott_asset(picture, scene.classes))


@truth("via_3", "via_3")
def via_3(root: Path, scene: Scene) -> None:
    """VIA 3: a class is the number of an option; every other box is a polygon."""
    files, views, metadata = {}, {}, {}
    for k, picture in enumerate(scene.pictures, 1):
        picture.save(root / "images")
        files[str(k)] = {"fid": str(k), "fname": f"{picture.name}.png", "type": 2, "loc": 1, "src": ""}
        views[str(k)] = {"fid_list": [str(k)]}
        for n, (label, box) in enumerate(picture.objects):
            x0, y0, x1, y1 = box
            xy = [2, *xywh(box)] if n % 2 == 0 else [7, x0, y0, x1, y0, x1, y1, x0, y1]
            row = {"vid": str(k), "flg": 0, "z": [], "xy": xy, "av": {"1": str(label)}}
            metadata[f"{k}_{n}"] = row
    options = {str(k): name for k, name in enumerate(scene.classes)}
    attribute = {"aname": "species", "anchor_id": "FILE1_Z0_XY1", "type": 4, "desc": "", "options": options}
    project = {"pid": "__VIA_PROJECT_ID__", "rev": "1", "pname": "pets", "vid_list": list(views)}
    document = {"project": project, "config": {}, "attribute": {"1": attribute | {"default_option_id": ""}}}
    write_json(root / "via_project.json", document | {"file": files, "metadata": metadata, "view": views})


@truth("scale_ai", "scale_ai")
def scale_ai(root: Path, scene: Scene) -> None:
    """Scale AI's list of tasks: boxes, and a polygon for the second object; images are URLs."""
    tasks = []
    for k, picture in enumerate(scene.pictures):
        picture.save(root / "images")
        annotations = [
            {"label": scene.classes[label], "uuid": f"u{n}"}
            | (
                {"type": "box", **dict(zip(("left", "top", "width", "height"), xywh(box), strict=True))}
                if n == 0
                else {"type": "polygon", "vertices": _corner_points(box)}
            )
            for n, (label, box) in enumerate(picture.objects)
        ]
        attachment = f"https://bucket.s3.amazonaws.com/shots/{quote(picture.name)}.png"
        tasks.append(
            {
                "task_id": f"t{k}",
                "type": "imageannotation",
                "status": "completed",
                "params": {"attachment": attachment},
                "response": {"annotations": annotations},
            }
        )
    write_json(root / "tasks.json", tasks)


@truth("odvg", "odvg", splits=True)
def odvg(root: Path, scene: Scene) -> None:
    """ODVG: a JSON object per line, corners in pixels."""
    for split, of in scene.splits.items():
        lines = []
        for picture in of:
            picture.save(root / "images")
            height, width = picture.size
            instances = [
                {"bbox": list(box), "label": label, "category": scene.classes[label]}
                for label, box in picture.objects
            ]
            row = {"filename": f"{picture.name}.png", "height": height, "width": width}
            lines.append(json.dumps(row | {"detection": {"instances": instances}}))
        write_text(root / f"{split}_od.jsonl", "\n".join(lines) + "\n")
    write_json(root / "label_map.json", {str(k): name for k, name in enumerate(scene.classes)})


@detections("label_studio_predictions")
def label_studio(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Label Studio's tasks with predictions, every other without the size of the image."""
    tasks = []
    for k, picture in enumerate(pictures):
        height, width = picture.size
        result = []
        for e in (e for e in found if e.picture is picture):
            x, y, w, h = xywh(e.box)
            value = {"x": x / width * 100, "y": y / height * 100, "width": w / width * 100}
            value |= {"height": h / height * 100, "rotation": 0, "rectanglelabels": [CLASSES[e.label]]}
            size = {} if k % 2 else {"original_width": width, "original_height": height}
            row = {"id": "a", "from_name": "label", "to_name": "image", "type": "rectanglelabels"}
            result.append(row | size | {"value": value, "score": e.score})
        prediction = {"model_version": "v3", "score": 0.5, "result": result}
        image = f"/data/upload/3/{quote(picture.name)}.png"
        tasks.append({"id": k, "data": {"image": image}, "annotations": [], "predictions": [prediction]})
    return write_json(root / "tasks.json", tasks)
