"""ONNX files of other programs: each convention is recognised, and its known numbers become the detections that they mean."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from detectors.external.onnx_models.conventions import CONVENTIONS
from detectors.external.onnx_models.predictor import onnx_predictor
from detectors.external.onnx_models.settings import OnnxConfig
from metrics.errors import InputError, InputNote

pytest.importorskip("onnx", reason="onnx is absent: pip install detbench[onnx]")
pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install detbench[onnx]")

from onnx_files import onnx_file

CLASSES = ("a", "b", "c")
NAMES = {"names": "{0: 'a', 1: 'b', 2: 'c'}", "task": "detect", "imgsz": "[64, 64]"}
COLOR = (51, 102, 204)
"""Red, green and blue of the images: 0.2, 0.4 and 0.8."""
BOX = [12.0, 8.0, 28.0, 32.0]
"""cxcywh: 20, 20, 16, 24."""
CELLS = 64 + 16 + 4
"""Of an input of 64 x 64 at strides 8, 16 and 32."""


def images(number: int = 2, size: tuple[int, int] = (64, 64)) -> torch.Tensor:
    return torch.tensor(COLOR).view(1, 3, 1, 1).expand(number, 3, *size) / 255


def rows(count: int, values: dict[int, list[float]]) -> np.ndarray:
    """An array (count, columns) of zeros with some rows."""
    made = np.zeros((count, len(next(iter(values.values())))), dtype=np.float32)
    for row, numbers in values.items():
        made[row] = numbers
    return made


def seen(shape: tuple[int, ...], place: tuple[int, ...], channels: list[float]) -> np.ndarray:
    """Weights of the channels' means for one number of an output."""
    made = np.zeros((*shape, 3), dtype=np.float32)
    made[place] = channels
    return made


def predictor(content: bytes, folder: Path, classes=CLASSES, config: OnnxConfig | None = None, **settings):
    (folder / "model.onnx").write_bytes(content)
    return onnx_predictor(folder / "model.onnx", config or OnnxConfig.model_validate(settings), classes)


def assert_found(
    model, expected: list[tuple[str, float, list[float]]], given: torch.Tensor | None = None
) -> None:
    """Every image has exactly these detections: class, score and box."""
    given = images() if given is None else given
    found = model.predict(given)
    assert len(found) == len(given)
    for each in found:
        assert [CLASSES[label] for label in each.labels.tolist()] == [name for name, _, _ in expected]
        torch.testing.assert_close(
            each.scores, torch.tensor([score for _, score, _ in expected]), rtol=0, atol=1e-5
        )
        torch.testing.assert_close(
            each.boxes, torch.tensor([box for _, _, box in expected]), rtol=0, atol=1e-3
        )


def yolov8(**more) -> bytes:
    """A box with two classes, another that NMS suppresses, and one whose score is half of red."""
    array = rows(
        CELLS,
        {
            0: [20, 20, 16, 24, 0.9, 0.3, 0],
            1: [21, 20, 16, 24, 0.8, 0, 0],
            2: [50, 50, 8, 8, 0, 0, 0],
            3: [20, 50, 8, 8, 0.0009, 0, 0.002],
        },
    ).T.copy()
    weights = {"output0": seen((7, CELLS), (6, 2), [0.5, 0, 0])}
    return onnx_file({"output0": array}, weights=weights, **{"metadata": NAMES, **more})


YOLO_FOUND = [
    ("a", 0.9, BOX),
    ("b", 0.3, BOX),
    ("c", 0.1, [46.0, 46, 54, 54]),
    ("c", 0.002, [16.0, 46, 24, 54]),  # .0009 is below the floor
]


@pytest.mark.parametrize("batch", [1, "batch"])
def test_yolov8(tmp_path, batch):
    model = predictor(yolov8(batch=batch), tmp_path)
    assert (model.file.convention, model.network_input.resize, model.network_input.fill) == (
        "yolov8",
        "letterbox",
        114,
    )
    assert not model.network_input.antialias
    assert_found(model, YOLO_FOUND)


def test_yolov8_with_another_iou_and_score(tmp_path):
    kept = [YOLO_FOUND[0], ("a", 0.8, [13.0, 8, 29, 32]), YOLO_FOUND[1]]
    assert_found(predictor(yolov8(), tmp_path, nms={"iou": 0.95, "score": 0.2}), kept)


def test_boxes_are_clipped_after_nms(tmp_path):
    """Two boxes that extend beyond the input by different lengths: IoU 30 / 46 as they are, and 1 within the input."""
    array = rows(CELLS, {0: [57, 20, 30, 24, 0.9, 0, 0], 1: [65, 20, 46, 24, 0.8, 0, 0]}).T.copy()
    model = predictor(onnx_file({"output0": array}, metadata=NAMES), tmp_path)
    inside = [42.0, 8, 64, 32]
    assert_found(model, [("a", 0.9, inside), ("a", 0.8, inside)])


