"""Contract of export: for every variant the ONNX file gives the network's scores, boxes and detections."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from agreement import assert_same_detections
from torch import nn

from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.placement import fit_images
from detectors.external.onnx_models.exported import ExportedModel
from detectors.external.onnx_models.predictor import onnx_predictor
from detectors.external.onnx_models.settings import OnnxConfig, OnnxNMSConfig
from detectors.graph.candidates import graph_source
from detectors.graph.onnx_file import onnx_file
from detectors.graph.record import KEY, ExportRecord, read_record
from detectors.registry import VARIANTS
from metrics.errors import InputError

onnx = pytest.importorskip("onnx", reason="onnx is absent: pip install detbench[onnx]")
pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install detbench[onnx]")
pytest.importorskip("onnxscript", reason="onnxscript is absent: pip install detbench[onnx]")

CLASSES = ("a", "b", "c")
SIZE = (64, 96)
IMAGES = [(60, 90), (40, 100), (120, 70)]
"""(height, width) of images of three aspect ratios."""

PYRAMID = {"head": {"channels": 8}, "levels": 2}
SMALL = {
    "ssd": {"neck_channels": (8,), "levels": 2},
    **dict.fromkeys(("atss", "dual", "fcos", "gfl", "retinanet"), PYRAMID),
    **{name: {**PYRAMID, "regions": {"hidden": 16}} for name in ("faster_rcnn", "cascade_rcnn")},
    "detr": {"layers": 1, "num_queries": 20, "levels": 1},
    "sliding_window": {"windows": {"scales": 2, "ratios": (1.0,)}},
}


def small_detector(name: str, **more: object) -> nn.Module:
    """A narrow network whose scores spread over the whole range."""
    settings = {"backbone": {"base_channel": 4}, **SMALL.get(name, {}), **more}
    torch.manual_seed(3)
    detector = VARIANTS[name].build(VARIANTS[name].config.model_validate(settings), len(CLASSES))
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.add_((0.01 if parameter.ndim == 2 else 0.1) * torch.randn_like(parameter))
    return detector.eval()


def record_for(name: str, detector: nn.Module, **more: object) -> ExportRecord:
    known = {
        "outputs": "candidates",
        "classes": CLASSES,
        "size": SIZE,
        "resize": "letterbox",
        "fill": 114,
        "nms": detector.nms.config,
        "variant": name,
        "parameters": 0,
    }
    return ExportRecord.model_validate(known | more)


@cache
def exported(name: str, **more: object) -> tuple[nn.Module, bytes, ExportRecord]:
    """A network and its file; each is made once."""
    detector = small_detector(name)
    return (detector, *onnx_file(detector, record_for(name, detector, **more)))


def opened(content: bytes, folder: Path, config: OnnxConfig | None = None) -> ExportedModel:
    (folder / "made.onnx").write_bytes(content)
    model = onnx_predictor(folder / "made.onnx", config or OnnxConfig(), CLASSES)
    assert isinstance(model, ExportedModel)
    return model


def some_images(number: int = 3) -> torch.Tensor:
    """Images of three aspect ratios as the network's input."""
    draw = torch.Generator().manual_seed(5)
    pixels = [torch.randint(0, 256, (*size, 3), generator=draw, dtype=torch.uint8).numpy() for size in IMAGES]
    return fit_images(pixels[:number], ImageConfig(size=SIZE))[0]


@pytest.mark.parametrize("name", VARIANTS.names())
def test_file_and_network_agree(name, tmp_path):
    detector, content, record = exported(name)
    assert record.parameters == sum(each.numel() for each in detector.parameters())
    model = opened(content, tmp_path)
    images = some_images()
    output = model(images).tensors
    with torch.no_grad():
        own = graph_source(detector, SIZE).module(images)
    if record.outputs == "probabilities":
        # Logits of random weights are large, and so is their rounding: 1.5e-5 was the largest of 73,728 probabilities.
        torch.testing.assert_close(output["probabilities"], own, rtol=0, atol=5e-5)
    elif "rcnn" not in name:  # the order of proposals with nearly equal scores depends on rounding
        torch.testing.assert_close(output["scores"], own.scores, rtol=0, atol=1e-5)
        torch.testing.assert_close(output["boxes"], own.boxes, rtol=0, atol=1e-2)
        assert own.scores.flatten(1).std(dim=1).min() > 0
    found, wanted = model.predict(images), detector.predict(images)
    assert sum(len(each.scores) for each in wanted) >= 3
    for actual, expected in zip(found, wanted, strict=True):
        assert_same_detections(actual, expected)
    (alone,) = model.predict(images[1:2])  # the batch size is free
    assert_same_detections(alone, wanted[1])


