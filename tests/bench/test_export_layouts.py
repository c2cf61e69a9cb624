"""Annotation files of other tools: each is written by a few lines from the same pictures, and read back."""

from __future__ import annotations

import csv
import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import TRUTH
from tiny_data import CLASSES, Picture, pictures

from bench.datasets import locate_data, open_dataset
from metrics import read_truth
from metrics.errors import InputError, InputNote, InputWarning
from metrics.formats.image_annotations import exports
from metrics.formats.layouts import LAYOUTS
from metrics.notes import note_of


def content(count: int = 24, start: int = 0) -> list[Picture]:
    """Pictures of 48 x 64 pixels with one or two objects at places of their own."""
    made = pictures(count, start)
    for k, picture in enumerate(made):
        x, y = 2 + 5 * (k % 8), 2 + (k % 3) * 4
        picture.objects = [(k % 2, (x, y, x + 16, y + 12))]
        if k % 3 == 0:
            picture.objects.append((1 - k % 2, (x, y + 20, x + 14, y + 30)))
    return made


def save_images(folder: Path, shown: Sequence[Picture], suffix: str = ".png") -> None:
    for picture in shown:
        picture.save(folder, suffix)


def named(shown: Sequence[Picture]) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    return {p.name: [(CLASSES[label], tuple(map(float, box))) for label, box in p.objects] for p in shown}


def write_json(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def labelme(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root, shown)
    for k, picture in enumerate(shown):
        shapes = []
        for label, (x0, y0, x1, y1) in picture.objects:
            rectangle = [[x1, y0], [x0, y1]]  # any two opposite corners
            polygon = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]]
            kind = ("rectangle", "polygon", "rotation")[k % 3]
            points = rectangle if kind == "rectangle" else polygon
            shapes.append(
                {"label": CLASSES[label], "points": points, "shape_type": kind, "group_id": None, "flags": {}}
            )
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


def _studio_region(label: int, box: tuple[float, ...]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    value = {
        "x": x0 / 64 * 100,
        "y": y0 / 48 * 100,
        "width": (x1 - x0) / 64 * 100,
        "height": (y1 - y0) / 48 * 100,
    }
    return value | {"rotation": 0, "rectanglelabels": [CLASSES[label]]}


def label_studio(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "images", shown)
    tasks = []
    for k, picture in enumerate(shown):
        result = [
            {
                "id": f"r{n}",
                "type": "rectanglelabels",
                "value": _studio_region(*each),
                "original_width": 64,
                "original_height": 48,
            }
            for n, each in enumerate(picture.objects)
        ]
        image = (f"/data/upload/3/{picture.name}.png", f"/data/local-files/?d=shots%2F{picture.name}.png")[
            k % 2
        ]
        tasks.append(
            {
                "id": k,
                "data": {"image": image},
                "annotations": [{"id": k, "was_cancelled": False, "result": result}],
            }
        )
    write_json(root / "project-1.json", tasks)


def label_studio_min(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "images", shown)
    tasks = [
        {
            "id": k,
            "image": f"/data/upload/3/{picture.name}.png",
            "label": [
                _studio_region(*each) | {"original_width": 64, "original_height": 48}
                for each in picture.objects
            ],
        }
        for k, picture in enumerate(shown)
    ]
    write_json(root / "project-1-min.json", tasks)


def via(root: Path, shown: Sequence[Picture], version: int = 2, project: bool = False) -> None:
    save_images(root, shown)
    entries = {}
    for picture in shown:
        regions: Any = [
            {
                "shape_attributes": {"name": "rect", "x": x0, "y": y0, "width": x1 - x0, "height": y1 - y0},
                "region_attributes": {"kind": CLASSES[label] if version == 1 else {CLASSES[label]: True}},
            }
            for label, (x0, y0, x1, y1) in picture.objects
        ]
        if version == 1:
            regions = {str(k): region for k, region in enumerate(regions)}
        entries[f"{picture.name}.png9"] = {
            "filename": f"{picture.name}.png",
            "size": 9,
            "regions": regions,
            "file_attributes": {},
        }
    write_json(root / "via.json", {"_via_settings": {}, "_via_img_metadata": entries} if project else entries)


def kitti(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "training" / "image_2", shown)
    (root / "training" / "label_2").mkdir(parents=True)
    for picture in shown:
        lines = [
            f"{CLASSES[label]} 0.00 0 -1.57 {x0:.2f} {y0:.2f} {x1:.2f} {y1:.2f} 1.5 1.6 3.7 1 2 3 -1.6\n"
            for label, (x0, y0, x1, y1) in picture.objects
        ]
        (root / "training" / "label_2" / f"{picture.name}.txt").write_text("".join(lines))


def visdrone(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "images", shown, ".jpg")
    (root / "annotations").mkdir(parents=True)
    for picture in shown:
        lines = [
            f"{x0},{y0},{x1 - x0},{y1 - y0},1,{label + 1},0,0\n"
            for label, (x0, y0, x1, y1) in picture.objects
        ]
        (root / "annotations" / f"{picture.name}.txt").write_text("".join(lines))


def crowdhuman(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "Images", shown, ".jpg")
    rows = [
        {
            "ID": p.name,
            "gtboxes": [
                {
                    "tag": CLASSES[label],
                    "fbox": [x0, y0, x1 - x0, y1 - y0],
                    "vbox": [1, 1, 2, 2],
                    "hbox": [1, 1, 2, 2],
                    "extra": {"box_id": 0},
                }
                for label, (x0, y0, x1, y1) in p.objects
            ],
        }
        for p in shown
    ]
    (root / "annotation_train.odgt").write_text("\n".join(map(json.dumps, rows)) + "\n")


def wider_face(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "WIDER_train" / "images" / "0--Parade", shown, ".jpg")
    lines = []
    for picture in shown:
        lines += [f"0--Parade/{picture.name}.jpg", str(len(picture.objects))]
        lines += [f"{x0} {y0} {x1 - x0} {y1 - y0} 0 0 0 0 0 0 " for _, (x0, y0, x1, y1) in picture.objects]
    (root / "wider_face_split").mkdir()
    (root / "wider_face_split" / "wider_face_train_bbx_gt.txt").write_text("\n".join(lines) + "\n")


def bdd100k(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "images", shown, ".jpg")
    frames = [
        {
            "name": f"{p.name}.jpg",
            "attributes": {},
            "labels": [
                {
                    "category": CLASSES[label],
                    "attributes": {"occluded": True},
                    "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True)),
                }
                for label, box in p.objects
            ],
        }
        for p in shown
    ]
    write_json(root / "labels" / "det_train.json", frames)


def tensorflow_csv(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root, shown)
    with (root / "_annotations.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"))
        for picture in shown:
            writer.writerows(
                (f"{picture.name}.png", 64, 48, CLASSES[label], *box) for label, box in picture.objects
            )


