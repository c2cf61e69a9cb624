"""Fit of priors to the boxes of a data set, and the settings of better priors."""

from __future__ import annotations

import math
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_data import Picture, split_of, write_coco

from bench.anchors import files
from bench.anchors.boxes import input_boxes
from bench.anchors.files import rows, save_fit, unreached
from bench.anchors.fit import MAX_BOXES, AnchorFit, PriorFitter, fit_anchors
from bench.cli import main
from bench.commands import anchors
from bench.data.types import Dataset, Split
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import make_loader
from bench.runs.detector import build_detector
from bench.settings import toml
from bench.settings.resolution import open_run_data, resolve
from detectors.anchor_fit import FitRow, detector_priors, measure_fit
from detectors.registry import VARIANTS
from metrics.errors import InputError
from metrics.tables import AnnotationTable, Catalog

pytestmark = pytest.mark.draws

SETS = ("image.size=128,160", "data.train=60", "data.val=20", "data.test=2", "data.scale=10,30")


def configured(variant: str, *sets: str):
    config = resolve(variant, sets=[*SETS, *sets])
    return config, open_run_data(config)


@pytest.fixture(scope="module")
def fit() -> AnchorFit:
    config, dataset = configured("ssd", "levels=3")
    return fit_anchors(config, dataset, steps=60)


def test_input_boxes_equal_those_of_the_loader():
    sizes = [(40, 64), (100, 30), (64, 64)]
    images = [np.zeros((*size, 3), np.uint8) for size in sizes]
    objects = [[(0, (1, 2, 30, 39)), (1, (50, 5, 70, 20))], [(1, (5, 10, 12, 95))], [(0, (3, 3, 3, 9))]]
    split = split_of(images, objects)
    for resize in ("letterbox", "stretch"):
        image = ImageConfig(size=(96, 80), resize=resize)
        seen = input_boxes(split, image)
        (batch,) = make_loader(split, image, batch_size=3)
        np.testing.assert_allclose(seen.boxes, torch.cat([t.boxes for t in batch.targets]), atol=1e-4)
        assert seen.labels.tolist() == [0, 1, 1]
        assert seen.rows.tolist() == [0, 1, 2]


def test_an_image_of_unknown_size_is_read():
    known = split_of([np.zeros((40, 64, 3), np.uint8)], [[(0, (1, 2, 30, 39))]])
    truth = known.truth
    catalog = Catalog.of([0], truth.catalog.classes)
    unknown = Split(
        "train", AnnotationTable.of(catalog, truth.image, truth.label, truth.xywh), known.load, ""
    )
    image = ImageConfig(size=(96, 96))
    np.testing.assert_allclose(input_boxes(unknown, image).boxes, input_boxes(known, image).boxes)


def test_the_reported_fit_equals_that_of_all_priors(fit):
    """The oracle builds the detector with the found settings and looks at all its priors."""
    for settings, expected in (({}, fit.before), (fit.found, fit.after)):
        config = fit.config
        own = type(config.detector).model_validate(config.detector.model_dump() | settings)
        priors, levels = detector_priors(VARIANTS["ssd"].build(own, 5), config.image.size)
        for name in ("train", "val"):
            boxes = input_boxes(fit.splits[name][0], config.image).boxes
            whole = measure_fit(boxes, priors, levels, 0.5)
            np.testing.assert_allclose(expected[name].best_iou, whole.best_iou, atol=1e-4)
            assert expected[name].levels == whole.levels


def test_shapes_fit_the_training_boxes_better_and_are_as_many(fit):
    assert fit.after["train"].objective > fit.before["train"].objective + 0.05
    assert [len(level) for level in fit.sizes_after] == [len(level) for level in fit.sizes_before]
    assert len(fit.after["val"].area) == len(fit.before["val"].area) > 0


@pytest.mark.parametrize(
    ("variant", "target", "sets"),
    [
        ("ssd", "rule", []),
        ("ssd", None, ["ratios=[[2],[2,3],[2,3],[2]]"]),  # not as many priors at every level
        ("ssd", None, ["levels=1", "shapes=[[[10,10],[20,20]]]"]),
        ("retinanet", None, ["octaves=1"]),
        ("retinanet", "rule", []),
        ("atss", None, []),
    ],
)
def test_the_file_builds_exactly_these_priors(variant, target, sets, tmp_path):
    config, dataset = configured(variant, *sets, "backbone.base_channel=4")
    found = fit_anchors(config, dataset, target, steps=20)
    file = tmp_path / "priors.toml"
    file.write_text(toml.write(found.settings()))
    again = resolve(variant, file=file, sets=["train.epochs=3"])
    assert again.train.epochs == 3
    assert again.image.size == (128, 160)
    assert again.get("backbone.base_channel") == 4
    detector = build_detector(again, 5)
    priors, levels = detector_priors(detector, again.image.size)
    sides, start = (priors[:, 2:] - priors[:, :2]).numpy(), 0
    for count, shapes in zip(levels, found.sizes_after, strict=True):
        np.testing.assert_allclose(sides[start : start + len(shapes)], shapes, rtol=1e-4)
        start += count
    assert (
        found.after["train"].objective >= found.before["train"].objective - 1e-3
    )  # shapes are rounded to 0.1 px


