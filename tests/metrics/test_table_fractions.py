"""Tables of ground truth in fractions of the image's sides: every reader of tables reads them alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas
import pytest
from layouts.registry import write_text
from tiny_data import Picture

from bench.datasets import open_dataset
from metrics import read_truth
from metrics.errors import InputNote, InputWarning
from metrics.notes import note_of

BOX = (8.0, 6.0, 32.0, 24.0)
"""Corners in pixels of an image of 64 x 48."""
FRACTIONS = (0.125, 0.125, 0.5, 0.5)
NAMES = [f"im{k}.png" for k in range(6)]


def lines(root: Path, row: str, name: str, header: str = "") -> Path:
    return write_text(root / name, header + "".join(f"{row.format(image)}\n" for image in NAMES))


def plain(root: Path) -> Path:
    return lines(root, "{},cat,0.125,0.125,0.5,0.5", "boxes.csv", "image,class,x1,y1,x2,y2\n")


def parquet(root: Path) -> Path:
    columns = dict(zip(("x1", "y1", "x2", "y2"), FRACTIONS, strict=True))
    rows = [{"image": name, "class": "cat"} | columns for name in NAMES]
    pandas.DataFrame(rows).to_parquet(root / "boxes.parquet")
    return root / "boxes.parquet"


def parquet_lists(root: Path) -> Path:
    rows = [{"image": name, "label": "cat", "bbox": [0.125, 0.125, 0.375, 0.375]} for name in NAMES]
    pandas.DataFrame(rows).to_parquet(root / "boxes.parquet")
    return root / "boxes.parquet"


def tensorflow(root: Path) -> Path:
    header = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
    return lines(root, "{},64,48,cat,0.125,0.125,0.5,0.5", "labels.csv", header)


def retinanet(root: Path) -> Path:
    return lines(root, "{},0.125,0.125,0.5,0.5,cat", "labels.csv")


def makesense(root: Path) -> Path:
    return lines(root, "cat,0.125,0.125,0.375,0.375,{},64,48", "labels.csv")


def keras_yolo(root: Path) -> Path:
    write_text(root / "_classes.txt", "cat\n")
    return lines(root, "{} 0.125,0.125,0.5,0.5,0", "_annotations.txt")


def wheat(root: Path) -> Path:
    return lines(root, "{},0.125 0.125 0.5 0.5,x", "train.csv", "image_name,BoxesString,domain\n")


WRITERS = (plain, parquet, parquet_lists, tensorflow, retinanet, makesense, keras_yolo, wheat)


@pytest.mark.parametrize("write", WRITERS)
def test_a_table_in_fractions_is_read_in_pixels_with_a_note(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    file = write(tmp_path)
    for name in NAMES:
        Picture(Path(name).stem).save(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = read_truth(file)
    assert "relative_boxes" in [
        note_of(one.message).kind for one in caught if issubclass(one.category, InputNote)
    ]
    np.testing.assert_allclose(table.boxes, [BOX] * len(NAMES))
    if write not in (parquet, parquet_lists):  # a data set of images needs a table in text
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", InputNote)
            warnings.simplefilter("ignore", InputWarning)
            splits = open_dataset(tmp_path).splits.values()
        np.testing.assert_allclose(
            np.concatenate([split.truth.boxes for split in splits]), [BOX] * len(NAMES)
        )


@pytest.mark.parametrize("write", [plain, parquet, retinanet, keras_yolo])
def test_without_images_and_sizes_they_are_taken_for_squares_with_a_warning(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    with pytest.warns(InputWarning, match="all are taken for 1000 x 1000 pixels"):
        table = read_truth(write(tmp_path))
    np.testing.assert_allclose(table.boxes, [[1000 * side for side in FRACTIONS]] * len(NAMES))
