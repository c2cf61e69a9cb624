"""Run folders: complete or absent, named by what they depend on, with all files of the run."""

from __future__ import annotations

import errno
import json
import os
import pickle
import re
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from agreement import assert_same_tables
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_data import Picture, write_coco
from tiny_runs import tiny_config, tiny_sets

from bench.pipeline.predict import predict
from bench.process import locks
from bench.process.progress import Progress
from bench.runs import folders
from bench.runs import run as run_module
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.finished_run import evaluated_split, find_split, image_loader, load_predictor
from bench.runs.folders import Busy, create_run_folder, digest, slug
from bench.runs.matrix import run_all
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings import toml
from bench.settings.config import RunConfig
from bench.settings.resolution import open_run_data, resolve
from bench.training.checkpoint import save_weights
from detectors.registry import VARIANTS
from metrics.errors import InputError, MachineError
from metrics.evaluator import evaluate
from reports.records.run import RunFolder


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    config = tiny_config(evaluate__save_candidates=True)
    return run(config, tmp_path_factory.mktemp("runs"), context=RunContext(command="python -m bench run"))


def test_a_run_writes_all_files(done):
    names = {path.name for path in done.path.iterdir()}
    assert names >= {
        "config.toml",
        "result.json",
        "metrics.csv",
        "history.csv",
        "truth.parquet",
        "detections.parquet",
        "candidates.parquet",
        "weights.safetensors",
        "report.html",
        "log.jsonl",
    }
    assert "checkpoint" not in names
    assert not [name for name in names if name.startswith(".")]
    assert not list(done.path.parent.glob("*.partial"))


def test_the_result_agrees_with_the_files(done):
    result = done.result
    assert result.headline["ap"] == pytest.approx(
        evaluate(done.truth, done.detections).headline["ap"], nan_ok=True
    )
    assert (result.data.images, result.data.split, result.data.classes) == (6, "test", 5)
    assert result.data.fingerprint == done.truth.fingerprint
    assert result.budget.images_seen == 24
    assert result.budget.train_seconds <= result.budget.total_seconds
    assert len(done.history) == 2
    assert result.variant_source == VARIANTS["ssd"].source
    assert result.command == "python -m bench run"


def test_objects_not_trained_on_are_noted(tmp_path):
    hidden = tiny_config(data__min_visible=1.0, train__epochs=1)  # all that is covered anywhere is ignored
    notes = run(hidden, tmp_path, context=RunContext(page=False)).result.data.notes
    assert any("objects not trained on" in note and "ignored" in note for note in notes)


def test_the_settings_beside_the_result_give_the_same_run(done):
    again = resolve("ssd", file=done.path / "config.toml")
    assert run_name(again, open_run_data(again)) == done.path.name
    assert again.tree() == done.result.config


def test_a_finished_run_is_reused(done):
    before = (done.path / "result.json").stat().st_mtime_ns
    again = run(tiny_config(evaluate__save_candidates=True), done.path.parent)
    assert again.path == done.path
    assert (again.path / "result.json").stat().st_mtime_ns == before


def test_the_images_of_a_finished_run_are_loaded(tmp_path):
    pictures = [Picture(f"p{k}") for k in range(12)]
    write_coco(tmp_path / "mine.json", pictures)
    own = [name for name in tiny_sets(train__epochs=1) if not name.startswith("data.")]
    config = resolve("ssd", data=str(tmp_path / "mine.json"), sets=own)
    done = run(config, tmp_path / "runs", context=RunContext(page=False))
    split = find_split([done])
    assert split is not None
    images = image_loader(split)
    for image, name in zip(done.truth.catalog.image_ids, done.truth.catalog.file_names, strict=True):
        (picture,) = [p for p in pictures if p.name == Path(name).stem]
        assert np.array_equal(images(image), picture.pixels())


