"""Odd text for every option and argument of every command: work begins, or one line says what is wrong; nothing is lost."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scene_runs import run, scene_of
from test_comparison import made
from test_wrong_options import COMMANDS
from tiny_data import Picture, write_coco
from tiny_runs import tiny_sets

from bench.cli import main
from metrics.messages import MAX_LENGTH

ODD = (
    "", " ", "\t", "-", "--", "-1", "0", "1", "1.5", "1e400", "nan", "inf", "9" * 5000, "true", "None", "a\nb", "a\0b",
    "\ud800", "\x1b[31m", "\u202e", ".", "..", "../outside", "~", "~nobody/x", "a" * 300, "a/" * 2500, "*", "?", "[", "{x}",
    "=", "=1", "a=", "a=b=c", ",", "a,b", "file.txt", "folder", "loop", "loop/x", "gone/x", "file.txt/x", "broken", "fifo",
    "/proc/x/y", "/dev/null", "/dev/full", "http://x/y", "file:///etc/passwd", "shapes", "ssd", "ssd ", "-h", "\\", "a\\b",
    "binary", "empty.json", "folder.json",
)  # fmt: skip

ALWAYS = ("", "-1", "nan", "a\0b", "\ud800", "..", "a" * 300, "loop")
"""Values that every option gets; the others are dealt out, so that each is tried with many options."""

DEALT = 4
"""Further values of an option where it is first met, in the order of commands; and values of the same option in others."""

CODES = {0, 2, 3, 4, 5}

BEGINNINGS = (
    "bench.settings.resolution.open_located",
    "bench.timing.profiler.profile",
    "bench.runs.comparison.compare_runs",
    "bench.prediction.job.predict_files",
    "bench.runs.verification.verify",
    "bench.runs.external_run.save_external",
    "bench.export.onnx_run.export_run",
    "bench.designs.robustness.measure_robustness",
)
"""Functions that do the work of the commands; a command that calls one has accepted its options."""


class WorkBegins(BaseException):
    """Raised by each of `BEGINNINGS`."""


@pytest.fixture(scope="module", autouse=True)
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, list[str]]]:
    """A working directory with runs, data and odd files; the arguments of each command."""
    folder = tmp_path_factory.mktemp("odd") / "work"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, content in {
            "file.txt": b"x = [",
            "binary": bytes(range(256)) * 20,
            "empty.json": b"",
        }.items():
            Path(name).write_bytes(content)
        for name in ("folder", "folder.json"):
            Path(name).mkdir()
        for name, target in {"loop": "loop", "broken": "nowhere"}.items():
            os.symlink(target, name)
        os.mkfifo("fifo")
        pictures = [Picture(f"{n:03}", objects=[(n % 2, (4 + n, 6, 30 + n, 30))]) for n in range(12)]
        write_coco(folder / "data" / "annotations.json", pictures, folder / "data" / "images")
        truth = json.loads(Path("data/annotations.json").read_text())
        kept = ("image_id", "category_id", "bbox")
        results = [{key: row[key] for key in kept} | {"score": 0.5} for row in truth["annotations"]]
        Path("dets.json").write_text(json.dumps(results))
        scene = scene_of(8)
        runs = [
            os.path.relpath(made(folder / "runs", run(scene, kept), name), folder)
            for kept, name in ((1.0, "a"), (0.8, "b"))
        ]
        sets = tiny_sets(train__epochs=1)
        assert main(["run", "--variant", "ssd", "--out", "trained", "--quiet", "--set", *sets]) == 0
        (trained,) = (str(path.parent) for path in Path("trained").glob("*/result.json"))
        for name in BEGINNINGS:
            patch.setattr(name, begin)
        of_runs = dict.fromkeys(("compare", "ensemble"), runs)
        of_trained = {name: [trained] for name in ("profile", "verify", "reevaluate", "robustness", "export")}
        Path("suite.toml").write_text('variants = ["ssd"]\ndata = ["shapes", "data"]\n')
        others = {"data": ["data"], "predict": [trained, "data/images"], "suite": ["suite.toml"]}
        yield of_runs | of_trained | others


def begin(*args: object, **options: object) -> None:
    raise WorkBegins


REQUIRED: dict[str, dict[str, str]] = {
    **{name: {"--variant": "ssd"} for name in ("run", "anchors", "config")},
    "export": {"--to": "onnx"},
    "tune": {"--variant": "ssd", "--space": "nms"},
    "reevaluate": {"--set": "nms.iou=0.3"},
    "eval": {"--truth": "data/annotations.json", "--detections": "dets.json"},
}
"""Options without which a command does nothing."""


def cases() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Each command with the name of each of its parameters, and the odd values that it gets."""
    met: set[tuple[str, str]] = set()
    rest = [value for value in ODD if value not in ALWAYS]
    for command in COMMANDS:
        for parameter in COMMANDS[command].params:
            if parameter.name in ("help", "debug"):
                continue
            start = DEALT * len(met) * 7  # 7 and the number of values have no common divisor
            dealt = tuple(rest[(start + k) % len(rest)] for k in range(DEALT))
            same = (str(parameter.name), str(parameter.metavar))
            known = same in met
            met.add(same)
            yield (
                command,
                str(parameter.name),
                ("", "1") if is_flag(parameter) else dealt if known else ALWAYS + dealt,
            )


