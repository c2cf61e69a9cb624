"""Quantisation of graphs to 8 bits: operators, error bounds from the steps of the numbers, and the candidate sets."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from detectors.compression.operator_sets import operator_sets
from detectors.compression.quantization import Quantizer
from detectors.compression.saturation import SIZE, products_saturate
from metrics.errors import InputError

onnx = pytest.importorskip("onnx", reason="onnx is absent: pip install detbench[onnx]")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install detbench[onnx]")

SATURATING = "8-bit products saturate on this processor, which has no VNNI"

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.normal(size=(4, 3, 1, 1)).astype(np.float32) * np.array(
    [1, 0.1, 10, 0.01], np.float32
).reshape(4, 1, 1, 1)
HEAD = RANDOM.normal(size=(2, 4, 1, 1)).astype(np.float32)
IMAGES = RANDOM.random((4, 3, 6, 5), dtype=np.float32)


def graph(names: bool = True) -> bytes:
    """Conv, Relu, and a last Conv whose output is multiplied by 100 (the decoding)."""
    from onnx import TensorProto, helper, numpy_helper

    def node(kind: str, inputs: list[str], output: str):
        return helper.make_node(kind, inputs, [output], name=f"the_{output}" if names else "")

    nodes = [
        node("Conv", ["images", "w"], "first"),
        node("Relu", ["first"], "positive"),
        node("Conv", ["positive", "h"], "last"),
        node("Mul", ["last", "hundred"], "scores"),
    ]
    constants = [
        numpy_helper.from_array(WEIGHTS, "w"),
        numpy_helper.from_array(HEAD, "h"),
        numpy_helper.from_array(np.float32(100), "hundred"),
    ]
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "g",
        [value("images", TensorProto.FLOAT, ["batch", 3, 6, 5])],
        [
            value("scores", TensorProto.FLOAT, ["batch", 2, 6, 5]),
            value("first", TensorProto.FLOAT, ["batch", 4, 6, 5]),
        ],
        constants,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {"key": "kept"})
    return model.SerializeToString()


@pytest.fixture(scope="module")
def quantizer() -> Quantizer:
    made = Quantizer(graph())
    made.calibrate([IMAGES[:3], IMAGES[3:]])
    return made


def members(quantizer: Quantizer) -> dict[str, list[str]]:
    return {each.name: [name.removeprefix("the_") for name in each.nodes] for each in quantizer.sets}


def quantized(quantizer: Quantizer, name: str) -> bytes:
    return quantizer.quantize(next(each for each in quantizer.sets if each.name == name))


def outputs(content: bytes) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(content).run(["scores", "first"], {"images": IMAGES})


def test_sets_differ_in_what_is_reached_from_the_last_weighted_operators(quantizer):
    assert members(quantizer) == {
        "conv": ["first", "last"],
        "network": ["first", "positive", "last"],
        "but-last": ["first", "positive"],
        "all": ["first", "positive", "last", "scores"],
    }


def test_operators_that_cannot_be_quantised_are_in_no_set():
    model = onnx.load_from_string(graph())
    found = {each.name: each.nodes for each in operator_sets(model, ("Conv",))}
    assert found == {"conv": ("the_first", "the_last"), "but-last": ("the_first",)}
    assert operator_sets(model, ("Gemm",)) == []


def test_a_graph_without_such_operators_is_refused():
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 6, 5])
    output = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3, 6, 5])
    made = helper.make_graph([helper.make_node("Sin", ["images"], ["scores"])], "g", [value], [output])
    content = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()
    with pytest.raises(InputError, match="no operator that can be quantised"):
        Quantizer(content)


def test_ranges_need_an_image():
    with pytest.raises(InputError, match="give at least one training image"):
        Quantizer(graph()).calibrate([])


def test_the_chosen_operators_and_no_others_get_and_give_8_bits(quantizer):
    model = onnx.load_from_string(quantized(quantizer, "conv"))
    makers = {output: node for node in model.graph.node for output in node.output}
    stored = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        sources = [makers[name].op_type for name in node.input if name in makers]
        if node.op_type == "Conv":
            assert sources == ["DequantizeLinear", "DequantizeLinear"]
            weights = makers[node.input[1]]
            assert stored[weights.input[0]].data_type == onnx.TensorProto.INT8
            assert len(onnx.numpy_helper.to_array(stored[weights.input[1]])) in (
                4,
                2,
            )  # one scale per channel
    multiplied = onnx.load_from_string(quantized(quantizer, "but-last")).graph
    last = next(node for node in multiplied.node if node.name == "the_last")
    assert last.input[1] == "h"
    assert {entry.key: entry.value for entry in model.metadata_props} == {"key": "kept"}


@pytest.mark.skipif(products_saturate(), reason=SATURATING)
@pytest.mark.parametrize("channel", range(4))
def test_the_error_of_a_convolution_is_within_the_steps_of_its_numbers(quantizer, channel):
    """Half a step of the input times the weights, of the weights times the input, and of the output.

    The step of a weight is that of its own channel: with one step for all channels, those of small weights exceed the bound.
    """
    exact = np.einsum("bchw,oc->bohw", IMAGES.astype(np.float64), WEIGHTS[:, :, 0, 0].astype(np.float64))
    found = outputs(quantized(quantizer, "conv"))[1]
    weights = WEIGHTS[channel, :, 0, 0].astype(np.float64)
    step_input = (IMAGES.max() - min(IMAGES.min(), 0)) / 255
    step_weight = np.abs(weights).max() / 127
    step_output = (exact.max() - exact.min()) / 255
    from_input = step_input / 2 * np.abs(weights).sum()
    from_weights = step_weight / 2 * (IMAGES.sum(axis=1) + 3 * step_input / 2)
    error = np.abs(found[:, channel] - exact[:, channel])
    # The zero point is rounded, too, which moves the ends of the output's range by at most half a step.
    assert (error <= from_input + from_weights + step_output * 1.01 + 1e-6).all()
    assert error.max() > 1e-6


def test_weights_have_a_scale_per_channel(quantizer):
    model = onnx.load_from_string(quantized(quantizer, "conv"))
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    scales = stored["w_scale"]
    assert scales == pytest.approx(
        np.abs(WEIGHTS).max(axis=(1, 2, 3)) / 127, rel=0.01
    )  # 127 or 127.5 steps on a side


def test_all_operators_lose_more_than_the_network_alone(quantizer):
    """The decoding multiplies by 100, and its output has 256 values: half a step is half of 1/255 of its range."""
    scores = outputs(graph())[0]
    coarse = np.unique(outputs(quantized(quantizer, "all"))[0])
    assert len(coarse) <= 256
    assert np.diff(coarse).min() == pytest.approx((scores.max() - scores.min()) / 255, rel=0.01)


def test_operators_without_names_get_some():
    made = Quantizer(graph(names=False))
    assert [each.name for each in made.sets] == ["conv", "network", "but-last", "all"]
    assert len(set(made.sets[-1].nodes)) == 4


def test_a_file_does_not_depend_on_those_made_before():
    """With the Relu quantised, the range before it has no negative values; that must not reach the next file."""
    made = Quantizer(graph())
    made.calibrate([IMAGES])
    before = quantized(made, "conv")
    quantized(made, "network")
    assert quantized(made, "conv") == before


def test_quantisation_adds_no_folder_to_the_path_of_imports(tmp_path):
    """ONNX Runtime appends one with modules named ``models`` and ``benchmark``."""
    (tmp_path / "g.onnx").write_bytes(graph())
    code = """