def test_the_file_has_the_input_size_even_if_the_data_set_set_it():
    sources = {"sets": ["data.train=40", "data.val=5", "data.test=2", "data.size=96,64", "data.scale=8,30"]}
    dataset = open_run_data(resolve("ssd", **sources))
    config = resolve("ssd", **sources, data_defaults=dataset.defaults)
    settings = fit_anchors(config, dataset, "rule", steps=2).settings()
    assert settings["image"]["size"] == [96, 64]
    assert "train" not in settings
    assert set(settings) == {"variant", "data", "image", "scale_min", "scale_max"}


def test_the_same_seed_gives_the_same_bytes_and_another_another(fit, tmp_path):
    def left(fit: AnchorFit, name: str) -> dict[str, bytes]:
        folder = save_fit(fit, "shapes", tmp_path / name)
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    once = left(fit, "once")
    assert set(once) == {"priors.toml", "priors.png", "priors.svg", "fit.csv", "unreached.csv"}
    dataset = open_run_data(fit.config)
    assert left(fit_anchors(fit.config, dataset, steps=60), "again") == once
    other = fit_anchors(fit.config.with_seed(1), dataset, steps=60)
    assert left(other, "other")["priors.toml"] != once["priors.toml"]


def test_tables_add_up_and_name_what_is_not_reached(fit):
    table = (
        pd.DataFrame(row.as_dict() for row in rows(fit)).set_index(["split", "priors", "group"]).sort_index()
    )
    for split in ("train", "val"):
        for priors in ("current", "fitted"):
            num = table.loc[split, priors]["objects"]
            parts = {kind: num[[kind in group for group in num.index]].sum() for kind in ("level", "class")}
            assert parts["level"] == parts["class"] == num["all"] == num[["small", "medium", "large"]].sum()
    missed = pd.DataFrame(unreached(fit))
    for split in ("train", "val"):
        of = missed[missed["split"] == split]
        assert (of["iou_current"] < 0.5).sum() == len(fit.before[split].unreached)
        assert (of["iou_fitted"] < 0.5).sum() == len(fit.after[split].unreached)
    first = missed.iloc[0]
    truth = fit.splits[first["split"]][0].truth
    ours = truth.image == list(map(str, truth.catalog.image_ids)).index(first["image"])
    assert [first[name] for name in ("x", "y", "width", "height")] in truth.xywh[ours].tolist()


def test_the_command_prints_the_table_and_its_file_is_a_run_s(tmp_path, capsys):
    words = ["anchors", "--variant", "ssd", "--steps", "30", "--seed", "3", "--out", str(tmp_path)]
    assert main([*words, "--quiet", "--set", *SETS, "levels=3"]) == 0
    out = capsys.readouterr().out
    for text in (
        "train: mean best IoU 0.",
        "(not used for the search)",
        "level 2",
        "class disk",
        "priors.toml",
    ):
        assert text in out
    (folder,) = tmp_path.iterdir()
    settings = tomllib.loads((folder / "priors.toml").read_text())
    assert settings["variant"] == "ssd"
    assert settings["seed"] == 3
    assert settings["image"]["size"] == [128, 160]
    assert settings["data"] == {"train": 60, "val": 20, "test": 2, "scale": [10, 30]}
    assert len(settings["shapes"]) == 3
    missed = pd.read_csv(folder / "unreached.csv")
    assert list(missed.columns[-2:]) == ["iou_current", "iou_fitted"]
    capsys.readouterr()
    assert main(["config", "--config", str(folder / "priors.toml")]) == 0
    assert "shapes = [[[" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "--variant fcos",
            "error: fcos: its priors have no shapes to fit (points); variants that have: atss, cascade_rcnn, faster_rcnn, retinanet, ssd",
        ),
        ("--variant gfl", "error: gfl: its priors have no shapes to fit"),
        ("--variant ssd fcos", "error: --variant, --preset: expected one variant, got ssd, fcos"),
        ("--variant torchvision/ssd300_vgg16", "error: torchvision/ssd300_vgg16: an external model"),
        ("--variant ssd --fit best", "error: Invalid value for '--fit'"),
        (
            "--variant ssd --fit rule --set shapes=[[[9,9]],[[9,9]],[[9,9]],[[9,9]]] data.train=9",
            "error: --fit rule: no setting of ssd with a search range changes its priors (its shapes are given; ",
        ),
    ],
)
def test_fault_55_an_impossible_search_is_a_one_line_error(words, line, capsys, tmp_path):
    assert main(["anchors", "--quiet", "--out", str(tmp_path), *words.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1


def test_shapes_are_searched_only_if_the_variant_has_that_setting(fit, monkeypatch):
    monkeypatch.setattr(PriorFitter, "takes_shapes", False)
    dataset = open_run_data(fit.config)
    with pytest.raises(
        InputError, match="--fit shapes: ssd has no setting for explicit shapes; use --fit rule"
    ):
        fit_anchors(fit.config, dataset, "shapes")
    assert set(fit_anchors(fit.config, dataset, steps=5).found) == {"scale_min", "scale_max"}


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([], "0 objects of 0 different shapes"),
        ([(5, 5, 20, 30)], "train: 1 object of 1 different shape, and ssd has 24 priors to fit"),
        ([(k, 5, k + 9, 14) for k in range(40)], "train: 40 objects of 1 different shape"),
    ],
)
def test_fault_34_too_few_boxes_are_an_error(boxes, message):
    config = resolve("ssd")
    split = split_of([np.zeros((64, 64, 3), np.uint8)], [[(0, box) for box in boxes]])
    dataset = Dataset("few", "coco", None, {"train": split, "val": split, "test": split}, "")
    with pytest.raises(InputError, match=message):
        fit_anchors(config, dataset)


