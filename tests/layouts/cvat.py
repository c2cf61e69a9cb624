"""CVAT's exports."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

from tiny_data import write_voc

from layouts.registry import Scene, centre, relative, truth, write_json, write_lines, write_text, xywh

_SUBSETS = {"train": "Train", "val": "Validation", "test": "Test"}


@truth("cvat_images", "cvat", splits=True)
def images(root: Path, scene: Scene) -> None:
    """CVAT for images 1.1 of a project: one XML file, subsets as attributes, images in folders of subsets."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        "  <version>1.1</version>",
        "  <meta/>",
    ]
    for split, of in scene.splits.items():
        for k, picture in enumerate(of):
            picture.save(root / "images" / _SUBSETS[split])
            name = f"{_SUBSETS[split]}/{picture.name}.png"
            lines.append(
                f'<image id="{k}" name={quoteattr(name)} subset="{_SUBSETS[split]}" task_id="1" width="64" height="48">'
            )
            for n, (label, (x0, y0, x1, y1)) in enumerate(picture.objects):
                name = quoteattr(scene.classes[label])
                points = f"{x0:.2f},{y0:.2f};{x1:.2f},{y0:.2f};{x1:.2f},{y1:.2f};{x0:.2f},{y1:.2f}"
                lines.append(
                    f'<box label={name} source="manual" occluded="0" xtl="{x0:.2f}" ytl="{y0:.2f}" xbr="{x1:.2f}" '
                    f'ybr="{y1:.2f}" z_order="0"><attribute name="a">b</attribute></box>'
                    if n == 0
                    else f'<polygon label={name} source="manual" occluded="0" points="{points}" z_order="0"></polygon>'
                )
            lines.append("</image>")
    write_text(root / "annotations.xml", "\n".join([*lines, "</annotations>", ""]))


@truth("cvat_voc", "voc", splits=True, tolerance=1e-6)
def voc(root: Path, scene: Scene) -> None:
    """Pascal VOC 1.1 with the lists of subsets."""
    write_voc(
        root,
        scene.pictures,
        {_SUBSETS[s]: [p.name for p in of] for s, of in scene.splits.items()},
        scene.classes,
    )
    write_text(root / "labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\n")


def _labels(folder: Path, of: list[object] | tuple[object, ...] | object, scene: Scene) -> None:
    for picture in of:  # type: ignore[attr-defined]
        picture.save(folder)
        lines = [(label, *(f"{v:.6f}" for v in centre(box, picture))) for label, box in picture.objects]
        write_lines(folder / f"{picture.name}.txt", lines)


@truth("cvat_yolo", "yolo", splits=True, tolerance=1e-3)
def yolo(root: Path, scene: Scene) -> None:
    """YOLO 1.1 with subsets: ``obj_Train_data``, lists with ``data/`` in them."""
    names = {"train": "Train", "val": "Validation", "test": "Test"}
    entries = []
    for split, of in scene.splits.items():
        folder = f"obj_{names[split]}_data"
        _labels(root / folder, of, scene)
        write_text(root / f"{names[split]}.txt", "".join(f"data/{folder}/{p.name}.png\n" for p in of))
        entries.append(f"{names[split]} = data/{names[split]}.txt\n")
    write_text(root / "obj.names", "".join(f"{name}\n" for name in scene.classes))
    write_text(
        root / "obj.data",
        f"classes = {len(scene.classes)}\n{''.join(entries)}names = data/obj.names\nbackup = backup/\n",
    )


@truth("cvat_yolo_default", "yolo", tolerance=1e-3)
def yolo_default(root: Path, scene: Scene) -> None:
    """YOLO 1.1 of a task without subsets."""
    _labels(root / "obj_train_data", scene.pictures, scene)
    write_text(root / "train.txt", "".join(f"data/obj_train_data/{p.name}.png\n" for p in scene.pictures))
    write_text(root / "obj.names", "".join(f"{name}\n" for name in scene.classes))
    write_text(
        root / "obj.data", f"classes = {len(scene.classes)}\ntrain = data/train.txt\nnames = data/obj.names\n"
    )


def _ultralytics(root: Path, scene: Scene, line: object, more: str = "") -> None:
    names = {"train": "Train", "val": "Validation", "test": "Test"}
    yaml = [f"path: ./\n{more}names:\n", *(f"  {k}: {name}\n" for k, name in enumerate(scene.classes))]
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "images" / names[split])
            lines = [line(label, box, picture) for label, box in picture.objects]  # type: ignore[operator]
            write_lines(root / "labels" / names[split] / f"{picture.name}.txt", lines)
        write_text(
            root / f"{names[split]}.txt", "".join(f"data/images/{names[split]}/{p.name}.png\n" for p in of)
        )
        yaml.append(f"{split}: {names[split]}.txt\n")
    write_text(root / "data.yaml", "".join(yaml))


