"""Whether ONNX Runtime's products of 8-bit integers saturate on this processor."""

from __future__ import annotations

from functools import cache

import numpy as np

SIZE = 64
"""Rows, inner side and columns of the product: enough for the kernel that convolutions use."""


@cache
def products_saturate() -> bool:
    """Whether large products of uint8 activations and int8 weights are wrong on this processor.

    On x86 processors with AVX2 but without VNNI, ONNX Runtime adds pairs of such products in 16 bits, and cuts off sums above 32,767
    (ONNX Runtime's documentation, "Quantize ONNX Models": `reduce_range`). So a quantised file can have another AP there.

    Raises:
        ImportError: onnx or onnxruntime is missing.
    """
    import onnxruntime
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["activations", "weights"], ["sums"])],
        "products",
        [
            helper.make_tensor_value_info("activations", TensorProto.UINT8, [SIZE, SIZE]),
            helper.make_tensor_value_info("weights", TensorProto.INT8, [SIZE, SIZE]),
        ],
        [helper.make_tensor_value_info("sums", TensorProto.INT32, [SIZE, SIZE])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    activations, weights = np.full((SIZE, SIZE), 255, np.uint8), np.full((SIZE, SIZE), 127, np.int8)
    (sums,) = session.run(None, {"activations": activations, "weights": weights})
    return bool((sums != SIZE * 255 * 127).any())
