"""Compression of a finished run: what is read for it, how the file is chosen, and what is recorded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import finished_run

from bench.cli import main
from bench.compression.calibration import calibration_batches
from bench.compression.choice import choose
from bench.compression.file_latency import ROUNDS, WARM_UP, median_latencies
from bench.compression.quantized_run import QuantizationSettings, quantize_run
from bench.compression.source_run import open_source
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import fit_images
from bench.process.progress import Progress
from bench.timing.clock import Clock
from detectors.external.onnx_models.graph_file import read_graph_file
from detectors.graph.record import read_record
from metrics.errors import InputError, InputWarning
from reports.records.compression import ORIGINAL, CandidateFacts, CompressionRecord
from reports.records.run import RunFolder

onnx = pytest.importorskip("onnx", reason="onnx is absent: pip install detbench[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install detbench[onnx]")
pytest.importorskip("onnxscript", reason="onnxscript is absent: pip install detbench[onnx]")

pytestmark = pytest.mark.usefixtures("no_pages")

SETTINGS = QuantizationSettings(images=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("compression")


@pytest.fixture(scope="module")
def trained(folder) -> RunFolder:
    return finished_run(folder / "runs")


@pytest.fixture(scope="module")
def source(trained):
    return open_source(trained)


@pytest.fixture(scope="module")
def loads(source, folder, trained):
    """Images that were read of each split, while the run was compressed."""
    dataset, config = source
    counts: dict[str, list[int]] = {name: [] for name in dataset.splits}

    def counted(name):
        split = dataset.splits[name]

        def load(index):
            counts[name].append(index)
            return split.load(index)

        return replace(split, load=load)

    watched = replace(dataset, splits={name: counted(name) for name in dataset.splits})
    quantize_run(trained, watched, config, folder / "exports", SETTINGS)
    return counts


@pytest.fixture(scope="module")
def compressed(loads, trained, folder) -> dict[str, RunFolder]:
    """Runs of the exported network and the quantised file by the end of their names; the file is that of `loads`."""
    words = ["compress", str(trained.path), "--quantize", "int8", "--images", "5", "--quiet"]
    assert main([*words, "--exports", str(folder / "exports"), "--out", str(folder / "runs")]) == 0
    runs = [RunFolder.open(path) for path in sorted((folder / "runs").glob("onnx-*"))]
    return {run.result.model_file.compression.partition(" ")[0] or ORIGINAL: run for run in runs}


def record_of(folder: Path, trained: RunFolder) -> CompressionRecord:
    return CompressionRecord.load(folder / "exports" / f"{trained.result.name}-int8.json")


def test_only_training_images_are_read_for_ranges_and_no_test_images(loads, source):
    assert len(loads["train"]) == len(set(loads["train"])) == 5
    assert set(loads["val"]) == set(range(len(source[0].splits["val"])))
    assert loads["test"] == []


def test_the_file_is_the_candidate_that_the_record_names(loads, trained, folder):
    record = record_of(folder, trained)
    graph = read_graph_file(folder / "exports" / f"{trained.result.name}-int8.onnx")
    inside = read_record(graph.metadata, "")
    assert (graph.sha256, graph.size_bytes) == (record.winner.sha256, record.winner.size_bytes)
    assert (inside.compression.method, inside.compression.operators) == ("int8", record.chosen)
    assert (inside.compression.images, record.calibration_images) == (5, 5)
    assert inside.compression.seconds == record.calibration_seconds > 0
    assert inside.run == record.run == trained.result.name
    assert graph.precision == "int8"
    assert record.winner == choose(record.candidates, record.tolerance, record.max_drop)
    assert record.original.size_bytes > record.winner.size_bytes
    assert {each.name for each in record.candidates} == {ORIGINAL, "conv", "network", "but-last", "all"}
    assert not list((folder / "exports").glob("*.partial"))


def test_scores_are_within_one_percent_of_those_in_float(loads, trained, source, folder):
    """Sixteen layers of 8 bits on a network of one epoch; scores are probabilities."""
    split = source[0].splits["test"]
    images = fit_images([split.load(k) for k in range(4)], ImageConfig(size=(64, 64)))[0].numpy()
    files = [folder / "exports" / f"{trained.result.name}{end}.onnx" for end in ("", "-int8")]
    before, after = (
        onnxruntime.InferenceSession(str(file)).run(["scores", "boxes"], {"images": images}) for file in files
    )
    assert np.abs(before[0] - after[0]).max() < 0.01
    assert 0 < np.abs(before[1] - after[1]).max() < 1  # pixels of 64
    operators = [node.op_type for node in onnx.load(files[1]).graph.node]
    assert operators.count("QuantizeLinear") > 5
    assert operators.count("DequantizeLinear") > 10
    assert "QuantizeLinear" not in [node.op_type for node in onnx.load(files[0]).graph.node]


def test_both_files_are_runs_on_the_images_of_the_source(compressed, trained):
    assert set(compressed) == {ORIGINAL, "int8"}
    for run in compressed.values():
        assert run.result.data.fingerprint == trained.result.data.fingerprint
        assert run.result.model_file.run == trained.result.name
    before, after = (compressed[name].result.model_file for name in (ORIGINAL, "int8"))
    assert (before.compression, before.compression_images, before.compression_seconds) == ("", 0, 0)
    assert after.compression_images == 5
    assert after.compression_seconds > 0
    assert after.size_bytes < before.size_bytes
    assert compressed["int8"].result.variant.endswith("-int8.onnx")
    assert compressed[ORIGINAL].result.headline == pytest.approx(
        trained.result.headline, abs=5e-4, nan_ok=True
    )


def test_finished_work_is_reused_and_other_settings_are_not(loads, trained, source, folder, monkeypatch):
    def refuse(*args, **settings):
        raise AssertionError("repeated")

    exports = folder / "exports"
    monkeypatch.setattr("bench.compression.exported_file.export_run", refuse)
    monkeypatch.setattr("bench.compression.quantized_candidates.predict", refuse)
    again = quantize_run(trained, *source, exports, SETTINGS)
    assert again.record == record_of(folder, trained)
    with pytest.raises(AssertionError, match="repeated"):
        quantize_run(trained, *source, exports, replace(SETTINGS, images=4))


def test_interrupted_work_continues(loads, trained, source, tmp_path, folder, monkeypatch):
    name = f"{trained.result.name}.onnx"
    (tmp_path / name).write_bytes((folder / "exports" / name).read_bytes())

    def stop(*args, **settings):
        raise KeyboardInterrupt

    def refuse(*args, **settings):
        raise AssertionError("repeated")

    with monkeypatch.context() as patch:
        patch.setattr("bench.compression.quantized_candidates.median_latencies", stop)
        with pytest.raises(KeyboardInterrupt):
            quantize_run(trained, *source, tmp_path, SETTINGS)
    assert not list(tmp_path.glob("*-int8.onnx"))
    monkeypatch.setattr("bench.compression.exported_file.export_run", refuse)
    for function in ("predict", "calibration_batches"):
        monkeypatch.setattr(f"bench.compression.quantized_candidates.{function}", refuse)
    continued = quantize_run(trained, *source, tmp_path, SETTINGS)
    aps = [each.ap for each in record_of(folder, trained).candidates]
    assert [each.ap for each in continued.record.candidates] == aps


def test_the_command_shows_all_candidates(compressed, trained, folder, capsys):
    words = ["compress", str(trained.path), "--images", "5", "--quiet", "--exports", str(folder / "exports")]
    assert main([*words, "--out", str(folder / "runs")]) == 0
    shown = capsys.readouterr().out
    record = record_of(folder, trained)
    for each in record.candidates:
        line = next(line for line in shown.splitlines() if line.startswith(f"{each.name}: "))
        assert f"{each.ap:.3f} {each.latency_ms:.2f} {each.size_bytes / 1e6:.2f}" in line
        assert ("chosen" in line) is (each.name == record.chosen)
    assert main([*words, "--out", str(folder / "runs"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["compression"]["chosen"] == record.chosen
    assert len(told["runs"]) == 3


def test_mistakes_are_explained(trained, compressed, capsys, tmp_path):
    assert main(["compress", str(trained.path), "--quantize", "int4"]) == 2
    assert "--quantize: 'int4' is not a type; choose from int8" in capsys.readouterr().err
    assert main(["compress", str(compressed["int8"].path)]) == 2
    assert "holds no weights of a variant, so there is nothing to compress" in capsys.readouterr().err


def test_ranges_are_refused_of_validation_images(source):
    dataset, config = source
    for name in ("val", "test"):
        with pytest.raises(InputError, match=f"expected images of the split train, got {name}"):
            next(calibration_batches(dataset.splits[name], config.image, 4, Progress()))


def test_images_for_ranges_have_the_size_of_prediction(source):
    dataset, config = source
    image = config.image.model_copy(update={"prediction_scale": 1.5})
    batch = next(calibration_batches(dataset.splits["train"], image, 2, Progress()))
    assert batch.shape == (2, 3, *(round(1.5 * side) for side in config.image.size))


def test_images_for_ranges_are_those_of_the_loader_without_augmentation(source):
    dataset, config = source
    split = dataset.splits["train"]
    found = np.concatenate(list(calibration_batches(split, config.image, 100, Progress())))
    wanted = fit_images([split.load(k) for k in range(len(split))], config.image)[0].numpy()
    assert len(found) == len(split)
    assert {each.tobytes() for each in found} == {each.tobytes() for each in wanted}


def candidate(name: str, ap: float | None, ms: float) -> CandidateFacts:
    return CandidateFacts(
        name=name, summary="", operators=1, ap=ap, latency_ms=ms, size_bytes=1, sha256="0" * 64
    )


FLOAT = candidate(ORIGINAL, 0.50, 4.0)


@pytest.mark.parametrize(
    ("others", "chosen"),
    [
        ([("slow", 0.50, 2.0), ("fast", 0.49, 1.0)], "fast"),  # twice the time of the fastest is too slow
        ([("slower", 0.50, 1.09), ("fast", 0.49, 1.0)], "slower"),
        ([("slower", 0.50, 1.11), ("fast", 0.49, 1.0)], "fast"),
        ([("broken", 0.40, 0.1), ("sound", 0.49, 1.0)], "sound"),  # fast for nothing
        ([("undefined", None, 0.1), ("sound", 0.49, 1.0)], "sound"),
        ([("same", 0.49, 1.05), ("faster", 0.49, 1.0)], "faster"),
        ([("better", 0.51, 1.0)], "better"),  # the network itself is not a candidate
    ],
)
def test_the_most_accurate_of_the_fast_candidates_is_chosen(others, chosen):
    assert choose([FLOAT, *(candidate(*each) for each in others)], 0.1, 0.02).name == chosen


def test_the_least_loss_is_chosen_with_a_warning_if_all_lose_too_much():
    with pytest.warns(
        InputWarning,
        match=r"every candidate loses more than 2 points of AP .*; b loses least \(50\.0 to 45\.0\)",
    ):
        best = choose([FLOAT, candidate("a", 0.3, 1.0), candidate("b", 0.45, 9.0)], 0.1, 0.02)
    assert best.name == "b"


def test_files_are_timed_in_turn():
    """A clock by which every call of one model lasts 1 ms and of the other 3 ms, while the machine gets slower and slower."""
    now = [0.0]
    calls: list[str] = []

    def model(name: str, ms: float):
        def compute(image: torch.Tensor) -> None:
            calls.append(name)
            now[0] += ms * 1e6 * (1 + len(calls) // 2 / 100)

        return compute

    clock = Clock(read=lambda: int(now[0]))
    found = median_latencies(
        {"one": model("one", 1), "three": model("three", 3)}, [torch.zeros(1, 3, 4, 4)], Progress(), clock
    )
    assert len(calls) == 2 * (WARM_UP + ROUNDS)
    assert calls[:4] == ["one", "three", "three", "one"]
    assert found["three"] / found["one"] == pytest.approx(3, rel=0.02)


def test_a_file_for_openvino_is_quantised_by_nncf_and_run_by_openvino(
    loads, trained, source, folder, monkeypatch, capsys
):
    for package in ("openvino", "nncf"):
        pytest.importorskip(package, reason=f"{package} is absent: pip install detbench[openvino]")
    words = ["compress", str(trained.path), "--runtime", "openvino", "--images", "5", "--quiet"]
    words += ["--exports", str(folder / "exports"), "--out", str(folder / "openvino")]
    assert main(words) == 0
    runs = [RunFolder.open(path).result for path in (folder / "openvino").glob("onnx-*")]
    exact, small = sorted(runs, key=lambda result: result.model_file.compression)
    assert small.model_file.compression.startswith("int8 (nncf ")
    assert small.model_file.compression_images == 5
    assert small.model_file.size_bytes < 0.5 * exact.model_file.size_bytes
    assert all(each.model_file.runtime.startswith("openvino") for each in runs)
    assert exact.headline["ap"] == pytest.approx(trained.result.headline["ap"], abs=0.01)
    assert small.headline["ap"] == pytest.approx(exact.headline["ap"], abs=0.05)
    file = folder / "exports" / f"{trained.result.name}-int8-openvino.onnx"
    before = file.stat().st_mtime_ns
    monkeypatch.setattr("bench.compression.openvino_run.quantize_by_nncf", None)
    assert main(words) == 0  # what is finished is reused
    assert file.stat().st_mtime_ns == before
    assert main([*words, "--prune", "0.5"]) == 2
    assert "--prune: cannot be combined with --runtime openvino" in capsys.readouterr().err
