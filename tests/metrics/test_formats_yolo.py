"""YOLO's data sets: the YAML file, the lists of images, and lines of boxes or polygons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metrics.errors import InputError, InputWarning
from metrics.formats import coco, yolo, yolo_description
from metrics.formats.yolo_labels import label_path


def dataset(folder: Path, text: str, *images: str) -> Path:
    for name in images:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    path = folder / "data.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "names", ["[cat, dog]", "\n  0: cat\n  1: dog", "\n  1: dog\n  0: cat", "[cat, dog]\nnc: 2"]
)
def test_names_are_a_list_or_a_dict_from_zero(tmp_path: Path, names: str) -> None:
    path = dataset(
        tmp_path, f"train: images/train\nnames: {names}\n", "images/train/b.png", "images/train/a.JPG"
    )
    described = yolo_description.read_yaml(path)
    assert described.names == ("cat", "dog")
    assert described.root == tmp_path
    assert described.splits == {"train": [tmp_path / "images/train/a.JPG", tmp_path / "images/train/b.png"]}


def test_splits_are_folders_lists_or_lists_of_them(tmp_path: Path) -> None:
    path = dataset(
        tmp_path,
        "path: .\ntrain: [images/a, images/b]\nval: lists/val.txt\ntest:\nnames: [x]\n",
        "images/a/1.jpg",
        "images/a/deep/2.jpg",
        "images/b/3.jpg",
        "lists/4.jpg",
    )
    (tmp_path / "lists" / "val.txt").write_text(f"images/a/1.jpg\n\n./4.jpg\n{tmp_path}/images/b/3.jpg\n")
    described = yolo_description.read_yaml(path)
    assert [image.name for image in described.splits["train"]] == ["1.jpg", "2.jpg", "3.jpg"]
    assert sorted(image.name for image in described.splits["val"]) == ["1.jpg", "3.jpg", "4.jpg"]
    assert "test" not in described.splits


def test_a_folder_that_another_program_expected_elsewhere_is_found(tmp_path: Path) -> None:
    path = dataset(tmp_path, "train: ../train/images\nnames: [x]\n", "train/images/1.jpg")
    assert yolo_description.read_yaml(path).splits["train"] == [tmp_path / "train/images/1.jpg"]
    path.write_text("path: /absent/coco8\ntrain: train/images\nnames: [x]\n")
    with pytest.warns(InputWarning, match=r"path: folder /absent/coco8 does not exist; .* is used instead"):
        assert yolo_description.read_yaml(path).root == tmp_path


@pytest.mark.parametrize("given", [{0: "a", 2: "b"}, {1: "a", 3: "b"}])
def test_naming_the_missing_classes_closes_a_gap(tmp_path: Path, given: dict[int, str]) -> None:
    text = "train: images\nnames: {{{}}}\n"
    path = dataset(
        tmp_path, text.format(", ".join(f"{k}: {name}" for k, name in given.items())), "images/1.jpg"
    )
    with pytest.raises(InputError, match="give each class index below the largest one a name"):
        yolo_description.read_yaml(path)
    named = {k: given.get(k, "unused") for k in range(max(given))} | {max(given): given[max(given)]}
    path.write_text(text.format(", ".join(f"{k}: {name}" for k, name in named.items())))
    assert yolo_description.read_yaml(path).names == tuple(named.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "expected train, val and names, got list"),
        ("train: images", "names: expected a list of class names"),
        ("train: images\nnames: {0: a, 2: b}", r"names: expected classes 0 .. 1 without a gap, got \[0, 2\]"),
        ("train: images\nnames: [a]\nnc: 3", "nc is 3, but there is 1 name"),
        (
            "names: [a]\ntrain: ''",
            "no images in images, obj_train_data or the folder itself; set data.images",
        ),
        ("train: absent\nnames: [a]", "train: .*absent: no such folder or list of images"),
        ("train: {a: b}\nnames: [a]", "train: expected a folder or a text file, got dict"),
        ("train: empty\nnames: [a]", "train: no images in empty"),
        ("train: [\n", "is not YAML: while parsing"),
    ],
)
def test_an_invalid_description_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        yolo_description.read_yaml(dataset(tmp_path, text))


def test_labels_are_in_the_folder_beside_images() -> None:
    assert label_path(Path("/d/images/train/a.b.jpg")) == Path("/d/labels/train/a.b.txt")
    assert label_path(Path("/images/d/images/a.jpg")) == Path("/images/d/labels/a.txt")
    assert label_path(Path("/d/images.jpg")) == Path("/d/images.txt")


def test_boxes_and_polygons_become_pixels(tmp_path: Path) -> None:
    image = tmp_path / "a.jpg"
    (tmp_path / "a.txt").write_text("0 0.5 0.5 0.25 0.5\n1 0.1 0.2 0.3 0.2 0.2 0.6\n\n")
    table = yolo.read_truth([image], [(200, 400)], ["cat", "dog"])
    np.testing.assert_allclose(table.xywh, [[150, 50, 100, 100], [40, 40, 80, 80]])
    assert table.label.tolist() == [0, 1]
    np.testing.assert_allclose(table.area, [10000, 6400])
    assert table.catalog.image_ids == ("a",)


def test_images_of_the_same_name_are_distinguished_by_their_folders(tmp_path: Path) -> None:
    images = [tmp_path / "images" / split / "1.jpg" for split in ("val", "train")]
    for split, label in (("train", 0), ("val", 1)):
        (tmp_path / "labels" / split).mkdir(parents=True)
        (tmp_path / "labels" / split / "1.txt").write_text(f"{label} 0.5 0.5 1 1")
    table = yolo.read_truth(images, [(10, 10), (20, 20)], ["x", "y"])
    assert table.catalog.image_ids == ("train/1", "val/1")
    assert table.catalog.sizes.tolist() == [[20, 20], [10, 10]]
    assert table.label.tolist() == [0, 1]
    assert table.xywh.tolist() == [[0, 0, 20, 20], [0, 0, 10, 10]]


def test_images_without_any_label_file_are_reported(tmp_path: Path) -> None:
    with pytest.warns(InputWarning, match=r"1 of 1 images have no boxes \(looked for .*labels/a.txt\)"):
        assert len(yolo.read_truth([tmp_path / "images" / "a.jpg"], [(9, 9)], ["x"])) == 0
    with pytest.raises(InputError, match=r"sizes: expected one per image, 1, got 2"):
        yolo.read_truth([tmp_path / "a.jpg"], [(9, 9), (9, 9)], ["x"])


def test_a_label_file_without_an_image_is_counted(tmp_path: Path) -> None:
    path = dataset(tmp_path, "train: images\nnames: [x]\n", "images/a.jpg", "labels/a.txt", "labels/lost.txt")
    with pytest.warns(InputWarning, match=r"train: 1 of 2 label files have no image"):
        yolo_description.read_yaml(path)


def test_coco_photographs_read_the_same_from_both_layouts(shared_data: Path) -> None:
    folder = shared_data / "coco" / "train33"
    described = yolo_description.read_yaml(folder / "data.yaml")
    truth = coco.read_truth(folder / "instances.json")
    by_name = dict(zip(truth.catalog.file_names, truth.catalog.sizes.tolist(), strict=True))
    images = described.splits["val"]
    ours = yolo.read_truth(images, [by_name[image.name] for image in images], described.names)
    assert len(ours) == (~truth.crowd).sum()

    def rows(table: object, kept: np.ndarray) -> list[tuple[object, ...]]:
        catalog = table.catalog  # type: ignore[attr-defined]
        names = [Path(name).name for name in catalog.file_names]
        columns = zip(table.image[kept], table.label[kept], table.xywh[kept].tolist(), strict=True)  # type: ignore[attr-defined]
        return sorted((names[i], catalog.classes[k], *np.round(box, 1), *box) for i, k, box in columns)

    theirs = rows(truth, ~truth.crowd)
    mine = rows(ours, np.ones(len(ours), np.bool_))
    assert [row[:2] for row in mine] == [row[:2] for row in theirs]
    # six decimals of centre and size, times at most 640 pixels
    np.testing.assert_allclose(
        np.array([row[-4:] for row in mine], float),
        np.array([row[-4:] for row in theirs], float),
        atol=1e-6 * 640,
    )