def test_a_compiled_run_has_the_same_detections_and_is_loaded_compiled(done, tmp_path, monkeypatch):
    compiled = []
    own = torch.nn.Module.compile

    def compile_quickly(module: torch.nn.Module) -> None:
        compiled.append(module)
        own(module, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_quickly)
    config = tiny_config(evaluate__compile=True)
    again = run(config, tmp_path, context=RunContext(page=False))
    assert len(compiled) == 1
    assert again.path.name != done.path.name
    assert len(done.detections) > 0
    assert_same_tables(again.detections, done.detections)
    predictor = load_predictor(again)
    assert compiled[1:] == [predictor]


def test_a_fresh_run_gives_the_same_numbers(done, tmp_path):
    config = tiny_config(evaluate__save_candidates=True)
    again = run(config, tmp_path, context=RunContext(page=False))
    marker = again.path / "marker"
    marker.write_text("old")
    fresh = run(config, tmp_path, context=RunContext(fresh=True, page=False))
    assert not marker.exists()
    assert fresh.result.headline == done.result.headline
    assert (fresh.path / "detections.parquet").read_bytes() == (done.path / "detections.parquet").read_bytes()


def name_of(**settings) -> str:
    config = tiny_config(**settings)
    return run_name(config, open_run_data(config))


def test_the_name_contains_variant_data_seed_and_digest():
    assert re.fullmatch(r"ssd-shapes-3-[0-9a-f]{10}", name_of(seed=3))


@pytest.mark.parametrize(
    "other", [{"train__lr": 0.5}, {"nms__iou": 0.3}, {"data__seed": 1}, {"data__test": 7}, {"seed": 1}]
)
def test_a_setting_that_affects_the_result_changes_the_name(other):
    assert name_of(**other) != name_of()


@pytest.mark.parametrize(
    "other",
    [{"workers": 2}, {"train__log_every": 3}, {"train__checkpoint_minutes": 1}, {"train__cache": "memory"}],
)
def test_a_setting_without_effect_on_the_result_keeps_the_name(other):
    assert name_of(**other) == name_of()


def test_the_name_depends_on_the_contents_of_the_weights_and_not_on_their_path(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"1")
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_bytes(b"2")
    one, same, other = (name_of(backbone__weights=tmp_path / f"{name}.safetensors") for name in "abc")
    assert one == same != other


def test_fault_34_one_image_of_each_split_and_one_class_is_enough(tmp_path):
    config = tiny_config(
        data__train=1, data__val=1, data__test=1, data__classes="[disk]", data__objects="1,1", train__epochs=1
    )
    result = run(config, tmp_path).result
    assert (result.data.images, result.data.classes) == (1, 1)
    assert result.headline["ap"] is not None


def test_fault_2_no_object_to_measure_ends_before_training(tmp_path):
    # A seed for which the only test image has no object.
    seeds = (seed for seed in range(200) if _empty_test_split(seed))
    config = tiny_config(data__test=1, data__objects="0,1", data__seed=next(seeds))
    with pytest.raises(InputError):
        run(config, tmp_path)
    assert not list(tmp_path.glob("*/result.json"))
    assert not list(tmp_path.glob("*/checkpoint/*"))


def _empty_test_split(seed: int) -> bool:
    from bench.data.shapes_scene import ShapesConfig, draw_image

    shapes = ShapesConfig(size=(64, 64), scale=(12, 40), objects=(0, 1), seed=seed)
    return not draw_image(shapes, "test", 0)[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS"),
        (b"\x08\x00\x00\x00\x00\x00\x00\x00{}", "w.safetensors"),
        (b"", "w.safetensors"),
    ],
)
def test_fault_38_weights_that_cannot_be_used_end_before_training(tmp_path, content, message):
    file = tmp_path / "w.safetensors"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        run(tiny_config(backbone__weights=file), tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*/result.json"))


def test_fault_38_code_in_weights_is_not_executed(tmp_path):
    class Payload:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'ran'}",)

    file = tmp_path / "w.pth"
    torch.save({"a": Payload()}, file)
    with pytest.raises(InputError, match=r"w\.pth"):
        run(tiny_config(backbone__weights=file), tmp_path / "runs")
    assert not (tmp_path / "ran").exists()


