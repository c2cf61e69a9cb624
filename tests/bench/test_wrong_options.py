"""Every option of every command with a wrong value: exit code 2 and one line that names it, before any image is read."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scene_runs import run, scene_of
from test_comparison import made

from bench.cli import main, program
from bench.settings import resolution
from metrics.command_line import main as metrics_main
from metrics.messages import MAX_LENGTH, printable

COMMANDS: dict[str, Any] = program().commands

LONG = "9" * 5000
"""More digits than Python converts."""

DEEP = f"{'a.' * 50_000}a=1"

NUMBERS = {
    "N": ["many", "1.5", "-7", "", LONG, "1e3", "nan"],
    "S": ["many", "-1", "0", "nan", "inf", ""],
    "MINUTES": ["many", "-1", "0", "nan", "inf", ""],
    "IOU": ["many", "-0.1", "1.1", "nan", "inf", ""],
    "SCORE": ["many", "-0.1", "1.1", "nan", "inf", ""],
    "SHARE": ["many", "-1", "nan", "inf", ""],
    "AP": ["many", "-0.1", "1.1", "nan", "inf", ""],
}
"""Wrong values of numbers, by what help shows for an option."""

FILES = ["file.txt", "file.txt/below", "a" * 300, "/".join(["a" * 200] * 30), ""]

WRONG: dict[str, list[str]] = {
    "--variant": ["sdd", "", ",", "ssd,"],
    "--data": ["gone", "gone.json", "\x1b[31m\u202e", "a" * 300, ""],
    "--format": ["foo", ""],
    "--preset": ["foo", "../ssd", ""],
    "--config": ["gone.toml", ".", "a" * 300, "file.txt", ""],
    "--set": [
        "foo", "foo=1", "=1", "train.epochs=", "train.epochs=many", DEEP, f"seed={LONG}", f"seed=0x{LONG}",
        "seed=1979-05-27", f"seed={'[' * 9000}", "seed=[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]", "",
    ],
    "--seed": ["2147483648"],
    "--epochs": [],
    "--device": ["foo", "cuda:x", "cpu:", "cuda:-1", "tpu9", "\x1b[31m", ""],
    "--out": FILES,
    "--fit": ["foo", ""],
    "--space": ["foo", "nms.iou=1", "nms.iou=0.7:0.3", "nms.iou=0:nan", "=", "nms.iou=0:1:foo", ""],
    "--objective": ["foo", "ap - 0.1*ap50", "ap +", "0*ap", ""],
    "--measure": ["foo", "olrp", ""],
    "--limit": ["foo", "foo=1", "latency_ms=0", "latency_ms=nan", "latency_ms=", ""],
    "--run": ["gone", "file.txt", ""],
    "--pruner": ["foo", ""],
    "--study": ["", "gone"],
    "--storage": ["foo", "nosuch://host/database", ""],
    "--fail-on-regression": ["foo", "ap=", "ap=nan", "ap=-1", "=1", ""],
    "--groups": ["gone.csv", "no such column", ""],
    "--images": ["foo", ""],
    "--truth": ["gone.json", "file.txt", ""],
    "--detections": ["gone.json", "file.txt", ""],
    "--name": ["", "\udcff", "a\ud800"],
    "--split": ["foo", ""],
    "--class-map": ["foo", "gone.json", "map.json", ""],
    "--image-ids": ["foo", ""],
    "--protocol": ["foo", ""],
    "--to": ["foo", ""],
    "--quantize": ["foo", ""],
    "--runtime": ["foo", ""],
    "--cost": ["foo", "", "Latency"],
    "--exports": FILES,
    "--link": ["foo", ""],
    "--splits": ["foo", ""],
    "--write": ["foo", ""],
    "--weights": ["many", "-1", "nan", ""],
    "--validation": ["gone", ""],
    "--corruptions": ["fogg", ""],
    "--severities": ["0", "6"],
    "--shifts": ["siz", ""],
    "--budget": ["foo", "images=-1", "images=", "minutes=nan", "flops=inf", "epochs=3", f"images={LONG}", ""],
    "--callback": ["foo", ""],
    "--lowest": ["many", "0", "-1", "nan", "inf", "20", ""],
    "--highest": ["many", "0", "-1", "nan", "inf", "1e-9", ""],
    "--train-sizes": ["many", "0", "-1", "", LONG],
    "--report": ["page.html/below", "a" * 300, ""],
    "--augment": ["file.txt/below", "a" * 300, ".", ""],
}  # fmt: skip
"""Wrong values of the other options; a new option without a flag needs a line here."""

METRICS = {
    "--split": ["foo"],
    "--protocol": ["foo"],
    "--pixels": ["foo"],
    "--class-map": ["foo", "gone.json", "map.json"],
    "--image-ids": ["foo"],
    "--measures": ["foo", ",", "a" * 5000],
    "--iou": [
        "foo", "0:1:1e-9", "0:1:0", "1:0:0.1", "0:1:nan", "0:inf:1", "0:1:1e-320", "nan", "inf", "2", "-1", ",",
        "0.5,0.5", ",".join(["0.5"] * 1000),
    ],
    "--max-dets": ["foo", "0", "-1", "1,1", "1e3", LONG],
    "--areas": ["foo", "a=1:2,a=3:4", "a=nan:1", "a=5:1", "=1:2", "all=1:2"],
    "--csv": [*FILES[1:4], "."],
    "--json": [*FILES[1:4], "."],
    "--fail-below": ["foo", "ap", "ap=nan", "ap=1e999", "ap:zzz=.3", "foo=1"],
}  # fmt: skip
"""Wrong values for `python -m metrics`."""


class ImagesRead(BaseException):
    """Raised where a command opens its data set."""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """A working directory with two runs, whose paths it returns, and files of one object."""
    path = tmp_path_factory.mktemp("work")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0}
    image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 64}
    truth = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "c"}]}
    (path / "gt.json").write_text(json.dumps(truth))
    found = [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 20, 20], "score": 0.5}]
    (path / "dets.json").write_text(json.dumps(found))
    (path / "map.json").write_text('{"1": Infinity}')
    (path / "file.txt").write_text("x = [")
    (path / "page.html").write_text("")
    (path / "suite.toml").write_text('variants = ["ssd"]\ndata = ["shapes", "gt.json"]\n')
    scene = scene_of(8)
    runs = [made(path / "runs", run(scene), "a"), made(path / "runs", run(scene, 0.8), "b")]

    def opened(*args: object, **options: object) -> None:
        raise ImagesRead

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.setattr(resolution, "open_located", opened)
        yield [os.path.relpath(each, path) for each in runs]


def valid_words(command: str, option: str, runs: list[str]) -> list[str]:
    """A command without a mistake, and without the option."""
    settings = {"--variant": "ssd"}
    options = {
        "run": settings,
        "anchors": settings,
        "config": settings,
        "learning-rate": settings,
        "tune": settings | {"--space": "nms"},
        "export": {"--to": "onnx"},
        "reevaluate": {"--set": "nms.iou=0.3"},
        "decide": {"--minutes": "1", "--variant": "ssd", "--out": "runs"},
        "eval": {"--truth": "gt.json", "--detections": "dets.json"},
    }.get(command, {})
    of_runs = ("compare", "profile", "ensemble", "reevaluate", "robustness", "verify")
    others = {
        "data": ["shapes"],
        "suite": ["suite.toml"],
        "export": runs[:1],
        "compress": runs[:1],
        "predict": [*runs[:1], "file.txt"],
    }
    arguments = runs if command in of_runs else others.get(command, [])
    quiet = ["--quiet"] if "--quiet" in {name for each in options_of(command) for name in each.opts} else []
    return [
        command,
        *arguments,
        *quiet,
        *(f"{name}={value}" for name, value in options.items() if name != option),
    ]


def options_of(command: str) -> list[Any]:
    return [each for each in COMMANDS[command].params if each.param_type_name == "option"]


CASES = [(command, option.opts[0]) for command in COMMANDS for option in options_of(command)]


@pytest.mark.parametrize(("command", "name"), CASES)
def test_fault_71_a_wrong_value_is_refused_at_once_in_one_line_that_names_the_option(command, name, folder):
    option = next(each for each in options_of(command) if name in each.opts)
    if option.is_flag:
        values = ["1", ""]
    else:
        numbers = NUMBERS.get(str(option.metavar).split()[0])
        assert numbers or name in WRONG, f"add wrong values of {name} to this test"
        values = (numbers or []) + WRONG.get(name, [])
    if (command, name) == ("export", "--out"):  # a file that is there is replaced
        values = [*FILES[1:], "."]
    if (command, name) == ("tune", "--study"):  # a study of a new name is begun
        values = [""]
    if (command, name) == ("reevaluate", "--set"):  # other mistakes are found with the settings of the run
        values = ["foo", "=1"]
    for value in values:
        check(main, [*valid_words(command, name, folder), f"{name}={value}"], name, value)


@pytest.mark.parametrize("name", METRICS)
def test_fault_71_so_it_is_in_metrics(name):
    for value in METRICS[name]:
        check(metrics_main, ["gt.json", "dets.json", f"{name}={value}"], name, value)


def check(program: Any, words: list[str], name: str, value: str) -> None:
    """One line, exit code 2; it names the option, the setting or the file, and changes nothing in a terminal."""
    out, err = io.StringIO(), io.StringIO()
    before = sorted(Path().rglob("*"))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = program(words)
    text = err.getvalue()
    assert code == 2, (words[-1][:80], text)
    assert not out.getvalue()
    assert text.startswith("error: "), (words[-1][:80], text)
    assert text.endswith("\n")
    assert text.count("\n") == 1
    assert len(text) <= MAX_LENGTH + 10
    assert text[:-1].isprintable(), text
    named = (name.lstrip("-"), printable(value.partition("=")[0][:200]))
    assert any(each and each in text for each in named), (words[-1][:80], text)
    assert sorted(Path().rglob("*")) == before


def test_the_commands_are_right_without_the_wrong_value(folder):
    for command in ("run", "anchors", "config", "tune"):
        err = io.StringIO()
        with contextlib.redirect_stderr(err):
            assert main(valid_words(command, "", folder)) == 1
        assert "ImagesRead" in err.getvalue()  # it reads images next
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert metrics_main(["gt.json", "dets.json", "--iou=0:1:0.5", "--max-dets=1,10"]) == 2  # IoU 0
        assert metrics_main(["gt.json", "dets.json", "--iou=0.5:1:0.5", "--max-dets=1,10"]) == 0


@pytest.mark.parametrize(
    "words", [["rum"], ["run", "--bogus"], ["run", "extra"], ["eval"], ["compare"], ["compare", ""]]
)
def test_fault_71_a_wrong_command_line_is_one_line(words):
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert main(words) == 2
    assert err.getvalue().count("\n") == 1
