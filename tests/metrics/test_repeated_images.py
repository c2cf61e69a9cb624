"""Annotation files of one name in two folders: of one image they are refused, of two images they are read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts.registry import write_json, write_text
from tiny_data import Picture

from bench.datasets import open_dataset
from metrics import read_truth
from metrics.errors import InputError
from metrics.notes import note_of

FOLDERS = ("first", "second")


def voc(file: Path) -> None:
    box = "<xmin>9</xmin><ymin>9</ymin><xmax>32</xmax><ymax>24</ymax>"
    text = f"<annotation><filename>{file.name}.png</filename><object><name>cat</name><bndbox>{box}</bndbox></object></annotation>"
    write_text(file.with_suffix(".xml"), text)


def labelme(file: Path) -> None:
    shape = {"label": "cat", "shape_type": "rectangle", "points": [[8, 8], [32, 24]]}
    document = {"shapes": [shape], "imagePath": f"{file.name}.png", "imageHeight": 48, "imageWidth": 64}
    write_json(file.with_suffix(".json"), document)


@pytest.mark.parametrize("write", [voc, labelme])
def test_fault_177_two_annotation_files_of_one_image_are_refused(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    for name in ("a", "b"):
        Picture(name).save(tmp_path / "images")
        for folder in FOLDERS:
            write(tmp_path / folder / name)
    with pytest.raises(
        InputError,
        match=r"first/a and second/a are annotations of one image, and so are those of 2 names in all: .* give the path of one folder",
    ):
        read_truth(tmp_path)
    with pytest.raises(InputError, match=r"first/a and second/a are both annotations of"):
        open_dataset(tmp_path)
    assert len(read_truth(tmp_path / "first")) == 2


@pytest.mark.parametrize("write", [voc, labelme])
def test_annotation_files_beside_images_of_their_own_are_of_two_images(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    for folder in FOLDERS:
        Picture("a").save(tmp_path / folder)
        write(tmp_path / folder / "a")
    table, kinds = noted(tmp_path)
    assert (table, kinds) == (["first/a", "second/a"], [])


@pytest.mark.parametrize("write", [voc, labelme])
def test_without_images_repeated_names_are_noted(tmp_path: Path, write: Callable[[Path], None]) -> None:
    for folder in FOLDERS:
        write(tmp_path / folder / "a")
    table, kinds = noted(tmp_path)
    assert (table, kinds) == (["first/a", "second/a"], ["repeated_names"])


def noted(path: Path) -> tuple[list[str], list[str]]:
    """Ids of images, and the kinds of notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_truth(path)
    return list(map(str, table.catalog.image_ids)), [note_of(one.message).kind for one in caught]