def retinanet_csv(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "shots", shown)
    with (root / "annotations.csv").open("w", newline="") as file:
        for picture in shown:
            csv.writer(file).writerows(
                (f"/home/me/shots/{picture.name}.png", *box, CLASSES[label]) for label, box in picture.objects
            )


def open_images(root: Path, shown: Sequence[Picture]) -> None:
    save_images(root / "data", shown, ".jpg")
    with (root / "oidv6-train-annotations-bbox.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
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
        )
        for picture in shown:
            for label, (x0, y0, x1, y1) in picture.objects:
                corners = (x0 / 64, x1 / 64, y0 / 48, y1 / 48)
                writer.writerow((picture.name, "xclick", f"/m/0{label}", 1, *corners, 1, 0))
    (root / "class-descriptions-boxable.csv").write_text("/m/00,cat\n/m/01,dog\n/m/02,hen\n")


WRITERS: dict[str, tuple[str, Callable[[Path, Sequence[Picture]], None]]] = {
    "labelme": ("labelme", labelme),
    "label_studio": ("label_studio", label_studio),
    "label_studio_min": ("label_studio", label_studio_min),
    "via1": ("via", lambda root, shown: via(root, shown, version=1)),
    "via2": ("via", via),
    "via_project": ("via", lambda root, shown: via(root, shown, project=True)),
    "kitti": ("kitti", kitti),
    "visdrone": ("visdrone", visdrone),
    "crowdhuman": ("crowdhuman", crowdhuman),
    "wider_face": ("wider_face", wider_face),
    "bdd100k": ("bdd100k", bdd100k),
    "tensorflow_csv": ("tensorflow_csv", tensorflow_csv),
    "retinanet_csv": ("retinanet_csv", retinanet_csv),
    "open_images": ("open_images", open_images),
}


def read_back(table: Any) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    found: dict[str, list[tuple[str, tuple[float, ...]]]] = {
        Path(str(i)).stem: [] for i in table.catalog.image_ids
    }
    for image, label, box in zip(
        table.image.tolist(), table.label.tolist(), table.boxes.round(6).tolist(), strict=True
    ):
        found[Path(str(table.catalog.image_ids[image])).stem].append(
            (table.catalog.classes[label], tuple(box))
        )
    return found


def expected_of(name: str, shown: Sequence[Picture]) -> dict[str, list[tuple[str, tuple[float, ...]]]]:
    rename = {
        "visdrone": {"cat": "pedestrian", "dog": "people"},
        "wider_face": dict.fromkeys(CLASSES, "face"),
    }.get(name, {})
    return {
        image: [(rename.get(cls, cls), box) for cls, box in boxes] for image, boxes in named(shown).items()
    }


