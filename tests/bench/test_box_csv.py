"""CSV tables of boxes as a data set: names of columns, boxes as text, fractions, one class, and what is refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from tiny_data import Picture

from bench.datasets import open_dataset
from metrics import read_detections, read_truth
from metrics.errors import InputError, InputNote

BOX = [8.0, 8.0, 32.0, 24.0]
"""Corners of the object of every `Picture`, whose image has 48 x 64 pixels."""


def table(root: Path, header: str, row: str, count: int = 6) -> Path:
    for k in range(count):
        Picture(f"im{k}").save(root)
    file = root / "boxes.csv"
    file.write_text(f"{header}\n" + "".join(row.format(f"im{k}.png") + "\n" for k in range(count)))
    return file


def opened(root: Path) -> tuple[list[str], set[str]]:
    """Classes and kinds of notes; all boxes are `BOX`."""
    data = open_dataset(root)
    boxes = np.concatenate([split.truth.boxes for split in data.splits.values()])
    np.testing.assert_allclose(boxes, [BOX] * len(boxes), atol=1e-6)
    assert len(boxes) == 6
    return list(data.splits["train"].truth.catalog.classes), {note.kind for note in data.notes}


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("frame,xmin,xmax,ymin,ymax,class_id", "{},8,32,8,24,cat"),
        ("image_name,x1,y1,x2,y2,class,image_width,image_height", "{},8,8,32,24,cat,64,48"),
        ("image,left,top,width,height,label", "{},8,8,24,16,cat"),
        ("Path;ClassId;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;Width;Height", "{};cat;8;8;32;24;64;48"),
        ("image_id,width,height,bbox,label", '{},64,48,"[8.0, 8.0, 24.0, 16.0]",cat'),
        ("file,width,height,class,bbox_x,bbox_y,bbox_width,bbox_height", "{},64,48,cat,8,8,24,16"),
        ("image,width,height,label,x,y,bw,bh", "{},64,48,cat,8,8,24,16"),
        ("fname,bbox_x1,bbox_y1,bbox_x2,bbox_y2,class", "{},8,8,32,24,cat"),
        ("Image Index,Finding Label,Bbox [x,y,w,h],,,", "{},cat,8,8,24,16,,,"),
        (
            "Filename;Annotation tag;Upper left corner X;Upper left corner Y;Lower right corner X;Lower right corner Y;Origin file",
            "{};cat;8;8;32;24;a.avi",
        ),
        ("filename,class,x_center,y_center,width,height", "{},cat,20,16,24,16"),
        ("filename,class,xc,yc,w,h", "{},cat,0.3125,0.33333333333,0.375,0.33333333333"),
    ],
)
def test_columns_of_many_programs_are_read(tmp_path: Path, header: str, row: str) -> None:
    table(tmp_path, header, row)
    assert opened(tmp_path)[0] == ["cat"]


def test_fractions_and_tables_of_one_class_are_noted(tmp_path: Path) -> None:
    table(tmp_path, "image,x1,y1,x2,y2", "{},0.125,0.16666666666,0.5,0.5")
    classes, notes = opened(tmp_path)
    assert classes == ["object"]
    assert {"one_class", "relative_boxes"} <= notes


def test_flags_are_kept(tmp_path: Path) -> None:
    table(tmp_path, "image,class,x,y,w,h,crowd,ignored", "{},cat,8,8,24,16,1,0")
    assert read_truth(tmp_path).crowd.all()


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (
            "image,class,bbox",
            '{},cat,"[8, 8, 24]"',
            r"boxes\.csv:2: bbox: expected four numbers \[x, y, w, h\]",
        ),
        ("image,class,bbox", '{},cat,"[8, 8, 24, many]"', r"boxes\.csv:2: bbox: expected four numbers"),
        ("image,class,x,y,w,h", "{},cat,8,8,24,?", r"boxes\.csv:2: h: expected a finite number, got '\?'"),
        ("image,class,x,y,w,h", "{},,8,8,24,16", r"boxes\.csv:2: has no class"),
        ("image,class,x,y,w,h", ",cat,8,8,24,16", r"boxes\.csv:2: image: has no image"),
        (
            "image,class,x,y,w,h,split",
            "im0.png,cat,8,8,24,16,train\nim0.png,cat,8,8,24,16,val",
            r"boxes\.csv:3: im0\.png is of another split",
        ),
    ],
)
def test_fault_152_a_table_with_an_invalid_row_is_refused(
    tmp_path: Path, header: str, row: str, message: str
) -> None:
    table(tmp_path, header, row)
    with pytest.raises(InputError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("left,top,width,height", "8,8,24,16"),
        ("bbox", '"[8, 8, 24, 16]"'),
        ("x1,y1,x2,y2", "8,8,32,24"),
        ("x_center,y_center,width,height", "20,16,24,16"),
        ("width,height,x,y,bbox_width,bbox_height", "64,48,8,8,24,16"),
    ],
)
def test_detections_have_the_same_columns(tmp_path: Path, header: str, row: str) -> None:
    truth = read_truth(table(tmp_path, "image,class,x,y,w,h", "{},cat,8,8,24,16"))
    file = tmp_path / "found.csv"
    file.write_text(f"image,class,score,{header}\nim0.png,cat,0.5,{row}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        np.testing.assert_allclose(read_detections(file, truth).boxes, [BOX])
    file.write_text('image,class,score,bbox\nim0.png,cat,0.5,"8 8"\n')
    with pytest.raises(InputError, match=r"found\.csv:2: bbox: expected four numbers"):
        read_detections(file, truth)


def test_images_without_a_row_are_counted(tmp_path: Path) -> None:
    table(tmp_path, "image,class,x,y,w,h", "{},cat,8,8,24,16")
    assert "unannotated_images" not in opened(tmp_path)[1]
    Picture("without").save(tmp_path)
    assert "unannotated_images" in opened(tmp_path)[1]


@pytest.mark.parametrize(
    ("header", "row", "empty"),
    [
        ("image,class,x1,y1,x2,y2", "{},cat,0.125,0.16666666666,0.5,0.5", ""),
        ("image_id,width,height,bbox", '{},64,48,"[8, 8, 24, 16]"', ""),
        ("image,class,x,y,w,h", "{},cat,8,8,24,16", "im0.png,No finding,,,,"),
    ],
    ids=["fractions", "one class", "an image without objects"],
)
def test_a_table_given_as_a_file_is_read_like_one_in_a_folder(
    tmp_path: Path, header: str, row: str, empty: str
) -> None:
    file = table(tmp_path, header, row)
    if empty:
        lines = file.read_text().splitlines()
        file.write_text("\n".join([lines[0], empty, *lines[2:]]) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        given, found = read_truth(file), read_truth(tmp_path)
    assert given.fingerprint == found.fingerprint
    np.testing.assert_allclose(given.boxes, [BOX] * (5 if empty else 6), atol=1e-6)
    assert len(given.catalog.image_ids) == 6
