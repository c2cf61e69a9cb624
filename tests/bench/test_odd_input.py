"""Every command that reads detections, on input at the edge of what is defined, with every warning an error."""

from __future__ import annotations

import contextlib
import io
import json
import os
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from undrawn import undrawn

from bench.cli import main
from metrics.command_line import main as metrics_main
from metrics.measures import MEASURES

BOX = [4, 4, 20, 20]
ELSEWHERE = [30, 30, 5, 5]
NAMES = ["\x1b[31mred\x07", "\u202eevil\u2066", "<b>x</b>\n=1+1", "[/bold] [red]", "a\rb\x9b1m\x7f"]

pytestmark = pytest.mark.draws  # matplotlib's warnings are among those that must not appear

Row = tuple[int, int, list[int], float]
SCENES: dict[str, tuple[int, list[str], list[tuple[int, int, list[int], int]], list[Row], list[Row]]] = {
    # images, class names, objects (image, class, box, crowd), detections of two models (image, class, box, score)
    "one image, one object, no detections": (1, ["c"], [(0, 1, BOX, 0)], [(0, 1, BOX, 0.5)], []),
    "identical models": (
        6, ["c"], [(k, 1, BOX, 0) for k in range(6)], *2 * [[(k, 1, BOX, 0.5) for k in range(6)]],
    ),
    "crowds only": (
        4, ["c", "d"], [(k, 1, BOX, 1) for k in range(4)],
        [(k, 1, BOX, 0.5) for k in range(4)], [(k, 2, BOX, 0.5) for k in range(4)],
    ),
    "no objects": (3, ["c"], [], [(k, 1, BOX, 0.5) for k in range(3)], []),
    "false positives only": (
        5, ["c", "without objects"], [(0, 1, BOX, 0)],
        [(k, 2, ELSEWHERE, 1.0) for k in range(5)], [(k, 1, ELSEWHERE, 0.0) for k in range(5)],
    ),
    "names that control a terminal": (
        5, NAMES, [(k, k + 1, BOX, 0) for k in range(5)],
        [(k, k + 1, BOX, 0.9 - k / 10) for k in range(5)], [(k, k + 1, [5, 5, 20, 20], 0.9) for k in range(4)],
    ),
    "ties": (
        10, ["c", "d"], [(k, 1 + k % 2, BOX, 0) for k in range(10)],
        [(k, 1 + k % 2, box, 0.5) for k in range(10) for box in (BOX, ELSEWHERE)],
        [(k, 1 + k % 2, box, 1.0) for k in range(10) for box in (ELSEWHERE, BOX)],
    ),
}  # fmt: skip


def write(scene: str) -> None:
    """Write ``gt.json``, ``a.json`` and ``b.json`` into the working directory."""
    images, names, objects, *models = SCENES[scene]
    truth = {
        "images": [
            {"id": k, "file_name": f"{NAMES[k % 5]}{k}.png", "width": 64, "height": 48} for k in range(images)
        ],
        "annotations": [
            {"id": number, "image_id": k, "category_id": label, "bbox": box, "area": 400, "iscrowd": crowd}
            for number, (k, label, box, crowd) in enumerate(objects, 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
    }
    Path("gt.json").write_text(json.dumps(truth))
    for file, rows in zip(("a.json", "b.json"), models, strict=True):
        found = [{"image_id": k, "category_id": c, "bbox": box, "score": s} for k, c, box, s in rows]
        Path(file).write_text(json.dumps(found))


@pytest.fixture(params=SCENES)
def scene(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    write(request.param)
    return str(request.param)


def call(program: Callable[[list[str]], int], *words: str) -> tuple[int, str]:
    """Exit code and output of a command; its streams have no raw warning, and nothing that controls a terminal."""
    out, err = io.StringIO(), io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        warnings.simplefilter("error")
        code = program([*words])
    for text in (out.getvalue(), err.getvalue()):
        controls = {char for char in text if unicodedata.category(char) == "Cc"} - {"\n"}
        marks = {
            char
            for char in text
            if unicodedata.bidirectional(char) in {"RLO", "LRO", "LRI", "RLI", "PDF", "PDI"}
        }
        assert not controls | marks, text
    for line in err.getvalue().splitlines():
        assert line.startswith(("warning: ", "note: ", "error: ", "comparing runs", "metrics: ")), (
            err.getvalue()
        )
    return code, out.getvalue()


def test_fault_72_commands_on_odd_input_issue_no_raw_warning_and_no_control_character(scene):
    everything = ",".join(MEASURES.names())
    for file in ("a.json", "b.json"):
        assert call(metrics_main, "gt.json", file, "--measures", everything)[0] == 0
        code, out = call(metrics_main, "gt.json", file, "--measures", everything, "--json")
        assert code == 0
        assert json.loads(out)["rows"]
    assert call(metrics_main, "gt.json", "b.json", "--verify")[0] in (
        0,
        4,
    )  # pycocotools cannot read an empty list
    runs = []
    with undrawn():
        for name in "ab":
            words: list[Any] = ["eval", "--truth", "gt.json", "--detections", f"{name}.json"]
            code, out = call(main, *words, "--json", "--name", f"{name}\x1b[1m\u202e")
            assert code == 0
            runs.append(os.path.dirname(json.loads(out)["report"]))
        assert call(main, "ensemble", *runs)[0] == 0
        if scene.startswith("names"):
            assert call(main, *words, "--out", "again")[0] == 0
            assert call(main, "compare", *runs, "--out", "page", "--json", "--resamples", "40")[0] == 0
    assert call(main, "compare", *runs, "--out", "page", "--resamples", "40")[0] == 0
