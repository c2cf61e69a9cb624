"""Verification: a run whose files, settings, data and versions are untouched holds; each change is found, alone."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from tiny_data import Picture, write_coco
from tiny_runs import tiny_sets

from bench.cli import main
from bench.runs import verification
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.runs.verification import verify
from bench.settings.resolution import resolve
from metrics.tables import DetectionTable
from reports.records.run import RunFolder

NOT_OF_SHAPES = ("data.train", "data.val", "data.test", "data.size", "data.scale", "data.objects")


@dataclass
class Place:
    """A run and the data set that it was made on."""

    run: Path
    data: Path

    def states(self, again: bool = False) -> dict[str, str]:
        return {check.name: check.state for check in verify(RunFolder.open(self.run), again=again)}

    def edit(self, change: Callable[[dict], None]) -> None:
        file = self.run / "result.json"
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("verified")
    pictures = [Picture(f"{n:03}", objects=[(n % 2, (4 + n, 6, 30 + n, 30))]) for n in range(24)]
    write_coco(folder / "data" / "annotations.json", pictures, folder / "data" / "images")
    sets = [text for text in tiny_sets() if not text.startswith(NOT_OF_SHAPES)]
    config = resolve("ssd", data=str(folder / "data"), sets=[*sets, "nms.score=0.0001", "workers=0"])
    made = run(config, folder / "runs", context=RunContext(page=False))
    assert len(made.detections) > 20
    return Place(made.path, folder / "data")


@pytest.fixture
def place(original: Place, tmp_path: Path) -> Place:
    """A copy of run and data; the run's settings name the copy."""
    shutil.copytree(original.data, tmp_path / "data")
    shutil.copytree(original.run, tmp_path / "run")
    config = tmp_path / "run" / "config.toml"
    config.write_text(config.read_text().replace(str(original.data), str(tmp_path / "data")))
    copy = Place(tmp_path / "run", tmp_path / "data")
    digest = verification.file_digests(copy.run)["config.toml"]
    copy.edit(lambda result: result["files"].update({"config.toml": digest}))
    return copy


EVERYTHING = (
    "files",
    "settings",
    "evaluation",
    "ground truth",
    "images",
    "detections",
    "versions",
    "processor",
)


def test_an_untouched_run_holds_in_everything_also_when_predicted_again(place):
    assert place.states(again=True) == dict.fromkeys(EVERYTHING, "holds")


def change_weights(place: Place) -> None:
    file = place.run / "weights.safetensors"
    data = bytearray(file.read_bytes())
    for at in range(len(data) - 4000, len(data), 4):
        data[at : at + 4] = b"\0\0\0\0"
    file.write_bytes(data)


def change_headline(place: Place) -> None:
    def by_the_last_bit(result: dict) -> None:
        result["headline"]["ap50"] = math.nextafter(result["headline"]["ap50"], 1)

    place.edit(by_the_last_bit)


def change_detections(place: Place) -> None:
    found = RunFolder.open(place.run).detections
    fewer = found.select([i for i in range(len(found.catalog.image_ids)) if i != 0])
    DetectionTable(found.catalog, fewer.image, fewer.label, fewer.xywh, fewer.score / 2).save(
        place.run / "detections.parquet"
    )


def change_setting(place: Place) -> None:
    place.edit(lambda result: result["config"]["nms"].update(iou=0.123))


def change_truth(place: Place) -> None:
    file = place.data / "annotations.json"
    document = json.loads(file.read_text())
    for row in document["annotations"]:
        row["bbox"][0] += 1
    file.write_text(json.dumps(document))


def change_images(place: Place) -> None:
    for file in (place.data / "images").iterdir():
        image = Image.open(file).convert("RGB")
        image.putpixel((5, 5), (1, 2, 3))
        image.save(file)


def remove_data(place: Place) -> None:
    shutil.rmtree(place.data)


def forget_versions(place: Place) -> None:
    place.edit(lambda result: result["environment"]["packages"].update(torch="0.1"))


DEFECTS = {
    change_weights: {"files": "changed", "detections": "changed"},
    change_headline: {"evaluation": "changed"},
    change_detections: {"files": "changed", "evaluation": "changed", "detections": "changed"},
    change_setting: {"settings": "changed", "detections": "changed"},
    change_truth: {"ground truth": "changed", "images": "changed"},
    change_images: {"images": "changed", "detections": "changed"},
    remove_data: dict.fromkeys(("ground truth", "images", "detections"), "unknown"),
    forget_versions: {"versions": "differs"},
}
"""What is no longer as recorded, and what a verification says about it; all else holds."""


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.__name__)
def test_each_change_is_found_and_nothing_else(place, defect):
    defect(place)
    assert place.states(again=True) == dict.fromkeys(EVERYTHING, "holds") | DEFECTS[defect]


def test_only_changes_fail_and_with_strict_all_that_is_not_known_to_hold(place, capsys):
    words = ["verify", str(place.run), "--quiet"]
    assert main(words) == 0
    forget_versions(place)
    assert main(words) == 0
    assert "differs  versions" in capsys.readouterr().out
    assert main([*words, "--strict"]) == 5
    change_headline(place)
    assert main(words) == 5
    out, err = capsys.readouterr()
    assert "changed  evaluation" in out
    assert "error: not as recorded: ssd-" in err
    assert main([*words, "--json"]) == 5
    (checks,) = json.loads(capsys.readouterr().out).values()
    (evaluation,) = [check for check in checks if check["check"] == "evaluation"]
    assert [difference["name"] for difference in evaluation["differences"]] == ["ap50"]


def test_a_run_of_an_older_program_without_digests_is_unknown_and_nothing_is_written(place):
    before = {file: file.read_bytes() for file in place.run.rglob("*") if file.is_file()}
    assert place.states()["files"] == "holds"
    assert {file: file.read_bytes() for file in place.run.rglob("*") if file.is_file()} == before
    place.edit(lambda result: result.pop("files"))
    assert place.states()["files"] == "unknown"