@truth("cvat_ultralytics_detection", "yolo", splits=True, tolerance=1e-3)
def ultralytics(root: Path, scene: Scene) -> None:
    """Ultralytics YOLO Detection 1.0."""
    _ultralytics(root, scene, lambda label, box, p: (label, *(f"{v:.6f}" for v in centre(box, p))))


@truth("cvat_ultralytics_oriented", "yolo", splits=True, tolerance=1e-3)
def oriented(root: Path, scene: Scene) -> None:
    """Ultralytics YOLO Oriented Bounding Boxes 1.0."""

    def line(label: int, box: object, picture: object) -> tuple[object, ...]:
        x0, y0, x1, y1 = relative(box, picture)  # type: ignore[arg-type]
        return (label, *(f"{v:.6f}" for v in (x0, y0, x1, y0, x1, y1, x0, y1)))

    _ultralytics(root, scene, line)


@truth("cvat_ultralytics_segmentation", "yolo", splits=True, tolerance=1e-3)
def segmentation(root: Path, scene: Scene) -> None:
    """Ultralytics YOLO Segmentation 1.0."""

    def line(label: int, box: object, picture: object) -> tuple[object, ...]:
        x0, y0, x1, y1 = relative(box, picture)  # type: ignore[arg-type]
        return (label, *(f"{v:.6f}" for v in (x0, y0, x1, y0, x1, y1, (x0 + x1) / 2, y1, x0, y1)))

    _ultralytics(root, scene, line)


@truth("cvat_ultralytics_pose", "yolo", splits=True, tolerance=1e-3)
def pose(root: Path, scene: Scene) -> None:
    """Ultralytics YOLO Pose 1.0 with four keypoints."""

    def line(label: int, box: object, picture: object) -> tuple[object, ...]:
        x, y, w, h = centre(box, picture)  # type: ignore[arg-type]
        points = [v for k in range(4) for v in (x, y + h * (k - 2) / 5, 2)]
        return (label, *(f"{v:.6f}" for v in (x, y, w, h)), *points)

    _ultralytics(root, scene, line, "kpt_shape: [4, 3]\n")


@truth("cvat_coco", "coco", splits=True)
def coco(root: Path, scene: Scene) -> None:
    """COCO 1.0 with a file per subset."""
    for split, of in scene.splits.items():
        images, annotations = [], []
        for k, picture in enumerate(of, 1):
            picture.save(root / "images" / _SUBSETS[split])
            images.append(
                {
                    "id": k,
                    "width": 64,
                    "height": 48,
                    "file_name": f"{_SUBSETS[split]}/{picture.name}.png",
                    "license": 0,
                }
            )
            for label, box in picture.objects:
                x, y, w, h = xywh(box)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": k,
                        "category_id": label + 1,
                        "bbox": [x, y, w, h],
                    }
                    | {"segmentation": [], "area": w * h, "iscrowd": 0, "attributes": {"occluded": False}}
                )
        categories = [{"id": k, "name": name, "supercategory": ""} for k, name in enumerate(scene.classes, 1)]
        document = {
            "licenses": [],
            "info": {},
            "categories": categories,
            "images": images,
            "annotations": annotations,
        }
        write_json(root / "annotations" / f"instances_{_SUBSETS[split]}.json", document)


@truth("datumaro", "datumaro", splits=True)
def datumaro(root: Path, scene: Scene) -> None:
    """Datumaro 1.0."""
    labels = [{"name": name, "parent": "", "attributes": []} for name in scene.classes]
    for split, of in scene.splits.items():
        items = []
        for picture in of:
            picture.save(root / "images" / split)
            rows = [
                {"id": k, "type": "bbox", "attributes": {"occluded": False}, "group": 0, "label_id": label}
                | {"z_order": 0, "bbox": xywh(box)}
                for k, (label, box) in enumerate(picture.objects)
            ]
            image = {"path": f"{picture.name}.png", "size": [48, 64]}
            items.append({"id": picture.name, "annotations": rows, "attr": {"frame": 0}, "image": image})
        categories = {"label": {"labels": labels, "attributes": []}}
        write_json(
            root / "annotations" / f"{split}.json", {"info": {}, "categories": categories, "items": items}
        )
