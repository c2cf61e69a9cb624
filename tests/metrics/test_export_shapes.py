"""Boxes around shapes of annotation tools that are no boxes: turned ellipses, cuboids, masks and bitmaps."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metrics import read_truth
from metrics.errors import InputError

CENTRE, RADII, DEGREES = (30.0, 20.0), (12.0, 5.0), 35.0
SIZE = {"width": 64, "height": 48}


def turned_ellipse() -> list[float]:
    """The extreme points of many on the ellipse, x to the right and y down, so that it turns clockwise."""
    t, angle = np.linspace(0, 2 * np.pi, 100_001), np.radians(DEGREES)
    u, v = RADII[0] * np.cos(t), RADII[1] * np.sin(t)
    x = CENTRE[0] + u * np.cos(angle) - v * np.sin(angle)
    y = CENTRE[1] + u * np.sin(angle) + v * np.cos(angle)
    return [x.min(), y.min(), x.max(), y.max()]


def cvat(root: Path) -> None:
    ellipse = f'<ellipse label="cat" cx="30" cy="20" rx="12" ry="5" rotation="{DEGREES}"/>'
    image = f'<image id="0" name="a.png" width="64" height="48">{ellipse}</image>'
    (root / "annotations.xml").write_text(f"<annotations><version>1.1</version>{image}</annotations>")


def label_studio(root: Path) -> None:
    value = {"x": 100 * 30 / 64, "y": 100 * 20 / 48, "radiusX": 100 * 12 / 64, "radiusY": 100 * 5 / 48}
    region = {"original_width": 64, "original_height": 48, "type": "ellipselabels"}
    region["value"] = value | {"rotation": DEGREES, "ellipselabels": ["cat"]}
    task = {"data": {"image": "/data/a.png"}, "annotations": [{"result": [region]}]}
    (root / "tasks.json").write_text(json.dumps([task]))


def via(root: Path) -> None:
    shape = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 12, "ry": 5, "theta": np.radians(DEGREES)}
    regions = [{"shape_attributes": shape, "region_attributes": {"class": "cat"}}]
    (root / "via.json").write_text(json.dumps({"a.png1": {"filename": "a.png", "regions": regions}}))


def superannotate(root: Path) -> None:
    shape = {"type": "ellipse", "className": "cat", "cx": 30, "cy": 20, "rx": 12, "ry": 5, "angle": DEGREES}
    (root / "a.png.json").write_text(json.dumps({"metadata": {"name": "a.png"} | SIZE, "instances": [shape]}))


def darwin(root: Path) -> None:
    ellipse = {"angle": np.radians(DEGREES), "center": {"x": 30, "y": 20}, "radius": {"x": 12, "y": 5}}
    item = {"name": "a.png", "path": "/", "slots": [SIZE]}
    document = {"version": "2.0", "item": item, "annotations": [{"name": "cat", "ellipse": ellipse}]}
    (root / "a.json").write_text(json.dumps(document))


@pytest.mark.parametrize("write", [cvat, label_studio, via, superannotate, darwin])
def test_the_box_of_a_turned_ellipse_touches_it(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    np.testing.assert_allclose(read_truth(tmp_path).boxes, [turned_ellipse()], atol=1e-6)


def test_the_box_of_a_cuboid_is_around_its_eight_corners(tmp_path: Path) -> None:
    left, top, right, bottom = "10", "8", "30", "28"
    front = {"tl": (left, "12"), "tr": ("24", "12"), "bl": (left, bottom), "br": ("24", bottom)}
    back = {"tl": ("16", top), "tr": (right, top), "bl": ("16", "24"), "br": (right, "24")}
    corners = "".join(
        f' x{name}{face}="{x}" y{name}{face}="{y}"'
        for face, points in ((1, front), (2, back))
        for name, (x, y) in points.items()
    )
    image = f'<image id="0" name="a.png" width="64" height="48"><cuboid label="cat"{corners}/></image>'
    (tmp_path / "annotations.xml").write_text(f"<annotations>{image}</annotations>")
    assert read_truth(tmp_path).boxes.tolist() == [[10, 8, 30, 28]]
    (tmp_path / "annotations.xml").unlink()
    at = {"f1": (10, 12), "f2": (24, 28), "r1": (16, 8), "r2": (30, 24)}
    points = {name: {"x": x, "y": y} for name, (x, y) in at.items()}
    instances = [{"type": "cuboid", "className": "cat", "points": points}]
    (tmp_path / "a.png.json").write_text(
        json.dumps({"metadata": {"name": "a.png"} | SIZE, "instances": instances})
    )
    assert read_truth(tmp_path).boxes.tolist() == [[10, 8, 30, 28]]
    (tmp_path / "a.png.json").unlink()
    faces = {"front": {"x": 10, "y": 12, "w": 14, "h": 16}, "back": {"x": 16, "y": 8, "w": 14, "h": 16}}
    annotations = [{"name": "cat", "cuboid": faces}]
    item = {"name": "a.png", "path": "/", "slots": [SIZE]}
    (tmp_path / "a.json").write_text(json.dumps({"item": item, "annotations": annotations}))
    assert read_truth(tmp_path).boxes.tolist() == [[10, 8, 30, 28]]


def test_an_ellipse_of_datumaro_is_written_as_its_box(tmp_path: Path) -> None:
    ellipse = {"id": 0, "type": "ellipse", "label_id": 0, "points": [18, 15, 42, 25]}
    item = {"id": "a", "annotations": [ellipse], "image": {"path": "a.png", "size": [48, 64]}}
    document = {"categories": {"label": {"labels": [{"name": "cat"}]}}, "items": [item]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "default.json").write_text(json.dumps(document))
    assert read_truth(tmp_path / "annotations").boxes.tolist() == [[18, 15, 42, 25]]


def test_a_mask_of_labelme_has_the_box_of_its_two_corners(tmp_path: Path) -> None:
    shape = {"label": "cat", "shape_type": "mask", "points": [[5, 6], [25, 36]], "mask": "iVBORw0KGgo="}
    document = {"shapes": [shape], "imagePath": "a.png", "imageHeight": 48, "imageWidth": 64}
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert read_truth(tmp_path).boxes.tolist() == [[5, 6, 25, 36]]


def supervisely(root: Path, data: str) -> None:
    bitmap = {"geometryType": "bitmap", "classTitle": "cat", "bitmap": {"data": data, "origin": [5, 6]}}
    (root / "ann").mkdir(exist_ok=True)
    (root / "ann" / "a.png.json").write_text(json.dumps({"size": SIZE, "objects": [bitmap]}))


def test_a_bitmap_of_supervisely_has_the_box_of_its_image(tmp_path: Path) -> None:
    png = io.BytesIO()
    Image.new("1", (20, 30), 1).save(png, "PNG")
    supervisely(tmp_path, base64.b64encode(zlib.compress(png.getvalue())).decode())
    assert read_truth(tmp_path).boxes.tolist() == [[5, 6, 25, 36]]


@pytest.mark.parametrize(
    "data", ["", "?", base64.b64encode(b"x").decode(), base64.b64encode(zlib.compress(b"x")).decode()]
)
def test_a_bitmap_that_is_no_image_is_refused_with_its_place(tmp_path: Path, data: str) -> None:
    supervisely(tmp_path, data)
    with pytest.raises(InputError, match=r"a\.png\.json: objects\[0\]: bitmap: expected data, a packed PNG"):
        read_truth(tmp_path)
