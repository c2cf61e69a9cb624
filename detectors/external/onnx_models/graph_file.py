"""An ONNX file before it is computed: inputs, outputs, metadata, parameters and digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.external.file_hash import file_sha256
from metrics.errors import InputError, MachineError
from metrics.messages import reason

Dimension = int | str | None
"""Size of a dimension; its name if it is free, or None if it has no name."""


@dataclass(frozen=True, slots=True)
class GraphValue:
    """An input or output of a graph.

    Attributes:
        name: of the value.
        shape: of each dimension; None if the file does not tell the number of dimensions.
        dtype: NumPy's name of its type.
    """

    name: str
    shape: tuple[Dimension, ...] | None
    dtype: str

    def __str__(self) -> str:
        shape = "?" if self.shape is None else ", ".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name} ({shape}) {self.dtype}"


@dataclass(frozen=True, slots=True)
class GraphFile:
    """What an ONNX file says of itself.

    Attributes:
        path: of the file.
        sha256: of the file, as hex digits.
        size_bytes: of the file.
        inputs, outputs: of its graph.
        metadata: its properties by name.
        parameters: number of stored floating-point and quantised numbers.
        precision: type of most of these, such as ``float32``; ``int8`` if the graph is quantised.
    """

    path: Path
    sha256: str
    size_bytes: int
    inputs: tuple[GraphValue, ...]
    outputs: tuple[GraphValue, ...]
    metadata: Mapping[str, str]
    parameters: int
    precision: str

    @property
    def description(self) -> str:
        """Inputs and outputs in one line."""
        return f"inputs {'; '.join(map(str, self.inputs))}; outputs {'; '.join(map(str, self.outputs))}"


def read_graph_file(path: Path) -> GraphFile:
    """Read an ONNX file without computing it.

    Raises:
        InputError: it is no ONNX file.
        MachineError: the package onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MachineError(
            f"{path}: reading it needs the package onnx; install it with `pip install detbench[onnx]`"
        ) from None
    digest = file_sha256(path)
    try:
        model: Any = onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf raises its own errors
        raise InputError(f"{path}: not a readable ONNX file ({reason(error)})") from None
    graph = model.graph
    if not graph.node or not graph.output:
        raise InputError(f"{path}: not an ONNX file: it has no graph")
    stored = {tensor.name for tensor in graph.initializer}
    parameters, precision = _stored_numbers(graph)
    return GraphFile(
        path,
        digest,
        path.stat().st_size,
        tuple(_value(each) for each in graph.input if each.name not in stored),
        tuple(_value(each) for each in graph.output),
        {entry.key: entry.value for entry in model.metadata_props},
        parameters,
        precision,
    )


def _value(value: Any) -> GraphValue:
    import onnx

    kind = value.type.tensor_type
    dtype = "?" if not kind.elem_type else str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if not kind.HasField("shape"):
        return GraphValue(value.name, None, dtype)
    return GraphValue(value.name, tuple(_dimension(each) for each in kind.shape.dim), dtype)


def _dimension(dimension: Any) -> Dimension:
    if dimension.HasField("dim_value"):
        return int(dimension.dim_value)
    return dimension.dim_param or None


def _stored_numbers(graph: Any) -> tuple[int, str]:
    import onnx

    counts: dict[str, int] = {}
    for tensor in graph.initializer:
        name = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        if name not in ("int64", "bool", "string"):
            number = 1
            for side in tensor.dims:
                number *= side
            counts[name] = counts.get(name, 0) + number
    names = {"float": "float32", "double": "float64"}
    main = max(counts, key=lambda name: counts[name], default="float")
    if any("QuantizeLinear" in node.op_type for node in graph.node):
        main = "int8"
    return sum(counts.values()), names.get(main, main)