def test_yolov5(tmp_path):
    array = rows(3 * CELLS, {5: [20, 20, 16, 24, 0.5, 0.8, 0.2, 0], 9: [50, 50, 8, 8, 1, 0, 0, 0]})
    weights = {"output0": seen((3 * CELLS, 8), (9, 7), [0, 0, 0.5])}
    model = predictor(onnx_file({"output0": array}, weights=weights, metadata=NAMES), tmp_path)
    assert model.file.convention == "yolov5"
    assert_found(model, [("a", 0.4, BOX), ("c", 0.4, [46.0, 46, 54, 54]), ("b", 0.1, BOX)])


def test_end_to_end(tmp_path):
    array = rows(300, {0: [*BOX, 0.9, 1], 1: [*BOX, 0.7, 1], 2: [1, 2, 3, 4, 0, 2]})
    weights = {"output0": seen((300, 6), (2, 4), [0, 1, 0])}
    model = predictor(onnx_file({"output0": array}, weights=weights, metadata=NAMES), tmp_path)
    assert model.file.convention == "end2end"
    assert_found(model, [("b", 0.9, BOX), ("b", 0.7, BOX), ("c", 0.4, [1.0, 2, 3, 4])])
    with pytest.raises(InputError, match=r"nms.iou: model.onnx has detections without overlap"):
        predictor(onnx_file({"output0": array}, metadata=NAMES), tmp_path, nms={"iou": 0.5})


def test_yolox(tmp_path):
    """Row 10 is the cell (x 2, y 1) at stride 8; row 64 + 5 the cell (1, 1) at stride 16. The input is BGR in 0 to 255."""
    array = rows(
        CELLS,
        {
            10: [0.5, 1.5, math.log(2), math.log(3), 1, 0.6, 0, 0],
            69: [1.0, 1.0, math.log(0.5), math.log(0.5), 0.5, 0, 0, 0],
        },
    )
    weights = {"output": seen((CELLS, 8), (69, 7), [1 / 255, 0, 0])}
    model = predictor(onnx_file({"output": array}, weights=weights), tmp_path)
    assert (model.file.convention, model.network_input.resize) == ("yolox", "corner")
    assert_found(model, [("a", 0.6, BOX), ("c", 0.4, [28.0, 28, 36, 36])])


def test_rfdetr(tmp_path):
    """The first logit is the normalised red, (51 - 123.675) / 58.395."""
    boxes = rows(4, {0: [20 / 64, 20 / 64, 16 / 64, 24 / 64], 1: [0.5, 0.5, 1, 1]})
    logits = np.full((4, 3), -20, dtype=np.float32)
    logits[0, 1], logits[1, 2] = 0, 2
    weights = {"labels": seen((4, 3), (0, 1), [1, 0, 0])}
    model = predictor(onnx_file({"dets": boxes, "labels": logits}, weights=weights, image="input"), tmp_path)
    assert (model.file.convention, model.network_input.resize) == ("rfdetr", "stretch")
    red = (51 - 123.675) / 58.395
    whole = [0.0, 0, 64, 64]
    assert_found(model, [("c", 1 / (1 + math.exp(-2)), whole), ("b", 1 / (1 + math.exp(-red)), BOX)])


def test_rtdetr(tmp_path):
    outputs = {
        "labels": np.array([2, 0, 1]),
        "boxes": np.array([BOX, BOX, [0, 0, 64, 64]], dtype=np.float32),
        "scores": np.array([0.2, 0.6, 0], dtype=np.float32),
    }
    weights = {"scores": seen((3,), (2,), [0, 0, 0.5])}
    sizes = [("orig_target_sizes", np.int64, ["batch", 2])]
    model = predictor(onnx_file(outputs, weights=weights, more_inputs=sizes), tmp_path)
    assert (model.file.convention, model.network_input.resize) == ("rtdetr", "stretch")
    assert_found(model, [("a", 0.6, BOX), ("b", 0.4, [0.0, 0, 64, 64]), ("c", 0.2, BOX)])


def test_mmdeploy(tmp_path):
    outputs = {
        "dets": rows(3, {0: [*BOX, 0.5], 1: [0, 0, 9, 9, 0.9]}),
        "labels": np.array([1, 0, -1]),
    }
    content = onnx_file(outputs, ("height", "width"), image="input")
    with pytest.raises(
        InputError, match=r"input.size: the input of model.onnx is free; give .*--set input.size=640,640"
    ):
        predictor(content, tmp_path)
    model = predictor(content, tmp_path, input={"size": (64, 96), "pixels": "caffe-bgr"})
    assert (model.file.convention, model.network_input.resize, model.pixels) == (
        "mmdeploy",
        "corner",
        "caffe-bgr",
    )
    assert_found(model, [("a", 0.9, [0.0, 0, 9, 9]), ("b", 0.5, BOX)], images(2, (64, 96)))


