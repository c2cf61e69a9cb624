"""ONNX files as predictors: detbench's own exports, recognised by their metadata."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from detectors.external.class_names import match_classes
from detectors.external.file_model import FileModel, ModelFile
from detectors.external.onnx_models.exported import ExportedModel
from detectors.external.onnx_models.graph_file import GraphFile, read_graph_file
from detectors.external.onnx_models.runtimes import RuntimeFacts, open_session
from detectors.external.onnx_models.settings import OnnxConfig
from detectors.graph.record import ExportRecord, read_record
from metrics.errors import InputError, InputNote


def onnx_predictor(path: Path, config: OnnxConfig, classes: Sequence[str]) -> FileModel:
    """Prepare an ONNX file for a data set with these classes.

    What is found in the file, and how it is computed, is reported as a note.

    Args:
        path: of the file.
        config: settings.
        classes: names of the data set's classes, in the order of their labels.

    Raises:
        InputError: it is no ONNX file, its outputs are unknown, or none of its classes is one of the data set's.
        MachineError: a package is not installed.
    """
    graph = read_graph_file(path)
    record = read_record(graph.metadata, str(path))
    if record is None:
        raise InputError(
            f"{path}: its outputs are not known; export it with `bench export`. Found: {graph.description}"
        )
    return _exported(graph, record, config, classes)


def _exported(
    graph: GraphFile, record: ExportRecord, config: OnnxConfig, classes: Sequence[str]
) -> ExportedModel:
    indices = {name: label for label, name in enumerate(record.classes)}
    labels = match_classes(graph.path.name, indices, classes, config.classes)
    session = open_session(graph, config)
    _report(
        graph, session.facts, f"detbench's export of {record.run or record.variant} with {record.outputs}"
    )
    file = model_file(graph, session.facts, "detbench", record)
    return ExportedModel(file, session, record, config.nms, labels)


def model_file(
    graph: GraphFile, facts: RuntimeFacts, convention: str, record: ExportRecord | None = None
) -> ModelFile:
    """What a result records of the file."""
    return ModelFile(
        graph.path.name,
        graph.sha256,
        graph.size_bytes,
        convention,
        facts.runtime,
        facts.provider,
        facts.precision,
        facts.threads,
        graph.parameters if record is None else record.parameters,
        "" if record is None else record.run,
    )


def _report(graph: GraphFile, facts: RuntimeFacts, what: str) -> None:
    text = f"{graph.path.name}: {what}; computed by {facts.runtime} on {facts.provider} in {facts.precision}"
    warnings.warn(InputNote(text), stacklevel=3)
