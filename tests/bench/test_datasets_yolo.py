"""YOLO data sets in the usual layouts."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_data import CLASSES, Picture, pictures, write_yolo

from bench.datasets import locate_data, open_dataset
from metrics.errors import InputError


def sizes(path, **options) -> dict[str, int]:
    return {name: len(split) for name, split in open_dataset(path, **options).splits.items()}


@pytest.mark.parametrize("folder", ["images/{}", "{}/images"])
def test_the_yaml_file_and_its_folder_are_the_same_data_set(tmp_path, folder):
    file = write_yolo(
        tmp_path, {"train": pictures(5), "val": pictures(4, 5), "test": pictures(3, 9)}, folder=folder
    )
    assert locate_data(tmp_path).format.name == locate_data(file).format.name == "yolo"
    assert sizes(tmp_path) == sizes(file) == {"train": 5, "val": 4, "test": 3}
    assert open_dataset(tmp_path).fingerprint == open_dataset(file).fingerprint
    assert open_dataset(file).name == tmp_path.name


def test_train_and_val_of_the_same_images_are_split_as_one_set(tmp_path):
    write_yolo(tmp_path, {"train": pictures(40)})
    (tmp_path / "data.yaml").write_text("train: images/train\nval: images/train\nnames: {0: cat, 1: dog}\n")
    data = open_dataset(tmp_path)
    assert sum(len(split) for split in data.splits.values()) == 40
    assert "train and val list the same images and are treated as one set" in map(str, data.notes)


def test_test_of_the_same_images_as_val_is_split_from_val(tmp_path):
    write_yolo(tmp_path, {"train": pictures(5), "val": pictures(30, 5)})
    text = (tmp_path / "data.yaml").read_text()
    (tmp_path / "data.yaml").write_text(f"{text}test: images/val\n")
    data = open_dataset(tmp_path)
    assert "val and test list the same images and are treated as one set" in map(str, data.notes)
    assert len(data.splits["val"]) + len(data.splits["test"]) == 30


def test_boxes_match_their_images_in_any_order_of_files(tmp_path):
    content = [
        Picture(f"{name}", (40, 60), [(0, (k, 2 * k + 1, k + 20, 2 * k + 12))])
        for k, name in enumerate("zyxwvu")
    ]
    write_yolo(tmp_path, {"train": content})
    for split in open_dataset(tmp_path).splits.values():
        for index, image_id in enumerate(split.truth.catalog.image_ids):
            k = "zyxwvu".index(image_id)
            np.testing.assert_array_equal(split.load(index), content[k].pixels())
            expected = [[k, 2 * k + 1, k + 20, 2 * k + 12]]
            np.testing.assert_allclose(split.truth.boxes[split.truth.image == index], expected, atol=1e-5)


def test_fault_23_an_empty_or_absent_text_file_is_background(tmp_path):
    write_yolo(tmp_path, {"train": pictures(6), "val": pictures(3, 6), "test": pictures(3, 9)})
    (tmp_path / "labels" / "train" / "img000.txt").write_text("")
    (tmp_path / "labels" / "train" / "img001.txt").unlink()
    train = open_dataset(tmp_path).splits["train"]
    assert len(train) == 6
    assert len(train.truth) == 4


def test_fault_23_an_unnamed_class_is_reported_with_file_and_line(tmp_path):
    write_yolo(tmp_path, {"train": pictures(6), "val": pictures(3, 6), "test": pictures(3, 9)})
    with (tmp_path / "labels" / "train" / "img000.txt").open("a") as file:
        file.write("7 0.5 0.5 0.1 0.1\n")
    with pytest.raises(InputError, match=r"img000\.txt:2: class 7, but there are 2 names"):
        open_dataset(tmp_path)


def test_fault_24_a_download_in_the_yaml_file_is_never_run(tmp_path):
    write_yolo(tmp_path, {"train": pictures(6), "val": pictures(3, 6), "test": pictures(3, 9)})
    proof = tmp_path / "proof"
    with (tmp_path / "data.yaml").open("a") as file:
        file.write(f"download: |\n  import pathlib; pathlib.Path({str(proof)!r}).write_text('ran')\n")
    open_dataset(tmp_path)
    assert not proof.exists()


def test_boxes_are_fractions_of_the_upright_image(tmp_path):
    """As the tools that write such files take them: sides after EXIF rotation."""
    write_yolo(tmp_path, {"train": pictures(6), "val": pictures(3, 6), "test": pictures(3, 9)})
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "images" / "train" / "img000.png"
    Image.fromarray(Picture("img000").pixels()).save(path, exif=exif)
    (tmp_path / "labels" / "train" / "img000.txt").write_text("0 0.5 0.5 1 0.5\n")
    train = open_dataset(tmp_path).splits["train"]
    assert train.truth.catalog.sizes[0].tolist() == [64, 48]
    np.testing.assert_allclose(train.truth.boxes[train.truth.image == 0], [[0, 16, 48, 48]])
    assert train.load(0).shape == (64, 48, 3)


@pytest.mark.parametrize("names", ["classes.txt", "obj.names", "mine.names"])
@pytest.mark.parametrize("layout", ["labels", "beside", "obj_train_data"])
def test_a_folder_without_yaml_is_opened_by_its_list_of_names(tmp_path, names, layout):
    made = write_yolo(tmp_path / "made", {"train": pictures(30)}).parent
    root = tmp_path / "root"
    images, labels = {
        "labels": (root / "images", root / "labels"),
        "beside": (root / "images", root / "images"),
        "obj_train_data": (root / "obj_train_data", root / "obj_train_data"),
    }[layout]
    shutil.copytree(made / "images" / "train", images)
    shutil.copytree(made / "labels" / "train", labels, dirs_exist_ok=True)
    (root / names).write_text("\n".join(CLASSES) + "\n")
    assert locate_data(root).format.name == "yolo"
    data = open_dataset(root)
    assert data.classes == CLASSES
    assert sum(len(split) for split in data.splits.values()) == 30
    assert sum(len(split.truth) for split in data.splits.values()) == 30


def test_a_setting_names_the_folder_of_the_labels(tmp_path):
    write_yolo(tmp_path, {"train": pictures(30)})
    (tmp_path / "labels" / "train").rename(tmp_path / "elsewhere")
    data = open_dataset(tmp_path, labels=str(tmp_path / "elsewhere"))
    assert sum(len(split.truth) for split in data.splits.values()) == 30
    with pytest.raises(InputError, match=r"data\.labels: .*: no such folder"):
        open_dataset(tmp_path, labels=str(tmp_path / "nowhere"))
    found = open_dataset(tmp_path)
    assert "labels_elsewhere" in {note.kind for note in found.notes}
    assert sum(len(split.truth) for split in found.splits.values()) == 30


def test_several_descriptions_are_refused(tmp_path):
    write_yolo(tmp_path, {"train": pictures(30)})
    (tmp_path / "data.yaml").rename(tmp_path / "a.yaml")
    shutil.copy(tmp_path / "a.yaml", tmp_path / "b.yml")
    with pytest.raises(InputError, match=r"several descriptions: a\.yaml, b\.yml; give the path of one"):
        open_dataset(tmp_path)
    assert sum(sizes(tmp_path / "b.yml").values()) == 30


def test_a_setting_names_the_folder_of_the_images(tmp_path):
    write_yolo(tmp_path, {"train": pictures(30)})
    (tmp_path / "images").rename(tmp_path.parent / f"{tmp_path.name}_images")
    with pytest.raises(InputError, match=r"train: .*images/train: no such folder or list of images"):
        open_dataset(tmp_path)
    data = open_dataset(tmp_path, images=str(tmp_path.parent / f"{tmp_path.name}_images"))
    assert sum(len(split.truth) for split in data.splits.values()) == 30
    with pytest.raises(InputError, match=r"data\.images: .*nowhere: no such folder"):
        open_dataset(tmp_path, images=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "content", ["", "a: 1\n", "names: [a]\n", "train: x\nval: y\n", "- train\n- names\n"]
)
def test_other_yaml_is_not_detected_as_yolo(tmp_path, content):
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(InputError, match="unknown data set format"):
        open_dataset(tmp_path)


def test_real_yolo_and_coco_files_of_the_same_images_have_the_same_boxes(shared_data):
    root = shared_data / "coco" / "train33"
    yolo, coco = open_dataset(root, "yolo"), open_dataset(root, "coco")
    for name in ("train", "val", "test"):
        first, second = yolo.splits[name].truth, coco.splits[name].truth
        assert [int(i) for i in first.catalog.image_ids] == list(second.catalog.image_ids)
        kept = ~second.crowd  # crowds are left out of the text files
        assert len(first) == kept.sum()

        def rows(image, label, boxes):
            return np.array(sorted(map(tuple, np.column_stack([image, label, boxes.round(0)]))))

        # Relative coordinates are rounded to six places.
        np.testing.assert_allclose(
            rows(first.image, first.label, first.boxes),
            rows(second.image[kept], second.label[kept], second.boxes[kept]),
            atol=1.01,
        )
