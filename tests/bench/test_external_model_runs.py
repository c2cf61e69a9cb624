"""Runs of external models, alone and with variants."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from agreement import assert_same_detections, assert_same_tables
from tiny_data import Picture, write_coco
from tiny_runs import tiny_sets
from torchvision.models import detection, get_model_weights

from bench.cli import main
from bench.pipeline.predict import predict
from bench.runs.context import RunContext
from bench.runs.finished_run import load_predictor
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings import toml
from bench.settings.config import ExternalConfig, RunConfig
from bench.settings.resolution import open_run_data, resolve, resolve_entry
from detectors.config import Config
from detectors.external import registry
from detectors.external.registry import ExternalModel
from detectors.types import Detections
from metrics.errors import InputError, InputWarning
from reports.records.run import RunFolder

LITE = "torchvision/ssdlite320_mobilenet_v3_large"
COCO = get_model_weights("ssdlite320_mobilenet_v3_large").DEFAULT.meta["categories"]
SIZES = [(48, 64), (65, 41), (33, 97), (80, 80)]


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    """Random, but for a liking of dogs and persons."""
    torch.manual_seed(1)
    made = detection.ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=91)
    for level in made.head.classification_head.module_list:
        level[-1].bias.data.view(-1, 91)[:, [COCO.index("dog"), COCO.index("person")]] += 3
    return made.eval()


@pytest.fixture(scope="module")
def weights(theirs, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "coco.pth"
    torch.save(theirs.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Images of four sizes, divided by the program; a class that COCO knows, and one that it does not."""
    folder = tmp_path_factory.mktemp("data")
    made = [Picture(f"img{k:02d}", SIZES[k // 2 % 4], [(k % 2, (8, 8, 32, 24))]) for k in range(32)]
    return write_coco(folder / "all.json", made, classes=("dog", "rbc"))


def sets(file: Path, **more: str) -> list[str]:
    return [f"weights={file}", "device=cpu", "classes.person=rbc", *(f"{k}={v}" for k, v in more.items())]


@pytest.fixture(scope="module")
def done(weights, data, tmp_path_factory) -> RunFolder:
    config = resolve_entry(LITE, data=str(data), sets=sets(weights))
    context = RunContext(command="python -m bench run", page=False)  # the page is looked at in `mixed`
    return run(config, tmp_path_factory.mktemp("runs"), context=context)


def test_it_finds_what_torchvision_finds_on_the_images_as_they_are(done, theirs, data):
    split = open_run_data(resolve_entry(LITE, data=str(data))).splits["test"]
    assert len({split.load(k).shape for k in range(len(split))}) > 1
    assert len(done.detections) > 0
    label = {COCO.index("dog"): 0, COCO.index("person"): 1}
    for k in range(len(split)):
        pixels = torch.tensor(split.load(k)).permute(2, 0, 1) / 255
        with torch.no_grad():
            (expected,) = theirs([pixels])
        known = [n for n, name in enumerate(expected["labels"].tolist()) if name in label]
        labels = torch.tensor([label[name] for name in expected["labels"][known].tolist()])
        rows = done.detections.image == k
        ours = (
            torch.from_numpy(column[rows])
            for column in (done.detections.boxes, done.detections.score, done.detections.label)
        )
        assert_same_detections(
            Detections(*ours), Detections(expected["boxes"][known], expected["scores"][known], labels)
        )


def test_its_result_records_that_it_was_not_trained_here(done, theirs):
    result = done.result
    assert result.variant == LITE
    assert result.variant_source.startswith("torchvision 0.")
    assert result.variant_source.endswith("; not trained here")
    assert result.seed is None
    assert (result.budget.epochs, result.budget.images_seen, result.budget.train_seconds) == (None,) * 3
    assert result.budget.parameters == sum(p.numel() for p in theirs.parameters())
    assert result.config["classes"] == {"person": "rbc"}
    assert "train" not in result.config
    assert done.history.empty
    assert (done.path / "config.toml").is_file()
    assert not list(done.path.glob("*.safetensors"))


def test_its_folder_gives_the_predictor_again(done, data):
    split = open_run_data(resolve_entry(LITE, data=str(data))).splits["test"]
    again = predict(load_predictor(done), split, None)
    assert_same_tables(again, done.detections)


def test_its_settings_beside_the_result_are_the_same_run(done):
    again = resolve_entry(LITE, file=done.path / "config.toml")
    assert isinstance(again, ExternalConfig)
    assert run_name(again, open_run_data(again)) == done.path.name


def test_its_cause_is_the_bytes_of_its_weights_its_settings_and_its_version(done, data, weights, monkeypatch):
    def name(**more):
        config = resolve_entry(LITE, data=str(data), sets=sets(weights, **more))
        return run_name(config, open_run_data(config))

    assert name() == done.path.name
    assert name(**{"evaluate.batch": "3", "evaluate.save_candidates": "true"}) == name()
    assert name(**{"nms.score": "0.5"}) != name()
    copied = weights.with_name("copy.pth")
    copied.write_bytes(weights.read_bytes())
    assert name(weights=str(copied)) == name()
    monkeypatch.setattr(registry, "VERSION", "torchvision 99")
    assert name() != done.path.name


@pytest.fixture(scope="module")
def mixed(weights, data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("mixed")
    trained = [
        text for text in tiny_sets(train__epochs=1) if not text.startswith(("data.", "backbone", "neck"))
    ]
    narrow = ["ssd.neck_channels=8", "ssd.backbone.base_channel=4"]
    own = [f"{LITE}.weights={weights}", f"{LITE}.classes.person=rbc"]
    words = [
        "run",
        "--variant",
        "ssd",
        LITE,
        "--seeds",
        "2",
        "--data",
        str(data),
        "--out",
        str(out),
        "--quiet",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "reports.pages.write_report", lambda *args, **settings: None
        )  # pages of single runs take seconds
        assert main([*words, "--set", *trained, *narrow, *own]) == 0
    return out


def test_with_variants_it_runs_once_for_any_number_of_seeds(mixed):
    runs = [RunFolder.open(file).result for file in mixed.glob("*/result.json")]
    assert sorted((result.variant, result.seed) for result in runs if result.seed is not None) == [
        ("ssd", 0),
        ("ssd", 1),
    ]
    assert [result.variant for result in runs if result.seed is None] == [LITE]
    assert len({result.data.fingerprint for result in runs}) == 1


def test_it_is_a_row_of_leaderboard_and_page(mixed, done):
    (folder,) = mixed.glob("comparison-*")
    table = pd.read_csv(folder / "leaderboard.csv")
    (row,) = (row for _, row in table.iterrows() if row["variant"] == LITE)
    assert row["ap"] == pytest.approx(done.result.headline["ap"])
    assert np.isnan(row["epochs"])
    assert LITE in (folder / "report.html").read_text()


def test_training_settings_apply_to_variants_only(data):
    both = ("ssd", LITE)
    config = resolve_entry(
        LITE, data=str(data), sets=["train.epochs=3", "image.size=64,64"], options={"seed": 3}, variants=both
    )
    assert not {"train", "image", "seed"} & set(config.tree())
    assert isinstance(resolve_entry("ssd", sets=["train.epochs=3"], variants=both), RunConfig)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ["train.epochs=3"],
            "train.epochs: torchvision/.* is an external model",
        ),
        (["image.size=64,64"], r"image\.size: torchvision/.* is an external model"),
        (["weihgts=a.pth"], "weihgts: no such setting; did you mean 'weights'"),
        (["nms.score=2"], "nms.score: expected at most 1"),
        (["classes=3"], r"classes: expected a table, as in \{name = 1\}, got 3"),
    ],
)
def test_fault_55_an_unknown_setting_is_an_error(given, message):
    with pytest.raises(InputError, match=message):
        resolve_entry(LITE, sets=given)


def test_only_variants_can_be_trained_or_tuned(capsys):
    with pytest.raises(InputError, match="an external model, which is neither trained nor tuned here"):
        resolve(LITE)
    assert main(["tune", "--variant", LITE, "--space", "nms"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_classes_can_be_mapped_by_a_table_in_a_file(tmp_path, data):
    file = tmp_path / "own.toml"
    file.write_text(f'["{LITE}".classes]\n"traffic light" = "rbc"\n')
    for variants in ((LITE,), ("ssd", LITE)):
        config = resolve_entry(LITE, data=str(data), file=file, variants=variants)
        assert config.model_settings.classes == {"traffic light": "rbc"}
    assert toml.read(file) == {LITE: {"classes": {"traffic light": "rbc"}}}
    (tmp_path / "again.toml").write_text(config.toml())
    assert resolve_entry(LITE, file=tmp_path / "again.toml").tree() == config.tree()


def test_classes_that_it_cannot_detect_are_a_stored_warning(weights, data, tmp_path):
    config = resolve_entry(LITE, data=str(data), sets=[f"weights={weights}", "device=cpu"])
    with pytest.warns(InputWarning, match="know 1 of 2 classes and cannot detect rbc"):
        made = run(config, tmp_path, context=RunContext(page=False))
    assert any("cannot detect rbc" in text for text in made.result.warnings)


def test_weights_that_cannot_be_had_end_the_command_before_anything_is_trained(data, tmp_path, capsys):
    words = ["run", "--variant", "ssd", LITE, "--data", str(data), "--out", str(tmp_path), "--quiet", "--set"]
    assert main([*words, "device=cpu", f"{LITE}.weights=gone.pth"]) == 2
    assert "\nerror: gone.pth: cannot read the weights" in capsys.readouterr().err
    assert not list(tmp_path.glob("ssd-*"))


class Still(torch.nn.Module):
    """Finds one box in the middle of every image."""

    def __init__(self, classes: list[str], side: float) -> None:
        super().__init__()
        self.classes, self.side = classes, side

    def predict(self, images):
        height, width = images.shape[2:]
        box = [width / 2 - self.side, height / 2 - self.side, width / 2 + self.side, height / 2 + self.side]
        one = Detections(torch.tensor([box]), torch.tensor([0.5]), torch.tensor([0]))
        return [one for _ in images]


class StillConfig(Config):
    """Settings of `Still`."""

    side: float = 10.0


@pytest.fixture
def acme(monkeypatch):
    known = ExternalModel(
        StillConfig, lambda config, classes: Still(classes, config.side), "Acme 2020", "Still"
    )
    entry = SimpleNamespace(
        name="acme/still", dist=SimpleNamespace(name="acme", version="3"), load=lambda: known
    )
    broken = SimpleNamespace(name="acme/broken", dist=None, load=lambda: 1 / 0)
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [entry, broken] if group == registry.GROUP else []
    )


@pytest.mark.usefixtures("acme")
def test_another_package_s_predictor_is_entered_with_its_own_settings(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("reports.pages.write_report", lambda *args, **settings: None)
    words = ["run", "--variant", "acme/still", "--data", str(data), "--out", str(tmp_path), "--quiet"]
    assert main([*words, "--set", "side=4", "device=cpu"]) == 0
    (file,) = tmp_path.glob("*/result.json")
    result = json.loads(file.read_text())
    assert result["variant_source"] == "acme 3; Acme 2020; not trained here"
    made = RunFolder.open(file)
    sizes = made.truth.catalog.sizes[made.detections.image]
    np.testing.assert_allclose(made.detections.xywh[:, 2:], 8)
    np.testing.assert_allclose(made.detections.xywh[:, :2] + 4, sizes[:, ::-1] / 2)
    assert made.detections.label.max() == 0
    assert isinstance(load_predictor(made), Still)
    assert "report: " in capsys.readouterr().out


@pytest.mark.usefixtures("acme")
def test_the_list_shows_what_can_be_entered_and_what_cannot_be_loaded(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert f"{LITE}" in out
    assert "AP 21.3 on COCO, 3.4 M parameters" in out
    assert "acme/still" in out
    assert "cannot be loaded (ZeroDivisionError" in out
