"""ONNX files of detectors, by torch's exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from detectors.graph.candidates import GraphSource, graph_source
from detectors.graph.record import KEY, ExportRecord
from detectors.graph.selection import GraphCandidates, GraphNMS
from detectors.nms import NMSConfig
from metrics.errors import InputError, MachineError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages of the extra `onnx`."""


def require_packages(packages: Sequence[str] = PACKAGES, extra: str = "onnx") -> None:
    """Raise `MachineError` if a package of an extra is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MachineError(
            f"{', '.join(missing)}: not installed; install the extra: pip install 'detbench[{extra}]'"
        )


class ExportGraph(nn.Module):
    """A detector from images to what its file contains; see `ExportRecord.outputs`.

    Args:
        source: computes candidates or probabilities.
        nms: NMS inside the graph; None for candidates.
    """

    def __init__(self, source: GraphSource, nms: GraphNMS | None) -> None:
        super().__init__()
        self.source = source.module
        self.any_size = source.any_size
        self.nms = nms

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The outputs of the file."""
        found = self.source(images)
        if not isinstance(found, GraphCandidates):
            return (found,)
        if self.nms is not None:
            return tuple(self.nms(found))
        levels = [torch.full((1,), count) for count in found.levels] if self.any_size else []
        return (found.boxes, found.scores, torch.cat(levels)) if levels else (found.boxes, found.scores)


def onnx_file(detector: Any, record: ExportRecord) -> tuple[bytes, ExportRecord]:
    """Export a detector to an ONNX file of one piece.

    Args:
        detector: in evaluation mode, on the CPU, in float32.
        record: of the file; its fields `outputs`, `levels`, `candidates`, `components` and `parameters` are filled in here.
            `outputs` is ``detections`` for NMS inside the graph.

    Returns:
        Contents of the file, and the record in it.

    Raises:
        InputError: this detector cannot be exported, or not with NMS or for any size; the message says why.
        MachineError: a package is missing.
    """
    require_packages()
    graph, record = _prepared(detector, record)
    import onnx
    from onnxscript import ir

    program = _exported(graph, record)
    _strip(program.model)
    model: Any = ir.to_proto(program.model)
    model.producer_name, model.producer_version = "detbench", record.version
    onnx.helper.set_model_props(model, {KEY: record.model_dump_json()})
    onnx.checker.check_model(model)
    return model.SerializeToString(), record


def _prepared(detector: Any, record: ExportRecord) -> tuple[ExportGraph, ExportRecord]:
    """The graph to export, and the record with what is known of it."""
    source = graph_source(detector, None if record.any_size else record.size)
    inside = record.outputs == "detections"
    if record.any_size and not source.any_size:
        raise InputError(
            f"{record.variant}: this network is made for one image size; export without --any-size"
        )
    if inside and source.candidates is None:
        raise InputError(
            f"{record.variant}: its detections are connected components, for which ONNX has no operator; export without --nms"
        )
    known: dict[str, Any] = {
        "candidates": source.candidates,
        "parameters": sum(parameter.numel() for parameter in detector.parameters()),
    }
    if source.candidates is None:
        known |= {"outputs": "probabilities", "components": detector.components}
    else:
        with torch.no_grad():
            levels = source.module(torch.zeros(1, 3, *record.size)).levels
        known["levels"] = tuple(levels)
    graph = ExportGraph(
        source._replace(any_size=record.any_size), _nms(source, record.nms) if inside else None
    )
    return graph.eval(), record.model_copy(update=known)


def _nms(source: GraphSource, nms: NMSConfig) -> GraphNMS:
    assert source.candidates is not None
    return GraphNMS(source.candidates, nms)


OUTPUT_NAMES = {
    "candidates": ("boxes", "scores"),
    "detections": ("boxes", "scores", "labels"),
    "probabilities": ("probabilities",),
}
"""Names of the graph's outputs."""


def _exported(graph: ExportGraph, record: ExportRecord) -> Any:
    from detectors.graph.translation import OPSET, translations

    names = [*OUTPUT_NAMES[record.outputs]]
    sizes: dict[int, Any] = {0: torch.export.Dim("batch", min=1)}
    if record.any_size:
        names += ["levels"] if record.outputs == "candidates" else []
        sizes |= {2: torch.export.Dim("height", min=32), 3: torch.export.Dim("width", min=32)}
    images = torch.rand(2, 3, *record.size, generator=torch.Generator().manual_seed(0))
    with _quiet(), torch.no_grad():
        return torch.onnx.export(
            graph,
            (images,),
            dynamo=True,
            external_data=False,
            input_names=["images"],
            output_names=names,
            dynamic_shapes={"images": sizes},
            opset_version=OPSET,
            custom_translation_table=translations(),
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks of the exporter, which concern its own code."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "torch.onnx", "onnx_ir")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _strip(model: Any) -> None:
    """Remove what the exporter notes of the Python code, which contains paths of this machine."""
    model.metadata_props.clear()
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        graph.metadata_props.clear()
        graph.doc_string = None
        for node in graph:
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
                value.doc_string = None
        for value in (*graph.inputs, *graph.initializers.values()):
            value.metadata_props.clear()
            value.doc_string = None
