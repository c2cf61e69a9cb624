"""Exports for YOLO as they are found: paths, splits, names, keypoints and image suffixes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from exported_data import opened, size, with_places
from PIL import Image
from tiny_data import pictures, write_coco, write_yolo

from bench.datasets import open_dataset
from metrics import read_truth
from metrics.errors import InputError
from metrics.formats.image_search import IMAGE_SUFFIXES

YAML = "train: {}\nval: {}\n{}nc: 2\nnames: [cat, dog]\n"


def yolo(root: Path, train: str = "images/train", val: str = "images/val", more: str = "") -> Path:
    write_yolo(root, {"train": with_places(pictures(20)), "val": with_places(pictures(12, 20))})
    (root / "data.yaml").write_text(YAML.format(train, val, more))
    return root


def roboflow_yolo(root: Path, prefix: str, test: str) -> Path:
    write_yolo(
        root, {"train": with_places(pictures(20)), "valid": with_places(pictures(12, 20))}, folder="{}/images"
    )
    (root / "data.yaml").write_text(YAML.format(f"{prefix}/train/images", f"{prefix}/valid/images", test))
    return root


@pytest.mark.parametrize("prefix", ["..", "Parts-1", "/content/Parts-1", "C:\\parts", "."])
def test_a_split_of_roboflow_that_is_absent_is_passed_over(tmp_path: Path, prefix: str) -> None:
    root = roboflow_yolo(tmp_path / "Parts-1", prefix, "test: ../test/images\n")
    data, kinds = opened(root)
    assert {"absent_split", "made_splits"} <= kinds
    assert (len(data.splits["train"]), size(data)) == (20, 32)
    assert len(read_truth(root, "val").catalog.image_ids) == 12


def test_an_absent_val_or_empty_test_is_passed_over_and_no_split_at_all_is_refused(tmp_path: Path) -> None:
    root = yolo(tmp_path, val="../valid/images", more="test: images/empty\n")
    (root / "images" / "empty").mkdir()
    data, kinds = opened(root)
    assert size(data) == 20
    assert "absent_split" in kinds
    (root / "data.yaml").write_text(YAML.format("../a/images", "../b/images", ""))
    with pytest.raises(
        InputError,
        match=r"data.yaml: train and val are both found as .*images; correct their paths, or remove",
    ):
        open_dataset(root)
    (root / "data.yaml").write_text("names: [cat, dog]\n")  # as the message says
    assert size(opened(root)[0]) == 32


@pytest.mark.parametrize("val", ["", "null", "''"])
def test_fault_121_images_of_a_folder_of_a_split_without_an_entry_are_counted(
    tmp_path: Path, val: str
) -> None:
    for data in (yolo(tmp_path / "flat", val=val), roboflow_yolo(tmp_path / "nested", ".", "")):
        if data.name == "nested":
            (data / "data.yaml").write_text(YAML.format("train/images", val, ""))
        found, kinds = opened(data)
        assert size(found) == 20
        assert "unused_split" in kinds
        (note,) = [note for note in found.notes if note.kind == "unused_split"]
        assert note.values == {"images": 12}
        advice = note.text.split("add ")[1]
        text = (data / "data.yaml").read_text().replace(f"val: {val}\n", "")
        (data / "data.yaml").write_text(f"{text}{advice}\n")
        again, kinds = opened(data)
        assert size(again) == 32
        assert "unused_split" not in kinds


@pytest.mark.parametrize("missing", ["", " ", None])
def test_fault_122_an_image_without_file_name_is_named(tmp_path: Path, missing: str | None) -> None:
    write_coco(tmp_path / "annotations.json", with_places(pictures(4)), tmp_path / "images")
    document = json.loads((tmp_path / "annotations.json").read_text())
    for row in document["images"][2:]:
        row["file_name"] = missing
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"images\[2\]: no file name, as 2 of 4 images; write the name"):
        opened(tmp_path)


def test_a_misspelled_split_is_named_with_the_nearest_folder(tmp_path: Path) -> None:
    root = yolo(tmp_path, train="images/trian")
    shutil.rmtree(root / "images" / "val")
    with pytest.raises(
        InputError, match=r"train: .*images/trian: no such folder or list of images; did you mean 'train'\?"
    ):
        open_dataset(root)


@pytest.mark.parametrize(
    "form", ["/home/me/parts/images/{}", "D:\\data\\parts\\images\\{}", "data/images/{}", "../images/{}"]
)
@pytest.mark.parametrize("lists", [False, True])
def test_paths_of_another_machine_are_found_beneath_the_folder(
    tmp_path: Path, form: str, lists: bool
) -> None:
    if lists:
        root = yolo(tmp_path, "train.txt", "val.txt")
        for split in ("train", "val"):
            names = sorted(path.name for path in (root / "images" / split).iterdir())
            separator = "\\" if "\\" in form else "/"
            lines = "".join(f"{form.format(split)}{separator}{name}\n" for name in names)
            (root / f"{split}.txt").write_text(lines)
    else:
        root = yolo(tmp_path, form.format("train"), form.format("val"))
    data, kinds = opened(root)
    assert "found_elsewhere" in kinds
    assert (len(data.splits["train"]), size(data)) == (20, 32)


@pytest.mark.parametrize("shape", [(12, 2), (17, 3), (1, 3), (24, 3)])
@pytest.mark.parametrize("declared", [True, False])
def test_keypoints_are_not_corners_of_polygons(
    tmp_path: Path, shape: tuple[int, int], declared: bool
) -> None:
    random = np.random.default_rng(1)
    root = yolo(tmp_path, more=f"kpt_shape: {list(shape)}\n" if declared else "")
    before = open_dataset(yolo(tmp_path / "boxes"))
    for file in root.glob("labels/*/*.txt"):
        label, *box = map(float, file.read_text().split())
        x, y, w, h = box
        points = [[x, y] + (random.random(2) - 0.5) * [w, h] for _ in range(shape[0])]
        numbers = [value for point in points for value in [*point, *([2] * (shape[1] - 2))]]
        file.write_text(" ".join(map(str, [int(label), *box, *numbers])))
    data, kinds = opened(root)
    assert ("guessed_keypoints" in kinds) == (not declared)
    for name, split in before.splits.items():
        np.testing.assert_allclose(data.splits[name].truth.boxes, split.truth.boxes, atol=1e-3)


def test_rotated_boxes_and_polygons_are_still_bounded(tmp_path: Path) -> None:
    root = yolo(tmp_path)
    for k, file in enumerate(sorted(root.glob("labels/*/*.txt"))):
        label, *box = map(float, file.read_text().split())
        x, y, w, h = box
        corners = [x - w / 2, y, x, y - h / 2, x + w / 2, y, x, y + h / 2]
        more = [x - w / 4, y + h / 4] if k % 2 else []
        file.write_text(" ".join(map(str, [int(label), *corners, *more])))
    boxes = open_dataset(root).splits["train"].truth.boxes
    np.testing.assert_allclose(
        boxes, open_dataset(yolo(tmp_path / "boxes")).splits["train"].truth.boxes, atol=1e-3
    )


def test_lines_that_are_neither_boxes_nor_polygons_are_refused_with_the_advice_that_reads_them(
    tmp_path: Path,
) -> None:
    root = yolo(tmp_path)
    for file in root.glob("labels/*/*.txt"):
        file.write_text(
            file.read_text().strip() + " 0.9 0.9 2\n"
        )  # a visible keypoint far outside of most boxes
    with pytest.raises(
        InputError, match=r"txt:1: expected class cx cy w h, .*add kpt_shape: \[1, 3\] to the YAML file"
    ):
        open_dataset(root)
    with (root / "data.yaml").open("a") as file:
        file.write("kpt_shape: [1, 3]\n")
    assert size(opened(root)[0]) == 32


@pytest.mark.parametrize(
    "written",
    [["no", "yes"], ["on", "off"], ["007", "7"], ["null", "~"], ["1e3", "1.0"], ["2024-01-01", "0x1F"]],
)
@pytest.mark.parametrize("form", ["list", "dict"])
def test_class_names_are_text_as_written(tmp_path: Path, written: list[str], form: str) -> None:
    root = yolo(tmp_path)
    names = f"[{', '.join(written)}]" if form == "list" else f"{{0: {written[0]}, 1: {written[1]}}}"
    (root / "data.yaml").write_text(f"train: images/train\nval: images/val\nnames: {names}\n")
    assert open_dataset(root).classes == tuple(written)


def test_repeated_keys_and_nested_names_of_yaml_are_refused(tmp_path: Path) -> None:
    root = yolo(tmp_path)
    (root / "data.yaml").write_text("train: images/train\nnames: {0: cat, 0: dog}\n")
    with pytest.raises(InputError, match=r"data.yaml:2: the key '0' occurs 2 times"):
        open_dataset(root)
    bomb = "".join(f"x{k}: &x{k} [{', '.join([f'*x{k - 1}'] * 9) if k else 'a, a'}]\n" for k in range(12))
    (root / "data.yaml").write_text(f"{bomb}names: *x11\nval: images/val\n")
    with pytest.raises(InputError, match="names: expected a name for class 0, got a list"):
        open_dataset(root)


def darknet(root: Path) -> Path:
    """CVAT's YOLO 1.1: lists name images in ``data/``, which is not in the archive."""
    made = yolo(root / "made")
    for split, subset in (("train", "train"), ("val", "valid")):
        folder = root / f"obj_{subset}_data"
        shutil.copytree(made / "images" / split, folder)
        shutil.copytree(made / "labels" / split, folder, dirs_exist_ok=True)
        lines = [f"data/{folder.name}/{path.name}\n" for path in sorted(folder.glob("*.png"))]
        (root / f"{subset}.txt").write_text("".join(lines))
    shutil.rmtree(root / "made")
    (root / "obj.names").write_text("cat\ndog\n")
    (root / "obj.data").write_text(
        "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\nnames = data/obj.names\nbackup = backup/\n"
    )
    return root


