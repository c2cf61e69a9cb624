"""What was decided while data was opened is printed by every command that opens it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_data import pictures, write_coco

from bench.cli import main
from bench.settings import resolution
from metrics.command_line import main as metrics_main
from metrics.errors import InputError

COMMANDS = ("run", "anchors", "tune", "data", "eval", "metrics")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A COCO file without splits, with two classes of one name and a category above them."""
    file = write_coco(tmp_path / "cells" / "instances.json", pictures(30))
    document = json.loads(file.read_text())
    document["categories"] = [
        {"id": 0, "name": "everything", "supercategory": "none"},
        {"id": 1, "name": "bolt", "supercategory": "everything"},
        {"id": 2, "name": "bolt", "supercategory": "everything"},
    ]
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def detections(tmp_path: Path) -> Path:
    path = tmp_path / "detections.json"
    path.write_text(json.dumps([{"image_id": 1, "category_id": 1, "bbox": [8, 8, 24, 16], "score": 0.9}]))
    return path


@pytest.fixture
def printed(
    file: Path, detections: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> Callable[..., str]:
    """What a command prints about the file; nothing is trained."""
    opened = resolution.open_entries

    def open_only(*args: Any) -> Any:
        opened(*args)
        raise InputError("opened")

    def run(command: str, *sets: str) -> str:
        evaluated = ["--truth", str(file), "--detections", str(detections), "--out", str(tmp_path / "runs")]
        settings = ["--set", *sets] if sets else []
        if command == "metrics":
            metrics_main([str(file), str(detections)])
        elif command == "eval":
            main(["eval", *evaluated])
        elif command == "data":
            main(["data", str(file), "--fast", *settings])
        else:
            monkeypatch.setattr(resolution, "open_entries", open_only)
            words = ["--space", "nms"] if command == "tune" else []
            assert main([command, "--variant", "ssd", "--data", str(file), *words, *settings]) == 2
        out, err = capsys.readouterr()
        return " ".join(f"{out}\n{err}".split())

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_decisions_about_annotations_are_printed_by_every_command(printed, command):
    text = printed(command)
    assert "category 0 'everything' is above all others and has no objects: it is not read as a class" in text
    assert "2 classes have no name of their own and get one with their id: 1 'bolt' is 'bolt (1)'" in text


@pytest.mark.parametrize("command", COMMANDS[:4])
def test_decisions_about_splits_classes_and_groups_are_printed_by_every_command(printed, command, tmp_path):
    write_coco(tmp_path / "new.json", pictures(5, 40), classes=["screw", "bolt (2)"])
    text = printed(
        command,
        "data.classes.bolt (1)=screw",
        "data.groups='img0(..)'",
        f"data.test={tmp_path / 'new.json'}",
        "data.shares=0.5,0.25,0.25",
    )
    assert f"data.test: 5 images of {tmp_path / 'new.json'} are the test split" in text
    assert "data.classes: 2 classes become 2: 'screw' is 'bolt (1)' (15 objects)" in text
    assert "30 images are in 30 groups by 'img0(..)' in their names" in text
    assert (
        "the data set has no splits: all images are split by a hash of their 30 groups and seed 0: train"
        in text
    )
