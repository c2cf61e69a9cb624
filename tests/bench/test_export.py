"""Export of a finished run, and the evaluation and timing of the exported file."""

from __future__ import annotations

import gc
import json
import signal
from pathlib import Path

import pytest
import torch
from agreement import assert_same_tables
from tiny_runs import tiny_sets

from bench.cli import main
from bench.export.onnx_run import Comparison, compare
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import fit_images
from bench.pipeline.predict import predict
from bench.runs.finished_run import evaluated_split, load_network, load_predictor, network_input
from bench.runs.naming import run_name
from bench.runs.provenance import shorten_path
from bench.settings.config import find_model
from bench.settings.resolution import open_run_data, resolve_entry
from bench.timing.clock import Clock
from bench.timing.passes import Passes
from bench.timing.timed_run import prepare_run
from detectors.external.onnx_models import runtimes
from detectors.external.onnx_models.exported import ExportedModel
from detectors.external.onnx_models.graph_file import read_graph_file
from detectors.graph.record import read_record
from metrics.errors import InputError
from reports.records.run import RunFolder

pytest.importorskip("onnx", reason="onnx is absent: pip install detbench[onnx]")
pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install detbench[onnx]")
pytest.importorskip("onnxscript", reason="onnxscript is absent: pip install detbench[onnx]")

