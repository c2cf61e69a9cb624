"""Runs with a teacher: their names, records, resumption and mistakes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import finished_run, tiny_config, tiny_sets

from bench.cli import main
from bench.process.interrupts import Stopped, StopRequest
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.training.step import Stepper
from bench.tune.search_space import parse_space
from reports.records.run import RunFolder

QUIET = RunContext(page=False)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> RunFolder:
    return finished_run(tmp_path_factory.mktemp("teacher"), backbone__base_channel=8, neck_channels=16)


def student(teacher: RunFolder | None, **more):
    settings = {} if teacher is None else {"distill__teacher": teacher.path, "distill__feature_weight": 0.1}
    return tiny_config(train__epochs=1, levels=2, neck_channels=8, **settings, **more)


@pytest.fixture(scope="module")
def distilled(teacher, tmp_path_factory) -> RunFolder:
    return run(student(teacher), tmp_path_factory.mktemp("student"), context=QUIET)


def weights(of: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(of.path / RunFolder.WEIGHTS)


def test_a_distilled_run_records_its_teacher_and_the_terms_of_the_loss(distilled, teacher, tmp_path):
    assert distilled.result.teacher == teacher.result.name
    assert {"distill_class", "distill_box", "distill_feature"} <= set(distilled.history.columns)
    alone = run(student(None), tmp_path, context=QUIET)
    assert alone.result.teacher is None
    assert set(weights(alone)) == set(weights(distilled))  # adapters are not part of the network
    assert any(not torch.equal(value, weights(alone)[name]) for name, value in weights(distilled).items())


def test_the_name_depends_on_the_weights_of_the_teacher_and_not_on_its_path(distilled, teacher, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(teacher.path, copy)
    again = run(student(RunFolder.open(copy)), distilled.path.parent, context=QUIET)
    assert again.path == distilled.path
    other = run(student(distilled), tmp_path, context=QUIET)
    assert other.result.name != distilled.result.name


def test_an_interrupted_training_ends_with_the_same_weights(distilled, teacher, tmp_path, monkeypatch):
    stop, calls, step = StopRequest(), [], Stepper.__call__

    def taken(self, *args):
        calls.append(1)
        if len(calls) == 2:
            stop.signum = 15
        return step(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "__call__", taken)
        with pytest.raises(Stopped):
            run(student(teacher), tmp_path, context=RunContext(stop=stop, page=False))
    again = run(student(teacher), tmp_path, context=QUIET)
    assert again.result.name == distilled.result.name
    assert all(torch.equal(value, weights(again)[name]) for name, value in weights(distilled).items())


def test_weights_and_temperature_are_tuned_only_with_a_teacher(teacher):
    assert not any(each.path.startswith("distill") for each in parse_space(student(None), ["train"]))
    wanted = {f"distill.{name}" for name in ("class_weight", "temperature", "box_weight", "feature_weight")}
    assert {each.path for each in parse_space(student(teacher), ["distill"])} == wanted
    assert wanted < {each.path for each in parse_space(student(teacher), ["train"])}


def test_mistakes_are_explained(teacher, distilled, tmp_path, capsys):
    def refused(variant: str, path: Path | str, *more: str) -> str:
        words = [
            "run",
            "--variant",
            variant,
            "--quiet",
            "--out",
            str(tmp_path),
            "--set",
            *tiny_sets(variant),
            *more,
        ]
        assert main([*words, f"distill.teacher={path}"]) == 2
        return capsys.readouterr().err

    assert "distill.teacher: " in refused("ssd", tmp_path / "gone")
    assert "the student (8, 16, 32, 64)" in refused("ssd", teacher.path)
    assert "the student is a TwoStageDetector, not a dense detector" in refused("faster_rcnn", teacher.path)
