"""Dependent images are resampled together, and an unused column that groups them causes a warning."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from scene_runs import run, scene_of
from strategies import Scene, random_scene, with_detections

from metrics.compare import compare, groups_by_folder, groups_from_csv
from metrics.errors import InputError, InputWarning
from metrics.tables import AnnotationTable, Catalog, DetectionTable


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


def copied(scene: Scene, times: int) -> Scene:
    """Each image several times, like frames of a still video."""
    catalog = Catalog.of(range(times * len(scene.truth.catalog.image_ids)), scene.truth.catalog.classes)
    truth, found = scene.truth, scene.detections
    rows, places = np.repeat(np.arange(len(truth)), times), np.tile(np.arange(times), len(truth))
    many = AnnotationTable.of(
        catalog,
        truth.image[rows] * times + places,
        truth.label[rows],
        truth.xywh[rows],
        area=truth.area[rows],
    )
    rows, places = np.repeat(np.arange(len(found)), times), np.tile(np.arange(times), len(found))
    return Scene(
        many,
        DetectionTable(
            catalog,
            found.image[rows] * times + places,
            found.label[rows],
            found.xywh[rows],
            found.score[rows],
        ),
    )


def test_copies_in_groups_have_the_intervals_of_the_images_alone() -> None:
    once = random_scene(11, images=60, classes=2, objects=240, detections=600, crowds=0)
    several = copied(once, 4)
    runs = {"a": run(several), "b": (several.truth, several.detections.select(np.arange(0)))}
    runs["b"] = (
        several.truth,
        with_detections(several, np.arange(0, len(several.detections) // 2)).detections,
    )
    groups = np.repeat(np.arange(60), 4).tolist()
    grouped = compare(runs, groups=groups, resamples=300, permutations=0)
    alone = compare({"a": (once.truth, once.detections), "b": (once.truth, with_detections(once, np.arange(300)).detections)},
                    resamples=300, permutations=0)  # fmt: skip
    assert grouped.standing("a").se == pytest.approx(
        alone.standing("a").se, rel=0.01
    )  # ties within an image, twice
    assert (grouped.method.unit, grouped.method.units) == ("group", 60)
    as_if_apart = compare(runs, resamples=300, permutations=0)
    assert as_if_apart.standing("a").se < 0.65 * grouped.standing("a").se  # half, for four times the images


def test_an_unused_column_that_groups_images_causes_a_warning(scene: Scene) -> None:
    videos = [f"video {k // 3}" for k in range(60)]
    with pytest.warns(
        InputWarning,
        match=r"column 'video_id' \(20 values for 60 images\) is not used.*groups='video_id'",
    ):
        found = compare(
            {"a": run(scene)}, resamples=20, image_columns={"video_id": videos, "weather": ["sun"] * 60}
        )
    assert [note.subject for note in found.notes if note.kind == "unused_group_column"] == ["video_id"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        used = compare({"a": run(scene)}, resamples=20, image_columns={"video_id": videos}, groups="video_id")
        compare({"a": run(scene)}, resamples=20, image_columns={"video_id": list(range(60)), "side": videos})
    assert used.method.units == 20
    assert "60 images were resampled in 20 groups by 'video_id'" in map(str, used.notes)
    by_id = dict(zip(scene.truth.catalog.image_ids, videos, strict=True))
    mapped = compare({"a": run(scene)}, resamples=20, groups=by_id)
    assert mapped.standing("a").se == used.standing("a").se


def test_few_groups_are_too_few_however_many_images(scene: Scene) -> None:
    found = compare({"a": run(scene), "b": run(scene, 0.3)}, groups=[k % 10 for k in range(60)], resamples=50)
    assert not found.difference("a", "b").decisive
    assert "for a decision (10 groups)." in str(found.verdict)


def test_groups_follow_their_images_into_an_intersection(scene: Scene) -> None:
    fewer = (scene.truth.select(np.arange(10, 60)), scene.detections.select(np.arange(10, 60)))
    groups = [min(k // 10, 3) for k in range(60)]  # groups 1, 2 and 3 are left
    found = compare({"a": run(scene), "b": fewer}, groups=groups, images="intersection", resamples=20)
    assert found.method.units == 3


def test_folders_as_groups() -> None:
    catalog = Catalog.of([1, 2, 3], ["thing"], file_names=["a/1.jpg", "b\\2.jpg", "3.jpg"])
    assert groups_by_folder(catalog) == ("a", "b", ".")


def test_a_table_of_groups_identifies_images_by_id_or_file_name(scene: Scene, tmp_path: Path) -> None:
    catalog = Catalog.of([1, 2, 3], ["thing"], file_names=["a/1.jpg", "2", "3.jpg"])
    file = tmp_path / "groups.csv"
    file.write_text(
        'image,video,fps\n1,x,25\n"2",y,25\n\n3.jpg,"x",30\nelsewhere.jpg,z,1\n', encoding="utf-8-sig"
    )
    assert groups_from_csv(file, catalog) == {1: "x", 2: "y", 3: "x"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,video\n1,x\n",
            "2 of 3 images have no group, the first is 2; add a line for each, with its id or file name",
        ),
        ("image,video\n1,x\n1,y\n", "line 3: image '1' already has group 'x'"),
        ("image,video\n1,x\n2\n", "line 3: expected an image and its group, got '2'"),
        ("image,video\n1,\n", "line 2: expected an image and its group, got '1,'"),
    ],
)
def test_an_invalid_table_of_groups_is_rejected(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "groups.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        groups_from_csv(file, Catalog.of([1, 2, 3], ["thing"]))
    with pytest.raises(InputError, match=r"gone.csv: cannot be read as a table"):
        groups_from_csv(tmp_path / "gone.csv", Catalog.of([1, 2, 3], ["thing"]))
