"""YOLO data sets as people have them: other folders and suffixes of text files, no description, other separators."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_data import CLASSES, Picture

from bench.datasets import open_dataset
from metrics import read_truth
from metrics.errors import InputError, InputNote
from metrics.tables import AnnotationTable

SPLITS = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}
YAML = "train: {0}/train\nval: {0}/val\ntest: {0}/test\nnames: [cat, dog]\n"


def picture(k: int) -> Picture:
    return Picture(
        f"im{k:02d}", objects=[(k % 2, (2 + k, 4, 20 + k, 30)), (0, (30, 10 + k, 60, 40))][: 1 + k % 2]
    )


def line(
    label: object, box: tuple[float, ...], size: tuple[int, int] = (48, 64), separator: str = " "
) -> str:
    (x0, y0, x1, y1), (h, w) = box, size
    numbers = ((x0 + x1) / 2 / w, (y0 + y1) / 2 / h, (x1 - x0) / w, (y1 - y0) / h)
    return separator.join(map(str, (label, *numbers))) + "\n"


def written(
    root: Path,
    images: str = "images",
    labels: str = "labels",
    suffix: str = ".txt",
    text: Callable[[Picture], str] | None = None,
    yaml: str | None = YAML,
    split: Callable[[str, str], str] = lambda folder, name: f"{folder}/{name}",
) -> Path:
    """A data set of three splits, whose text files have a name and place of their own."""
    for name, numbers in SPLITS.items():
        for k in numbers:
            one = picture(k)
            one.save(root / split(images, name))
            file = root / split(labels, name) / f"{one.name}{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text(one) if text else "".join(line(label, box) for label, box in one.objects))
    if yaml is not None:
        (root / "data.yaml").write_text(yaml.format(images))
    return root


def require(table: AnnotationTable, numbers: range, classes: tuple[str, ...] = CLASSES) -> None:
    """The boxes of the pictures with these numbers."""
    assert [str(i) for i in table.catalog.image_ids] == [picture(k).name for k in numbers]
    expected = [(picture(k).name, classes[label], *box) for k in numbers for label, box in picture(k).objects]
    found = [
        (str(table.catalog.image_ids[i]), table.catalog.classes[label], *box)
        for i, label, box in zip(
            table.image.tolist(), table.label.tolist(), table.boxes.tolist(), strict=True
        )
    ]
    assert [row[:2] for row in sorted(found)] == [row[:2] for row in sorted(expected)]
    np.testing.assert_allclose(
        [row[2:] for row in sorted(found)], [row[2:] for row in sorted(expected)], atol=1e-4
    )


def opened(root: Path, classes: tuple[str, ...] = CLASSES) -> set[str]:
    """The kinds of notes of a data set, whose boxes are those of the pictures."""
    data = open_dataset(root)
    for name, numbers in SPLITS.items():
        require(data.splits[name].truth, numbers, classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        require(read_truth(root, "test"), SPLITS["test"], classes)
    return {note.kind for note in data.notes}


@pytest.mark.parametrize(
    ("images", "labels", "suffix"),
    [
        ("images", "annotations", ".txt"),
        ("Images", "Labels", ".txt"),
        ("image", "label", ".txt"),
        ("images", "labels", ".TXT"),
        ("images", "labels", ".png.txt"),
    ],
)
def test_text_files_in_other_folders_or_of_other_names_are_found(
    tmp_path: Path, images: str, labels: str, suffix: str
) -> None:
    notes = opened(written(tmp_path, images, labels, suffix))
    assert "labels_elsewhere" in notes
    assert "labels_without_image" not in notes


def test_text_files_of_another_spelling_beside_usual_ones_are_read(tmp_path: Path) -> None:
    written(tmp_path)
    for k, suffix in enumerate((".TXT", ".png.txt")):
        file = tmp_path / "labels" / "train" / f"{picture(k).name}.txt"
        file.rename(file.with_name(picture(k).name + suffix))
    opened(tmp_path)


def test_two_text_files_of_equal_right_are_refused_and_the_fix_works(tmp_path: Path) -> None:
    written(
        tmp_path,
        labels="first",
        split=lambda folder, name: folder if folder == "first" else f"{folder}/{name}",
    )
    written(
        tmp_path,
        labels="second",
        split=lambda folder, name: folder if folder == "second" else f"{folder}/{name}",
    )
    with pytest.raises(
        InputError, match=r"im00\.png: its text file may be .*first.*second.*set data\.labels"
    ):
        open_dataset(tmp_path)
    data = open_dataset(tmp_path, labels=str(tmp_path / "second"))
    require(data.splits["train"].truth, SPLITS["train"])


@pytest.mark.parametrize("split", [lambda f, s: f"{f}/{s}", lambda f, s: f"{s}/{f}", lambda f, s: s])
def test_fault_150_a_folder_without_description_has_numbered_classes(
    tmp_path: Path, split: Callable[[str, str], str]
) -> None:
    root = written(tmp_path, yaml=None, split=split)
    with pytest.warns(InputNote, match="the 2 classes are called 0 .. 1"):
        read_truth(root)
    assert "made_names" in opened(root, ("0", "1"))
    (root / "classes.txt").write_text("cat\ndog\n")  # as the note advises
    assert "made_names" not in opened(root)


@pytest.mark.parametrize(
    "name", ["images/classes.txt", "labels.txt", "predefined_classes.txt", "train/obj_names.txt"]
)
def test_lists_of_class_names_under_other_names_are_read(tmp_path: Path, name: str) -> None:
    root = written(tmp_path, yaml=None)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("cat\ndog\n")
    assert "listed_names" in opened(root)
    (root / "names.txt").write_text("dog\ncat\n")
    with pytest.raises(InputError, match=r"list different class names; keep one"):
        open_dataset(root)


def test_text_files_of_other_kinds_are_no_yolo(tmp_path: Path) -> None:
    for text in ("notes on this image", "0 0.5 0.5 0.1 0.1 0.9", "10,20,30,40,1,4,0,0", "cat 0 0 0 1 2 3 4"):
        written(tmp_path, yaml=None, text=lambda _, text=text: text)
        with pytest.raises(InputError, match=r"unknown data set format|keep|kitti"):
            open_dataset(tmp_path)


@pytest.mark.parametrize("separator", [",", ", ", "\t"])
@pytest.mark.parametrize("named", [False, True])
def test_values_may_be_separated_by_commas_and_classes_named(
    tmp_path: Path, separator: str, named: bool
) -> None:
    def text(one: Picture) -> str:
        return "".join(
            line(("big cat", "dog")[label] if named else label, box, separator=separator)
            for label, box in one.objects
        )

    written(tmp_path, text=text, yaml=YAML.replace("cat", "big cat"))
    opened(tmp_path, ("big cat", "dog"))


def test_fault_23_decimal_commas_are_refused(tmp_path: Path) -> None:
    written(tmp_path, text=lambda one: "0 0,5 0,5 0,25 0,25\n")
    with pytest.raises(
        InputError, match=r"im00\.txt:1: expected numbers, got '0 0,5 .*write a decimal point"
    ):
        open_dataset(tmp_path)


def test_lists_may_name_images_without_suffix(tmp_path: Path) -> None:
    written(tmp_path, yaml=YAML.replace("{0}/train", "train.txt"))
    (tmp_path / "train.txt").write_text("".join(f"{picture(k).name}\n" for k in SPLITS["train"]))
    opened(tmp_path)


@pytest.mark.parametrize("folder", ["data", "cfg"])
def test_a_description_of_darknet_in_its_folder_names_paths_from_the_folder_above(
    tmp_path: Path, folder: str
) -> None:
    lists = {"train": "train", "valid": "val", "test": "test"}
    written(tmp_path / "data", split=lambda _, name: f"obj/{name}", yaml=None)
    for split, numbers in SPLITS.items():
        lines = "".join(f"data/obj/{split}/{picture(k).name}.png\n" for k in numbers)
        (tmp_path / "data" / f"{split}.txt").write_text(lines)
    (tmp_path / "data" / "pets.names").write_text("cat\ndog\n")
    (tmp_path / folder).mkdir(exist_ok=True)
    entries = "".join(f"{key} = data/{split}.txt\n" for key, split in lists.items())
    (tmp_path / folder / "pets.data").write_text(f"classes = 2\n{entries}names = data/pets.names\n")
    opened(tmp_path)
    require(open_dataset(tmp_path / folder / "pets.data").splits["train"].truth, SPLITS["train"])


@pytest.mark.parametrize(
    ("yaml", "advice", "correct"),
    [
        ('path: "C:\\pets"\n', r"write paths in single quotes", "path: 'C:\\pets'\n"),
        ("path:\t.\n", r"replace tabs by spaces", "path: .\n"),
    ],
)
def test_fault_24_frequent_mistakes_in_yaml_are_explained(
    tmp_path: Path, yaml: str, advice: str, correct: str
) -> None:
    written(tmp_path, yaml=yaml + YAML)
    with pytest.raises(InputError, match=advice):
        open_dataset(tmp_path)
    (tmp_path / "data.yaml").write_text(correct + YAML.format("images"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require(read_truth(tmp_path, "val"), SPLITS["val"])


@pytest.mark.parametrize("change", [str.upper, str.title])
def test_keys_of_a_description_may_be_in_any_case(tmp_path: Path, change: Callable[[str], str]) -> None:
    text = "".join(
        f"{change(key)}:{value}\n"
        for key, _, value in (line.partition(":") for line in YAML.format("images").splitlines())
    )
    opened(written(tmp_path, yaml=text))


def test_fault_155_a_key_in_two_cases_is_refused(tmp_path: Path) -> None:
    written(tmp_path, yaml=YAML + "NAMES: [bird, fish]\n")
    with pytest.raises(
        InputError, match=r"data\.yaml: has 'names' and 'NAMES', which mean the same; keep one"
    ):
        open_dataset(tmp_path)


@pytest.mark.parametrize("key", ["classes", "class_names"])
def test_fault_155_a_description_without_names_is_refused_and_the_fix_works(tmp_path: Path, key: str) -> None:
    yaml = YAML.format("images")
    written(tmp_path, yaml=yaml.replace("names", key))
    with pytest.raises(
        InputError, match=r"data\.yaml: has test and train and val, but no names; add the class"
    ):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match=r"but no names"):
        read_truth(tmp_path)
    (tmp_path / "data.yaml").write_text(yaml)
    opened(tmp_path)


@pytest.mark.parametrize(("first", "names"), [(0, "{0: cat, 1: dog}"), (1, "{0: unused, 1: cat, 2: dog}")])
def test_fault_156_names_that_count_from_1_are_refused_and_both_fixes_work(
    tmp_path: Path, first: int, names: str
) -> None:
    def text(one: Picture) -> str:
        return "".join(line(label + first, box) for label, box in one.objects)

    yaml = YAML.format("images")
    written(tmp_path, text=text, yaml=yaml.replace("[cat, dog]", "{{1: cat, 2: dog}}"))
    with pytest.raises(
        InputError, match=r"make the keys 0 \.\. 1; if they count from 1, add the name 0: unused"
    ):
        open_dataset(tmp_path)
    (tmp_path / "data.yaml").write_text(yaml.replace("[cat, dog]", names))
    table = open_dataset(tmp_path).splits["val"].truth
    found = [table.catalog.classes[label] for label in table.label]
    assert found == [CLASSES[label] for k in SPLITS["val"] for label, _ in picture(k).objects]
