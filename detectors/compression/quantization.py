"""Post-training quantisation of exported detectors to 8-bit integers, by ONNX Runtime.

Static quantisation in the QDQ format (Jacob et al. 2018, arXiv:1712.05877): activations are uint8 with one scale per tensor, whose range
is measured on calibration images; weights are int8 with one scale per output channel.
"""

from __future__ import annotations

import copy
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.compression.fake_quantization import InputRange
from detectors.compression.operator_sets import OperatorSet, operator_sets
from metrics.errors import InputError

Array = NDArray[np.float32]


@contextmanager
def _kept_path() -> Iterator[None]:
    """Block after which ``sys.path`` is as before: the first import of ``onnxruntime.quantization`` appends a folder with modules of
    names such as ``models`` and ``benchmark``.
    """
    before = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = before


class Quantizer:
    """A graph that is ready to be calibrated once and quantised in several ways.

    Args:
        content: of an ONNX file with one input, ``images``.

    Attributes:
        sets: the sets of operators that can be quantised.

    Raises:
        InputError: the graph has no operator that can be quantised.
    """

    def __init__(self, content: bytes) -> None:
        with _kept_path():
            from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

        self._model = _prepared(content)
        self._types = sorted({*QDQRegistry, *QLinearOpsRegistry})
        self.sets: list[OperatorSet] = operator_sets(self._model, self._types)
        if not self.sets:
            raise InputError("the graph has no operator that can be quantised; export another network")
        self._ranges: Any = None

    def calibrate(self, batches: Iterable[Array]) -> None:
        """Measure the range of every activation: the smallest and the largest value on all images.

        Args:
            batches: (B, 3, H, W) images in [0, 1]; only the ranges of a batch are kept.

        Raises:
            InputError: no images, or an activation that is not finite.
        """
        from onnxruntime.quantization.calibrate import CalibrationMethod, create_calibrator

        with tempfile.TemporaryDirectory() as folder, _quiet():
            file = Path(folder) / "model.onnx"
            file.write_bytes(self._model.SerializeToString())
            calibrator: Any = create_calibrator(
                file,
                self._types,
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=CalibrationMethod.MinMax,
            )
            try:
                calibrator.collect_data(_Reader(batches))
            except ValueError as error:
                raise InputError(f"calibration: {error}; give at least one training image") from None
            self._ranges = calibrator.compute_data()

    def set_input_ranges(self, ranges: Sequence[InputRange]) -> None:
        """Use ranges from training for the inputs of convolutions, instead of those that `calibrate` measured.

        Args:
            ranges: of convolutions of the network that was exported, in any order.

        Raises:
            InputError: the graph has none of these convolutions.
        """
        import onnx
        from onnxruntime.quantization.calibrate import TensorData

        assert self._ranges is not None, "calibrate first"
        weights = {each.name: onnx.numpy_helper.to_array(each) for each in self._model.graph.initializer}
        found = 0
        for node in self._model.graph.node:
            if node.op_type != "Conv" or node.input[1] not in weights or node.input[0] not in self._ranges:
                continue
            own = next((each for each in ranges if each.belongs_to(weights[node.input[1]])), None)
            if own is not None:
                low, high = np.float32(own.low), np.float32(own.high)
                self._ranges[node.input[0]] = TensorData(lowest=low, highest=high)
                found += 1
        if not found:
            raise InputError(
                "the exported graph has none of the convolutions that were trained with rounding, so their ranges are unknown; "
                "quantise the run without --finetune"
            )

    def quantize(self, chosen: OperatorSet) -> bytes:
        """Contents of an ONNX file with these operators in 8 bits; metadata are those of the given file.

        Call `calibrate` before.
        """
        import onnx
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        assert self._ranges is not None, "calibrate first"
        copied = onnx.ModelProto()
        copied.CopyFrom(self._model)
        with _quiet():
            quantizer: Any = QDQQuantizer(
                copied,
                per_channel=True,
                reduce_range=False,
                weight_qType=QuantType.QInt8,
                activation_qType=QuantType.QUInt8,
                tensors_range=copy.deepcopy(self._ranges),  # the quantiser changes those before a Relu
                nodes_to_quantize=list(chosen.nodes),
                nodes_to_exclude=[],
                op_types_to_quantize=self._types,
                extra_options={},
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
        made: Any = quantizer.model.model
        made.producer_name, made.producer_version = self._model.producer_name, self._model.producer_version
        del made.metadata_props[:]
        made.metadata_props.extend(self._model.metadata_props)
        onnx.checker.check_model(made)
        content: bytes = made.SerializeToString()
        return content


class _Reader:
    """Batches as ONNX Runtime's calibrator reads them."""

    def __init__(self, batches: Iterable[Array]) -> None:
        self._batches: Iterator[Array] = iter(batches)

    def get_next(self) -> dict[str, Array] | None:
        images = next(self._batches, None)
        return None if images is None else {"images": images}


def _prepared(content: bytes) -> Any:
    """The graph with the shape of every value, which the quantiser needs, and a name for every operator."""
    import onnx

    model: Any = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    taken = {node.name for node in model.graph.node}
    if len(taken) < len(model.graph.node) or "" in taken:
        for number, node in enumerate(model.graph.node):
            node.name = f"{node.op_type}_{number}"
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that ONNX Runtime's quantiser logs."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
