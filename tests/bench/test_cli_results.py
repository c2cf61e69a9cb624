"""The command line on finished runs: comparisons, JSON, detections of other programs, seeds."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from tiny_runs import TINY, tiny_sets

from bench.cli import main, program
from bench.commands.results_table import show_results
from reports.records.run import RunFolder


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


def test_detections_without_a_page_have_the_data_set_s_name_and_no_format(three, tmp_path, capsys):
    from metrics.formats.coco import write_detections, write_truth

    ours = RunFolder.open(runs_in(three)[0])
    folder = tmp_path / "blood"
    folder.mkdir()
    write_truth(ours.truth, folder / "gt.json")
    write_detections(ours.detections, folder / "dets.json")
    for truth, name in (("blood/gt.json", "blood"), (f"{ours.path}/truth.parquet", ours.result.data.name)):
        words = ["eval", "--truth", str(tmp_path / truth), "--detections", str(folder / "dets.json")]
        assert main([*words, "--no-page", "--json", "--out", str(tmp_path / name)]) == 0
        assert json.loads(capsys.readouterr().out)["report"] is None
        (made,) = runs_in(tmp_path / name)
        data = RunFolder.open(made).result.data
        assert (data.name, data.format) == (name, "")
        assert not (made / "report.html").exists()


def test_commands_that_write_a_page_beside_their_result_can_leave_it_out():
    """The page is the result of `compare`, `suite` and `decide`; `data` writes one only with --report."""
    with_page = {name for name, each in program().commands.items() if _option(each, "--no-page")}
    assert with_page == {"run", "tune", "compress", "reevaluate", "ensemble", "eval"}
    assert len({_option(program().commands[name], "--no-page").help for name in with_page}) == 1


def _option(command, name):
    return next((each for each in command.params if name in each.opts), None)


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