def test_fault_38_weights_of_another_network_are_reported_by_their_keys(tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "w.safetensors"
    save_file({"elsewhere.weight": torch.zeros(2)}, file)
    with pytest.raises(InputError, match=r"elsewhere\.weight"):
        run(tiny_config(backbone__weights=file), tmp_path / "runs")


def test_fault_45_too_little_disk_space_is_refused_before_the_work(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    with pytest.raises(MachineError) as caught:
        run(tiny_config(), tmp_path)
    assert re.fullmatch(
        re.escape(str(tmp_path))
        + r": 0 MB free, and this run needs about \d+; free some space or choose another folder with --out",
        str(caught.value),
    )


def test_fault_45_a_folder_that_is_not_writable_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match=r"cannot be written to \(.*\); choose another folder with --out"):
        run(tiny_config(), tmp_path / "file" / "runs")


def test_fault_45_a_full_disk_leaves_no_incomplete_run_but_the_last_checkpoint(tmp_path, monkeypatch):
    def full(*args, **settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_module, "save_result", full)
    with pytest.raises(OSError, match="No space"):
        run(tiny_config(), tmp_path)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    monkeypatch.undo()
    finished = run(tiny_config(), tmp_path)
    events = [json.loads(line)["event"] for line in (finished.path / "log.jsonl").read_text().splitlines()]
    assert "resumed" in events
    assert [path.name for path in tmp_path.iterdir()] == [finished.path.name]


def test_two_processes_cannot_work_on_one_run(tmp_path):
    with (
        create_run_folder(tmp_path / "one"),
        pytest.raises(Busy, match=rf"process {os.getpid()} \(since .*Z\) is working on this run") as busy,
        create_run_folder(tmp_path / "one"),
    ):
        pass
    assert busy.value.owner.pid == os.getpid()
    assert pickle.loads(pickle.dumps(busy.value)).owner == busy.value.owner
    assert (tmp_path / "one").is_dir()


def test_fault_46_fresh_does_not_touch_the_run_of_a_living_process(tmp_path):
    config = tiny_config()
    with create_run_folder(tmp_path / run_name(config, open_run_data(config))) as partial:
        (partial / "work").write_text("half")
        with pytest.raises(Busy):
            run(config, tmp_path, context=RunContext(fresh=True, page=False))
    assert (tmp_path / run_name(config, open_run_data(config)) / "work").read_text() == "half"


def test_replacing_a_run_discards_all_earlier_work(tmp_path):
    for name in ("one", "one.partial"):
        (tmp_path / name / "figures").mkdir(parents=True)
        (tmp_path / name / "result.json").touch()
    with create_run_folder(tmp_path / "one", replace=True) as folder:
        assert {path.name for path in folder.iterdir()} == {".lock"}
        assert not (tmp_path / "one").exists()


def test_a_run_that_another_process_finished_meanwhile_is_not_repeated(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "result.json").touch()
    with create_run_folder(tmp_path / "one") as folder:
        assert folder is None
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_lock_whose_file_was_moved_is_taken_again(tmp_path, monkeypatch):
    lock = tmp_path / "a" / ".lock"
    lock.parent.mkdir()
    real, moved = locks.try_lock, []

    def finishes_first(descriptor: int, **options: bool) -> bool | None:
        if not moved:  # the previous owner renames its folder between opening and locking
            moved.append(lock.parent.rename(tmp_path / "b"))
            lock.parent.mkdir()
        return real(descriptor, **options)

    monkeypatch.setattr(locks, "try_lock", finishes_first)
    with locks.hold(lock):
        assert locks.owner_of(lock).pid == os.getpid()
        assert not (tmp_path / "b" / ".lock").read_text()
        assert locks.is_held(lock)
    assert not locks.is_held(lock)
    assert locks.is_held(tmp_path / "absent") is None


def test_commands_share_a_matrix_of_runs(tmp_path):
    """Runs of other processes are passed over, tried again at the end, and reported if they are still in progress."""
    configs = [tiny_config(seed=seed) for seed in range(3)]
    owner = locks.Owner(1, "elsewhere", "2026-01-01T00:00:00Z")
    calls: list[int] = []

    def run_one(config: RunConfig) -> int:
        calls.append(config.seed)
        if (config.seed == 1 and calls.count(1) == 1) or config.seed == 2:
            raise Busy(tmp_path, owner)
        return config.seed

    done, held = run_all(configs, run_one, "shapes", Progress())
    assert (done, calls) == ([0, 1], [0, 1, 2, 1, 2])
    assert [busy.owner for busy in held] == [owner]
    with pytest.raises(Busy, match="process 1 on elsewhere"):
        run_all(configs[2:], run_one, "shapes", Progress())


def test_a_failed_block_leaves_its_work_for_the_next(tmp_path):
    def fail() -> None:
        with create_run_folder(tmp_path / "one") as folder:
            (folder / "work").write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert not (tmp_path / "one").exists()
    with create_run_folder(tmp_path / "one") as folder:
        assert (folder / "work").read_text() == "half"
    assert (tmp_path / "one" / "work").read_text() == "half"


@given(st.text(max_size=80))
def test_fault_26_a_slug_is_a_safe_name(text):
    name = slug(text)
    assert re.fullmatch(r"[a-z0-9._-]{1,60}", name)
    assert not name.startswith((".", "-"))


@given(st.text(max_size=12), st.text(max_size=12))
def test_fault_26_different_names_have_different_slugs(one, other):
    assert (slug(one) == slug(other)) == (one == other)


def test_a_plain_name_is_its_own_slug():
    assert slug("ssd") == "ssd"
    assert slug("my_data.v2") == "my_data.v2"


def test_a_digest_does_not_depend_on_the_order_of_settings():
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})