def test_with_nms_inside_the_detections_are_the_same(tmp_path):
    """Each class has boxes of its own; `test_graph_selection` has the other kinds."""
    detector, content, record = exported("faster_rcnn", outputs="detections")
    model = opened(content, tmp_path)
    images = some_images()
    assert model(images).tensors["labels"].shape == (3, record.nms.max_dets)
    for actual, expected in zip(model.predict(images), detector.predict(images), strict=True):
        assert_same_detections(actual, expected)
    with pytest.raises(InputError, match=r"nms.iou: NMS is part of made.onnx"):
        opened(content, tmp_path, OnnxConfig(nms=OnnxNMSConfig(iou=0.3)))


def test_a_file_for_any_size_computes_other_sizes(tmp_path):
    detector, content, _ = exported("gfl", any_size=True)
    model = opened(content, tmp_path)
    for size in (SIZE, (96, 64), (100, 132)):
        images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
        for actual, expected in zip(model.predict(images), detector.predict(images), strict=True):
            assert_same_detections(actual, expected)


def test_an_image_of_another_size_is_padded_or_an_error(tmp_path):
    model = opened(exported("ssd")[1], tmp_path)
    with pytest.raises(InputError, match=r"made.onnx: its input is 64x96, got 96x64; .*evaluate.tile=64,96"):
        model.predict(torch.zeros(1, 3, 96, 64))
    small = some_images(1)[:, :, :50, :70]
    whole = torch.full((1, 3, *SIZE), 114 / 255)
    whole[:, :, :50, :70] = small
    (actual,), (expected,) = model.predict(small), model.predict(whole)
    assert_same_detections(actual, expected)


def test_the_file_is_one_piece_with_a_record_and_without_traces_of_this_machine():
    _, content, record = exported("ssd")
    model = onnx.load_from_string(content)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert read_record(properties, "made.onnx") == record
    assert json.loads(properties[KEY])["format"] == 1
    assert record.classes == CLASSES
    assert sum(record.levels) == onnx_shape(model, "boxes")[1]
    assert not any(each.external_data for each in model.graph.initializer)
    assert {each.domain for each in model.graph.node} == {""}
    for trace in (str(Path.cwd()), str(Path(torch.__file__).parent), "stack_trace"):
        assert trace.encode() not in content


def onnx_shape(model, name: str) -> list[int]:
    (value,) = (each for each in model.graph.output if each.name == name)
    return [each.dim_value for each in value.type.tensor_type.shape.dim]


def test_settings_of_nms_and_names_of_classes_can_be_replaced(tmp_path):
    _, content, _ = exported("ssd")
    images = some_images()
    usual = opened(content, tmp_path).predict(images)
    few = opened(content, tmp_path, OnnxConfig(nms=OnnxNMSConfig(max_dets=2))).predict(images)
    assert [len(each.scores) for each in few] == [2, 2, 2]
    (tmp_path / "made.onnx").write_bytes(content)
    with pytest.warns(match="know 2 of 3 classes and cannot detect z"):
        other = onnx_predictor(tmp_path / "made.onnx", OnnxConfig(classes={"a": "y"}), ("b", "y", "z"))
    for one, same in zip(other.predict(images), usual, strict=True):
        known = same.labels < 2
        assert one.labels.tolist() == [{0: 1, 1: 0}[label] for label in same.labels[known].tolist()]
        assert one.scores.tolist() == same.scores[known].tolist()


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("unet", {"outputs": "detections"}, "unet: its detections are connected components.*without --nms"),
        (
            "detr",
            {"any_size": True},
            "detr: this network is made for one image size; export without --any-size",
        ),
        (
            "sliding_window",
            {"any_size": True},
            "its windows depend on the image size; export without --any-size",
        ),
    ],
)
def test_what_cannot_be_exported_says_why(name, more, message):
    detector = small_detector(name)
    with pytest.raises(InputError, match=message):
        onnx_file(detector, record_for(name, detector, **more))


def test_an_unknown_kind_of_detector_says_how_to_add_it():
    with pytest.raises(
        InputError, match="Linear: this kind of detector cannot be exported; register a function"
    ):
        onnx_file(nn.Linear(1, 1), record_for("ssd", small_detector("ssd")))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({KEY: "{"}, r"x.onnx: the record of its export cannot be read \(not JSON: "),
        ({KEY: '{"format": 2}'}, r"x.onnx: the record of its export cannot be read \(format: "),
    ],
)
def test_a_record_that_cannot_be_read_is_an_error(metadata, message):
    with pytest.raises(InputError, match=message):
        read_record(metadata, "x.onnx")
    assert read_record({"names": "{}"}, "x.onnx") is None
