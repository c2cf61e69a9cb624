"""Runs that start from the compressed network of another run: their weights, names, records and use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import finished_run, tiny_sets

import bench
from bench.cli import main
from bench.compression.trained_run import train_compressed
from bench.process.interrupts import Stopped, StopRequest
from bench.runs.context import RunContext
from bench.runs.finished_run import load_network
from bench.settings.resolution import resolve
from bench.training.step import Stepper
from bench.tune.search_space import parse_space
from metrics.errors import InputError
from reports.analysis.models import model_digest, model_labels
from reports.records.run import RunFolder

pytest.importorskip("torch_pruning", reason="torch-pruning is absent: pip install detbench[compress]")

pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("compressed")


@pytest.fixture(scope="module")
def parent(folder) -> RunFolder:
    return finished_run(folder / "runs", backbone__base_channel=8, neck_channels=32)


def compressed(parent: RunFolder, *words: str) -> RunFolder:
    out = parent.path.parent
    before = set(out.glob("ssd-*"))
    assert main(["compress", str(parent.path), "--quiet", "--out", str(out), *words]) == 0
    (made,) = set(out.glob("ssd-*")) - before
    return RunFolder.open(made)


@pytest.fixture(scope="module")
def pruned(parent) -> RunFolder:
    return compressed(parent, "--prune", "0.5", "--epochs", "1")


def test_a_pruned_run_is_a_run_of_its_own_with_its_parent_and_its_shapes(pruned, parent):
    assert pruned.result.parent == parent.result.name
    assert pruned.result.parent_model == model_digest(parent.result)
    assert pruned.result.config["compression"]["prune"] == 0.5
    before, after = (load_file(run.path / RunFolder.WEIGHTS) for run in (parent, pruned))
    assert set(before) == set(after)
    changed = {name: tuple(after[name].shape) for name in after if after[name].shape != before[name].shape}
    assert changed
    assert dict(pruned.result.pruned) == changed
    assert parent.result.pruned == {}
    assert parent.result.parent is None
    assert pruned.result.budget.parameters < 0.6 * parent.result.budget.parameters
    assert len(pruned.history) == 1


def test_a_pruned_run_is_used_like_any_other(pruned, folder, capsys):
    assert main(["verify", str(pruned.path), "--predict", "--quiet"]) == 0
    detector = bench.load(pruned.path, score=0.0)
    assert len(detector(torch.rand(64, 64, 3).mul(255).byte().numpy())) > 0
    out = str(folder / "again")
    words = ["reevaluate", str(pruned.path), "--quiet", "--out", out, "--set"]
    assert main([*words, "nms.iou=0.3"]) == 0
    again = RunFolder.open(next((folder / "again").glob("ssd-*")))
    assert again.result.pruned == pruned.result.pruned
    assert again.result.parent == pruned.result.parent
    assert again.result.parent_model == pruned.result.parent_model
    assert again.result.trained_by == pruned.result.name
    load_network(again, again.result.config)


def test_a_pruned_run_is_exported_and_quantised(pruned, folder):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is absent: pip install detbench[onnx]")
    words = ["compress", str(pruned.path), "--quantize", "int8", "--images", "4", "--quiet"]
    assert main([*words, "--exports", str(folder / "exports"), "--out", str(folder / "runs")]) == 0
    files = [RunFolder.open(path).result for path in (folder / "runs").glob("onnx-*")]
    assert {each.model_file.run for each in files} == {pruned.result.name}
    exact = next(each for each in files if not each.model_file.compression)
    assert exact.headline == pytest.approx(pruned.result.headline, abs=5e-4, nan_ok=True)


def test_sparse_weights_are_zero_after_training(parent):
    sparse = compressed(parent, "--sparsity", "0.6", "--epochs", "1", "--set", "train.average=0.5")
    weights = load_file(sparse.path / RunFolder.WEIGHTS)
    layers = torch.cat([each.flatten() for each in weights.values() if each.ndim == 4])
    assert float((layers == 0).float().mean()) == pytest.approx(0.6, abs=1e-4)
    before = load_file(parent.path / RunFolder.WEIGHTS)
    assert any(not torch.equal(weights[name], before[name] * (weights[name] != 0)) for name in weights)
    assert sparse.result.pruned == {}


def test_a_network_is_trained_with_rounding_and_its_ranges_are_those_of_the_file(parent, folder):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is absent: pip install detbench[onnx]")
    import onnx

    exports = folder / "rounded"
    made = compressed(
        parent, "--quantize", "int8", "--finetune", "1", "--images", "4", "--exports", str(exports)
    )
    assert made.result.config["compression"]["quantize"] == "int8"
    assert made.result.parent == parent.result.name
    assert made.result.config["train"]["lr"] == pytest.approx(parent.result.config["train"]["lr"] / 10)
    weights = load_file(made.path / RunFolder.WEIGHTS)
    tops = {name: float(value) for name, value in weights.items() if name.endswith("input_high")}
    assert len(tops) > 5
    assert main(["verify", str(made.path), "--predict", "--quiet"]) == 0
    graph = onnx.load(exports / f"{made.result.name}-int8.onnx").graph
    steps = {float(onnx.numpy_helper.to_array(each)) for each in graph.initializer if not each.dims}
    lows = {name: float(weights[name.replace("high", "low")]) for name in tops}
    wanted = [(high - lows[name]) / 255 for name, high in tops.items()]
    found = sum(any(step == pytest.approx(each, rel=1e-4) for step in steps) for each in wanted)
    assert found >= len(wanted) / 2  # others are of layers whose output is not used
    for run in (RunFolder.open(path) for path in parent.path.parent.glob("onnx-*")):
        if run.result.model_file.run == made.result.name:
            assert run.result.model_file.compression.startswith("int8")
            assert run.result.headline["ap"] == pytest.approx(made.result.headline["ap"], abs=0.02)


def test_training_without_compression_starts_with_the_weights_of_the_run(parent):
    further = compressed(parent, "--finetune", "1", "--set", "train.lr=1e-9")
    assert further.result.parent == parent.result.name
    settings = further.result.config["compression"]
    assert (settings["prune"], settings["sparsity"], settings["quantize"]) == (0, 0, "none")
    assert (len(further.history), further.result.config["train"]["epochs"]) == (1, 1)
    before, after = (load_file(run.path / RunFolder.WEIGHTS) for run in (parent, further))
    assert set(before) == set(after)
    trained = [name for name in before if name.endswith("weight")]
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in trained)
    assert any(not torch.equal(before[name], after[name]) for name in trained)
    assert not list(parent.path.parent.glob(f"*{further.result.name}*.onnx*"))
    assert model_labels([parent, further])[further.result.name].startswith("ssd (trained further")


def test_a_training_that_was_interrupted_ends_with_the_same_weights(parent, pruned, tmp_path, monkeypatch):
    stop = StopRequest()
    calls = []

    def taken(self, *args):
        calls.append(1)
        if len(calls) == 2:
            stop.signum = 15
        return step(self, *args)

    with monkeypatch.context() as patch:
        step = Stepper.__call__
        patch.setattr(Stepper, "__call__", taken)
        with pytest.raises(Stopped):
            train_compressed(parent, {"prune": 0.5}, 1, (), tmp_path, RunContext(stop=stop, page=False))
    assert list(tmp_path.glob("*.partial"))
    again = train_compressed(parent, {"prune": 0.5}, 1, (), tmp_path, RunContext(page=False))
    assert again.result.name == pruned.result.name
    one, other = (load_file(run.path / RunFolder.WEIGHTS) for run in (pruned, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_name_depends_on_the_weights_of_the_parent_and_not_on_its_path(parent, pruned, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(parent.path, copy)
    again = train_compressed(
        RunFolder.open(copy), {"prune": 0.5}, 1, (), parent.path.parent, RunContext(page=False)
    )
    assert again.path == pruned.path
    other = train_compressed(pruned, {"prune": 0.5}, 0, (), tmp_path, RunContext(page=False))
    assert other.result.parent == pruned.result.name
    assert other.result.name != pruned.result.name


def test_compression_is_tuned_only_where_there_is_a_run_to_compress(parent):
    plain = resolve("ssd")
    assert "compression.prune" not in {each.path for each in parse_space(plain, ["train"])}
    config = resolve("ssd", sets=[f"compression.run={parent.path}"])
    (prune,) = parse_space(config, ["compression.prune"])
    assert (prune.low, prune.high, prune.stage) == (0.0, 0.8, "train")
    assert {"compression.prune"} == {each.path for each in parse_space(config, ["compression"])}
    with pytest.raises(InputError, match=r"compression\.run defines the task"):
        parse_space(config, ["compression.run=a|b"])


def test_fault_145_pruning_and_sparsity_are_not_tuned_together(parent):
    config = resolve("ssd", sets=[f"compression.run={parent.path}"])
    (sparsity,) = parse_space(config, ["compression.sparsity"])
    assert (sparsity.low, sparsity.high) == (0.0, 0.9)
    with pytest.raises(InputError, match=r"compression\.prune and compression\.sparsity exclude each other"):
        parse_space(config, ["train", "compression.sparsity"])


def test_mistakes_are_explained(parent, pruned, folder, capsys):
    for words, message in [
        (["--prune", "1"], "--prune: expected a share above 0 and below 1, such as 0.5, got 1"),
        (["--prune", "0.5", "--sparsity", "0.5"], "--sparsity: cannot be combined with --prune"),
        (["--epochs", "3"], "--epochs: nothing is trained; give --prune, --sparsity or --finetune, too"),
        (["--set", "train.lr=1"], "--set: nothing is trained"),
        (["--prune", "0.5", "--finetune", "2"], "--finetune: cannot be combined with --prune"),
        (
            ["--quantize", "int8", "--finetune", "2", "--epochs", "2"],
            "--finetune: cannot be combined with --epochs",
        ),
    ]:
        assert main(["compress", str(parent.path), *words]) == 2
        assert message in capsys.readouterr().err
    words = ["run", "--variant", "ssd", "--out", str(folder / "wrong"), "--quiet", "--set", *tiny_sets()]
    for sets, message in [
        (
            ["compression.prune=0.5"],
            "prune compresses the network of a finished run; give its folder as compression.run",
        ),
        ([f"compression.run={parent.path}", "compression.prune=0.5", "compression.sparsity=0.5"], "use one"),
        (["compression.run=gone"], "compression.run: "),
        ([f"compression.run={parent.path}"], "these weights do not fit"),
    ]:
        assert main([*words, *sets]) == 2
        assert message in capsys.readouterr().err
    words[2] = "fcos"
    assert main([*words[: -len(tiny_sets())], *tiny_sets("fcos"), f"compression.run={parent.path}"]) == 2
    assert "is a run of ssd for 5 classes, not of fcos for 5" in capsys.readouterr().err


def test_the_result_is_read_again(pruned):
    again = RunFolder.open(pruned.path).result
    assert json.loads((pruned.path / RunFolder.RESULT).read_text())["parent"] == again.parent
    assert all(isinstance(shape, tuple) for shape in again.pruned.values())
