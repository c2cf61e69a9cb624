"""Public data sets in their own layouts."""

from __future__ import annotations

import json
from pathlib import Path

from tiny_data import write_coco, write_voc

from layouts.registry import Scene, relative, truth, write_json, write_lines, write_text, xywh

_FACES = {"cat": "face", "dog": "face"}
_PERSONS = {"cat": "pedestrian", "dog": "people"}


@truth("kitti", "kitti")
def kitti(root: Path, scene: Scene) -> None:
    """KITTI: ``training/label_2`` and ``image_2``."""
    for picture in scene.pictures:
        picture.save(root / "training" / "image_2")
        lines = [
            (scene.classes[label], "0.00", 0, -1.57, *(f"{v:.2f}" for v in box), 1.5, 1.6, 3.7, 1, 2, 3, -1.6)
            for label, box in picture.objects
        ]
        write_lines(root / "training" / "label_2" / f"{picture.name}.txt", lines)


@truth("kitti_splits", "kitti", splits=True)
def kitti_splits(root: Path, scene: Scene) -> None:
    """KITTI's text files in folders of splits, as for NVIDIA's TAO toolkit."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / split / "images")
            lines = [[scene.classes[label], 0, 0, 0, *box, *[0] * 7] for label, box in picture.objects]
            write_lines(root / split / "labels" / f"{picture.name}.txt", lines)


@truth("visdrone", "visdrone", splits=True, renamed=_PERSONS)
def visdrone(root: Path, scene: Scene) -> None:
    """VisDrone-DET: a folder per split; some lines end with a comma."""
    for split, of in scene.splits.items():
        folder = root / f"VisDrone2019-DET-{split}{'-dev' * (split == 'test')}"
        for picture in of:
            picture.save(folder / "images", ".jpg")
            lines = [(*map(round, xywh(box)), 1, label + 1, 0, 0) for label, box in picture.objects]
            file = write_lines(folder / "annotations" / f"{picture.name}.txt", lines, ",")
            file.write_text(file.read_text().replace("\n", ",\n", 1))


@truth("crowdhuman", "crowdhuman", splits=True)
def crowdhuman(root: Path, scene: Scene) -> None:
    """CrowdHuman: ``annotation_*.odgt``."""
    for split, of in scene.splits.items():
        rows = []
        for picture in of:
            picture.save(root / "Images", ".jpg")
            boxes = [
                {"tag": scene.classes[label], "fbox": xywh(box), "vbox": [1, 1, 2, 2], "hbox": [1, 1, 2, 2]}
                | {"extra": {"box_id": 0}, "head_attr": {}}
                for label, box in picture.objects
            ]
            rows.append(json.dumps({"ID": picture.name, "gtboxes": boxes}))
        write_text(root / f"annotation_{split}.odgt", "\n".join(rows) + "\n")


@truth("wider_face", "wider_face", splits=True, renamed=_FACES)
def wider_face(root: Path, scene: Scene) -> None:
    """WIDER FACE: an image without faces has a line of zeros."""
    for split, of in scene.splits.items():
        lines = []
        for picture in of:
            picture.save(root / f"WIDER_{split}" / "images" / "0--Parade", ".jpg")
            lines += [f"0--Parade/{picture.name}.jpg", str(len(picture.objects))]
            lines += [
                " ".join(map(str, map(round, xywh(box)))) + " 0 0 0 0 0 0 " for _, box in picture.objects
            ]
            lines += ["0 0 0 0 0 0 0 0 0 0 "] * (not picture.objects)
        write_text(root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt", "\n".join(lines) + "\n")


@truth("bdd100k_det_20", "bdd100k", splits=True)
def bdd100k(root: Path, scene: Scene) -> None:
    """BDD100K's det_20: a frame without objects has ``labels: null``, or none."""
    for split, of in scene.splits.items():
        frames = []
        for picture in of:
            picture.save(root / "images" / "100k" / split, ".jpg")
            labels = [
                {
                    "id": "1",
                    "category": scene.classes[label],
                    "attributes": {"occluded": True, "truncated": False},
                }
                | {"box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}
                for label, box in picture.objects
            ]
            frames.append({"name": f"{picture.name}.jpg", "timestamp": 10000, "labels": labels or None})
        write_json(root / "labels" / "det_20" / f"det_{split}.json", frames)


@truth("bdd100k_first_release", "bdd100k", splits=True)
def bdd100k_first(root: Path, scene: Scene) -> None:
    """BDD100K's first release: a file per image, with lanes among the objects."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "images" / "100k" / split, ".jpg")
            objects: list[object] = [
                {"category": scene.classes[label], "id": k, "attributes": {}}
                | {"box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))}
                for k, (label, box) in enumerate(picture.objects)
            ]
            objects.append({"category": "lane/crosswalk", "id": 9, "poly2d": [[1, 2, "L"], [3, 4, "L"]]})
            document = {
                "name": picture.name,
                "frames": [{"timestamp": 10000, "objects": objects}],
                "attributes": {},
            }
            write_json(root / "labels" / "100k" / split / f"{picture.name}.json", document)


@truth("open_images", "open_images", splits=True, empty=False)
def open_images(root: Path, scene: Scene) -> None:
    """Open Images V7's tables of each split, with the descriptions of classes."""
    names = {"train": "oidv6-train", "val": "validation", "test": "test"}
    for split, of in scene.splits.items():
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
                "IsTruncated",
                "IsGroupOf",
                "IsDepiction",
                "IsInside",
            ]
        ]
        for picture in of:
            picture.save(root / names[split].removeprefix("oidv6-"), ".jpg")
            for label, box in picture.objects:
                x0, y0, x1, y1 = relative(box, picture)
                lines.append([picture.name, "xclick", f"/m/0{label}", 1, x0, x1, y0, y1, 1, 0, 0, 0, 0])
        write_lines(root / f"{names[split]}-annotations-bbox.csv", lines, ",")
    write_text(root / "class-descriptions-boxable.csv", "/m/00,cat\n/m/01,dog\n/m/02,hen\n")