def test_every_export_has_a_sample() -> None:
    samples = {name for name, _ in WRITERS.values()} | {layout.format for layout in TRUTH.values()}
    assert set(exports()) <= samples


@pytest.mark.parametrize("sample", WRITERS)
def test_a_sample_is_detected_read_and_opened(tmp_path: Path, sample: str) -> None:
    name, write = WRITERS[sample]
    tmp_path = tmp_path / "root"
    tmp_path.mkdir()
    shown = content()
    write(tmp_path, shown)
    located = locate_data(tmp_path)
    assert (located.format.name, located.other_formats) == (name, ())
    assert read_back(read_truth(tmp_path)) == expected_of(name, shown)
    data = open_dataset(tmp_path)
    found: dict[str, Any] = {}
    for split in data.splits.values():
        found |= read_back(split.truth)
        for index, file in enumerate(split.truth.catalog.file_names):
            picture = next(p for p in shown if p.name == Path(file).stem)
            assert np.abs(split.load(index).astype(int) - picture.pixels()).mean() < 12  # JPEG
            assert split.truth.catalog.sizes[index].tolist() == [48, 64]
    assert found == expected_of(name, shown)


@pytest.mark.parametrize("sample", WRITERS)
def test_images_elsewhere_are_found_as_the_message_says(tmp_path: Path, sample: str) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    root.mkdir()
    elsewhere.mkdir()
    WRITERS[sample][1](root, content())
    for image in [*root.rglob("*.png"), *root.rglob("*.jpg")]:
        shutil.move(image, elsewhere / image.name)
    with pytest.raises(
        InputError, match=r"not found; searched .*; set data\.images to the folder that holds the images"
    ):
        open_dataset(root)
    assert sum(map(len, open_dataset(root, images=str(elsewhere)).splits.values())) == 24


FORMS = {name: value for name, value in WRITERS.items() if name not in ("labelme", "kitti", "visdrone")}