def test_fault_33_as_many_boxes_as_coco_has_take_seconds():
    draw = np.random.default_rng(0)
    images, objects = 20_000, 160_000  # COCO has five times as many
    sizes = draw.integers(300, 640, (images, 2))
    of = np.sort(draw.integers(images, size=objects))
    sides = np.exp(draw.normal(3.5, 1.0, (objects, 2))).clip(2, 300)
    corner = draw.random((objects, 2)) * (sizes[of][:, ::-1] - sides).clip(min=0)
    catalog = Catalog.of(range(images), ("thing",), sizes)
    truth = AnnotationTable.of(
        catalog, of.astype(np.int32), np.zeros(objects, np.int32), np.concatenate([corner, sides], axis=1)
    )
    split = Split("train", truth, lambda index: None, "")
    config = resolve("ssd", sets=["backbone.base_channel=4"])
    few = split_of([np.zeros((64, 64, 3), np.uint8)], [[(0, (5, 5, 20, 30))]])
    dataset = Dataset("large", "coco", None, {"train": split, "val": few, "test": few}, "")
    began = time.perf_counter()
    found = fit_anchors(config, dataset, steps=5)
    assert time.perf_counter() - began < 20  # 2 on an idle core
    assert found.num_sampled == MAX_BOXES
    assert len(found.after["train"].area) == objects
    assert "searched on 5,000 boxes drawn at random" in found.summary()


def test_names_from_a_data_set_are_shown_and_not_obeyed(tmp_path: Path, capsys):
    name = "=cmd()"
    made = [Picture(f"img{k:02d}", objects=[(k % 2, (2, 3, 8 + k, 30 - k))]) for k in range(16)]
    file = write_coco(tmp_path / "all.json", made, classes=(name, "<b>", "[/b]:x:"))
    config = resolve("ssd", data=str(file), sets=["levels=1", "ratios=[[]]", "scale_min=0.3"])
    dataset = open_run_data(config)
    found = fit_anchors(config, dataset, steps=3)
    folder = save_fit(found, "<script>", tmp_path)
    assert "'=cmd()" in (folder / "unreached.csv").read_text()
    assert "<script>" not in (folder / "priors.svg").read_text()
    anchors.show_fit(found)
    assert "class [/b]:x:" in capsys.readouterr().out


def test_a_class_without_training_objects_is_not_of_the_lowest_recall(fit, monkeypatch):
    some = {f"class {letter}": math.nan if letter == "a" else ord(letter) / 200 for letter in "abcdefghijk"}
    table_rows = [
        files.SplitRow(split, priors, FitRow("class", group, 3, 0.5, recall))
        for group, recall in some.items()
        for split in fit.splits
        for priors in ("current", "fitted")
    ]
    monkeypatch.setattr(files, "rows", lambda fit: table_rows)
    for split in fit.splits:
        shown = [str(cell) for cell in anchors._table(fit, split).columns[0].cells]
        assert shown == [f"class {letter}" for letter in "bcdefghi"]
