"""``bench compare``: runs that are opened, options of the comparison, and the exit codes of the gate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scene_runs import run, scene_of
from strategies import Scene

from bench.cli import main
from bench.runs.comparison import open_runs
from bench.runs.external_run import save_external
from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.tables import AnnotationTable, DetectionTable
from reports.analysis.models import group_models
from reports.records.run import DataFacts, RunFolder, RunResult, save_result


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scene_of()


def made(
    folder: Path,
    tables: tuple[AnnotationTable, DetectionTable],
    variant: str = "ssd",
    seed: int | None = 0,
    name: str = "",
) -> Path:
    truth, found = tables
    facts = DataFacts(
        name="scene", format="coco", split="test", fingerprint=truth.fingerprint,
        images=len(truth.catalog.image_ids), objects=len(truth), classes=3,
    )  # fmt: skip
    result = RunResult(
        name=name or f"{variant}-scene-{seed}",
        variant=variant,
        data=facts,
        seed=seed,
        config={"nms": {"iou": 0.5}, "seed": seed},
        headline=dict(evaluate(truth, found).headline),
    )
    return save_result(folder / result.name, result, truth, found).path


def gate(tmp_path: Path, *words: Any) -> int:
    return main(
        ["compare", *map(str, words), "--out", str(tmp_path / "page"), "--quiet", "--resamples", "200"]
    )


def test_the_gate_exits_with_5_if_the_new_model_is_worse_and_prints_the_difference(scene, tmp_path, capsys):
    old, new = made(tmp_path / "old", run(scene)), made(tmp_path / "new", run(scene, 0.5))
    assert gate(tmp_path, old, new, "--fail-on-regression", "ap=0.5", "olrp=0") == 5
    out, err = capsys.readouterr()
    lines = [line for line in out.splitlines() if ", allowed loss " in line]
    assert [line.split(":")[0] for line in lines] == ["ap", "olrp"]
    assert lines[0].startswith("ap: ssd (new) vs ssd (old) −")
    assert all(line.endswith(": REGRESSED") for line in lines)
    assert (
        err
        == "error: worse than the limit allows: ap, olrp; gate.json next to the report has the intervals\n"
    )
    written = json.loads((tmp_path / "page" / "gate.json").read_text(encoding="utf-8"))
    assert written["passed"] is False
    assert [result["measure"] for result in written["results"]] == ["ap", "olrp"]
    assert all(result["answer"] == "regressed" for result in written["results"])
    low, high = written["results"][0]["interval"]
    assert low < written["results"][0]["delta"] < high < -written["results"][0]["allowed_loss"] == -0.5
    # The page is written nevertheless, with the same answer.
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert f"Gate: {lines[0]}." in page
    # In the reverse direction there is no loss.
    assert gate(tmp_path, new, old, "--fail-on-regression", "ap=0.5") == 0
    assert "allowed loss 0.5: passed" in capsys.readouterr().out


def test_an_inconclusive_gate_warns_and_fails_only_if_strict(scene, tmp_path, capsys):
    old, new = made(tmp_path, run(scene), "a"), made(tmp_path, run(scene, 0.97), "b")
    assert gate(tmp_path, old, new, "--fail-on-regression", "ap=0.5") == 0
    out, err = capsys.readouterr()
    assert "allowed loss 0.5: inconclusive" in out
    assert err.startswith("warning: ap: this test set resolves differences of ")
    assert gate(tmp_path, old, new, "--fail-on-regression", "ap=0.5", "--strict") == 5
    assert capsys.readouterr().err.endswith("or a larger limit (--strict)\n")


def test_detections_of_another_program_are_gated_as_well(scene, tmp_path, capsys):
    runs = []
    for folder, kept in (("old", 1.0), ("new", 0.5)):
        truth, found = run(scene, kept)
        saved = save_external(
            "yolo", evaluate(truth, found), tmp_path / folder, data="scene", source="dets.json"
        )
        runs.append(saved.path)
    assert gate(tmp_path, *runs, "--fail-on-regression", "ap50=1") == 5
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("ap50: "))
    assert f"yolo ({runs[1].name}) vs yolo ({runs[0].name})" in line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["app=1"], "--fail-on-regression: no measure 'app' can be resampled; did you mean 'ap'?"),
        (["ap"], "--fail-on-regression 'ap': expected a measure and a number, such as ap=0.5"),
        (["ap:clas 1=1"], "ap:clas 1: no class 'clas 1' with objects; did you mean 'class 1'?"),
    ],
)
def test_an_invalid_limit_is_an_input_error_and_not_a_regression(scene, tmp_path, capsys, words, message):
    old, new = made(tmp_path / "old", run(scene)), made(tmp_path / "new", run(scene, 0.5))
    assert gate(tmp_path, old, new, "--fail-on-regression", *words) == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_an_unknown_measure_of_the_gate_is_refused_before_detections_are_read(scene, tmp_path, capsys):
    old, new = made(tmp_path / "old", run(scene)), made(tmp_path / "new", run(scene, 0.5))
    (new / "detections.parquet").write_bytes(b"unreadable")
    assert gate(tmp_path, old, new, "--fail-on-regression", "app=1") == 2
    assert "no measure 'app' can be resampled" in capsys.readouterr().err


def test_a_comparison_among_the_runs_is_left_out_with_a_message(scene, tmp_path, capsys):
    for name, kept in (("one", 1.0), ("two", 0.5)):
        made(tmp_path / name, run(scene, kept))
    runs = sorted(path.parent for path in tmp_path.glob("*/*/result.json"))
    page = runs[0].parent / "comparison-0"
    assert main(["compare", *map(str, runs), "--out", str(page), "--resamples", "0", "--quiet"]) == 0
    capsys.readouterr()
    words = ["compare", *map(str, [*runs, page]), "--out", str(page), "--resamples", "0"]
    assert main(words) == 0
    assert "comparison-0: left out, a comparison and not a run" in capsys.readouterr().err
    assert main(["compare", str(page)]) == 2
    assert "holds no result.json" in capsys.readouterr().err


@pytest.mark.parametrize("whole", [False, True])
def test_runs_in_progress_are_left_out_with_a_message(scene, tmp_path, capsys, whole):
    for name, kept in (("one", 1.0), ("two", 0.5)):
        made(tmp_path, run(scene, kept), name)
    (tmp_path / "three.partial").mkdir()
    paths = [tmp_path] if whole else sorted(tmp_path.iterdir())
    out = tmp_path.parent / "compared"
    assert main(["compare", *map(str, paths), "--out", str(out), "--resamples", "0"]) == 0
    assert "three.partial: left out, a run in progress" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "three.partial")]) == 2
    assert "run the same command again to continue it" in capsys.readouterr().err


def test_names_are_printed_literally(scene, tmp_path, capsys):
    made(tmp_path, run(scene), "x[/b]:star:", name="a")
    assert main(["compare", str(tmp_path / "a"), "--resamples", "0", "--out", str(tmp_path), "--quiet"]) == 0
    assert "x[/b]:star:" in capsys.readouterr().out.replace("\n", "").replace(" ", "")


def test_seeds_of_one_model_are_not_old_and_new(scene, tmp_path, capsys):
    runs = [made(tmp_path, run(scene, 0.9, seed), seed=seed) for seed in range(2)]
    assert gate(tmp_path, *runs, "--fail-on-regression", "ap=1") == 2
    assert (
        "expected a baseline model and a new model, but all runs are of one model" in capsys.readouterr().err
    )


def test_all_models_of_the_first_path_are_old(scene, tmp_path, capsys):
    for variant, kept in (("ssd", 1.0), ("fcos", 0.5)):
        made(tmp_path / "runs", run(scene, kept), variant)
    assert gate(tmp_path, tmp_path / "runs", "--fail-on-regression", "ap=1") == 2
    assert (
        "--fail-on-regression: all models are in the first path, which is the baseline: ssd and fcos"
        in capsys.readouterr().err
    )


def test_folders_of_runs_are_two_versions_of_each_variant(scene, tmp_path, capsys):
    for folder, kept in (("old", 1.0), ("new", 0.5)):
        for variant in ("ssd", "fcos"):
            for seed in range(2):
                made(tmp_path / folder, run(scene, kept, seed), variant, seed)
    old, new = open_runs([tmp_path / "old", tmp_path / "new"])
    assert [each.result.name for each in old][:2] == ["old/fcos-scene-0", "old/fcos-scene-1"]
    models = group_models([*old, *new])
    assert {model.label: len(model.runs) for model in models} == {
        f"{variant} ({folder})": 2 for variant in ("ssd", "fcos") for folder in ("old", "new")
    }
    assert gate(tmp_path, tmp_path / "old", tmp_path / "new", "--fail-on-regression", "ap=1") == 5
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith(": REGRESSED")]
    assert {line.split("ap: ")[1].split(" −")[0] for line in lines} == {
        "fcos (new) vs fcos (old)",
        "ssd (new) vs ssd (old)",
    }


def test_runs_are_opened_once_and_clashing_names_get_their_folders(scene, tmp_path):
    paths = [made(tmp_path / folder, run(scene), name="r") for folder in ("x/same", "y/same", "z")]
    (one,), (two,), (three,) = open_runs([*paths, paths[0]])
    assert [each.result.name for each in (one, two, three)] == ["x/same/r", "y/same/r", "z/r"]
    with pytest.raises(InputError, match=r"holds no result.json"):
        open_runs([tmp_path / "x"])


def test_fault_37_different_images_are_refused_unless_intersection_is_chosen(scene, tmp_path, capsys):
    part = np.arange(4, 60)
    truth, found = run(scene, 0.5)
    whole, fewer = (
        made(tmp_path, run(scene), "a"),
        made(tmp_path, (truth.select(part), found.select(part)), "b"),
    )
    assert gate(tmp_path, whole, fewer) == 2
    assert "or use --images intersection to compare on the images they share" in capsys.readouterr().err
    assert gate(tmp_path, whole, fewer, "--images", "intersection") == 0
    note = "nly the 56 images with the same truth in all runs are compared; left out: 4 of 60 images of a-scene-0"
    assert f"note: o{note}" in capsys.readouterr().out
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert f'<p class="warning"><b>Note.</b> O{note}.</p>' in page
    assert "<b>subset of images</b>" in page
    board = pd.read_csv(tmp_path / "page" / "leaderboard.csv").set_index("run_id")
    for name, table in (("a-scene-0", scene.detections), ("b-scene-0", found)):
        expected = evaluate(scene.truth.select(part), table.select(part)).headline["ap"]
        assert board.loc[name, "ap"] == pytest.approx(expected, abs=1e-14)
    # The runs themselves are unchanged.
    assert (
        RunFolder.open(whole).result.data.images == len(RunFolder.open(whole).truth.catalog.image_ids) == 60
    )


def test_the_groups_of_the_data_set_are_used_by_default(scene, tmp_path, capsys):
    """The intervals are those of --groups with a table of the same groups; one run was made before the groups were set."""
    truth, found = run(scene)
    ids = scene.truth.catalog.image_ids
    videos = [f"v{at // 3}" for at in range(len(ids))]
    catalog = replace(truth.catalog, image_columns={"data.groups": videos})
    new = made(tmp_path, (replace(truth, catalog=catalog), replace(found, catalog=catalog)), "new")
    old = made(tmp_path, run(scene, 0.7), "old")
    table = tmp_path / "groups.csv"
    table.write_text("image,group\n" + "".join(f"{i},{v}\n" for i, v in zip(ids, videos, strict=True)))

    def errors(*words: Any) -> pd.Series:
        assert gate(tmp_path, old, new, *words) == 0
        rows = pd.read_csv(tmp_path / "page" / "standings.csv")
        return rows[rows["measure"] == "ap"].set_index("model")["se"]

    by_default = errors()
    text = f"note: images are resampled in the {len(set(videos))} groups that the splits of the data set keep together"
    assert text in capsys.readouterr().out
    pd.testing.assert_series_equal(by_default, errors("--groups", table))
    assert "note: images are resampled" not in capsys.readouterr().out
    assert not np.allclose(by_default, errors("--groups", "none"))


def test_groups_by_column_table_or_folder_change_the_intervals(scene, tmp_path, capsys):
    videos = [f"v{at // 2}" for at in range(60)]
    files = [f"{video}/{at}.jpg" for at, video in enumerate(videos)]

    def with_columns(
        tables: tuple[AnnotationTable, DetectionTable],
    ) -> tuple[AnnotationTable, DetectionTable]:
        truth, found = tables
        catalog = replace(truth.catalog, image_columns={"video_id": videos}, file_names=files)
        return replace(truth, catalog=catalog), replace(found, catalog=catalog)

    paths = [made(tmp_path, with_columns(run(scene, kept)), name) for name, kept in (("a", 1.0), ("b", 0.7))]
    table = tmp_path / "groups.csv"
    ids = scene.truth.catalog.image_ids
    table.write_text("image,group\n" + "".join(f"{i},{v}\n" for i, v in zip(ids, videos, strict=True)))

    def errors(*words: Any) -> pd.Series:
        assert gate(tmp_path, *paths, *words) == 0
        rows = pd.read_csv(tmp_path / "page" / "standings.csv")
        return rows[rows["measure"] == "ap"].set_index("model")["se"]

    alone = errors()
    err = capsys.readouterr().err
    assert "warning: the image column 'video_id' (30 values for 60 images) is not used" in err
    assert "(--groups video_id)" in err
    assert "video_id" in (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    by_column = errors("--groups", "video_id")
    assert "warning" not in capsys.readouterr().err
    assert "60 images were resampled in 30 groups by" in (tmp_path / "page" / "report.html").read_text(
        "utf-8"
    )
    assert not np.allclose(alone, by_column)
    for other in (table, "folder"):
        pd.testing.assert_series_equal(errors("--groups", other), by_column)
    assert gate(tmp_path, *paths, "--groups", "video") == 2
    assert (
        "--groups video: the images of scene have no such column; did you mean 'video_id'?"
        in capsys.readouterr().err
    )
