"""Ground truth of other tools: one scene, written by every layout, gives the same boxes, classes, splits and images."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import TRUTH
from layouts.registry import Scene, TruthLayout
from PIL import Image
from tiny_data import CLASSES, Picture

from bench.data.types import Dataset
from bench.datasets import locate_data, open_dataset
from metrics import read_truth
from metrics.errors import InputNote, InputWarning
from metrics.evaluated_files import score_files
from metrics.tables import AnnotationTable

Contents = Mapping[str, list[tuple[str, tuple[float, ...]]]]
"""Class and corners of the objects of each image, by its name without suffix."""


def scene(count: int = 6) -> Scene:
    """Three splits of small pictures: names with spaces, points and other letters, and one picture without objects in each."""
    splits: dict[str, list[Picture]] = {}
    k = 0
    for split, number in (("train", count), ("val", 4), ("test", 4)):
        splits[split] = []
        for i in range(number):
            name = (f"img{k:03d}", f"two words {k}", f"größe-{k}", f"v1.2_{k}")[i % 4]
            x, y = 2 + 5 * (k % 8), 2 + (k % 3) * 4
            objects: list[tuple[int, Any]] = [(k % 2, (x, y, x + 16, y + 12))]
            if k % 3 == 0:
                objects.append((1 - k % 2, (x, y + 20, x + 14, y + 30)))
            splits[split].append(Picture(name, objects=objects if i != 3 else []))
            k += 1
    return Scene(splits)


def contents(table: AnnotationTable) -> Contents:
    found: dict[str, list[tuple[str, tuple[float, ...]]]] = {stem(str(i)): [] for i in names(table)}
    for image, label, box in zip(
        table.image.tolist(), table.label.tolist(), table.boxes.tolist(), strict=True
    ):
        found[stem(str(names(table)[image]))].append((table.catalog.classes[label], tuple(box)))
    return found


def names(table: AnnotationTable) -> Sequence[int | str]:
    """Ids that are names, else file names."""
    ids = table.catalog.image_ids
    return ids if ids and isinstance(ids[0], str) else table.catalog.file_names


def stem(name: str) -> str:
    """The own name of an image, without the suffix that writers give it."""
    own = unicodedata.normalize("NFC", name.replace("\\", "/")).rpartition("/")[2]
    return own.removesuffix(".png").removesuffix(".jpg")


def wanted(of: Sequence[Picture], layout: TruthLayout) -> Contents:
    rename = {name: layout.renamed.get(name, name) for name in CLASSES}
    return {
        picture.name: [(rename[CLASSES[label]], tuple(map(float, box))) for label, box in picture.objects]
        for picture in of
        if picture.objects or layout.empty
    }


def require_equal(found: Contents, expected: Contents, tolerance: float) -> None:
    assert set(found) == set(expected)
    for name, objects in expected.items():
        assert [cls for cls, _ in sorted(found[name])] == [cls for cls, _ in sorted(objects)]
        boxes = [[box for _, box in sorted(rows)] for rows in (found[name], objects)]
        np.testing.assert_allclose(np.array(boxes[0]), np.array(boxes[1]), atol=tolerance)


def opened(path: Path, **options: Any) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        warnings.simplefilter("ignore", InputNote)
        return open_dataset(path, **options)


def truth_of(path: Path, split: str | None) -> AnnotationTable:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        return read_truth(path, split)


def require_opened(root: Path, layout: TruthLayout, made: Scene) -> None:
    """`open_dataset` gives the scene."""
    data = opened(root)
    found = {name: contents(split.truth) for name, split in data.splits.items()}
    if layout.splits:
        for name, of in made.splits.items():
            require_equal(found[name], wanted(of, layout), layout.tolerance)
        return
    union = {name: objects for of_split in found.values() for name, objects in of_split.items()}
    assert sum(map(len, found.values())) == len(union)
    require_equal(union, wanted(made.pictures, layout), layout.tolerance)


def require_read(root: Path, layout: TruthLayout, made: Scene) -> None:
    """`read_truth` gives the scene, split by split where there are splits."""
    for name, path, split in read_files(root, layout):
        of = made.splits[name] if name else made.pictures
        require_equal(contents(truth_of(path, split)), wanted(of, layout), layout.tolerance)


def read_files(root: Path, layout: TruthLayout) -> list[tuple[str | None, Path, str | None]]:
    """What `read_truth` is given: the split, the path, and the name of the split in it."""
    if not layout.splits:
        return [(None, root, None)]
    if layout.format == "coco":  # a file is a split
        files = locate_data(root).annotations
        of = {"train": "train", "val": "val", "valid": "val", "test": "test"}
        return [
            (next(of[key] for key in of if key in str(file.relative_to(root)).lower()), file, None)
            for file in files
        ]
    return [(split, root, split) for split in ("train", "val", "test")]


@pytest.mark.parametrize("name", TRUTH)
def test_every_layout_gives_the_same_ground_truth(tmp_path: Path, name: str) -> None:
    layout, made, root = TRUTH[name], scene(), tmp_path / "root"
    root.mkdir()
    layout.write(root, made)
    located = locate_data(root)
    assert (located.format.name, located.other_formats) == (layout.format, ())
    require_opened(root, layout, made)
    require_read(root, layout, made)


@pytest.mark.parametrize("name", TRUTH)
def test_every_image_is_the_one_of_its_boxes(tmp_path: Path, name: str) -> None:
    TRUTH[name].write(tmp_path, scene())
    for split in opened(tmp_path).splits.values():
        for index in range(len(split)):
            image = split.load(index)
            rows = split.truth.image == index
            assert split.truth.catalog.sizes[index].tolist() == [48, 64]
            for box, label in zip(
                split.truth.boxes[rows].round().astype(int), split.truth.label[rows], strict=True
            ):
                inside = image[box[1] + 3 : box[3] - 3, box[0] + 3 : box[2] - 3]
                channel = 0 if len(split.truth.catalog.classes) == 1 else label
                assert inside[..., channel].mean() > 200 or len(set(TRUTH[name].renamed.values())) == 1
                assert inside.max(2).min() > 200


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    letters = st.text(st.sampled_from("abcXYZ019 _-.äßøж日"), min_size=1, max_size=8)
    usable = letters.filter(lambda text: text == text.strip(" .") and not text.startswith("-"))
    count = draw(st.integers(6, 9))
    written = draw(
        st.lists(
            usable,
            min_size=count,
            max_size=count,
            unique_by=lambda text: unicodedata.normalize("NFC", text).casefold(),
        )
    )
    splits: dict[str, list[Picture]] = {"train": [], "val": [], "test": []}
    for k, name in enumerate(written):
        objects: list[tuple[int, Any]] = []
        for label in draw(st.lists(st.integers(0, 1), max_size=3)) if k > 5 else [k % 2]:
            x, y = draw(st.integers(0, 50)), draw(st.integers(0, 36))
            w, h = draw(st.integers(4, 64 - x)), draw(st.integers(4, 48 - y))
            objects.append((label, (x, y, x + w, y + h)))
        splits[("train", "val", "test")[k // 2 if k < 6 else k % 3]].append(Picture(name, objects=objects))
    return Scene(splits)


@given(scenes(), st.sampled_from(sorted(TRUTH)))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_scene_is_read_back_from_every_layout(
    tmp_path_factory: pytest.TempPathFactory, made: Scene, name: str
) -> None:
    root = tmp_path_factory.mktemp("scene")
    TRUTH[name].write(root, made)
    require_read(root, TRUTH[name], made)
    if TRUTH[name].splits:  # else a split that is made may have no objects
        require_opened(root, TRUTH[name], made)


def test_a_layout_is_scored_by_the_command(tmp_path: Path) -> None:
    """Detections of one tool against the ground truth of another."""
    from layouts import DETECTIONS
    from layouts.registry import Found

    made = scene()
    TRUTH["cvat_images"].write(tmp_path, made)
    found = [Found(p, label, box, 0.9) for p in made.splits["val"] for label, box in p.objects]
    (tmp_path / "found").mkdir()
    path = DETECTIONS["ultralytics_labels"].write(tmp_path / "found", made.pictures, found)
    assert score_files(tmp_path / "annotations.xml", path, split="val").value("ap50") == pytest.approx(1)


def test_a_folder_with_the_files_of_two_tools_is_opened_with_a_note(tmp_path: Path) -> None:
    Image.new("RGB", (160, 120)).save(tmp_path / "a.jpg")
    (tmp_path / "a.csv").write_text(
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,160,120,nut,8,6,80,60\n"
    )
    (tmp_path / "b.csv").write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/01ab,0.05,0.5,0.05,0.5\n")
    located = locate_data(tmp_path)
    assert (located.format.name, located.other_formats) == ("open_images", ("tensorflow_csv",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, advised = open_dataset(tmp_path), open_dataset(tmp_path, "tensorflow_csv")
    assert "read as open_images; use --format tensorflow_csv to read it as such" in map(str, first.notes)
    assert advised.classes == ("nut",)