def test_lists_of_another_machine_without_their_images_are_read_with_the_folder_that_is_advised(
    tmp_path: Path,
) -> None:
    root = darknet(tmp_path / "root")
    (tmp_path / "images").mkdir()
    for image in root.rglob("*.png"):
        image.rename(tmp_path / "images" / image.name)
    for file in (root / "train.txt", root / "valid.txt"):
        file.write_text(file.read_text().replace("data/", "/home/me/data/"))
    with pytest.raises(
        InputError, match=r"train.txt:1: .* no image there is called so; set data\.images to the folder"
    ):
        open_dataset(root)
    assert size(opened(root, images=str(tmp_path / "images"))[0]) == 32


def test_both_subsets_of_darknet_are_read(tmp_path: Path) -> None:
    data, _ = opened(darknet(tmp_path))
    assert (len(data.splits["train"]), size(data)) == (20, 32)
    assert len(read_truth(tmp_path / "obj.data", "train")) == 20
    (tmp_path / "obj.data").write_text("classes = 3\ntrain = data/train.txt\nnames = data/obj.names\n")
    with pytest.raises(InputError, match=r"classes is 3, but obj\.names has 2 names"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("images", ["images", "JPEGImages", "data"])
def test_labels_lie_beside_folders_of_any_name(tmp_path: Path, images: str) -> None:
    root = yolo(tmp_path, f"{images}/train", f"{images}/val")
    if images != "images":
        (root / "images").rename(root / images)
    assert sum(len(split.truth) for split in opened(root)[0].splits.values()) == 32


@pytest.mark.parametrize("flat", [True, False])
def test_a_yaml_file_with_names_only_is_split_or_uses_its_folders(tmp_path: Path, flat: bool) -> None:
    root = yolo(tmp_path)
    (root / "data.yaml").write_text("names: [cat, dog]\nnc: 2\n")
    if flat:
        for file in [*root.glob("*/val/*"), *root.glob("*/train/*")]:
            file.rename(file.parent.parent / file.name)
    data, kinds = opened(root)
    assert size(data) == 32
    assert ("splits_by_folder" in kinds) == (not flat)
    assert (len(data.splits["train"]) == 20) == (not flat)


def test_one_text_file_for_two_images_is_refused_and_folders_of_text_files_are_read(tmp_path: Path) -> None:
    root = tmp_path
    for camera in ("cam0", "cam1"):
        write_yolo(root, {camera: with_places(pictures(8))})
        shutil.move(root / "images" / camera / "img000.png", root / "images" / camera / "same.png")
        shutil.move(root / "labels" / camera / "img000.txt", root / "labels" / camera / "same.txt")
    (root / "data.yaml").write_text("names: [cat, dog]\n")
    assert size(opened(root)[0]) == 16
    flat = root / "flat"
    shutil.copytree(root / "labels" / "cam0", flat)
    shutil.rmtree(root / "labels")
    flat.rename(root / "labels")
    with pytest.raises(
        InputError,
        match=r"labels/\w+.txt: would be the text file of two images, .*cam0/.*cam1/.*like those of the images",
    ):
        open_dataset(root)
    with pytest.raises(InputError, match="would be the text file of two images"):
        read_truth(root)


def test_two_splits_do_not_share_text_files(tmp_path: Path) -> None:
    root = tmp_path
    write_yolo(root, {"train": with_places(pictures(8)), "val": with_places(pictures(8))})
    flat = root / "flat"
    shutil.copytree(root / "labels" / "train", flat)
    shutil.rmtree(root / "labels")
    flat.rename(root / "labels")
    with pytest.raises(InputError, match="would be the text file of two images"):
        open_dataset(root)


def test_images_of_every_suffix_are_read_and_others_counted(tmp_path: Path) -> None:
    root = yolo(tmp_path)
    Image.init()
    suffixes = sorted(
        suffix
        for suffix, kind in Image.registered_extensions().items()
        if suffix in IMAGE_SUFFIXES
        and kind in ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "TGA", "PCX")
    )
    for suffix, path in zip(
        [*suffixes, ".JPG", ".Png", ".mpo"], sorted(root.glob("images/*/*")), strict=False
    ):
        with Image.open(path) as image:
            image.save(path.with_suffix(suffix), "JPEG" if suffix == ".mpo" else None)
        if suffix != path.suffix:
            path.unlink()
    (root / "images" / "train" / "x.heic").touch()
    data = open_dataset(root)
    assert size(data) == 32
    assert any(note.kind == "unreadable_kinds" and "1 .heic" in note.text for note in data.notes)
