"""COCO files: fields have the meaning of pycocotools, and what is ignored is reported."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from strategies import Scene, scenes

from metrics.errors import InputError, InputWarning
from metrics.formats import coco, coco_scan
from metrics.tables import AnnotationTable, Catalog

IMAGES = [{"id": 9, "file_name": "b.jpg", "width": 640, "height": 480}, {"id": 4, "file_name": "a.jpg"}]
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
OBJECT = {"id": 7, "image_id": 9, "category_id": 18, "bbox": [1, 2.5, 30, 40], "area": 800.5, "iscrowd": 0}
RESULT = {"image_id": 9, "category_id": 18, "bbox": [1, 2, 3, 4], "score": 0.5}


def truth_file(folder: Path, *objects: dict[str, Any], **document: Any) -> Path:
    path = folder / "gt.json"
    path.write_text(
        json.dumps({"images": IMAGES, "annotations": list(objects), "categories": CATEGORIES} | document)
    )
    return path


def results_file(folder: Path, *results: dict[str, Any]) -> Path:
    path = folder / "dt.json"
    path.write_text(json.dumps(results))
    return path


def test_images_and_classes_are_sorted_by_id_and_objects_keep_their_order(tmp_path: Path) -> None:
    table = coco.read_truth(truth_file(tmp_path, OBJECT, OBJECT | {"id": 3, "image_id": 4, "category_id": 1}))
    assert table.catalog.image_ids == (4, 9)
    assert table.catalog.file_names == ("a.jpg", "b.jpg")
    assert table.catalog.sizes.tolist() == [[0, 0], [480, 640]]
    assert table.catalog.class_ids == (1, 18)
    assert table.catalog.classes == ("person", "dog")
    assert table.image.tolist() == [1, 0]
    assert table.label.tolist() == [1, 0]
    assert table.xywh.tolist() == [[1, 2.5, 30, 40]] * 2
    assert table.area.tolist() == [800.5] * 2
    assert table.object_id.tolist() == [7, 3]


def test_detections_keep_the_files_order(tmp_path: Path) -> None:
    truth = coco.read_truth(truth_file(tmp_path, OBJECT))
    found = coco.read_detections(
        results_file(tmp_path, RESULT, RESULT | {"image_id": 4, "score": 0.75, "bbox": [0, 0, 1, 1.5]}), truth
    )
    assert found.image.tolist() == [1, 0]
    assert found.score.tolist() == [0.5, 0.75]
    assert found.xywh.tolist() == [[1, 2, 3, 4], [0, 0, 1, 1.5]]
    assert found.catalog == truth.catalog


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(scenes())
@pytest.mark.filterwarnings("ignore::metrics.errors.InputWarning")
def test_tables_are_unchanged_by_files_to_the_last_bit(tmp_path: Path, scene: Scene) -> None:
    coco.write_truth(scene.truth, tmp_path / "gt.json")
    coco.write_detections(scene.detections, tmp_path / "dt.json")
    truth = coco.read_truth(tmp_path / "gt.json")
    assert truth.fingerprint == scene.truth.fingerprint
    assert coco.read_detections(tmp_path / "dt.json", truth).fingerprint == scene.detections.fingerprint


def test_string_image_ids_and_unusual_names_are_unchanged_by_files(tmp_path: Path) -> None:
    catalog = Catalog.of(
        ["a", "b\n\"'"], ["</script>", "💥"], file_names=["x/ä.jpg", "=cmd()"], class_ids=[-5, 0]
    )
    table = AnnotationTable.of(catalog, [0, 1], [1, 0], [[0.1, 0.2, 0.3, 1e-7], [1e9, 2, 3, 4]])
    coco.write_truth(table, tmp_path / "gt.json")
    assert coco.read_truth(tmp_path / "gt.json").fingerprint == table.fingerprint


def test_ignored_objects_are_written_as_such_but_not_read(tmp_path: Path) -> None:
    table = AnnotationTable.of(Catalog.of([1], ["a"]), [0], [0], [[0, 0, 9, 9]], ignored=[True])
    coco.write_truth(table, tmp_path / "gt.json")
    assert json.loads((tmp_path / "gt.json").read_bytes())["annotations"][0]["ignore"] == 1
    with pytest.warns(InputWarning, match=r"1 of 1 annotations have ignore set but not iscrowd; they count"):
        assert not coco.read_truth(tmp_path / "gt.json").ignored.any()


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        (
            [OBJECT, OBJECT | {"id": 8, "image_id": 5}],
            "1 of 2 annotations are on images that the file does not list",
        ),
        ([OBJECT | {"category_id": 2}], "1 of 1 annotations are of categories that the file does not list"),
        (
            [OBJECT, OBJECT | {"bbox": [OBJECT["bbox"][0] + 1, *OBJECT["bbox"][1:]]}],
            "1 of 2 annotations have an id that is repeated",
        ),
    ],
)
def test_what_the_reference_ignores_is_counted(
    tmp_path: Path, objects: list[dict[str, Any]], message: str
) -> None:
    with pytest.warns(InputWarning, match=message):
        coco.read_truth(truth_file(tmp_path, *objects))


def test_fault_77_of_an_image_listed_twice_the_first_is_used(tmp_path: Path) -> None:
    again = {"id": 9, "file_name": "c.jpg", "width": 8, "height": 6}
    with pytest.warns(
        InputWarning,
        match=r"1 of 3 images have an id that is repeated \(9\); the first image of each is used",
    ):
        table = coco.read_truth(truth_file(tmp_path, images=[*IMAGES, again]))
    assert table.catalog.file_names == ("a.jpg", "b.jpg")


def test_objects_without_integer_ids_are_numbered(tmp_path: Path) -> None:
    nameless = {key: value for key, value in OBJECT.items() if key != "id"}
    table = coco.read_truth(truth_file(tmp_path, nameless, nameless | {"id": "x", "category_id": 1}))
    assert table.object_id.tolist() == [1, 2]


def test_results_may_identify_images_by_file(tmp_path: Path) -> None:
    truth = coco.read_truth(truth_file(tmp_path, OBJECT))
    for name in ("9", "b.jpg", "b"):
        found = coco.read_detections(results_file(tmp_path, RESULT | {"image_id": name}), truth)
        assert found.image.tolist() == [1]
    stems = AnnotationTable.of(Catalog.of(["0042", "x"], ["a"], class_ids=[18]), [0], [0], [[0, 0, 50, 50]])
    assert coco.read_detections(results_file(tmp_path, RESULT | {"image_id": 42}), stems).image.tolist() == [
        0
    ]


def test_results_with_their_own_images_and_classes_are_matched_by_name(shared_data: Path) -> None:
    folder = shared_data / "formats100"
    truth = coco.read_truth(folder / "coco_format_v1" / "instances_default.json")
    found = coco.read_detections(folder / "detections" / "coco_format" / "coco_dets.json", truth)
    assert len(found) == 452
    # the same detections as text: class (of the names in alphabetical order), score, corners
    names = sorted(truth.catalog.classes)
    ours: dict[str, list[tuple[Any, ...]]] = {}
    for row in range(len(found)):
        stem = Path(truth.catalog.file_names[found.image[row]]).stem
        ours.setdefault(stem, []).append(
            (truth.catalog.classes[found.label[row]], *found.boxes[row].tolist())
        )
    for stem, rows in ours.items():
        lines = (folder / "detections" / "abs_xyx2y2" / f"{stem}.txt").read_text().splitlines()
        theirs = [(names[int(words[0])], *map(float, words[2:])) for words in map(str.split, lines)]
        assert sorted(rows) == sorted(theirs)


def test_results_with_an_unknown_class_name_suggest_one_of_the_truth(tmp_path: Path) -> None:
    truth = coco.read_truth(truth_file(tmp_path, OBJECT))
    own = {"annotations": [RESULT | {"category_id": 0}], "categories": [{"id": 0, "name": "dogs"}]}
    path = tmp_path / "own.json"
    path.write_text(json.dumps(own))
    with pytest.raises(
        InputError, match=r"category_id 0, 'dogs', is not a class of the ground truth; did you mean 'dog'\?"
    ):
        coco.read_detections(path, truth)
    assert coco.read_detections(path, truth, class_map={0: 18}).label.tolist() == [1]


def test_the_published_coco_sample_reads_as_described(shared_data: Path) -> None:
    folder = shared_data / "coco" / "fakebbox100"
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        truth = coco.read_truth(folder / "instances_val2014_100.json")
        found = coco.read_detections(folder / "instances_val2014_fakebbox100_results.json", truth)
    assert (len(truth), int(truth.crowd.sum()), len(truth.catalog.classes)) == (839, 9, 80)
    assert len(found) == 734
    assert not warned


def test_fast_and_full_reading_of_real_files_agree(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "coco/fakebbox100/instances_val2014_100.json",
        "coco/train33/instances.json",
        "formats100/coco_format_v1/instances_default.json",
        "formats100/coco_format_v2/instances_v2.json",
    ):
        full = coco.read_truth(shared_data / name)
        monkeypatch.setattr(coco_scan, "SMALLEST", 0)
        data = (shared_data / name).read_bytes()
        assert coco_scan.scan_truth(data, name) is not None
        assert coco.read_truth(shared_data / name).fingerprint == full.fingerprint
        monkeypatch.undo()


def test_an_invalid_object_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"gt.json: annotations\[1\] \(id 8, image_id 9\): category_id: missing"
    ):
        coco.read_truth(truth_file(tmp_path, OBJECT, {"id": 8, "image_id": 9, "bbox": [1, 1, 1, 1]}))
    with pytest.raises(InputError, match=r"annotations\[0\]: expected an object \{\.\.\.\}, got a list of 0"):
        coco.read_truth(truth_file(tmp_path, annotations=[[]]))
    with pytest.raises(InputError, match=r"images\[0\] \(id 9\): width: expected a whole number, got 640.5"):
        coco.read_truth(truth_file(tmp_path, images=[IMAGES[0] | {"width": 640.5}]))
    with pytest.raises(
        InputError, match=r"all annotations are on images that the file does not list: .* like 'b.jpg'"
    ):
        coco.read_truth(truth_file(tmp_path, OBJECT | {"image_id": "b.jpg"}))


def test_writing_replaces_a_file_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = truth_file(tmp_path, OBJECT)
    table = coco.read_truth(path)
    before = path.read_bytes()

    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(Exception, match=r"cannot be written \(No space left on device\)"):
        coco.write_truth(table, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["gt.json"]


@pytest.mark.parametrize("fast", [False, True])
def test_keys_that_group_images_are_kept_and_change_no_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    def image(at: int, **more: Any) -> dict[str, Any]:
        return {"id": at, "file_name": f"{at}.jpg", "width": 64, "height": 48} | more

    plain = coco.read_truth(truth_file(tmp_path, OBJECT, images=[image(at) for at in (9, 8, 7, 6)]))
    assert plain.catalog.image_columns == {}
    if fast:
        monkeypatch.setattr(coco_scan, "SMALLEST", 0)
    more = [
        {"video_id": 2, "patient": "x", "url": "u9", "camera": 1, "sun": True, "license": 1},
        {"video_id": 1, "patient": None, "url": "u8", "camera": 1, "sun": True, "license": 1},
        {"video_id": 2, "url": "u7", "camera": 1, "sun": False, "license": 2},
        {"video_id": 1, "patient": "x", "url": "u6", "camera": 1, "sun": 1.5, "license": 2},
    ]
    file = truth_file(tmp_path, OBJECT, images=[image(9 - at, **columns) for at, columns in enumerate(more)])
    truth = coco.read_truth(file)
    # by id; keys with equal or only different values, or defined by COCO, do not group
    expected = {"video_id": (1, 2, 1, 2), "patient": ("x", None, None, "x")}
    assert truth.catalog.image_columns == expected
    assert truth.fingerprint == plain.fingerprint
    assert truth.catalog == plain.catalog
    assert truth.select([1, 3]).catalog.image_columns == {"video_id": (2, 2), "patient": (None, "x")}
    truth.save(tmp_path / "truth.parquet")
    assert AnnotationTable.load(tmp_path / "truth.parquet").catalog.image_columns == expected
    coco.write_truth(truth, file)
    assert coco.read_truth(file).catalog.image_columns == expected


def test_a_column_of_images_has_a_value_for_each() -> None:
    with pytest.raises(
        InputError, match=r"Catalog.image_columns\['video'\]: expected one per image, 2, got 1"
    ):
        Catalog.of([1, 2], ["a"], image_columns={"video": [1]})
