"""ONNX files as predictors: detbench's own exports, and files of other programs by convention."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from detectors.external.class_names import match_classes
from detectors.external.file_model import FileModel, ModelFile
from detectors.external.network_input import NetworkInput
from detectors.external.onnx_models.class_indices import class_indices
from detectors.external.onnx_models.conventions import CONVENTIONS
from detectors.external.onnx_models.conventions.convention import Convention, declared_size, input_size
from detectors.external.onnx_models.exported import ExportedModel
from detectors.external.onnx_models.foreign import ForeignModel
from detectors.external.onnx_models.graph_file import GraphFile, read_graph_file
from detectors.external.onnx_models.runtimes import RuntimeFacts, open_session
from detectors.external.onnx_models.settings import OnnxConfig, OnnxInputConfig
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
    record = read_record(graph.metadata, str(path)) if config.outputs in ("auto", "detbench") else None
    if record is not None:
        return _exported(graph, record, config, classes)
    if config.outputs == "detbench":
        raise InputError(f"{path}: has no record of an export by detbench; remove outputs=detbench")
    return _foreign(graph, find_convention(graph, config.outputs), config, classes)


def find_convention(graph: GraphFile, name: str) -> Convention:
    """The convention of that name, or for ``auto`` the only one that matches the file.

    Raises:
        InputError: none or several match; the message lists what was found in the file.
    """
    if name != "auto":
        return CONVENTIONS[name]
    matching = [each for each in CONVENTIONS.values() if each.matches(graph)]
    if len(matching) == 1:
        return matching[0]
    which = f"match {', '.join(each.name for each in matching)}" if matching else "are not known"
    raise InputError(
        f"{graph.path}: its outputs {which}; name their convention, as in --set outputs={(matching or [*CONVENTIONS.values()])[0].name} "
        f"(of {', '.join(CONVENTIONS)}). Found: {graph.description}"
    )


def _foreign(
    graph: GraphFile, convention: Convention, config: OnnxConfig, classes: Sequence[str]
) -> ForeignModel:
    name = graph.path.name
    given = config.input
    wanted = _network_input(graph, convention, given)
    pixels = given.pixels or convention.pixels
    found = class_indices(
        name,
        convention.names(graph),
        convention.classes(graph),
        convention.background,
        classes,
        config.classes,
    )
    labels = match_classes(name, found.indices, classes, config.classes)
    session = open_session(graph, config)
    how = (
        "images in their own size"
        if wanted is None
        else f"input {wanted.size[0]}x{wanted.size[1]} ({wanted.resize})"
    )
    _report(graph, session.facts, f"read as {convention.name} ({convention.source}): {how}, pixels {pixels}")
    return ForeignModel(
        ModelFile(graph, session.facts, convention.name),
        session,
        graph,
        convention,
        wanted,
        pixels,
        config.nms,
        labels,
        found.number,
    )


def _network_input(graph: GraphFile, convention: Convention, given: OnnxInputConfig) -> NetworkInput | None:
    """How images enter a file: None if they keep their own size.

    Raises:
        InputError: the file leaves the size free, and nothing gives it.
    """
    fixed = input_size(graph)
    if fixed is not None and given.size not in (None, fixed):
        raise InputError(
            f"input.size: the input of {graph.path.name} is {fixed[0]}x{fixed[1]}; remove the setting, or export the model again"
        )
    size = fixed or given.size or declared_size(graph)
    resize = given.resize or convention.resize
    if size is None and resize is None:
        return None
    if size is None:
        raise InputError(
            f"input.size: the input of {graph.path.name} is free; give the size for which the model was trained, as in --set "
            "input.size=640,640"
        )
    fill = convention.fill if given.fill is None else given.fill
    return NetworkInput(size, resize or "stretch", fill, convention.antialias)


def _exported(
    graph: GraphFile, record: ExportRecord, config: OnnxConfig, classes: Sequence[str]
) -> ExportedModel:
    indices = {name: label for label, name in enumerate(record.classes)}
    labels = match_classes(graph.path.name, indices, classes, config.classes)
    session = open_session(graph, config)
    _report(
        graph, session.facts, f"detbench's export of {record.run or record.variant} with {record.outputs}"
    )
    file = ModelFile(graph, session.facts, "detbench", record)
    return ExportedModel(file, session, record, config.nms, labels)


def _report(graph: GraphFile, facts: RuntimeFacts, what: str) -> None:
    text = f"{graph.path.name}: {what}; computed by {facts.runtime} on {facts.provider} in {facts.precision}"
    warnings.warn(InputNote(text), stacklevel=3)
