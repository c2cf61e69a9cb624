"""``bench suite`` and ``bench compare`` of runs on several data sets."""

from __future__ import annotations

import json

import pytest
from scene_runs import run, scene_of
from test_comparison import made
from tiny_data import Picture, write_coco
from tiny_runs import TINY

from bench.cli import main
from bench.designs.suite import read_suite
from bench.runs.comparison import is_comparison
from metrics.errors import InputError
from reports.records.run import RunFolder


def test_a_file_becomes_models_and_levels(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(
        'variants = ["ssd"]\npresets = ["fcos-squeezenet"]\nseeds = 2\nconfig = "more.toml"\n'
        'data = ["shapes", {path = "a/b", name = "mine", groups = "clip", settings = {train.epochs = 9}}]\n'
        "[settings]\ntrain.epochs = 3\ndata.seed = 4\n"
    )
    suite = read_suite(file)
    assert suite.entries == (("ssd", None), ("fcos", "fcos-squeezenet"))
    assert (suite.title, suite.seeds, suite.config) == ("s", 2, tmp_path / "more.toml")
    first, second = suite.levels
    assert (first.name, second.name) == ("shapes", "mine")
    assert dict(first.settings) == {"train.epochs": 3, "data.seed": 4, "data.path": "shapes"}
    assert dict(second.settings) == {
        "train.epochs": 9,
        "data.seed": 4,
        "data.path": str(tmp_path / "a/b"),
        "data.name": "mine",
        "data.groups": "clip",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('variants = ["ssd"]', "expected the data sets and models of a suite, as in variants"),
        ('data = ["a", "b"]', "neither variants nor presets"),
        ('variants = ["ssd"]\ndata = ["a"]', "data"),
        ('variants = ["ssd"]\ndata = ["a", {name = "b"}]', r"data\[1\]: expected a name or path"),
        ('variants = ["ssd"]\ndata = ["a", "a"]', "two data sets are a; give each once"),
        ('variant = ["ssd"]\ndata = ["a", "b"]', "variant"),
        ('presets = ["foo"]\ndata = ["a", "b"]', "unknown preset 'foo'"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path, text, message):
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_suite(file)


def test_a_suite_runs_all_cells_once_and_compares_over_data_sets(tmp_path, capsys):
    write_coco(
        tmp_path / "mine" / "a.json", [Picture(f"p{k}", objects=[(k % 2, (8, 8, 40, 40))]) for k in range(9)]
    )
    plain = {name: value for name, value in TINY.items() if not name.startswith(("data.", "train.epochs"))}
    settings = "\n".join(
        f"{name} = {[64, 64] if name == 'image.size' else json.dumps(value)}" for name, value in plain.items()
    )
    own = ", ".join(f"{name} = {value}" for name, value in (("train", 6), ("val", 3), ("test", 4)))
    file = tmp_path / "s.toml"
    file.write_text(
        f'variants = ["ssd", "fcos"]\n'
        f'data = [{{path = "shapes", size = [64, 64], scale = [12, 40], {own}}}, "mine"]\n'
        f"[settings]\n{settings}\ntrain.epochs = 1\n"
    )
    out = tmp_path / "runs"
    assert main(["suite", str(file), "--quiet", "--out", str(out)]) == 0
    (page,) = out.glob("comparison-*")
    assert is_comparison(page)
    assert (page / "data-sets.csv").is_file()
    assert (page / "2-mine" / "report.html").is_file()
    runs = [RunFolder.open(path).result for path in out.iterdir() if path != page]
    assert sorted((run.variant, run.data.name) for run in runs) == [
        ("fcos", "mine"), ("fcos", "shapes"), ("ssd", "mine"), ("ssd", "shapes"),
    ]  # fmt: skip
    before = {run.name: (out / run.name / "result.json").stat().st_mtime_ns for run in runs}
    capsys.readouterr()
    assert main(["suite", str(file), "--quiet", "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["data_sets"]) == {"shapes", "mine"}
    assert set(printed["mean_ranks"]) == {"ssd", "fcos"}
    assert {run.name: (out / run.name / "result.json").stat().st_mtime_ns for run in runs} == before


def test_compare_of_several_data_sets_has_the_same_page(tmp_path, capsys):
    scene = scene_of(12)
    paths = []
    for name in ("one", "two"):
        for variant, kept in (("ssd", 1.0), ("fcos", 0.6)):
            path = made(tmp_path / name, run(scene, kept), variant)
            record = json.loads((path / "result.json").read_text())
            record["data"] |= {"name": name, "fingerprint": name}
            record["name"] = f"{variant}-{name}"
            (path / "result.json").write_text(json.dumps(record))
            paths.append(str(path))
    page = tmp_path / "page"
    words = ["compare", *paths, "--out", str(page), "--resamples", "50", "--quiet"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "ssd has the best mean rank by AP over 2 data sets (1.00)" in out
    assert (page / "1-one" / "leaderboard.csv").is_file()
    assert main([*words, "--fail-on-regression", "ap=1"]) == 2
    assert (
        "--fail-on-regression: for runs of one data set, but these are of one, two" in capsys.readouterr().err
    )


def test_runs_without_a_common_variant_are_not_taken_for_data_sets(tmp_path, capsys):
    scene = scene_of(12)
    paths = []
    for name, variant in (("one", "ssd"), ("two", "fcos")):
        path = made(tmp_path / name, run(scene), variant)
        record = json.loads((path / "result.json").read_text())
        record["data"] |= {"name": name, "fingerprint": name}
        (path / "result.json").write_text(json.dumps(record))
        paths.append(str(path))
    assert main(["compare", *paths, "--out", str(tmp_path / "page"), "--quiet"]) == 2
    assert "these runs were evaluated on different ground truth" in capsys.readouterr().err


def test_a_table_of_groups_holds_for_the_images_of_every_data_set(tmp_path, capsys):
    paths, ids = [], {}
    for name, images in (("few", 8), ("many", 12)):
        scene = scene_of(images)
        for variant, kept in (("ssd", 1.0), ("fcos", 0.6)):
            paths.append(made(tmp_path / name, run(scene, kept), variant))
            record = json.loads((paths[-1] / "result.json").read_text())
            record["data"] |= {"name": name}
            record["name"] = f"{variant}-{name}"
            (paths[-1] / "result.json").write_text(json.dumps(record))
        ids |= dict.fromkeys(RunFolder.open(paths[-1]).truth.catalog.image_ids)
    table = tmp_path / "groups.csv"
    table.write_text("image,group\n" + "".join(f"{image},{at // 2}\n" for at, image in enumerate(ids)))
    words = ["compare", *map(str, paths), "--resamples", "50", "--quiet", "--groups"]
    assert main([*words, str(table), "--out", str(tmp_path / "page")]) == 0
    for page, images in (("1-few", 8), ("2-many", 12)):
        text = (tmp_path / "page" / page / "report.html").read_text(encoding="utf-8")
        assert f"{images} images were resampled in {images // 2} groups" in text
    capsys.readouterr()
    assert main([*words, "zebra", "--out", str(tmp_path / "other")]) == 2
    assert "--groups zebra: the images of few have no such column" in capsys.readouterr().err