def is_flag(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and parameter.is_flag


def words_with(command: str, parameter: Any, value: str, arguments: dict[str, list[str]]) -> list[str]:
    """The command line of a command with a value of one parameter."""
    names = {name for each in COMMANDS[command].params for name in each.opts}
    options = dict(REQUIRED.get(command, {}))
    given = list(arguments.get(command, []))
    if parameter.param_type_name == "argument":
        places = [each.name for each in COMMANDS[command].params if each.param_type_name == "argument"]
        place = places.index(parameter.name)
        given[place : place + 1] = [value]
    else:
        options[parameter.opts[0]] = value
    quiet = ["--quiet"] if "--quiet" in names and parameter.opts[0] != "--quiet" else []
    return [command, *quiet, *(f"{name}={text}" for name, text in options.items()), "--", *given]


def files() -> dict[str, object]:
    """Everything in the working directory and beside it, with size and time of files."""
    found: dict[str, object] = {}
    for root, folders, names in os.walk(".."):
        found |= {os.path.join(root, name): None for name in folders}
        for name in names:
            status = os.lstat(os.path.join(root, name))
            found[os.path.join(root, name)] = (status.st_size, status.st_mtime_ns)
    return found


def remove(paths: set[str]) -> None:
    for path in sorted(paths, reverse=True):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def call(words: list[str]) -> tuple[int, str]:
    """Exit code and standard error; standard input is empty."""
    err = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO(""))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
            code = main(words)
    return code, err.getvalue()


@pytest.mark.parametrize(
    ("command", "name", "values"), [*cases()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_fault_71_odd_text_is_accepted_or_refused_in_one_line(command, name, values, work):
    (parameter,) = (each for each in COMMANDS[command].params if each.name == name)
    for value in values:
        before = files()
        words = words_with(command, parameter, value, work)
        code, err = call(words)
        shown = (words, err[:1500])
        if "WorkBegins" not in err:
            assert code in CODES, shown
            errors = [line for line in err.splitlines() if line.startswith("error: ")]
            assert bool(errors) == (code != 0), shown
            assert len(errors) <= 1 or parameter.name == "set_", shown
        assert all(len(line) <= MAX_LENGTH + 10 and line.isprintable() for line in err.splitlines()), shown
        after = files()
        assert {path: after.get(path) for path in before} == before, f"{words}: lost or changed"
        assert set(after) <= set(before) or "--out" in str(words), (words, set(after) - set(before))
        remove(set(after) - set(before))
