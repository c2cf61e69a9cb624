"""Annotation services and desktop tools with files of their own: Encord, Kili, Segments.ai, RectLabel, QuPath."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny_data import Picture

from layouts.registry import Scene, relative, truth, write_json, write_text, xywh


@truth("segments_ai", "segments_ai")
def segments_ai(root: Path, scene: Scene) -> None:
    """A release: categories by number, points of two corners or of a polygon."""
    samples = []
    for picture in scene.pictures:
        picture.save(root / "images")
        annotations: list[dict[str, Any]] = []
        for k, (label, (x0, y0, x1, y1)) in enumerate(picture.objects):
            shape: dict[str, Any] = {"type": "bbox", "points": [[x0, y0], [x1, y1]]}
            if k:
                shape = {"type": "polygon", "points": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}
            annotations.append({"id": k + 1, "category_id": label + 1, **shape})
        attributes = {"format_version": "0.1", "annotations": annotations}
        samples.append(
            {
                "name": f"{picture.name}.png",
                "attributes": {"image": {"url": f"https://example.org/{picture.name}.png"}},
                "labels": {"ground-truth": {"label_status": "LABELED", "attributes": attributes}},
            }
        )
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(scene.classes)]
    dataset = {
        "name": "tiny",
        "task_type": "bboxes",
        "task_attributes": {"format_version": "0.1", "categories": categories},
        "labelsets": [{"name": "ground-truth", "description": ""}],
        "samples": samples,
    }
    write_json(root / "tiny-v1.json", {"name": "v1", "created_at": "2024-01-01", "dataset": dataset})


@truth("encord", "encord")
def encord(root: Path, scene: Scene) -> None:
    """A list of label rows with one data unit each; fractions of the image."""
    rows = []
    for picture in scene.pictures:
        picture.save(root / "images")
        objects = []
        for label, box in picture.objects:
            x0, y0, x1, y1 = relative(box, picture)
            name = scene.classes[label]
            side = {"x": x0, "y": y0, "w": x1 - x0, "h": y1 - y0}
            objects.append({"name": name, "value": name, "shape": "bounding_box", "boundingBox": side})
        unit = {
            "data_hash": picture.name,
            "data_title": f"{picture.name}.png",
            "data_type": "image/png",
            "width": picture.size[1],
            "height": picture.size[0],
            "labels": {"objects": objects, "classifications": []},
        }
        title = {"data_title": f"{picture.name}.png", "data_type": "image"}
        rows.append({"label_hash": f"l-{picture.name}", **title, "data_units": {picture.name: unit}})
    write_json(root / "labels.json", rows)


def _asset(picture: Picture, scene: Scene, external: str) -> dict[str, Any]:
    annotations = []
    for label, box in picture.objects:
        x0, y0, x1, y1 = relative(box, picture)
        points = [{"x": x, "y": y} for x, y in ((x0, y1), (x0, y0), (x1, y0), (x1, y1))]
        annotations.append(
            {
                "boundingPoly": [{"normalizedVertices": points}],
                "categories": [{"name": scene.classes[label], "confidence": 100}],
                "type": "rectangle",
            }
        )
    response = {"JOB_0": {"annotations": annotations}, "CLASSIFICATION": {"categories": [{"name": "DAY"}]}}
    return {"externalId": external, "content": "https://example.org/x", "jsonResponse": response}


@truth("kili", "kili")
def kili(root: Path, scene: Scene) -> None:
    """One list of assets; predictions beside the label of a person; ids without suffix."""
    assets = []
    for picture in scene.pictures:
        picture.save(root / "images")
        asset = _asset(picture, scene, f"{picture.name}.png")
        response = asset.pop("jsonResponse")
        asset["labels"] = [
            {
                "labelType": "PREDICTION",
                "createdAt": "2024-02-01",
                "jsonResponse": {"JOB_0": {"annotations": []}},
            },
            {"labelType": "DEFAULT", "createdAt": "2024-01-01", "jsonResponse": response},
        ]
        assets.append(asset)
    write_json(root / "data.json", assets)


@truth("kili_single", "kili")
def kili_single(root: Path, scene: Scene) -> None:
    """A file for each asset, with its latest label and the image's size."""
    for picture in scene.pictures:
        picture.save(root / "images")
        asset = _asset(picture, scene, f"{picture.name}.png")
        asset["latestLabel"] = {"labelType": "DEFAULT", "jsonResponse": asset.pop("jsonResponse")}
        asset["resolution"] = {"height": picture.size[0], "width": picture.size[1]}
        write_json(root / "labels" / f"{picture.name}.json", asset)