@truth("oidv4_toolkit", "oid_toolkit", splits=True, empty=False)
def oid_toolkit(root: Path, scene: Scene) -> None:
    """OIDv4 toolkit: an image with two classes is in the folders of both."""
    names = {"train": "train", "val": "validation", "test": "test"}
    for split, picture, name, box in scene.objects():
        folder = root / "OID" / "Dataset" / names[split] / name
        picture.save(folder, ".jpg")
        file = folder / "Label" / f"{picture.name}.txt"
        old = file.read_text(encoding="utf-8") if file.exists() else ""
        write_text(file, f"{old}{name} {' '.join(f'{v:.2f}' for v in box)}\n")


@truth("lvis", "coco", splits=True)
def lvis(root: Path, scene: Scene) -> None:
    """LVIS: ``coco_url`` instead of ``file_name``; all splits are in folders of COCO."""
    for split, of in scene.splits.items():
        file = write_coco(root / f"lvis_v1_{split}.json", of, root / f"{split}2017", scene.classes)
        document = json.loads(file.read_text())
        for row in document["images"]:
            row["coco_url"] = f"http://images.cocodataset.org/{split}2017/{row.pop('file_name')}"
            row |= {"neg_category_ids": [], "not_exhaustive_category_ids": [2]}
        for row in document["annotations"]:
            del row["iscrowd"]
        write_json(file, document)


@truth("objects365", "coco", splits=True)
def objects365(root: Path, scene: Scene) -> None:
    """Objects365 v2: folders of patches, and names with folders that are not on the disk."""
    for split, of in scene.splits.items():
        file = write_coco(root / f"zhiyuan_objv2_{split}.json", of, root / "made", scene.classes)
        document = json.loads(file.read_text())
        for k, (row, picture) in enumerate(zip(document["images"], of, strict=True)):
            row["file_name"] = f"images/v{1 + k % 2}/patch{k % 3}/{picture.name}.png"
            picture.save(root / split / f"patch{k % 3}")
            (root / "made" / f"{picture.name}.png").unlink()
        for row in document["annotations"]:
            row |= {"isfake": 0, "isreflected": 0}
        write_json(file, document)
        (root / "made").rmdir()


@truth("imagenet_det", "voc", splits=True)
def imagenet(root: Path, scene: Scene) -> None:
    """ILSVRC: ``Annotations/DET`` and ``Data/DET``, names without suffix."""
    for split, of in scene.splits.items():
        write_voc(root / "made", of, classes=scene.classes)
        for kind, folder in (("Annotations", "Annotations"), ("JPEGImages", "Data")):
            place = root / folder / "DET" / split
            place.parent.mkdir(parents=True, exist_ok=True)
            (root / "made" / kind).rename(place)
        (root / "made").rmdir()
        for file in (root / "Annotations" / "DET" / split).iterdir():
            file.write_text(
                file.read_text(encoding="utf-8").replace(".png</filename>", "</filename>"), encoding="utf-8"
            )


@truth("voc_devkit", "voc", splits=True)
def voc_devkit(root: Path, scene: Scene) -> None:
    """``VOCdevkit/VOC2012`` with lists, in files of Windows."""
    lists = {split: [picture.name for picture in of] for split, of in scene.splits.items()}
    folder = root / "VOCdevkit" / "VOC2012"
    write_voc(folder, scene.pictures, lists, scene.classes)
    for file in folder.rglob("*.txt"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))


@truth("dota", "dota")
def dota(root: Path, scene: Scene) -> None:
    """DOTA v1.0: two lines about the image before the objects."""
    for picture in scene.pictures:
        picture.save(root / "images")
        lines: list[list[object]] = [["imagesource:GoogleEarth"], ["gsd:0.146"]]
        for label, (x0, y0, x1, y1) in picture.objects:
            lines.append([x1, y0, x1, y1, x0, y1, x0, y0, scene.classes[label], 0])
        write_lines(root / "labelTxt" / f"{picture.name}.txt", lines)