import sys
from pathlib import Path
from detectors.compression.quantization import Quantizer
before = list(sys.path)
Quantizer(Path(sys.argv[1]).read_bytes())
assert "onnxruntime.quantization" in sys.modules
sys.exit(0 if sys.path == before else f"added: {set(sys.path) - set(before)}")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "g.onnx")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_products_saturate_where_a_convolution_of_large_numbers_is_wrong():
    """A quantised convolution, whose exact result is known, is wrong on the same processors as the product of matrices."""
    from onnx import TensorProto, helper, numpy_helper

    value, tensor = helper.make_tensor_value_info, numpy_helper.from_array
    names = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
    constants = {
        "x_scale": np.float32(1),
        "x_zero": np.uint8(0),
        "w": np.full((SIZE, SIZE, 1, 1), 127, np.int8),
        "w_scale": np.float32(1),
        "w_zero": np.int8(0),
        "y_scale": np.float32(SIZE * 255 * 127 / 200),  # an exact result is 200
        "y_zero": np.uint8(0),
    }
    made = helper.make_graph(
        [helper.make_node("QLinearConv", names, ["y"])],
        "g",
        [value("x", TensorProto.UINT8, [1, SIZE, 8, 8])],
        [value("y", TensorProto.UINT8, [1, SIZE, 8, 8])],
        [tensor(np.asarray(each), name) for name, each in constants.items()],
    )
    content = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    (found,) = onnxruntime.InferenceSession(content).run(
        ["y"], {"x": np.full((1, SIZE, 8, 8), 255, np.uint8)}
    )
    assert (found != 200).any() == products_saturate()
