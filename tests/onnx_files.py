"""Small ONNX files for tests, made by hand: their outputs are known numbers, some of which depend on the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.candidates import CandidatesConfig
from detectors.graph.record import KEY, ExportRecord
from detectors.nms import NMSConfig

BOXES = np.array([[4, 4, 40, 30], [10, 20, 34, 60], [5, 4, 41, 30], [30, 30, 62, 62]], dtype=np.float32)
SCORES = np.array([[0.9, 0.1], [0.2, 0.7], [0.8, 0.1], [0.4, 0.6]], dtype=np.float32)


def onnx_file(
    outputs: Mapping[str, NDArray[Any]],
    size: Sequence[int | str] = (64, 64),
    *,
    weights: Mapping[str, NDArray[Any]] | None = None,
    metadata: Mapping[str, str] | None = None,
    image: str = "images",
    batch: int | str = "batch",
    more_inputs: Sequence[tuple[str, type, Sequence[int | str]]] = (),
    batched: bool = True,
) -> bytes:
    """A file whose outputs are arrays, plus arrays of weights times the mean of each channel.

    Args:
        outputs: by name, without the dimension of the batch.
        size: (height, width) of the input; names for free dimensions.
        weights: by output, an array (..., 3) of the output's shape: weights of the three channels' means, which are added.
        metadata: of the file.
        image: name of the input.
        batch: number of images, or the name of the free dimension.
        more_inputs: name, type and shape of inputs that have no effect.
        batched: whether outputs have the dimension of the batch; otherwise they are of a single image.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("ReduceMean", [image, "axes"], ["means"], keepdims=0)]
    constants = [numpy_helper.from_array(np.array([2, 3]), "axes")]
    values = []
    for name, array in outputs.items():
        weight = (weights or {}).get(name)
        kind = np.zeros((*array.shape, 3)) if weight is None else weight
        constants += [
            numpy_helper.from_array(np.asarray(kind, np.float32).reshape(-1, 3).T.copy(), f"{name}.weights"),
            numpy_helper.from_array(np.asarray(array, np.float32).reshape(1, -1), f"{name}.constant"),
            numpy_helper.from_array(
                np.array([-1, *array.shape] if batched else [*array.shape]), f"{name}.shape"
            ),
        ]
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        nodes += [
            helper.make_node("MatMul", ["means", f"{name}.weights"], [f"{name}.seen"]),
            helper.make_node("Add", [f"{name}.seen", f"{name}.constant"], [f"{name}.flat"]),
            helper.make_node("Reshape", [f"{name}.flat", f"{name}.shape"], [f"{name}.shaped"]),
            helper.make_node("Cast", [f"{name}.shaped"], [name], to=dtype),
        ]
        shape = [batch, *array.shape] if batched else [*array.shape]
        values.append(helper.make_tensor_value_info(name, dtype, shape))
    inputs = [helper.make_tensor_value_info(image, TensorProto.FLOAT, [batch, 3, *size])]
    for name, of_type, shape in more_inputs:
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(of_type))
        inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
    graph = helper.make_graph(nodes, "test", inputs, values, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, dict(metadata or {}))
    content: bytes = model.SerializeToString()
    return content


def write_export(file: Path, classes: Sequence[str]) -> None:
    """A file like those of ``bench export``: `BOXES` and `SCORES` of two classes for every image."""
    record = ExportRecord(
        outputs="candidates",
        classes=tuple(classes),
        size=(64, 64),
        resize="letterbox",
        fill=114,
        levels=(len(BOXES),),
        candidates=CandidatesConfig(),
        nms=NMSConfig(),
        variant="ssd",
        run="ssd-test-0",
        parameters=10,
    )
    outputs = {"boxes": BOXES, "scores": SCORES}
    file.write_bytes(onnx_file(outputs, metadata={KEY: record.model_dump_json()}))