@pytest.mark.parametrize("sample", FORMS)
def test_a_damaged_file_is_refused_with_its_place(tmp_path: Path, sample: str) -> None:
    name, write = WRITERS[sample]
    write(tmp_path, content())
    (file,) = locate_data(tmp_path).annotations
    text = file.read_text()
    random = np.random.default_rng(3)
    refused = []
    for _ in range(60):
        at, length = int(random.integers(0, len(text) - 40)), int(random.integers(1, 30))
        file.write_text(text[:at] + 'Ä#,;"'[: int(random.integers(0, 5))] + text[at + length :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputWarning)
            try:
                exports()[name].read(tmp_path, [file])
            except InputError as error:
                refused.append(str(error))
    assert len(refused) > 10
    assert all(str(file) in message for message in refused)


def kinds(path: Path) -> tuple[Any, list[str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_truth(path)
    return table, [note_of(one.message).kind for one in caught if issubclass(one.category, InputNote)]


def test_regions_that_are_not_evaluated_are_crowds_of_every_class(tmp_path: Path) -> None:
    for name, write in (("kitti", kitti), ("visdrone", visdrone), ("crowdhuman", crowdhuman)):
        root = tmp_path / name
        root.mkdir()
        write(root, content())
        if name == "kitti":
            with (root / "training/label_2/img000.txt").open("a") as file:
                file.write("DontCare -1 -1 -10 1 2 30 40 -1 -1 -1 -1000 -1000 -1000 -10\n")
        elif name == "visdrone":
            with (root / "annotations/img000.txt").open("a") as file:
                file.write("1,2,29,38,0,0,0,0\n")
        else:
            odgt = root / "annotation_train.odgt"
            rows = [json.loads(line) for line in odgt.read_text().splitlines()]
            rows[0]["gtboxes"].append({"tag": "mask", "fbox": [1, 2, 29, 38], "extra": {"ignore": 1}})
            odgt.write_text("\n".join(map(json.dumps, rows)))
        table, noted = kinds(root)
        assert noted == ["ignored_regions"]
        assert table.label[table.crowd].tolist() == [0, 1]
        assert table.boxes[table.crowd].tolist() == [[1, 2, 30, 40]] * 2


def test_marks_of_difficult_objects_are_ignored_objects(tmp_path: Path) -> None:
    labelme(tmp_path / "a", content())
    file = tmp_path / "a" / "img000.json"
    document = json.loads(file.read_text())
    document["shapes"][0]["difficult"] = True
    document["shapes"].append({"label": "cat", "points": [[1, 1]], "shape_type": "point"})
    document["shapes"].append({"label": "cat", "points": [[20, 20], [23, 24]], "shape_type": "circle"})
    file.write_text(json.dumps(document))
    table, noted = kinds(tmp_path / "a")
    assert table.ignored.sum() == 1
    assert noted == ["left_out"]
    assert [15, 15, 25, 25] in table.boxes.tolist()
    (tmp_path / "b").mkdir()
    wider_face(tmp_path / "b", content())
    file = next((tmp_path / "b").rglob("*_bbx_gt.txt"))
    file.write_text(
        file.read_text().replace("0 0 0 0 0 0 ", "0 0 0 1 0 0 ", 1)
        + "0--Parade/none.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
    )
    table, noted = kinds(tmp_path / "b")
    assert (table.ignored.sum(), noted) == (1, ["ignored_regions"])
    assert len(table.catalog.image_ids) == 25


def test_tasks_of_label_studio_without_annotation_are_left_out_and_rotated_boxes_bounded(
    tmp_path: Path,
) -> None:
    label_studio(tmp_path, content())
    file = tmp_path / "project-1.json"
    tasks = json.loads(file.read_text())
    tasks[0]["annotations"] = []
    tasks[1]["annotations"].append(tasks[1]["annotations"][0])
    value = tasks[2]["annotations"][0]["result"][0]["value"]
    value |= {"x": 50, "y": 50, "width": 25, "height": 25, "rotation": 90}
    file.write_text(json.dumps(tasks))
    table, noted = kinds(tmp_path)
    assert noted == ["left_out"]
    assert len(table.catalog.image_ids) == 23
    image = table.catalog.image_ids.index("img002")
    np.testing.assert_allclose(table.boxes[table.image == image][0], [32 - 12, 24, 32, 24 + 16])


def test_the_class_attribute_of_via_is_the_one_called_so_or_refused(tmp_path: Path) -> None:
    via(tmp_path, content(), version=1)
    file = tmp_path / "via.json"
    entries = json.loads(file.read_text())
    for entry in entries.values():
        for region in entry["regions"].values():
            region["region_attributes"]["colour"] = "red"
    file.write_text(json.dumps(entries))
    with pytest.raises(
        InputError,
        match=r"regions have the attributes kind, colour; rename the one that is the class to 'class'",
    ):
        read_truth(tmp_path)
    file.write_text(file.read_text().replace('"kind"', '"class"'))
    table, noted = kinds(tmp_path)
    assert (table.catalog.classes, noted) == (CLASSES, ["class_attribute"])


def test_boxes_in_fractions_have_sizes_from_the_images_or_assumed_ones(tmp_path: Path) -> None:
    open_images(tmp_path, content())
    table = tmp_path / "oidv6-train-annotations-bbox.csv"
    table.write_text(table.read_text().replace(",1,0\n", ",1,1\n", 1).replace(",1,0\r\n", ",1,1\r\n", 1))
    truth, noted = kinds(tmp_path)
    assert (truth.crowd.sum(), noted) == (1, ["ignored_regions"])
    (tmp_path / "data" / "img000.jpg").unlink()
    with pytest.raises(InputError, match="image 'img000' is not there; add it, or remove its rows"):
        read_truth(tmp_path)
    shutil.rmtree(tmp_path / "data")
    with pytest.warns(InputWarning, match="all are taken for 1000 x 1000 pixels"):
        assumed = read_truth(tmp_path)
    np.testing.assert_allclose(assumed.xywh / 1000, truth.xywh / [64, 48, 64, 48])


def test_an_image_without_objects_has_a_row_without_values(tmp_path: Path) -> None:
    retinanet_csv(tmp_path, content())
    with (tmp_path / "annotations.csv").open("a") as file:
        file.write("shots/none.png,,,,,\n")
    assert len(read_truth(tmp_path).catalog.image_ids) == 25


def test_splits_are_folders_or_files_named_after_them(tmp_path: Path) -> None:
    for split, start in (("train", 0), ("valid", 24), ("test", 48)):
        (tmp_path / split).mkdir()
        tensorflow_csv(tmp_path / split, content(24, start))
    data = open_dataset(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 24, "val": 24, "test": 24}
    assert len(read_truth(tmp_path, "test").catalog.image_ids) == 24
    with pytest.raises(InputError, match="no split 'dev'; it has"):
        read_truth(tmp_path, "dev")


def test_the_known_formats_do_not_look_like_exports(tmp_path: Path) -> None:
    from tiny_data import write_coco, write_voc, write_yolo

    write_coco(tmp_path / "coco" / "a.json", content())
    write_voc(tmp_path / "voc", content())
    write_yolo(tmp_path / "yolo", {"train": content()})
    for name in LAYOUTS:
        assert [each.name for each in exports().values() if each.files(tmp_path / name)] == []