def test_torchvision(tmp_path):
    outputs = {
        "boxes": np.array([BOX, [0, 0, 200, 9]], dtype=np.float32),
        "123": np.array([2, 1]),
        "scores": np.array([0.5, 0], dtype=np.float32),
    }
    weights = {"scores": seen((2,), (1,), [0, 1, 0])}
    content = onnx_file(outputs, ("height", "width"), weights=weights, batch=1, batched=False)
    model = predictor(content, tmp_path)
    assert (model.file.convention, model.network_input) == ("torchvision", None)
    for size in ((64, 64), (50, 120)):
        assert_found(model, [("b", 0.5, BOX), ("a", 0.4, [0.0, 0, size[1], 9])], images(2, size))


def test_every_convention_has_a_test():
    assert {f"test_{name}" for name in CONVENTIONS} - {"test_end2end"} <= set(globals())


def test_a_batch_of_fixed_size_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"model.onnx: is made for batches of 4 images; export it for 1"):
        predictor(yolov8(batch=4), tmp_path)


UNKNOWN = {
    "segmentation": {
        "output0": np.zeros((116, CELLS), np.float32),
        "output1": np.zeros((32, 16, 16), np.float32),
    },
    "other": {"heatmap": np.zeros((3, 16, 16), np.float32)},
    "counts": {"output0": np.zeros((7, 99), np.float32)},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_outputs_are_refused_with_what_was_seen(tmp_path, name):
    with pytest.raises(
        InputError, match=r"its outputs are not known; .*Found: inputs images \(batch, 3, 64, 64\)"
    ) as raised:
        predictor(onnx_file(UNKNOWN[name]), tmp_path)
    first = next(iter(UNKNOWN[name]))
    assert f"outputs {first} (batch, " in str(raised.value)
    assert all(convention in str(raised.value) for convention in CONVENTIONS)


def test_outputs_of_several_conventions_are_refused(tmp_path):
    """84 x 84: 80 classes in 84 cells, or 79 classes."""
    content = onnx_file({"x": np.zeros((CELLS, CELLS), np.float32)})
    with pytest.raises(
        InputError, match="its outputs match yolov8, yolox; name their convention, as in --set outputs=yolov8"
    ):
        predictor(content, tmp_path)


def test_a_file_can_be_read_by_a_named_convention(tmp_path):
    """7 x 99: no number of cells, so only the user knows."""
    array = rows(99, {0: [20, 20, 16, 24, 0.9, 0, 0]}).T.copy()
    assert_found(predictor(onnx_file({"x": array}), tmp_path, outputs="yolov8"), [("a", 0.9, BOX)])
    with pytest.raises(InputError, match="has no record of an export by detbench; remove outputs=detbench"):
        predictor(yolov8(), tmp_path, outputs="detbench")


def test_what_was_recognised_and_assumed_is_printed(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predictor(yolov8(metadata={}), tmp_path)
    told = [str(each.message) for each in caught if issubclass(each.category, InputNote)]
    assert any("it does not name its classes; its classes are those of the data set" in text for text in told)
    assert any(
        text.startswith("model.onnx: read as yolov8 (")
        and "input 64x64 (letterbox), pixels unit; computed by onnxruntime" in text
        for text in told
    )


def test_classes_of_coco_are_recognised_by_their_number(tmp_path):
    """80 indices without gaps, and 91 ids: traffic light is 9 and 10, stop sign 11 and 13."""
    for count, stop in ((80, 11), (91, 13)):
        scores = [0.0] * count
        scores[stop] = 0.5
        content = onnx_file({"x": rows(CELLS, {0: [20, 20, 16, 24, *scores]}).T.copy()})
        model = predictor(content, tmp_path, ("stop sign", "person"), OnnxConfig(outputs="yolov8"))
        (found, _) = model.predict(images())
        assert found.labels.tolist() == [0]


def test_classes_without_names_can_be_given_by_index(tmp_path):
    content = yolov8(metadata={})
    with pytest.raises(
        InputError, match=r"has 3 classes without names, and the data set has 2; .*--set classes.0=y"
    ):
        predictor(content, tmp_path, classes=("y", "z"))
    model = predictor(content, tmp_path, ("y", "z"), OnnxConfig(classes={"2": "y", "0": "z"}))
    (found, _) = model.predict(images())
    assert found.labels.tolist() == [1, 0, 0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.1, 0.002], abs=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input": {"size": (32, 32)}}, r"input.size: the input of model.onnx is 64x64; remove the setting"),
        ({"classes": {"d": "a"}}, r"classes.d: model.onnx knows no such class"),
    ],
)
def test_settings_that_contradict_the_file_are_errors(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        predictor(yolov8(), tmp_path, config=OnnxConfig.model_validate(settings))


def test_pixels_of_imagenet_in_bgr_are_those_of_rtmdet():
    """Mean and deviation of MMDetection's configs/rtmdet/rtmdet_l_8xb32-300e_coco.py, of BGR from 0 to 255."""
    from detectors.external.onnx_models.pixels import prepared

    images = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    red, green, blue = (255 * images).unbind(dim=1)
    expected = torch.stack(
        [(blue - 103.53) / 57.375, (green - 116.28) / 57.12, (red - 123.675) / 58.395], dim=1
    )
    assert torch.allclose(prepared(images, "imagenet-bgr"), expected, atol=1e-5)
