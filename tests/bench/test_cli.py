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
from types import SimpleNamespace

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tiny_data import CLASSES, Picture, write_voc
from tiny_runs import TINY, tiny_sets

from bench import cli
from bench.cli import app, main
from bench.commands import run as run_command
from bench.commands.list import Kind
from bench.commands.options import chosen_entries
from bench.commands.results_table import show_results
from bench.process.interrupts import Stopped
from detectors.registry import VARIANTS
from metrics.errors import InputError, InputWarning, MachineError, PartialError
from reports.records.run import RunFolder

COMMAND = typer.main.get_command(app)


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


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three variants and their comparison."""
    out = tmp_path_factory.mktemp("runs")
    narrow = ["ssd.neck_channels=8", "retinanet.head.channels=8", "fcos.head.channels=8"]
    sets = [f"{name}={value}" for name, value in TINY.items()] + narrow
    words = ["run", "--variant", "ssd", "retinanet,fcos", "--out", str(out), "--quiet", "--set", *sets]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.pages.write_report", _no_page)
        assert main(words) == 0
    return out


def _no_page(*args, **settings) -> None:
    """A page takes seconds; `test_run` checks that of a single run."""


def runs_in(out: Path) -> list[Path]:
    return sorted(path.parent for path in out.glob("*/result.json"))


def test_several_variants_are_compared_in_one_report(three):
    assert [path.name.split("-")[0] for path in runs_in(three)] == ["fcos", "retinanet", "ssd"]
    (comparison,) = three.glob("comparison-*")
    assert {"report.html", "leaderboard.csv", "metrics.csv"} <= {path.name for path in comparison.iterdir()}
    page = (comparison / "report.html").read_text()
    assert all(name in page for name in ("ssd", "retinanet", "fcos"))
    assert RunFolder.open(runs_in(three)[0]).result.command.startswith("python -m bench ")


def test_runs_without_pages_are_finished(tmp_path, capsys):
    words = [
        "run",
        "--variant",
        "ssd",
        "--out",
        str(tmp_path),
        "--no-page",
        "--json",
        "--set",
        *tiny_sets("ssd"),
    ]
    assert main([*words, "--seeds", "2"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] is None
    assert len(runs_in(tmp_path)) == 2
    assert not [*tmp_path.rglob("*.html"), *tmp_path.glob("comparison-*")]


def test_finished_runs_can_be_compared_again(three, tmp_path, capsys):
    one, two, _ = map(str, runs_in(three))
    assert main(["compare", one, two, "--out", str(tmp_path / "page"), "--quiet"]) == 0
    assert f"report: {tmp_path / 'page' / 'report.html'}" in capsys.readouterr().out
    assert (tmp_path / "page" / "leaderboard.csv").is_file()


def test_json_prints_one_object_and_nothing_else(three, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("reports.pages.write_report", _no_page)
    one, two, _ = map(str, runs_in(three))
    detections = str(Path(one) / "detections.parquet")
    for words in (
        ["compare", one, two, "--out", str(tmp_path / "page"), "--resamples", "0"],
        ["eval", "--truth", f"{one}/truth.parquet", "--detections", detections, "--out", str(tmp_path)],
        ["ensemble", one, two, "--out", str(tmp_path)],
    ):
        assert main([*words, "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert Path(printed["report"]).name == "report.html"
        for run in printed["runs"]:
            assert run["headline"] == RunFolder.open(run["folder"]).result.headline
    assert main(["config", "--variant", "ssd", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"][0]["variant"] == "ssd"


def test_json_of_a_study_is_its_record(monkeypatch, capsys, tmp_path):
    study = SimpleNamespace(
        path=tmp_path, PAGE="report.html", result={"name": "s", "values": [0.5, float("nan")]}
    )
    monkeypatch.setattr("bench.tune.tuner.tune", lambda plan, progress, stop: study)
    assert main(["tune", "--variant", "ssd", "--space", "nms", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    paths = {"folder": str(tmp_path), "report": str(tmp_path / "report.html")}
    assert printed == paths | {"study": {"name": "s", "values": [0.5, None]}}


@pytest.mark.parametrize("name", list(COMMAND.commands))
def test_every_command_has_json(name):
    command = COMMAND.commands[name]
    assert {"--json", "--strict", "--debug"} <= {option for each in command.params for option in each.opts}


def test_the_table_names_models_as_the_report_does(three, capsys):
    first = RunFolder.open(runs_in(three)[0])
    config = first.result.config | {"nms": first.result.config["nms"] | {"iou": 0.35}}
    other = first.replace(result=first.result.model_copy(update={"name": "other", "config": config}))
    show_results([first, other], console=Console(width=120))
    iou = first.result.config["nms"]["iou"]
    out = capsys.readouterr().out
    assert f"fcos (nms.iou={iou})" in out
    assert "fcos (nms.iou=0.35)" in out
    config = config | {"threads": 7, "nms": config["nms"] | {"score": 0.0123, "method": "soft_linear"}}
    longer = first.replace(result=other.result.model_copy(update={"config": config}))
    show_results([first, longer], console=Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    # A long label is below the table, and the table has one line for each run.
    assert sum(line.startswith("fcos [") for line in lines) == 2
    assert sum(line.startswith("[") and "nms.score=" in line for line in lines) == 2


def test_fault_37_runs_on_different_truth_are_not_compared(three, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("reports.pages.write_report", _no_page)
    words = ["run", "--variant", "ssd", "--out", str(tmp_path), "--quiet"]
    assert main([*words, "--set", *tiny_sets(data__test=5, train__epochs=0)]) == 0
    capsys.readouterr()
    assert main(["compare", str(runs_in(three)[0]), str(runs_in(tmp_path)[0])]) == 2
    err = capsys.readouterr().err
    assert err.startswith(
        "error: these runs were evaluated on different ground truth and cannot be compared: "
    )
    assert "run the others again on the same --data" in err
    assert err.count("\n") == 1


def test_detections_of_another_program_enter_the_comparison(three, tmp_path, monkeypatch):
    monkeypatch.setattr("reports.pages.write_report", _no_page)
    ours = RunFolder.open(runs_in(three)[0])
    theirs = tmp_path / "dets.parquet"
    ours.detections.save(theirs)
    words = ["eval", "--truth", str(ours.path / "truth.parquet"), "--found", str(theirs)]
    assert main([*words, "--name", "<b>yolo</b>", "--out", str(tmp_path)]) == 0
    (made,) = runs_in(tmp_path)
    scored = RunFolder.open(made)
    assert scored.result.variant == "<b>yolo</b>"
    assert scored.result.headline == ours.result.headline
    assert scored.result.data.fingerprint == ours.result.data.fingerprint
    assert main(["compare", str(made), str(ours.path), "--out", str(tmp_path / "page"), "--quiet"]) == 0
    assert "<b>yolo</b>" not in (tmp_path / "page" / "report.html").read_text()


def test_numbers_of_another_program_s_detections_equal_the_reference(three, tmp_path, monkeypatch, capsys):
    from metrics.formats.coco import write_detections, write_truth

    monkeypatch.setattr("reports.pages.write_report", _no_page)
    ours = RunFolder.open(runs_in(three)[0])
    write_truth(ours.truth, tmp_path / "gt.json")
    write_detections(ours.detections, tmp_path / "dets.json")
    words = ["eval", "--truth", str(tmp_path / "gt.json"), "--found", str(tmp_path / "dets.json")]
    assert main([*words, "--verify", "--out", str(tmp_path / "verified")]) == 0
    assert "the same numbers" in capsys.readouterr().out


def test_fault_1_an_empty_list_of_detections_is_evaluated(three, tmp_path, capsys):
    from metrics.formats.coco import write_truth

    write_truth(RunFolder.open(runs_in(three)[0]).truth, tmp_path / "gt.json")
    (tmp_path / "none.json").write_text("[]")
    words = ["eval", "--truth", str(tmp_path / "gt.json"), "--found", str(tmp_path / "none.json")]
    assert main([*words, "--out", str(tmp_path / "runs")]) == 0
    (made,) = runs_in(tmp_path / "runs")
    assert json.loads((made / "result.json").read_text())["headline"]["ap"] == 0.0
    assert (made / "report.html").is_file()


def test_seeds_are_separate_runs_on_the_same_images(tmp_path, monkeypatch):
    monkeypatch.setattr("reports.pages.write_report", _no_page)
    monkeypatch.setattr("reports.pages.write_comparison", lambda comparison, folder, **settings: folder)
    words = ["run", "--variant", "ssd", "--seeds", "2", "--seed", "5", "--out", str(tmp_path), "--quiet"]
    assert main([*words, "--set", *tiny_sets(train__epochs=1)]) == 0
    results = [RunFolder.open(path).result for path in runs_in(tmp_path)]
    assert sorted(result.seed for result in results) == [5, 6]
    assert len({result.data.fingerprint for result in results}) == 1


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
