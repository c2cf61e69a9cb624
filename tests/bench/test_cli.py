"""The command line: help, lists of words, exit codes, one line per mistake, and a complete run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import warnings
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import CLASSES, Picture, write_voc
from tiny_runs import tiny_sets

from bench import cli
from bench.cli import main, program
from bench.commands import run as run_command
from bench.commands.list import Kind
from bench.commands.options import chosen_entries
from bench.process.interrupts import Stopped
from detectors.registry import VARIANTS
from metrics.errors import InputError, InputWarning, MachineError, PartialError
from reports.records.run import RunFolder

COMMAND = program()


@pytest.mark.parametrize(
    ("words", "repeated"),
    [
        ("run --variant ssd fcos --seed 1", "run --variant ssd --variant fcos --seed 1"),
        ("run --variant ssd --variant fcos", "run --variant ssd --variant fcos"),
        ("run --set a=1 b=2 --set c=3", "run --set a=1 --set b=2 --set c=3"),
        ("run --variant=ssd fcos", "run --variant=ssd --variant fcos"),
        ("compare a b --out c", "compare a b --out c"),
        ("run --set a=-1", "run --set a=-1"),
        (
            "compare --fail-on-regression ap=1 f1=2 a b",
            "compare --fail-on-regression ap=1 --fail-on-regression f1=2 a b",
        ),
        ("compare --fail-on-regression=ap=1 a", "compare --fail-on-regression=ap=1 a"),
        ("compare --fail-on-regression ap a b", "compare --fail-on-regression ap a b"),
        ("compare --study s a b", "compare --study s a b"),
        ("profile --batch 1 4 a b", "profile --batch 1 --batch 4 a b"),
        ("config --preset p q --seed 1", "config --preset p --preset q --seed 1"),
    ],
)
def test_options_take_several_values(words, repeated):
    assert repeat_options(words.split()) == repeated.split()


@given(st.lists(st.sampled_from(["--variant", "--set", "--out", "x", "a=1", "--quiet"]), max_size=8))
def test_repeating_options_twice_changes_nothing(words):
    once = repeat_options(["run", *words])
    assert repeat_options(once) == once


def repeat_options(words: list[str]) -> list[str]:
    name, *rest = words
    return [name, *COMMAND.commands[name].repeat_options(rest)]


def test_help_lists_the_commands_quickly():
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    for name in ("run", "compare", "eval", "list", "config"):
        assert f" {name} " in done.stdout
    assert seconds < 5  # of processor time; 0.3 without torch


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["list"], ["list", "variants"]])
def test_help_and_list_do_not_import_torch(words):
    code = "import sys; from bench.cli import main; main(sys.argv[1:]); print('torch' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.stderr == "False\n"


COMMANDS = sorted(COMMAND.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"python -m bench {command}" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("words", [[], *([command] for command in COMMANDS)])
def test_help_has_no_python_types_and_no_defaults_in_parentheses(words, capsys):
    assert main([*words, "--help"]) == 0
    out = capsys.readouterr().out
    assert not re.search(r"<\w|default: \(|WORD|…", out)


def test_list_shows_everything_with_a_name(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in [*VARIANTS.names(), "shapes", "coco", "voc", "yolo", "average_precision"]:
        assert name in out


def test_list_has_one_line_per_name_at_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list", "--json"]) == 0
    names = [item["name"] for items in json.loads(capsys.readouterr().out).values() for item in items]
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    titles = len(Kind)
    assert len([line for line in lines if line.strip()]) == len(names) + titles
    assert any(line.endswith("…") for line in lines)  # a summary that does not fit is marked as cut
    for line in lines:
        assert len(line.rstrip()) < 80 or line.endswith("…"), line
    for name in names:
        assert any(line.startswith(f"{name} ") for line in lines), name


@pytest.mark.parametrize(
    "kind", ["variants", "external", "datasets", "measures", "protocols", "presets", "callbacks"]
)
def test_list_of_one_kind_has_full_descriptions(kind, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["list", kind, "--json"]) == 0
    items = json.loads(capsys.readouterr().out)[kind]
    assert main(["list", kind]) == 0
    out = capsys.readouterr().out
    assert "…" not in out
    assert not any("`" in item["summary"] for item in items)  # plain text, not markup
    for item in items:
        assert item["name"] in out
        assert "".join(item["summary"].split()) in "".join(out.split())


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("variant", "did you mean 'variants'?"),
        ("zzz", "known: variants, external, datasets, measures, protocols, presets, callbacks"),
    ],
)
def test_an_unknown_kind_of_list_is_refused_with_the_known_ones(kind, hint, capsys):
    assert main(["list", kind]) == 2
    assert capsys.readouterr().err == f"error: KIND: nothing of kind {kind!r} can be listed; {hint}\n"


def test_the_version_is_that_of_the_installed_distribution(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"detbench {version('detbench')}\n"


@pytest.mark.parametrize(
    ("variants", "presets", "entries"),
    [
        (["ssd", "fcos"], [], [("ssd", None), ("fcos", None)]),
        (["ssd,fcos", "ssd"], [], [("ssd", None), ("fcos", None)]),
        ([], ["ssd-squeezenet", "fcos-r50-fpn"], [("ssd", "ssd-squeezenet"), ("fcos", "fcos-r50-fpn")]),
        ([], ["fcos-squeezenet", "fcos-r50-fpn"], [("fcos", "fcos-squeezenet"), ("fcos", "fcos-r50-fpn")]),
        (["gfl", "fcos"], ["fcos-squeezenet"], [("gfl", None), ("fcos", "fcos-squeezenet")]),
    ],
)
def test_variants_and_presets_give_entries(variants, presets, entries):
    assert chosen_entries(variants, presets, None) == entries


def test_several_presets_are_printed_in_one_command(capsys):
    assert main(["config", "--preset", "ssd-squeezenet", "fcos-squeezenet"]) == 0
    out = capsys.readouterr().out
    variants = [line for line in out.splitlines() if line.startswith("variant = ")]
    assert variants == ['variant = "ssd"', 'variant = "fcos"']
    assert out.count("# preset ssd-squeezenet")
    assert out.count("# preset fcos-squeezenet")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("run --variant retinet", "error: unknown variant 'retinet'; did you mean 'retinanet'?"),
        ("run --variant ssd --set nms.iuo=1", "error: nms.iuo: no such setting; did you mean 'iou'?"),
        ("run --variant ssd --set train.lr=fast", "error: train.lr: expected a number, got 'fast'"),
        ("run --variant ssd --data nowhere/at/all", "error: nowhere/at/all: no such folder or file; "),
        ("run --variant ssd --config gone.toml", "error: gone.toml: no such file"),
        ("run --variant ssd --preset gone", "error: unknown preset 'gone'"),
        ("run", "error: no variant: name one with --variant ssd; "),
        ("run ssd", "error: Got unexpected extra argument"),
        ("run --variant ssd --epochs many", "error: Invalid value for '--epochs'"),
        ("run --variant ssd --bogus", "error: No such option: --bogus"),
        ("rum", "error: No such command 'rum'"),
        ("compare gone", "error: "),
        ("eval --truth gone.json --found gone.json", "error: gone.json: no such file or folder"),
    ],
)
def test_fault_55_a_mistake_is_one_line_and_exit_code_2(words, line, capsys):
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(line)
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_fault_42_a_device_that_is_absent_is_exit_code_3(tmp_path, capsys):
    words = ["run", "--variant", "ssd", "--quiet", "--out", str(tmp_path)]
    assert main([*words, "--set", *tiny_sets(device="cuda:77")]) == 3
    assert capsys.readouterr().err.startswith("error: device 'cuda:77' cannot be used")


def fail_with(monkeypatch, error: BaseException) -> None:
    def fail(*args, **settings):
        raise error

    monkeypatch.setattr(run_command, "_run", fail)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("x: wrong"), 2, "error: x: wrong\n"),
        (InputWarning("odd"), 2, "error: odd (--strict)\n"),
        (MachineError("no room"), 3, "error: no room\n"),
        (PartialError("half"), 4, "error: half\n"),
        (Stopped(15, "saved"), 143, "error: stopped by SIGTERM; saved\n"),
        (
            OSError(28, "No space left on device", "/x/y"),
            3,
            "error: /x/y: No space left on device; free some space or choose another folder\n",
        ),
        (
            MemoryError(),
            3,
            "error: out of memory; use smaller batches (train.batch, evaluate.batch), smaller images or less input\n",
        ),
        (
            ZeroDivisionError("oh"),
            1,
            "error: internal error: ZeroDivisionError: oh; --debug prints the traceback\n",
        ),
    ],
)
def test_each_error_has_its_exit_code_and_message(error, code, line, monkeypatch, capsys):
    fail_with(monkeypatch, error)
    assert main(["run", "--variant", "ssd"]) == code
    assert capsys.readouterr().err == line


def test_debug_prints_the_traceback(monkeypatch, capsys):
    fail_with(monkeypatch, InputError("x: wrong"))
    assert main(["run", "--variant", "ssd", "--debug"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: x: wrong\n")


def test_a_warning_is_one_line_and_with_strict_an_error(monkeypatch, capsys):
    monkeypatch.setattr(
        run_command, "_run", lambda *args, **settings: warnings.warn(InputWarning("odd"), stacklevel=1)
    )
    assert main(["run", "--variant", "ssd"]) == 0
    assert capsys.readouterr().err == "warning: odd\n"
    assert main(["run", "--variant", "ssd", "--strict"]) == 2
    assert capsys.readouterr().err == "error: odd (--strict)\n"


def test_fault_55_the_resolved_settings_are_printed_with_their_origins(capsys, tmp_path):
    assert main(["config", "--variant", "ssd", "--set", "nms.iou=0.4"]) == 0
    printed = capsys.readouterr().out
    assert "iou = 0.4  # --set" in printed
    assert main(["run", "--variant", "ssd", "--set", "nms.iou=0.4", "--show-config"]) == 0
    assert capsys.readouterr().out == printed
    (tmp_path / "again.toml").write_text(printed)
    assert main(["config", "--variant", "ssd", "--config", str(tmp_path / "again.toml")]) == 0
    assert "iou = 0.4  # again.toml" in capsys.readouterr().out


def test_the_size_of_synthetic_images_is_the_default_input_size(capsys):
    assert main(["config", "--variant", "ssd", "--set", "data.size=64,96", "data.scale=8,32"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["image"]["size"] == [64, 96]


def test_a_preset_or_a_file_can_name_the_variant(capsys, tmp_path, monkeypatch):
    (tmp_path / "mine.toml").write_text('# Mine\nvariant = "fcos"\nradius = 2.0\n')
    assert main(["config", "--config", str(tmp_path / "mine.toml")]) == 0
    assert "radius = 2.0  # mine.toml" in capsys.readouterr().out
    monkeypatch.setattr("bench.settings.presets._FOLDER", tmp_path)
    assert main(["config", "--preset", "mine"]) == 0
    assert "radius = 2.0  # preset mine" in capsys.readouterr().out


@pytest.mark.parametrize("name", list(COMMAND.commands))
def test_every_command_has_json(name):
    command = COMMAND.commands[name]
    assert {"--json", "--strict", "--debug"} <= {option for each in command.params for option in each.opts}


@pytest.mark.slow
def test_fault_53_no_display_no_home_and_no_fonts_cache(tmp_path):
    closed = tmp_path / "home"
    closed.write_text("a file in place of the home folder")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MPL", "XDG", "DISPLAY"))
    }
    environment |= {"HOME": str(closed), "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    words = ["run", "--variant", "ssd", "--out", str(tmp_path / "runs"), "--set", *tiny_sets(train__epochs=1)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "report: " in done.stdout
    assert "matplotlib" not in done.stderr.lower()
    assert "training: done" in done.stderr


def test_eval_by_a_protocol_prints_and_stores_its_numbers(tmp_path, capsys):
    from metrics.evaluated_files import score_files

    write_voc(tmp_path / "VOC2007", [Picture("street")], {"test": ["street"]})
    results = tmp_path / "results"
    results.mkdir()
    lines = "street 0.9 40 1 50 20\nstreet 0.8 9 9 32 22\n"
    (results / f"comp4_det_test_{CLASSES[0]}.txt").write_text(lines)
    words = [
        "eval",
        "--truth",
        str(tmp_path / "VOC2007"),
        "--detections",
        str(results),
        "--out",
        str(tmp_path / "runs"),
    ]
    assert main([*words, "--protocol", "voc2007", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    expected = score_files(tmp_path / "VOC2007", results, protocol="voc2007").value("voc07_ap")
    assert printed["protocols"] == {"voc2007": {"voc07_ap": expected}}
    folder = Path(printed["runs"][0]["folder"])
    stored = RunFolder.open(folder).result
    assert stored.protocols == {"voc2007": {"voc07_ap": expected}}
    page = (folder / "report.html").read_text()
    assert "numbers of this page are COCO&#39;s" in page or "numbers of this page are COCO's" in page
    assert "Numbers by the protocols of benchmarks" in page
    assert main([*words, "--protocol", "voc2007"]) == 0
    assert capsys.readouterr().out.startswith("protocol voc2007\n")