@truth("rectlabel", "rectlabel", splits=True)
def rectlabel(root: Path, scene: Scene) -> None:
    """A file for each image in ``annotations`` beside the images of a split."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / split, ".jpg")
            objects = [
                {"label": scene.classes[label], "x_y_w_h": xywh(box)} for label, box in picture.objects
            ]
            document = {
                "filename": f"{picture.name}.jpg",
                "folder": split,
                "image_w_h": [*picture.size[::-1]],
            }
            write_json(
                root / split / "annotations" / f"{picture.name}.json", {**document, "objects": objects}
            )


@truth("qupath", "qupath")
def qupath(root: Path, scene: Scene) -> None:
    """A collection of features for each image, with closed rings."""
    for picture in scene.pictures:
        picture.save(root)
        features = []
        for label, (x0, y0, x1, y1) in picture.objects:
            ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
            name = {"name": scene.classes[label], "color": [200, 0, 0]}
            features.append(
                {
                    "type": "Feature",
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                    "properties": {"objectType": "annotation", "classification": name},
                }
            )
        if not features:  # a tile, so that the file has the layout of the others
            tile = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}
            features = [{"type": "Feature", "geometry": tile, "properties": {"objectType": "tile"}}]
        write_json(root / f"{picture.name}.geojson", {"type": "FeatureCollection", "features": features})


@truth("bosch_lights", "bosch_lights", splits=True)
def bosch_lights(root: Path, scene: Scene) -> None:
    """YAML lists; the paths of test are those of another machine."""
    for split, of in scene.splits.items():
        lines = []
        for picture in of:
            picture.save(root / "rgb" / split)
            lines.append(f"- boxes:{'' if picture.objects else ' []'}\n")
            for label, (x0, y0, x1, y1) in picture.objects:
                sides = f"x_max: {x1}, x_min: {x0}, y_max: {y1}, y_min: {y0}"
                lines.append(f"  - {{label: {scene.classes[label]}, occluded: false, {sides}}}\n")
            folder = "/net/pal/rgb/test" if split == "test" else f"./rgb/{split}"
            lines.append(f"  path: {folder}/{picture.name}.png\n")
        write_text(root / f"{split}.yaml", "".join(lines))


@truth("nuimages", "nuimages", splits=True)
def nuimages(root: Path, scene: Scene) -> None:
    """Tables by tokens; frames between key frames have no annotations."""
    for split, of in scene.splits.items():
        folder = root / f"v1.0-{split}"
        images, objects = [], []
        for k, picture in enumerate(of):
            picture.save(root / "samples" / "CAM_FRONT", ".jpg")
            height, width = picture.size
            row = {"width": width, "height": height, "fileformat": "jpg"}
            name = f"samples/CAM_FRONT/{picture.name}.jpg"
            images.append({"token": f"key{k}", "filename": name, "is_key_frame": True, **row})
            images.append({"token": f"sweep{k}", "filename": f"sweeps/{k}.jpg", "is_key_frame": False, **row})
            objects += [
                {
                    "token": f"o{k}-{i}",
                    "category_token": f"c{label}",
                    "sample_data_token": f"key{k}",
                    "bbox": [*box],
                }
                for i, (label, box) in enumerate(picture.objects)
            ]
        write_json(folder / "sample_data.json", images)
        write_json(folder / "object_ann.json", objects)
        write_json(
            folder / "category.json",
            [{"token": f"c{i}", "name": name} for i, name in enumerate(scene.classes)],
        )
