"""``bench data PATH --to FORMAT OUT`` and ``--fix OUT``: what is written, printed and refused."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed import contents
from PIL import Image
from test_fix import DIRTY_BOXES, Box, with_object
from tiny_data import Picture, pictures, write_coco, write_voc, write_yolo
from written_sets import image_sets

from bench.cli import main
from bench.convert.folder import FORMATS, write_dataset
from bench.convert.image_set import ImageSet
from bench.data.opening import open_dataset
from bench.data.types import Dataset
from bench.fix.written_copy import CopyPlan, WrittenCopy, write_copy
from bench.settings.resolution import resolve

SPLITS = ("train", "val", "test")


@pytest.fixture(autouse=True)
def _quiet() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def written(folder: Path, format: str, first: Picture | None = None) -> Path:
    """A data set of nine images in three splits, whose first training image is `first`."""
    splits = {name: pictures(3, 3 * k) for k, name in enumerate(SPLITS)}
    if first is not None:
        splits["train"][0] = first
    if format == "yolo":
        write_yolo(folder, splits)
    elif format == "voc":
        names = {name: [picture.name for picture in of_split] for name, of_split in splits.items()}
        write_voc(folder, [picture for of_split in splits.values() for picture in of_split], names)
    else:
        for name, of_split in splits.items():
            write_coco(folder / "annotations" / f"{name}.json", of_split, folder / "images")
    return folder


def rows(dataset: Dataset) -> dict[str, list[tuple[str, str, tuple[float, ...]]]]:
    """Image, class and rounded box of the objects of each split, sorted."""
    return {
        name: sorted(
            (
                PurePosixPath(split.truth.catalog.file_names[image]).stem,
                split.truth.catalog.classes[label],
                tuple(round(side, 6) for side in box),
            )
            for image, label, box in zip(
                split.truth.image.tolist(), split.truth.label.tolist(), split.truth.xywh.tolist(), strict=True
            )
        )
        for name, split in dataset.splits.items()
    }


def log(folder: Path) -> list[tuple[str, str]]:
    """Kind and image of each change."""
    with (folder / "fixes.csv").open(newline="") as file:
        return [(row["kind"], PurePosixPath(row["image"]).name) for row in csv.DictReader(file)]


@pytest.mark.parametrize("source", FORMATS)
@pytest.mark.parametrize("to", FORMATS)
def test_every_format_becomes_every_format(
    tmp_path: Path, source: str, to: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "data", source)
    out = tmp_path / "out"
    assert main(["data", str(data), "--to", to, str(out), "--quiet"]) == 0
    assert capsys.readouterr().out == (
        f"{to}: {out}  (train 3 images with 3 objects, val 3 images with 3 objects, test 3 images with 3 objects)\n"
    )
    copy = open_dataset(out)
    assert copy.format == to
    original = open_dataset(data)
    assert rows(copy) == rows(original)
    assert copy.classes == original.classes
    for name in SPLITS:
        for k in range(3):
            assert np.array_equal(copy.splits[name].load(k), original.splits[name].load(k))


@pytest.mark.parametrize("format", FORMATS)
def test_a_clean_data_set_is_copied_without_a_change(
    tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "data", format)
    assert main(["data", str(data), "--fix", str(tmp_path / "out"), "--quiet"]) == 0
    assert capsys.readouterr().out.startswith(
        "nothing to fix: the copy has the same images and objects\nchanges: "
    )
    assert log(tmp_path / "out") == []
    assert rows(open_dataset(tmp_path / "out")) == rows(open_dataset(data))
    assert open_dataset(tmp_path / "out").format == format


@pytest.mark.parametrize("format", FORMATS)
def test_the_defects_of_a_data_set_are_fixed_and_logged(
    tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    good, beyond = (8.0, 8.0, 32.0, 24.0), (50.0, 30.0, 70.0, 40.0)
    objects = [(0, good), (1, beyond), (0, (8, 8, 8, 24) if format != "voc" else (8, 8, 9, 24)), (0, good)]
    data = written(tmp_path / "data", format, Picture("bad", objects=objects))
    images = {path.name: path for path in data.rglob("*.png")}
    whole = images["img001.png"].read_bytes()
    images["img001.png"].write_bytes(whole[: len(whole) - 30])  # decodes no more, but has its header
    images["img002.png"].write_bytes(images["img006.png"].read_bytes())  # an image of test in train
    out = tmp_path / "out"
    assert main(["data", str(data), "--fix", str(out), "--quiet"]) == 0
    assert sorted(log(out)) == sorted(
        [
            ("unreadable_images", "img001.png"),
            ("leakage", "img002.png"),
            ("boxes_beyond_image", "bad.png"),
            ("degenerate_boxes", "bad.png"),
            ("duplicate_boxes", "bad.png"),
        ]
    )
    shown = capsys.readouterr().out
    assert "1 box clipped to its image\n" in shown
    assert "1 image removed that is also in another split\n" in shown
    copy, original = rows(open_dataset(out)), rows(open_dataset(data))
    assert copy["train"] == [("bad", "cat", (8, 8, 24, 16)), ("bad", "dog", (50, 30, 14, 10))]
    assert (copy["val"], copy["test"]) == (original["val"], original["test"])
    again = tmp_path / "again"
    assert main(["data", str(out), "--fix", str(again), "--quiet"]) == 0
    assert log(again) == []
    first, second = contents(out), contents(again)
    assert first.keys() == second.keys()
    assert all(first[name] == second[name] for name in first if name != "fixes.csv")


@pytest.mark.parametrize("format", FORMATS)
def test_an_unreadable_header_is_logged_too(tmp_path: Path, format: str) -> None:
    data = written(tmp_path / "data", format)
    next(data.rglob("img000.png")).write_bytes(b"<html>not found</html>")
    out = tmp_path / "out"
    assert main(["data", str(data), "--fix", str(out), "--quiet"]) == 0
    with (out / "fixes.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["kind"], row["action"], row["split"]) == ("unreadable_images", "removed", "train")
    assert "img000.png" in row["detail"]
    assert len(open_dataset(out).splits["train"]) == 2


def test_swapped_corners_of_voc_cover_the_same_pixels(tmp_path: Path) -> None:
    data = written(tmp_path / "data", "voc")
    file = data / "Annotations" / "img000.xml"
    text = file.read_text()
    swapped = text.replace("<xmin>9</xmin>", "<xmin>32</xmin>").replace("<xmax>32</xmax>", "<xmax>9</xmax>")
    file.write_text(swapped)
    out = tmp_path / "out"
    assert main(["data", str(data), "--fix", str(out), "--quiet"]) == 0
    assert log(out) == [("swapped_corners", "img000.png")]
    file.write_text(text)
    assert rows(open_dataset(out)) == rows(open_dataset(data))


def test_a_copy_of_voc_with_edges_is_read_with_edges(tmp_path: Path) -> None:
    data = written(tmp_path / "data", "voc")
    out = tmp_path / "out"
    assert main(["data", str(data), "--fix", str(out), "--set", "data.pixels=edges", "--quiet"]) == 0
    assert log(out) == []
    edges = [open_dataset(path, pixels="edges") for path in (data, out)]
    assert rows(edges[0]) == rows(edges[1])
    assert (
        main(
            ["data", str(data), "--to", "coco", str(tmp_path / "c"), "--set", "data.pixels=edges", "--quiet"]
        )
        == 0
    )
    assert rows(open_dataset(tmp_path / "c")) == rows(edges[0])


def test_images_named_otherwise_in_annotations_are_named_like_their_files(tmp_path: Path) -> None:
    data = written(tmp_path / "data", "coco")
    file = data / "annotations" / "val.json"
    file.write_text(file.read_text().replace('"img003.png"', '"C:\\\\scans\\\\IMG003.png"'))
    out = tmp_path / "out"
    assert main(["data", str(data), "--fix", str(out), "--quiet"]) == 0
    assert log(out) == [("found_elsewhere", "img003.png")]
    assert "img003.png" in open_dataset(out).splits["val"].truth.catalog.file_names
    assert main(["data", str(out), "--fix", str(tmp_path / "again"), "--quiet"]) == 0
    assert log(tmp_path / "again") == []


def test_exif_rotation_is_kept_by_a_conversion_and_applied_by_a_fix(tmp_path: Path) -> None:
    data = written(tmp_path / "data", "coco")
    path = data / "images" / "img000.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(path) as image:
        stored = image.transpose(Image.Transpose.ROTATE_90)
    stored.save(path, exif=exif)
    original = open_dataset(data)
    for option, out in ((["--to", "voc"], tmp_path / "voc"), (["--fix"], tmp_path / "fixed")):
        assert main(["data", str(data), *option, str(out), "--quiet"]) == 0
        copy = open_dataset(out)
        assert rows(copy) == rows(original)
        assert np.array_equal(copy.splits["train"].load(0), original.splits["train"].load(0))
        with Image.open(next(out.rglob("img000.png"))) as image:
            assert image.getexif().get(0x0112, 1) == (6 if option[0] == "--to" else 1)
    assert log(tmp_path / "fixed") == [("rotated_images", "img000.png")]


def test_drawn_images_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    sizes = ["data.train=4", "data.val=2", "data.test=3"]
    assert main(["data", "shapes", "--to", "coco", str(out), "--set", *sizes, "--json", "--quiet"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {name: split["images"] for name, split in shown["splits"].items()} == {
        "train": 4,
        "val": 2,
        "test": 3,
    }
    assert shown["format"] == "coco"
    drawn, copy = open_dataset("shapes", train=4, val=2, test=3), open_dataset(out)
    for name in SPLITS:
        assert np.array_equal(copy.splits[name].truth.xywh, drawn.splits[name].truth.xywh)
        for k in range(len(drawn.splits[name])):
            assert np.array_equal(copy.splits[name].load(k), drawn.splits[name].load(k))


def test_the_layout_of_another_tool_is_fixed_in_a_format_that_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for picture in pictures(8):
        picture.save(tmp_path / "data")
        lines.append(f"{picture.name}.png,8,8,32,24,cat")
    (tmp_path / "data" / "annotations.csv").write_text("\n".join(lines) + "\n")
    data = str(tmp_path / "data")
    assert main(["data", data, "--fix", str(tmp_path / "out"), "--quiet"]) == 2
    assert (
        "is read as retinanet_csv, which is not written; add --to coco, or one of voc, yolo"
        in capsys.readouterr().err
    )
    assert main(["data", data, "--fix", "--to", "yolo", str(tmp_path / "out"), "--quiet"]) == 0  # the advice
    assert log(tmp_path / "out") == []
    assert rows(open_dataset(tmp_path / "out")) == rows(open_dataset(data))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "coco"], "--to coco: OUT is missing: python -m bench data PATH --to coco NEW_FOLDER"),
        (["--fix"], "--fix: OUT is missing: python -m bench data PATH --fix NEW_FOLDER"),
        (["{out}"], "is a second path; add --to coco, voc or yolo to write the data set there, or --fix"),
        (["--to", "coco", "{data}/new"], "which would then hold two; choose a folder outside of it"),
        (["--fix", "{data}"], "has files in it; choose a folder that does not exist yet"),
        (["--to", "kitti", "{out}"], "'kitti'"),
    ],
)
def test_what_is_missing_or_in_the_way_is_said_in_one_line(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = written(tmp_path / "data", "yolo")
    before = contents(data)
    filled = [word.format(data=data, out=tmp_path / "out") for word in words]
    assert main(["data", str(data), *filled]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("error: ") == 1
    assert contents(data) == before
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_numbers_of_fixes_are_printed_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = (8.0, 8.0, 32.0, 24.0)
    data = written(tmp_path / "data", "coco", Picture("twice", objects=[(0, good), (0, good), (1, good)]))
    assert main(["data", str(data), "--fix", str(tmp_path / "out"), "--json", "--quiet"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["changes"] == {"duplicate_boxes": 1}
    assert shown["splits"]["train"] == {"images": 3, "objects": 4}


def copied(path: Path, out: Path, format: str | None = None, fix: bool = True) -> WrittenCopy:
    return write_copy(resolve("ssd", data=str(path)), CopyPlan(out, format, fix))


@pytest.mark.parametrize("format", ["coco", "voc"])
@settings(max_examples=6, deadline=None)
@given(sets=image_sets(flags=False), boxes=DIRTY_BOXES, at=st.integers(0, 2))
def test_a_fixed_copy_has_nothing_to_fix(
    format: str, sets: list[ImageSet], boxes: list[Box], at: int
) -> None:
    for number, box in enumerate(boxes):
        sets[at] = with_object(sets[at], box, object_id=100 + number % 3)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dataset(sets, format, Path(folder) / "data")
        copied(Path(folder) / "data", Path(folder) / "fixed")
        again = copied(Path(folder) / "fixed", Path(folder) / "again")
        assert again.changes == ()
        first, second = contents(Path(folder) / "fixed"), contents(Path(folder) / "again")
        del first["fixes.csv"], second["fixes.csv"]
        assert first == second


@settings(max_examples=6, deadline=None)
@given(sets=image_sets(flags=False), boxes=DIRTY_BOXES, at=st.integers(0, 2))
def test_a_fixed_copy_in_yolo_has_nothing_to_fix(sets: list[ImageSet], boxes: list[Box], at: int) -> None:
    for number, box in enumerate(boxes):
        sets[at] = with_object(sets[at], box, object_id=100 + number)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_dataset(sets, "coco", Path(folder) / "data")
        copied(Path(folder) / "data", Path(folder) / "fixed", "yolo")
        assert copied(Path(folder) / "fixed", Path(folder) / "again").changes == ()


def test_a_conversion_of_a_clean_set_keeps_objects_that_are_repeated(tmp_path: Path) -> None:
    good = (8.0, 8.0, 32.0, 24.0)
    data = written(tmp_path / "data", "coco", Picture("twice", objects=[(0, good), (0, good)]))
    copied(data, tmp_path / "out", "yolo", fix=False)
    assert rows(open_dataset(tmp_path / "out")) == rows(open_dataset(data))


def test_sizes_are_read_where_the_check_leaves_them_out(tmp_path: Path) -> None:
    data = written(tmp_path / "data", "voc")
    for file in (data / "Annotations").iterdir():
        file.write_text(file.read_text().replace("<width>64</width>", "").replace("<height>48</height>", ""))
    out = tmp_path / "out"
    assert main(["data", str(data), "--to", "yolo", str(out), "--set", "data.check=exists", "--quiet"]) == 0
    assert rows(open_dataset(out)) == rows(open_dataset(data))


def test_parts_become_one_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = written(tmp_path / "first", "yolo"), written(tmp_path / "second", "voc")
    out = tmp_path / "out"
    joined = f"{first}+{second}"
    for inside in (first / "new", second / "new"):
        assert main(["data", joined, "--to", "coco", str(inside), "--quiet"]) == 2
        assert "choose a folder outside of it" in capsys.readouterr().err
    assert main(["data", joined, "--fix", str(out), "--quiet"]) == 2
    assert "add --to coco" in capsys.readouterr().err
    assert main(["data", joined, "--to", "coco", str(out), "--quiet"]) == 0
    copy, original = open_dataset(out), open_dataset(joined)
    assert [len(copy.splits[name]) for name in SPLITS] == [6, 6, 6]
    assert copy.classes == original.classes
    boxes = [sorted(box for _, *box in rows(dataset)["train"]) for dataset in (copy, original)]
    assert boxes[0] == boxes[1]
    listed = tmp_path / "parts.toml"
    listed.write_text(f'parts = [{{path = "{first}"}}, {{path = "{second}"}}]\n')
    assert main(["data", str(listed), "--to", "yolo", str(tmp_path / "beside"), "--quiet"]) == 0
    assert [len(open_dataset(tmp_path / "beside").splits[name]) for name in SPLITS] == [6, 6, 6]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("purposes", [(None,), ("train", "val"), ("train", "test"), ("test",)], ids=str)
def test_splits_are_those_of_the_data_set_and_runs_make_the_same_ones_of_it(
    tmp_path: Path, format: str, purposes: tuple[str | None, ...]
) -> None:
    data = tmp_path / "data"
    if purposes == (None,):
        write_coco(data / "gt.json", pictures(12))
    else:
        write_yolo(data, {str(name): pictures(12, 20 * k) for k, name in enumerate(purposes)})
    out = tmp_path / "out"
    copy = copied(data, out, format, fix=False)
    assert copy.splits == {name or "all": (12, 12) for name in purposes}
    assert rows(open_dataset(out)) == rows(open_dataset(data))
    made = write_copy(resolve("ssd", data=str(data)), CopyPlan(tmp_path / "made", format, splits="made"))
    assert list(made.splits) == list(SPLITS)
    given = {name: (len(split), len(split.truth)) for name, split in open_dataset(data).splits.items()}
    assert made.splits == given
    assert rows(open_dataset(tmp_path / "made")) == rows(open_dataset(data))


def test_the_note_on_splits_that_ultralytics_needs_has_advice_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_coco(tmp_path / "data" / "gt.json", pictures(12))
    data = str(tmp_path / "data")
    assert main(["data", data, "--to", "yolo", str(tmp_path / "out"), "--quiet", "--json"]) == 0
    notes = {note["kind"]: note["text"] for note in json.loads(capsys.readouterr().out)["notes"]}
    assert "no train and no val, which Ultralytics needs; --splits made" in notes["absent_split"]
    words = ["data", data, "--to", "yolo", str(tmp_path / "made"), "--splits", "made", "--quiet", "--json"]
    assert main(words) == 0
    assert "absent_split" not in {note["kind"] for note in json.loads(capsys.readouterr().out)["notes"]}


def test_images_without_a_split_beside_others_need_made_splits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = written(tmp_path / "first", "yolo")
    write_coco(tmp_path / "second" / "gt.json", pictures(12, 30))
    words = ["data", f"{first}+{tmp_path / 'second'}", "--to", "voc", str(tmp_path / "out"), "--quiet"]
    assert main(words) == 2
    assert "some images have no split, but others are in train, val, test" in capsys.readouterr().err
    assert main([*words, "--splits", "made"]) == 0  # the advice
    assert sum(map(len, rows(open_dataset(tmp_path / "out")).values())) == 21


def test_a_split_without_objects_is_no_error_where_splits_are_kept(tmp_path: Path) -> None:
    splits = {"train": pictures(3), "val": [Picture("empty", objects=[])]}
    write_yolo(tmp_path / "data", splits)
    assert copied(tmp_path / "data", tmp_path / "out", "voc").splits == {"train": (3, 3), "val": (1, 0)}
