"""Opening a data set: format detection, checks of the files, and splits."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_data import Picture, pictures, write_coco, write_voc, write_yolo

from bench.data.types import SPLITS, Dataset, require_objects
from bench.datasets import locate_data, open_dataset
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from metrics.errors import InputError, InputWarning
from metrics.formats.layouts import LAYOUTS
from metrics.registry import UnknownName


def coco_splits(root: Path, **parts: list[Picture]) -> Path:
    for name, content in parts.items():
        write_coco(root / name / "_annotations.coco.json", content)
    return root


def sizes(data: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in data.splits.items()}


WRITERS = {
    "coco": lambda root: write_coco(root / "instances.json", pictures(30)),
    "voc": lambda root: write_voc(root, pictures(30)),
    "yolo": lambda root: write_yolo(root, {"train": pictures(20), "val": pictures(10, 20)}),
}


@pytest.mark.parametrize("format", WRITERS)
def test_the_format_of_a_folder_is_detected(tmp_path, format):
    WRITERS[format](tmp_path)
    assert locate_data(tmp_path).format.name == format
    data = open_dataset(tmp_path)
    assert data.format == format
    assert data.path == tmp_path
    assert data.name == tmp_path.name
    assert tuple(data.splits) == SPLITS
    assert sum(sizes(data).values()) == 30
    assert data.classes == ("cat", "dog")
    for split in data.splits.values():
        assert split.truth.catalog.classes == data.classes
        for index in range(len(split)):
            image = split.load(index)
            assert image.shape[:2] == tuple(split.truth.catalog.sizes[index])
            x0, y0, x1, y1 = split.truth.boxes[split.truth.image == index][0].round()
            label = split.truth.label[split.truth.image == index][0]
            rows, columns = np.nonzero(image[1:, :, label] == 255)
            assert (columns.min(), rows.min() + 1, columns.max() + 1, rows.max() + 2) == (x0, y0, x1, y1)


def test_the_same_images_in_any_format_have_the_same_boxes_and_splits(tmp_path):
    opened = []
    write_coco(tmp_path / "coco" / "instances.json", pictures(40))
    write_voc(tmp_path / "voc", pictures(40))
    write_yolo(tmp_path / "yolo", {"train": pictures(40)})
    for format in WRITERS:
        data = open_dataset(tmp_path / format)
        opened.append(
            {
                name: [
                    (Path(split.truth.catalog.file_names[image]).stem, label, *box)
                    for image, label, box in zip(
                        split.truth.image, split.truth.label, split.truth.boxes.round(4).tolist(), strict=True
                    )
                ]
                for name, split in data.splits.items()
            }
        )
    assert opened[0] == opened[1] == opened[2]


def test_format_overrides_detection(tmp_path):
    write_coco(tmp_path / "instances.json", pictures(10), images=tmp_path / "images" / "all")
    write_yolo(tmp_path, {"all": pictures(10)})
    (tmp_path / "data.yaml").write_text("train: images/all\nnames: [cat, dog]\n")
    data = open_dataset(tmp_path, images=str(tmp_path / "images" / "all"))
    assert data.format == "coco"
    assert "read as coco; use --format yolo to read it as such" in map(str, data.notes)
    assert open_dataset(tmp_path, format="yolo").format == "yolo"


def test_a_folder_of_unknown_format_is_reported_with_its_contents(tmp_path):
    (tmp_path / "notes.md").write_text("x")
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError) as caught:
        open_dataset(tmp_path)
    message = str(caught.value)
    for name in ("coco", "voc", "yolo"):
        assert f"{name}: {LAYOUTS[name].looks_for}" in message
    assert "found notes.md, photos/; set the format with --format if it is one of these" in message


@pytest.mark.parametrize("format", WRITERS)
def test_a_folder_without_data_of_the_given_format_is_refused(tmp_path, format):
    with pytest.raises(InputError, match="looked for"):
        open_dataset(tmp_path, format=format)


def test_fault_55_mistyped_names_and_paths_are_reported_with_the_nearest_name(tmp_path):
    with pytest.raises(InputError, match=r"^shaeps: no such folder or file; did you mean 'shapes'\?$"):
        open_dataset("shaeps")
    with pytest.raises(UnknownName, match="unknown format 'coc'"):
        open_dataset(tmp_path, format="coc")
    with pytest.raises(
        InputError, match="coco: a format, not a data set; give a folder, as in --data FOLDER --format coco"
    ):
        open_dataset("coco")
    (tmp_path / "bccd").mkdir()
    with pytest.raises(InputError, match=r"no such folder or file; .* has no 'bcdc'; did you mean 'bccd'\?"):
        open_dataset(tmp_path / "bcdc" / "inner")
    with pytest.raises(InputError, match=r"data\.sharse: no such setting of voc; did you mean 'shares'"):
        open_dataset(write_voc(tmp_path / "voc", pictures(3)), sharse=(1, 1, 1))


def test_a_data_set_without_splits_is_split_and_noted(tmp_path):
    write_coco(tmp_path / "instances.json", pictures(60))
    data = open_dataset(tmp_path, seed=4)
    ids = [set(split.truth.catalog.file_names) for split in data.splits.values()]
    assert len(set.union(*ids)) == sum(map(len, ids)) == 60
    counts = ", ".join(f"{name} {count}" for name, count in sizes(data).items())
    assert (
        f"the data set has no splits: all images are split by a hash of their names and seed 4: {counts}"
        in map(str, data.notes)
    )
    other = open_dataset(tmp_path, seed=5)
    assert other.splits["test"].truth.catalog.file_names != data.splits["test"].truth.catalog.file_names


def test_without_test_the_images_of_val_are_halved(tmp_path):
    coco_splits(tmp_path, train=pictures(20), valid=pictures(30, 20))
    data = open_dataset(tmp_path)
    assert sizes(data)["train"] == 20
    assert sizes(data)["val"] + sizes(data)["test"] == 30
    assert any("has no test split: the images of val are split" in note for note in map(str, data.notes))


def test_without_val_a_part_of_train_is_taken_and_test_is_unchanged(tmp_path):
    coco_splits(tmp_path, train=pictures(40), test=pictures(12, 40))
    data = open_dataset(tmp_path)
    assert sizes(data)["test"] == 12
    assert sizes(data)["train"] > sizes(data)["val"] > 0
    assert any("has no val split: the images of train are split" in note for note in map(str, data.notes))


def test_fault_34_two_images_are_in_every_split_with_a_warning(tmp_path):
    write_coco(tmp_path / "instances.json", pictures(2))
    with pytest.warns(InputWarning) as caught:
        data = open_dataset(tmp_path)
    assert sizes(data) == {"train": 2, "val": 2, "test": 2}
    assert any("all images (2) are too few to split" in str(w.message) for w in caught)


def test_fault_34_one_image_of_one_class_works(tmp_path):
    write_coco(tmp_path / "instances.json", [Picture("a")], classes=["cat"])
    with pytest.warns(InputWarning, match="too few to split"):
        data = open_dataset(tmp_path)
    (batch,) = make_loader(data.splits["train"], ImageConfig(size=(32, 32)))
    assert batch.targets[0].labels.tolist() == [0]


@pytest.mark.parametrize("objects", [[], [(0, (5, 5, 5, 5))]])
def test_fault_2_a_val_split_without_objects_is_refused_before_training(tmp_path, objects):
    empty = [Picture(f"e{k}", objects=objects) for k in range(4)]
    coco_splits(tmp_path, train=pictures(5), valid=empty, test=pictures(5, 5))
    if objects:  # an object without width is warned about, and counts in evaluation
        with pytest.warns(InputWarning, match="no width or no height"):
            open_dataset(tmp_path)
    else:
        with pytest.raises(InputError, match=r"val: no image of 4 has a valid object, so average"):
            open_dataset(tmp_path)


def test_fault_2_an_empty_list_of_images_is_refused(tmp_path):
    names = [picture.name for picture in pictures(6)]
    write_voc(tmp_path, pictures(6), {"train": names[:3], "val": [], "test": names[3:]})
    with pytest.raises(InputError, match="val: the split has no image"):
        open_dataset(tmp_path)


def test_fault_2_a_split_with_only_crowd_or_ignored_objects_is_refused(tmp_path):
    file = write_coco(tmp_path / "a.json", pictures(6))
    document = json.loads(file.read_text())
    for row in document["annotations"]:
        row["iscrowd"] = 1
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"has a valid object \(\d are crowd or ignored\)"):
        open_dataset(tmp_path)


def test_fault_9_an_image_in_two_splits_gives_a_warning(tmp_path):
    copy = Picture("img001", objects=[(1, (8, 8, 32, 24))])
    coco_splits(tmp_path, train=pictures(5), valid=[copy, *pictures(3, 10)], test=pictures(4, 20))
    with pytest.warns(InputWarning, match="leakage: train and val share 1 image") as caught:
        data = open_dataset(tmp_path)
    (leak,) = [w.message for w in caught if w.category is InputWarning]
    assert str(leak) in map(str, data.notes)


def test_fault_9_one_file_under_two_ids_gives_a_warning(tmp_path):
    file = write_coco(tmp_path / "a.json", pictures(10))
    document = json.loads(file.read_text())
    document["images"].append(document["images"][0] | {"id": 99})
    file.write_text(json.dumps(document))
    with pytest.warns(InputWarning, match="1 image file has more than one id: img000.png"):
        open_dataset(tmp_path)


@pytest.mark.filterwarnings("error::metrics.errors.InputWarning")
def test_warnings_can_be_errors(tmp_path):
    write_coco(tmp_path / "instances.json", pictures(2))
    with pytest.raises(InputWarning, match="too few"):
        open_dataset(tmp_path)


BREAK = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "html": lambda path: path.write_text("<html>not found</html>"),
}


@pytest.mark.parametrize("how", BREAK)
@pytest.mark.parametrize("format", WRITERS)
def test_fault_27_an_unreadable_image_is_an_error_or_left_out_with_allow_missing(tmp_path, format, how):
    WRITERS[format](tmp_path)
    broken = next(tmp_path.rglob("img003.png"))
    BREAK[how](broken)
    if how == "missing" and format == "yolo":
        # A folder of images does not show that one is missing, but a label file without an image does.
        with pytest.warns(InputWarning, match="1 of 20 label files have no image; they are left out"):
            assert sum(sizes(open_dataset(tmp_path)).values()) == 29
        return
    with pytest.raises(InputError, match=r"1 of \d+ images cannot be read: .*img003.*allow_missing=true"):
        open_dataset(tmp_path)
    with pytest.warns(InputWarning, match=r"1 of \d+ images cannot be read: .*img003.*They are left out"):
        data = open_dataset(tmp_path, allow_missing=True)
    assert sum(sizes(data).values()) == 29
    assert not any(
        "img003" in name for split in data.splits.values() for name in split.truth.catalog.file_names
    )


def test_fault_27_a_truncated_image_is_detected_by_check_whole_or_when_it_is_loaded(tmp_path):
    write_coco(tmp_path / "a.json", pictures(10))
    broken = tmp_path / "img003.png"
    broken.write_bytes(broken.read_bytes()[:-40])
    data = open_dataset(tmp_path)
    (place,) = [
        (split, index)
        for split in data.splits.values()
        for index, name in enumerate(split.truth.catalog.file_names)
        if name == "img003.png"
    ]
    with pytest.raises(InputError, match=r"img003\.png: the image is truncated or corrupt"):
        place[0].load(place[1])
    with pytest.raises(InputError, match=r"img003\.png: the image is truncated or corrupt"):
        open_dataset(tmp_path, check="whole")
    with pytest.warns(InputWarning, match="They are left out"):
        assert sum(sizes(open_dataset(tmp_path, check="whole", allow_missing=True)).values()) == 9


@pytest.mark.parametrize("allowed", [False, True])
def test_fault_27_no_image_left_is_an_error_also_with_allow_missing(allowed, tmp_path):
    write_coco(tmp_path / "a.json", pictures(3))
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(
        InputError, match=r"3 of 3 images cannot be read.*No readable image is left; .*data\.images"
    ):
        open_dataset(tmp_path, allow_missing=allowed)


def test_fault_27_a_setting_names_the_folder_of_the_images(tmp_path):
    write_coco(tmp_path / "data" / "a.json", pictures(6), images=tmp_path / "elsewhere")
    with pytest.raises(
        InputError, match=r"a\.json: image 'img000.png' not found; searched .*; set data\.images to"
    ):
        open_dataset(tmp_path / "data")
    data = open_dataset(tmp_path / "data", images=str(tmp_path / "elsewhere"))
    assert data.splits["train"].load(0).shape == (48, 64, 3)
    with pytest.raises(InputError, match=r"no folder"):
        open_dataset(tmp_path / "data", images=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "link.png",
        "..\\..\\secret.png",
        "a\0b.png",
        "http://x.org/a.png",
        "",
    ],
)
def test_fault_25_names_outside_the_folder_are_refused(tmp_path, name):
    outside = tmp_path / "secret.png"
    Image.new("RGB", (64, 48)).save(outside)
    file = write_coco(tmp_path / "inner" / "a.json", pictures(5))
    (tmp_path / "inner" / "link.png").symlink_to(outside)
    document = json.loads(file.read_text())
    document["images"][3]["file_name"] = name
    file.write_text(json.dumps(document))
    with pytest.raises(InputError):
        open_dataset(tmp_path / "inner", allow_missing=True)


def test_fault_25_a_too_long_name_is_refused_and_windows_separators_work(tmp_path):
    file = write_coco(tmp_path / "a.json", pictures(5), images=tmp_path / "images" / "sub")
    document = json.loads(file.read_text())
    for image in document["images"]:
        image["file_name"] = f"sub\\{image['file_name']}"
    file.write_text(json.dumps(document))
    assert open_dataset(tmp_path, images=str(tmp_path / "images")).splits["train"].load(0).shape == (
        48,
        64,
        3,
    )
    document["images"][0]["file_name"] = "x" * 300 + ".png"
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match="longer than a file name can be"):
        open_dataset(tmp_path, images=str(tmp_path / "images"))


def test_fault_26_unusual_names_are_kept(tmp_path):
    names = ["<script>", "{{7*7}}", "=cmd()", "katze 🐈"]
    shown = [Picture(name.replace("/", ""), objects=[(k, (4, 4, 20, 20))]) for k, name in enumerate(names)]
    write_coco(tmp_path / "a.json", shown, classes=names)
    data = open_dataset(tmp_path)
    assert data.classes == tuple(names)
    assert data.splits["train"].load(0).shape == (48, 64, 3)


def test_fault_29_an_annotated_size_other_than_the_files_is_reported(tmp_path):
    file = write_coco(tmp_path / "a.json", pictures(5))
    document = json.loads(file.read_text())
    document["images"][2] |= {"width": 640, "height": 480}
    del document["images"][1]["width"], document["images"][1]["height"]
    file.write_text(json.dumps(document))
    with pytest.warns(
        InputWarning,
        match=r"1 image differs from their annotated size: img002.png is 64x48, annotated as 640x480",
    ):
        data = open_dataset(tmp_path)
    for split in data.splits.values():
        assert split.truth.catalog.sizes.tolist() == [[48, 64]] * len(split)


@pytest.mark.parametrize("knows", [True, False])
def test_fault_29_a_rotated_image_is_read_in_the_orientation_of_its_annotations(tmp_path, knows):
    """Annotations of the stored pixels keep the image as stored; those of the upright image turn it."""
    write_coco(tmp_path / "a.json", pictures(4))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Picture("img001").pixels()
    Image.fromarray(stored).save(tmp_path / "img001.png", exif=exif)
    document = json.loads((tmp_path / "a.json").read_text())
    if knows:
        document["images"][1] |= {"width": 48, "height": 64}
        (tmp_path / "a.json").write_text(json.dumps(document))
    data = open_dataset(tmp_path)
    (image,) = [
        split.load(index)
        for split in data.splits.values()
        for index, name in enumerate(split.truth.catalog.file_names)
        if name == "img001.png"
    ]
    np.testing.assert_array_equal(image, np.rot90(stored, -1) if knows else stored)
    noted = any(
        "1 image has an EXIF rotation that their annotations ignore" in n for n in map(str, data.notes)
    )
    assert noted == (not knows)


def test_fault_13_relative_boxes_in_a_pixel_format_are_refused(tmp_path):
    file = write_coco(tmp_path / "a.json", pictures(8))
    document = json.loads(file.read_text())
    for image in document["images"]:
        del image["width"], image["height"]
    for row in document["annotations"]:
        row |= {"bbox": [0.125, 0.16, 0.375, 0.33], "area": 0.12}
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"relative coordinates|fractions of the image's width"):
        open_dataset(tmp_path)


def test_contradicting_classes_are_refused_and_others_merged(tmp_path):
    write_coco(tmp_path / "train" / "a.json", pictures(4), classes=["cat", "dog"])
    write_coco(tmp_path / "valid" / "a.json", pictures(4, 10), classes=["cat", "dog", "hen"])
    write_coco(tmp_path / "test" / "a.json", pictures(4, 20), classes=["cat", "dog"])
    data = open_dataset(tmp_path)
    assert data.classes == ("cat", "dog", "hen")
    assert any("train: no object of 1 of 3 classes: hen" in note for note in map(str, data.notes))
    write_coco(tmp_path / "test" / "a.json", pictures(4, 20), classes=["cat", "fox"])
    with pytest.raises(InputError, match="test: class id 2 is 'fox' here but 'dog' in another split"):
        open_dataset(tmp_path)


def test_the_fingerprint_depends_on_the_data_and_not_on_the_folder(tmp_path):
    for folder in ("a", "b", "c"):
        write_coco(tmp_path / folder / "instances.json", pictures(8))
    Image.new("RGB", (64, 48)).save(tmp_path / "c" / "img002.png")
    a, b, c = (open_dataset(tmp_path / folder) for folder in ("a", "b", "c"))
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert a.fingerprint != open_dataset(tmp_path / "a", seed=1).fingerprint


def test_a_split_can_be_sent_to_another_process(tmp_path):
    data = open_dataset(write_voc(tmp_path, pictures(6)))
    split = pickle.loads(pickle.dumps(data.splits["train"]))
    np.testing.assert_array_equal(split.load(0), data.splits["train"].load(0))
    drawn = open_dataset("shapes", train=2, val=1, test=1).splits["train"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(drawn)).load(1), drawn.load(1))


@pytest.mark.parametrize("format", WRITERS)
def test_batches_of_files_do_not_depend_on_workers(tmp_path, format):
    WRITERS[format](tmp_path)
    split = open_dataset(tmp_path).splits["train"]
    assert not split.in_memory

    def batches(workers: int) -> list[bytes]:
        loader = make_loader(split, ImageConfig(size=(32, 32)), batch_size=8, workers=workers)
        return [batch.images.numpy().tobytes() for batch in loader]

    assert batches(0) == batches(2)


def test_require_objects_returns_the_split():
    split = open_dataset("shapes", train=1, val=1, test=1).splits["train"]
    assert require_objects(split) is split