DATA = [each for each in tiny_sets() if each.startswith("data.")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> RunFolder:
    """A run whose AP is not 0."""
    out = tmp_path_factory.mktemp("runs")
    sets = tiny_sets(train__epochs=8, data__train=24, backbone__base_channel=8, levels=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.pages.write_report", lambda *args, **settings: None)
        assert main(["run", "--variant", "ssd", "--out", str(out), "--quiet", "--set", *sets]) == 0
    return RunFolder.open(next(out.glob("ssd-*")))


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("exports") / "model.onnx"
    assert main(["export", str(trained.path), "--out", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def evaluated(exported, tmp_path_factory) -> RunFolder:
    """The exported file as an external model on the same data; its page is real."""
    out = tmp_path_factory.mktemp("evaluated")
    sets = [each for each in DATA if not each.startswith("data.train")]
    words = ["run", "--variant", f"onnx/{exported}", "--out", str(out), "--quiet", "--set", *sets]
    assert main([*words, "data.train=24", "device=cpu", "threads=1"]) == 0
    return RunFolder.open(next(out.glob("onnx-*")))


def test_the_file_has_the_stored_numbers_of_the_run(trained, evaluated):
    assert trained.result.headline["ap50"] > 0
    assert evaluated.result.data.fingerprint == trained.result.data.fingerprint
    assert evaluated.result.headline == pytest.approx(trained.result.headline, abs=5e-4)
    assert_same_tables(evaluated.detections, trained.detections)


def test_the_result_records_file_and_runtime(trained, evaluated, exported):
    result = evaluated.result
    file = result.model_file
    assert file.name == "model.onnx"
    assert result.variant == shorten_path(f"onnx/{exported}")
    assert str(exported.parent) not in (evaluated.path / "result.json").read_text()
    assert file.size_bytes == exported.stat().st_size
    assert (file.convention, file.run) == ("detbench", trained.result.name)
    assert file.runtime.startswith("onnxruntime ")
    assert (file.provider, file.precision, file.threads) == ("CPUExecutionProvider", "float32", 1)
    assert file.sha256 in result.variant_source
    assert result.budget.parameters == trained.result.budget.parameters
    page = (evaluated.path / "report.html").read_text()
    assert file.sha256 in page
    assert "CPUExecutionProvider" in page


def test_its_folder_gives_the_predictor_again_and_its_stages_are_timed(evaluated):
    predictor = load_predictor(evaluated)
    assert isinstance(predictor, ExportedModel)
    split = evaluated_split(evaluated)
    image = network_input(evaluated, predictor)
    assert image.size == (64, 64)
    assert_same_tables(predict(predictor, split, image, workers=0), evaluated.detections)
    timed = prepare_run(evaluated, torch.device("cpu"))
    once = Passes(timed, Clock())([0, 1])
    assert {"forward", "postprocess", "preprocess"} <= set(once.ns)


def test_the_command_prints_what_it_wrote(trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bench.export.onnx_run.onnx_file", lambda network, record: (b"", record))
    monkeypatch.setattr("bench.export.onnx_run.compare", lambda *given: Comparison(10, 10, 1e-7, 2e-5))
    assert main(["export", str(trained.path), "--out", str(tmp_path / "a.onnx"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["record"]["run"] == trained.result.name
    assert told["record"]["classes"] == list(trained.truth.catalog.classes)
    assert (told["compared_images"], told["compared_noise"]) == (4, False)
    monkeypatch.setattr("bench.export.onnx_run.compare", lambda *given: Comparison(100, 90, 1e-6, 2e-5))
    assert main(["export", str(trained.path), "--out", str(tmp_path / "b.onnx")]) == 2
    assert (
        "the exported network differs from the original: 90 of 100 detections are equal"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "b.onnx").exists()
    assert main(["export", str(trained.path), "--to", "torchscript"]) == 2
    assert "--to: 'torchscript' is not a format; choose from onnx" in capsys.readouterr().err


def test_another_network_is_not_called_equal(exported, trained):
    """The check that stands between the exporter and the file."""
    network = load_network(trained, trained.result.config)
    split = evaluated_split(trained)
    images = fit_images([split.load(k) for k in range(2)], ImageConfig(size=(64, 64)))[0]
    record = read_record(read_graph_file(exported).metadata, "")
    same = compare(exported.read_bytes(), network, record, images)
    assert same.holds
    assert same.equal == same.detections > 0
    assert 0 < same.score_difference < 1e-5
    with torch.no_grad():
        network.head.box_outs[0][-1].bias += 0.3
    moved = compare(exported.read_bytes(), network, record, images)
    assert not moved.holds
    assert moved.equal < moved.detections


def test_a_run_without_weights_cannot_be_exported(evaluated, capsys):
    assert main(["export", str(evaluated.path)]) == 2
    assert "holds no weights of a variant" in capsys.readouterr().err


def test_settings_of_one_file_are_named_by_its_path(exported):
    name = f"onnx/{exported}"
    config = resolve_entry(name, sets=[f"{name}.nms.max_dets=7", "train.epochs=3"], variants=("ssd", name))
    assert config.model_settings.nms.max_dets == 7
    with pytest.raises(InputError, match=r"'onnx/other\.onnx' is not part of this command"):
        resolve_entry("ssd", sets=["onnx/other.onnx.runtime=openvino"])


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["provider=cudaa"], "provider: this ONNX Runtime has no provider 'cudaa'"),
        (["precision=f16"], "precision: f16: ONNX Runtime computes in the precision of the file (float32)"),
        (["evaluate.precision=bf16"], "evaluate.precision: bf16: a file is computed in its own precision"),
        (["runtime=tensorrt"], "runtime: expected one of"),
    ],
)
def test_what_a_runtime_does_not_have_is_an_error(exported, tmp_path, capsys, sets, message):
    words = ["run", "--variant", f"onnx/{exported}", "--out", str(tmp_path), "--quiet", "--set"]
    assert main([*words, *DATA, "device=cpu", *sets]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_missing_or_no_onnx_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"onnx/gone\.onnx: there is no such file"):
        find_model("onnx/gone.onnx")
    (tmp_path / "text.onnx").write_text("no model")
    model = find_model(f"onnx/{tmp_path / 'text.onnx'}")
    with pytest.raises(InputError, match=r"text\.onnx: not "):
        model.build(model.config(), ["a"])


def test_its_contents_and_its_settings_are_its_cause(exported, evaluated, tmp_path):
    def name(file: Path, *sets: str) -> str:
        settings = [
            *(each for each in DATA if "train" not in each),
            "data.train=24",
            "device=cpu",
            "threads=1",
        ]
        config = resolve_entry(f"onnx/{file}", sets=[*settings, *sets])
        return run_name(config, open_run_data(config))

    copied = tmp_path / "model.onnx"
    copied.write_bytes(exported.read_bytes())
    assert name(exported) == name(copied) == evaluated.path.name
    assert name(copied, "runtime=openvino") != name(copied)
    copied.write_bytes(exported.read_bytes() + b"\x72\0")
    assert name(copied) != name(exported)


def test_openvino_computes_the_same_file(exported, trained, recwarn):
    pytest.importorskip("openvino", reason="openvino is absent: pip install detbench[openvino]")
    model = find_model(f"onnx/{exported}")
    classes = trained.truth.catalog.classes
    predictor = model.build(model.config(runtime="openvino", precision="f32"), classes)
    assert (predictor.file.runtime.precision, predictor.file.runtime.provider) == ("f32", "CPU")
    split = evaluated_split(trained)
    image = network_input(trained, predictor)
    assert_same_tables(predict(predictor, split, image, workers=0), trained.detections)
    usual = model.build(model.config(runtime="openvino"), classes)
    assert usual.file.runtime.precision in ("f32", "bf16", "f16")
    assert any(f"in {usual.file.runtime.precision}" in str(each.message) for each in recwarn)


class OnlyFloat32:
    """OpenVINO on a processor that prefers bfloat16, without an implementation of an operator in it."""

    def __init__(self, core):
        self.core, self.available_devices, self.read_model = core, core.available_devices, core.read_model

    def compile_model(self, model, device, hints):
        if hints.get("INFERENCE_PRECISION_HINT") != "f32":
            raise RuntimeError("Exception from a/b.cpp:7:\nNo suitable implementations.")
        return self.core.compile_model(model, device, hints)


def test_openvino_computes_in_float32_what_it_cannot_in_its_own_precision(exported, monkeypatch):
    pytest.importorskip("openvino", reason="openvino is absent: pip install detbench[openvino]")
    graph = read_graph_file(exported)
    core = runtimes._openvino_core()
    monkeypatch.setattr(runtimes, "_openvino_core", lambda: OnlyFloat32(core))
    assert runtimes.OpenVINOSession(graph, "cpu", "auto", 1).facts.precision == "f32"
    with pytest.raises(
        InputError, match=r"cannot compute it \(No suitable implementations\); try precision=f32"
    ):
        runtimes.OpenVINOSession(graph, "cpu", "bf16", 1)


def test_signals_are_handled_after_openvino_was_used(exported, trained):
    """Its plugin leaves a freed signal stack behind when it is unloaded; faulthandler, which pytest enables, has one."""
    pytest.importorskip("openvino", reason="openvino is absent: pip install detbench[openvino]")
    model = find_model(f"onnx/{exported}")
    predictor = model.build(model.config(runtime="openvino"), trained.truth.catalog.classes)
    del predictor
    gc.collect()
    received = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: received.append(number))
    try:
        signal.raise_signal(signal.SIGUSR1)  # without the stack, this ends the process
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert received == [signal.SIGUSR1]
