"""Classes that are merged, renamed, left out or selected by name."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import Picture, pictures, write_coco

from bench.data.annotated_images import AnnotatedImages
from bench.data.classes import choose_classes
from bench.data.types import Dataset
from bench.datasets import open_dataset
from bench.settings.resolution import resolve
from metrics import evaluate
from metrics.errors import InputError, InputWarning
from metrics.formats import coco
from metrics.matching import match
from metrics.tables import AnnotationTable, Catalog, DetectionTable

NAMES = ("cat", "dog", "hen", "traffic light")


def counts(data: Dataset) -> dict[str, int]:
    labels = np.concatenate([split.truth.label for split in data.splits.values()])
    return {name: int((labels == label).sum()) for label, name in enumerate(data.classes)}


def notes(data: Dataset, kind: str) -> list[str]:
    return [str(note) for note in data.notes if note.kind == kind]


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """40 images with one object each, of four classes in turn."""
    shown = [Picture(f"img{k:03d}", objects=[(k % 4, (8, 8, 32, 24))]) for k in range(40)]
    return write_coco(tmp_path / "four.json", shown, classes=NAMES)


def opened(four: Path, *sets: str) -> Dataset:
    config = resolve("ssd", data=str(four), sets=["data.shares=0.34,0.33,0.33", *sets])
    return open_dataset(config.data.path, **config.data_options)


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (["data.classes.cat=pet", "data.classes.dog=pet"], {"pet": 20, "hen": 10, "traffic light": 10}),
        (["data.classes.cat=dog"], {"dog": 20, "hen": 10, "traffic light": 10}),
        (["data.classes.traffic light=lamp"], {"cat": 10, "dog": 10, "hen": 10, "lamp": 10}),
        (['data.classes."traffic light"=""'], {"cat": 10, "dog": 10, "hen": 10}),
        (["data.classes=hen,cat"], {"cat": 10, "hen": 10}),
        (['data.classes=["traffic light"]'], {"traffic light": 10}),
        (["data.classes.*=animal", 'data.classes.traffic light=""'], {"animal": 30}),
        (["data.classes.cat=1", "data.classes.dog=true", 'data.classes.*=""'], {"1": 10, "true": 10}),
        ([], dict.fromkeys(NAMES, 10)),
    ],
)
def test_classes_are_merged_renamed_left_out_and_selected_on_the_command_line(four, sets, expected):
    data = opened(four, *sets)
    assert counts(data) == expected
    assert len(notes(data, "chosen_classes")) == bool(sets)
    assert sum(map(len, data.splits.values())) == 40  # images without objects stay


def test_what_became_of_the_classes_is_reported_with_numbers(four):
    data = opened(four, "data.classes.cat=pet", "data.classes.dog=pet", 'data.classes.hen=""')
    assert notes(data, "chosen_classes") == [
        "data.classes: 4 classes become 2: 'pet' is 'cat' (10 objects), 'dog' (10 objects); left out: 'hen', whose 10 objects "
        "are removed"
    ]
    assert notes(data, "emptied_images") == [
        "data.classes: 10 images have no object of the chosen classes and are kept as images without objects"
    ]
    assert data.splits["train"].truth.catalog.class_ids == (1, 4)


def test_classes_are_chosen_in_toml(four, tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text(f'[data]\npath = "{four}"\n[data.classes]\ncat = "pet"\n"traffic light" = ""\n')
    config = resolve("ssd", file=file, sets=["data.classes.dog=pet"])
    assert config.data_options["classes"] == {"cat": "pet", "dog": "pet", "traffic light": ""}
    assert counts(open_dataset(four, **config.data_options)) == {"pet": 20, "hen": 10}
    again = tmp_path / "again.toml"
    again.write_text(config.toml(described=True))
    assert resolve("ssd", file=again).data_options == config.data_options


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["data.classes=cats,dog"], "data.classes: no class 'cats'; did you mean 'cat'"),
        (["data.classes.Cat=pet"], "data.classes: no class 'Cat'; did you mean 'cat'"),
        (["data.classes.x=pet"], "no class 'x'; classes: 'cat', 'dog', 'hen', 'traffic light'"),
        (['data.classes.*=""'], "every class is left out; name a class to use, of 'cat'"),
        (["data.classes=cat,cat"], "data.classes: class 'cat' is listed twice"),
        (["data.classes=[1, 2]"], "data.classes: no class '1'"),
    ],
)
def test_fault_95_mistakes_in_a_choice_of_classes_are_reported(four, sets, message):
    with pytest.raises(InputError, match=message.replace("*", r"\*")):
        opened(four, *sets)


@pytest.mark.parametrize(("left_out", "flag"), [("ignored", "ignored"), ("regions", "crowd")])
def test_objects_of_left_out_classes_may_be_ignored(four, left_out, flag):
    data = open_dataset(four, classes=("cat", "dog"), left_out=left_out)
    for split in data.splits.values():
        truth = split.truth
        aside = getattr(truth, flag)
        images = set(truth.image[aside].tolist())
        assert (truth.label[~aside] < 2).all()
        assert not images & set(truth.image[~aside].tolist())
        # one for each class, so that no detection of any class counts there
        assert sorted(zip(truth.image[aside].tolist(), truth.label[aside].tolist(), strict=True)) == sorted(
            (image, label) for image in images for label in (0, 1)
        )
        found = DetectionTable(
            truth.catalog,
            truth.image[aside],
            truth.label[aside],
            truth.xywh[aside],
            np.ones(int(aside.sum())),
        )
        outcome = match(truth, found).at(0.5)
        assert outcome.ignored.all()
    assert notes(data, "chosen_classes")[0].endswith(
        "ignored" if left_out == "ignored" else "regions in which no detection counts"
    )


def test_without_a_choice_of_ignoring_detections_of_left_out_objects_count(four):
    truth = opened(four, "data.classes=cat").splits["train"].truth
    assert not truth.crowd.any()
    assert not truth.ignored.any()
    assert len(set(truth.image.tolist())) == len(truth) < len(truth.catalog.image_ids)


choices = st.one_of(
    st.dictionaries(st.sampled_from([*NAMES, "*"]), st.sampled_from(["", "cat", "pet", "hen"])),
    st.lists(st.sampled_from(NAMES), unique=True).map(tuple),
)
objects = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(1, 30)), min_size=1, max_size=15
)


@settings(max_examples=40)
@given(objects, choices, objects)
def test_merging_and_then_evaluating_equals_evaluating_a_file_merged_by_hand(
    tmp_path_factory, truth_rows, choice, found_rows
):
    """By hand: the COCO document is edited and read again."""
    catalog = Catalog.of(range(5), NAMES, np.full((5, 2), 50), class_ids=(3, 5, 7, 9))
    table = AnnotationTable.of(
        catalog,
        [row[0] for row in truth_rows],
        [row[1] for row in truth_rows],
        [(0, 0, row[2], row[2]) for row in truth_rows],
    )
    file = tmp_path_factory.mktemp("hand") / "truth.json"
    coco.write_truth(table, file)
    document = json.loads(file.read_text())
    name_of: dict[int, str] = {}
    for category in document["categories"]:
        if isinstance(choice, tuple):
            new = category["name"] if category["name"] in choice or not choice else ""
        else:
            new = choice.get(category["name"], choice.get("*", category["name"]))
        if new:
            name_of[category["id"]] = new
    part = AnnotatedImages(None, table, (Path("x"),) * 5)
    if not name_of:
        with pytest.raises(InputError, match="every class is left out"):
            choose_classes([part], choice, "removed")
        return
    (chosen,) = choose_classes([part], choice, "removed")
    first = {name: min(i for i, other in name_of.items() if other == name) for name in name_of.values()}
    document["categories"] = [{"id": class_id, "name": name} for name, class_id in first.items()]
    document["annotations"] = [
        row | {"category_id": first[name_of[row["category_id"]]]}
        for row in document["annotations"]
        if row["category_id"] in name_of
    ]
    file.write_text(json.dumps(document))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)  # equal boxes
        by_hand = coco.read_truth(file)
    assert chosen.truth.catalog == by_hand.catalog
    for name, column in by_hand.columns().items():
        assert np.array_equal(column, chosen.truth.columns()[name]), name
    found = [row for row in found_rows if row[1] < len(by_hand.catalog.classes)]
    columns = (
        np.array([row[0] for row in found], np.int32),
        np.array([row[1] for row in found], np.int32),
        np.array([(0, 0, row[2], row[2]) for row in found], np.float64).reshape(-1, 4),
        np.linspace(1, 0, len(found)),
    )
    values = [
        evaluate(truth, DetectionTable(truth.catalog, *columns)).headline for truth in (chosen.truth, by_hand)
    ]
    assert values[0] == pytest.approx(values[1], nan_ok=True, abs=0)


def test_the_fingerprint_covers_the_classes(four):
    plain, merged = open_dataset(four), open_dataset(four, classes={"cat": "pet"})
    assert plain.fingerprint != merged.fingerprint
    assert plain.fingerprint == open_dataset(four, classes={"cat": "cat"}).fingerprint


def test_classes_of_real_data_are_merged_with_their_numbers(shared_data):
    """The numbers of objects are those of BCCD's README: 4,155 RBC, 372 WBC, 361 platelets."""
    choice = {"RBC": "cell", "WBC": "cell", "Platelets": ""}
    with pytest.warns(match="no width or no height"):
        data = open_dataset(shared_data / "bccd", classes=choice)
    assert counts(data) == {"cell": 4155 + 372}
    assert notes(data, "chosen_classes")[0].endswith("left out: 'Platelets', whose 361 objects are removed")


def test_pictures_differ():
    assert len({picture.pixels().tobytes() for picture in pictures(40)}) == 40


def test_boxes_that_merging_makes_equal_are_counted(tmp_path):
    box = (8, 8, 32, 24)
    shown = [Picture(f"img{k:03d}", objects=[(0, box), (1, box)]) for k in range(20)]
    write_coco(tmp_path / "a.json", shown)
    with pytest.warns(InputWarning, match="20 objects of merged classes have the same box as another one"):
        data = open_dataset(tmp_path / "a.json", classes={"cat": "pet", "dog": "pet"})
    assert counts(data) == {"pet": 40}
