"""One damaged annotation file among good ones: of every layout in which each image has a file, of several files, and of COCO."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from layouts import TRUTH
from layouts.registry import Scene, write_json
from tiny_data import pictures

from bench.datasets import locate_data
from metrics import read_truth
from metrics.errors import InputError
from metrics.formats.damaged_files import is_damaged
from metrics.formats.image_annotations import export_table, exports
from metrics.formats.layouts import coco_files
from metrics.notes import Note, note_of

IMAGES = 4
DAMAGES: Mapping[str, Any] = {
    "empty": lambda data: b"",
    "blank": lambda data: b"\n \r\n",
    "its first bytes": lambda data: data[:12],
    "cut off": lambda data: data[: len(data) * 2 // 3],
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "Latin-1": lambda data: re.sub(rb"[a-z0-9](?=[^a-z0-9]*$)", b"\xe4", data),
    "binary": lambda data: b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
}
OF_JSON = (".json", ".xml", ".geojson")
PER_IMAGE = [
    name
    for name, layout in TRUTH.items()
    if layout.format == "voc" or (layout.format in exports() and exports()[layout.format].per_image)
]
SEVERAL = [
    name for name in PER_IMAGE if name not in ("bdd100k_det_20", "superannotate_one", "vott_export", "kili")
]
"""Samples with a file for each image."""


def write(sample: str, root: Path) -> tuple[Path, ...]:
    """A sample with a few pictures, and its annotation files."""
    shown = pictures(IMAGES)
    for k, picture in enumerate(shown):
        picture.objects = [(k % 2, (2.0 + k, 3.0, 20.0 + k, 18.0)), (1 - k % 2, (30.0, 20.0 + k, 50.0, 40.0))]
    TRUTH[sample].write(root, Scene({"train": shown}))
    return locate_data(root).annotations


def read(root: Path, sample: str) -> tuple[int, int, list[Note]]:
    """Numbers of images and objects, and the notes, of a sample in a layout that is known."""
    export = exports().get(TRUTH[sample].format)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if export is None:
            table = read_truth(root)
        else:
            table, _ = export_table(export.annotations(root, export.files(root)), str(root))
    return len(table.catalog.image_ids), len(table.image), [note_of(one.message) for one in caught]


def refusal(root: Path, sample: str) -> str:
    """The message that refuses a sample; empty if it is read."""
    try:
        read(root, sample)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("sample", SEVERAL)
def test_fault_180_a_damaged_file_of_one_image_is_refused_by_its_name(tmp_path: Path, sample: str) -> None:
    files = write(sample, tmp_path)
    assert len(files) >= IMAGES
    file, parsed = files[1], files[1].suffix in OF_JSON
    good = file.read_bytes()
    for damage, harm in DAMAGES.items():
        file.write_bytes(harm(good))
        if parsed or damage in ("UTF-16", "Latin-1", "binary"):
            with pytest.raises(InputError, match=re.escape(str(file))):
                read(tmp_path, sample)
            continue
        refused = refusal(tmp_path, sample)
        # text may be an image without objects, or be cut within its last number or word
        assert str(file.parent) in refused if refused else read(tmp_path, sample)[0] == IMAGES


@pytest.mark.parametrize("sample", SEVERAL)
def test_fault_180_a_member_or_number_of_one_image_is_not_missed_silently(
    tmp_path: Path, sample: str
) -> None:
    files = write(sample, tmp_path)
    file, (images, objects, _) = files[1], read(tmp_path, sample)
    text = file.read_text(encoding="utf-8")
    for changed in [*without_members(text, file.suffix), *with_nan(text)]:
        file.write_text(changed, encoding="utf-8")
        if refused := refusal(tmp_path, sample):
            assert str(file) in refused
            continue
        now = read(tmp_path, sample)
        kinds = {note.kind for note in now[2]}
        assert now[:2] == (images, objects) or kinds & {"other_files", "left_out"}


def without_members(text: str, suffix: str) -> Iterator[str]:
    """JSON without each of its members but numbered objects and jobs, which may be absent."""
    if suffix == ".json":
        document = json.loads(text)
        for path in paths_in(document, ()):
            if not re.fullmatch(r"item\d+|JOB_\d+", str(path[-1])):
                changed = json.loads(text)
                parent = changed
                for key in path[:-1]:
                    parent = parent[key]
                del parent[path[-1]]
                yield json.dumps(changed)


def paths_in(value: Any, above: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    pairs: Sequence[tuple[Any, Any]] = (
        list(value.items())
        if isinstance(value, dict)
        else list(enumerate(value))
        if isinstance(value, list)
        else ()
    )
    for key, member in pairs:
        if isinstance(value, dict):
            yield (*above, key)
        yield from paths_in(member, (*above, key))


def with_nan(text: str) -> Iterator[str]:
    """The text with NaN in place of each number that stands alone."""
    for match in list(re.finditer(r"(?<![\w.-])-?\d+([.]\d+)?(?![\w.])", text))[:20]:
        yield text[: match.start()] + "NaN" + text[match.end() :]


@pytest.mark.parametrize("sample", [name for name in SEVERAL if TRUTH[name].format != "voc"])
def test_fault_180_a_file_of_another_layout_is_named_in_a_note(tmp_path: Path, sample: str) -> None:
    files = write(sample, tmp_path)
    if files[1].suffix not in OF_JSON:
        return  # each text file is of an image
    other = files[1].with_name(f"settings_{files[1].name}")
    other.write_text('{"theme": "dark"}' if other.suffix == ".json" else "<theme>dark</theme>", "utf-8")
    if refused := refusal(tmp_path, sample):  # in a folder in which every file is of the layout by its name
        assert str(other) in refused
        return
    images, _, notes = read(tmp_path, sample)
    assert images == IMAGES
    assert [note.items for note in notes if note.kind == "other_files"] == [(str(other),)]


WHOLE = sorted(
    name
    for name, layout in TRUTH.items()
    if layout.format in exports() and not exports()[layout.format].per_image and name != "reef"
)


@pytest.mark.parametrize("sample", WHOLE)
@pytest.mark.parametrize("damage", ["empty", "UTF-16"])
def test_fault_180_a_damaged_file_beside_one_of_many_images_is_refused(
    tmp_path: Path, sample: str, damage: str
) -> None:
    (file,) = write(sample, tmp_path)
    beside = file.with_name(f"{file.stem}2{file.suffix}")
    beside.write_bytes(DAMAGES[damage](file.read_bytes()))
    export = exports()[TRUTH[sample].format]
    if beside in export.files(tmp_path):
        with pytest.raises(InputError, match=re.escape(str(beside))):
            export.annotations(tmp_path, export.files(tmp_path))


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "Latin-1"])
@pytest.mark.parametrize(
    "names",
    [
        ("annotations/instances_train.json", "annotations/instances_val.json"),
        ("train/_annotations.coco.json", "valid/_annotations.coco.json"),
        ("train.json", "val.json"),
    ],
)
def test_fault_180_a_damaged_file_of_coco_is_not_taken_for_a_missing_split(
    tmp_path: Path, names: tuple[str, str], damage: str
) -> None:
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 9, 9]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    good, bad = (write_json(tmp_path / name, document) for name in names)
    assert coco_files(tmp_path) == [good, bad]
    bad.write_bytes(DAMAGES[damage](bad.read_bytes()))
    write_json(good.with_name("settings.json"), {"theme": "dark"})
    assert coco_files(tmp_path) == [good, bad]
    with pytest.raises(InputError, match=re.escape(str(bad))):
        read_truth(bad)


def test_large_json_is_damaged_if_its_ends_do_not_fit(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("metrics.formats.damaged_files._LARGE", 100)
    whole = write_json(tmp_path / "a.json", {"values": list(range(100))})
    assert not is_damaged(whole)
    whole.write_bytes(whole.read_bytes()[:-9])
    assert is_damaged(whole)