def test_the_result_has_no_absolute_paths(tmp_path, monkeypatch):
    config = tiny_config(train__epochs=0)
    weights = tmp_path / "w.safetensors"
    save_weights(weights, build_detector(config, 5).backbone.body)
    made = run(tiny_config(train__epochs=0, backbone__weights=weights), tmp_path / "runs")
    assert made.result.config["backbone"]["weights"] == "w.safetensors"
    assert str(tmp_path) not in (made.path / "result.json").read_text()
    assert str(tmp_path) not in (made.path / "report.html").read_text()
    assert toml.read(made.path / "config.toml")["backbone"]["weights"] == str(weights)


def test_the_predictor_of_a_run_reproduces_its_detections(done):
    config = resolve("ssd", file=done.path / "config.toml")
    split = open_run_data(config).splits["test"]
    found = predict(load_predictor(done), split, config.image, batch=config.evaluate.batch)
    assert_same_tables(found, done.detections)


def test_the_predictor_of_a_run_needs_neither_data_nor_pretrained_weights(tmp_path):
    config = tiny_config(train__epochs=0)
    pretrained = tmp_path / "w.safetensors"
    save_weights(pretrained, build_detector(config.with_seed(5), 5).backbone.body)
    made = run(tiny_config(train__epochs=0, backbone__weights=pretrained), tmp_path / "runs")
    pretrained.unlink()
    (made.path / "config.toml").unlink()
    state = load_predictor(made).state_dict()
    saved = load_file(made.path / "weights.safetensors")
    assert all(tensor.equal(saved[name]) for name, tensor in state.items())


def test_a_run_without_weights_has_no_predictor(done, tmp_path):
    shutil.copytree(done.path, tmp_path / "run")
    (tmp_path / "run" / "weights.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no weights\.safetensors, so it cannot predict"):
        load_predictor(RunFolder.open(tmp_path / "run"))
    (tmp_path / "run" / "config.toml").unlink()
    with pytest.raises(
        InputError, match=r"holds no config\.toml, because its detections come from another program"
    ):
        evaluated_split(RunFolder.open(tmp_path / "run"))