@truth("dota_1_5", "dota", splits=True)
def dota_1_5(root: Path, scene: Scene) -> None:
    """DOTA v1.5 as unpacked: oriented boxes in a folder of their own, and the same objects in upright ones in another."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / split / "images")
            lines: list[list[object]] = [["imagesource:GoogleEarth"], ["gsd:null"]]
            for label, (x0, y0, x1, y1) in picture.objects:
                lines.append([x0, y0, x1, y0, x1, y1, x0, y1, scene.classes[label], 0])
            for end in ("", "_hbb"):
                folder = root / split / "labelTxt-v1.5" / f"DOTA-v1.5_{split}{end}"
                write_lines(folder / f"{picture.name}.txt", lines)


@truth("tt100k", "tt100k", splits=True)
def tt100k(root: Path, scene: Scene) -> None:
    """TT100K: images with numbers, in folders of splits."""
    images = {}
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / split)
            objects = [
                {"bbox": dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)), "category": name}
                for label, box in picture.objects
                for name in [scene.classes[label]]
            ]
            images[str(len(images))] = {"path": f"{split}/{picture.name}.png", "objects": objects}
    write_json(root / "annotations.json", {"imgs": images, "types": list(scene.classes)})


@truth("xview", "xview", empty=False)
def xview(root: Path, scene: Scene) -> None:
    """xView: numbers of classes, with a list of their names, and corners in text."""
    features = []
    for _, picture, name, box in scene.objects():
        properties = {"bounds_imcoords": ",".join(map(str, box)), "image_id": f"{picture.name}.png"}
        properties |= {"type_id": 11 + scene.classes.index(name)}
        features.append({"type": "Feature", "geometry": {}, "properties": properties})
    for picture in scene.pictures:
        picture.save(root / "train_images")
    write_json(root / "xView_train.geojson", {"type": "FeatureCollection", "features": features})
    write_lines(
        root / "xview_class_labels.txt", [[11 + k, name] for k, name in enumerate(scene.classes)], ":"
    )


@truth("gtsdb", "retinanet_csv", empty=False)
def gtsdb(root: Path, scene: Scene) -> None:
    """GTSDB: lines of gt.txt beside the images, separated by semicolons."""
    for picture in scene.pictures:
        picture.save(root)
    rows = [[f"{picture.name}.png", *box, name] for _, picture, name, box in scene.objects()]
    write_lines(root / "gt.txt", rows, ";")


@truth("cityscapes", "cityscapes", splits=True)
def cityscapes(root: Path, scene: Scene) -> None:
    """Cityscapes: polygons in ``gtFine``, of streets as well, and images in ``leftImg8bit``."""
    for split, of in scene.splits.items():
        for k, picture in enumerate(of):
            city = ("aachen", "ulm")[k % 2]
            (root / "leftImg8bit" / split / city).mkdir(parents=True, exist_ok=True)
            image = picture.save(root / "leftImg8bit" / split / city)
            image.rename(image.with_name(f"{picture.name}_leftImg8bit.png"))
            height, width = picture.size
            objects = [{"label": "road", "polygon": [[0, 30], [60, 30], [60, 47], [0, 47]]}]
            objects += [
                {"label": scene.classes[label], "polygon": [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]}
                for label, (x0, y0, x1, y1) in picture.objects
            ]
            document = {"imgHeight": height, "imgWidth": width, "objects": objects}
            write_json(root / "gtFine" / split / city / f"{picture.name}_gtFine_polygons.json", document)


@truth("citypersons", "cityscapes")
def citypersons(root: Path, scene: Scene) -> None:
    """CityPersons: boxes of whole and of visible persons."""
    for picture in scene.pictures:
        image = picture.save(root / "leftImg8bit" / "train" / "ulm")
        image.rename(image.with_name(f"{picture.name}_leftImg8bit.png"))
        objects = [
            {
                "instanceId": 24000 + k,
                "bbox": xywh(box),
                "bboxVis": [0, 0, 1, 1],
                "label": scene.classes[label],
            }
            for k, (label, box) in enumerate(picture.objects)
        ]
        document = {"imgHeight": 48, "imgWidth": 64, "objects": objects}
        folder = root / "gtBboxCityPersons" / "train" / "ulm"
        write_json(folder / f"{picture.name}_gtBboxCityPersons.json", document)


@truth("darknet", "yolo", splits=True, tolerance=1e-4)
def darknet(root: Path, scene: Scene) -> None:
    """Darknet: lists with paths of another machine, ``JPEGImages`` and ``labels``."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "JPEGImages")
            lines = []
            for label, box in picture.objects:
                x0, y0, x1, y1 = relative(box, picture)
                lines.append([label, (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])
            write_lines(root / "labels" / f"{picture.name}.txt", lines)
        write_text(root / f"{split}.txt", "".join(f"/home/me/voc/JPEGImages/{p.name}.png\n" for p in of))
    write_text(root / "voc.names", "".join(f"{name}\n" for name in scene.classes))
    entries = {"train": "train", "val": "valid", "test": "test"}
    lists = "".join(f"{entries[split]}  = /home/me/voc/{split}.txt\n" for split in scene.splits)
    write_text(root / "voc.data", f"classes= 2\n{lists}names = data/voc.names\nbackup = backup\n")
