"""The ONNX file of a run in float32, and what is recorded in files that are made of it."""

from __future__ import annotations

from pathlib import Path

from bench.export.onnx_run import export_run
from bench.process.progress import Progress
from bench.runs.provenance import file_digest, package_versions
from detectors.external.onnx_models.graph_file import read_graph_file
from detectors.graph.record import KEY, CompressionFacts, ExportRecord, read_record
from reports.records.run import RunFolder


def exported_file(run: RunFolder, folder: Path, progress: Progress) -> Path:
    """``RUN.onnx`` in a folder; exported unless it is there, of these weights and by this version.

    Raises:
        InputError, MachineError: as `export_run`.
    """
    file = folder / f"{run.result.name}.onnx"
    if not is_exported(run, file):
        with progress.stage("exporting", 1) as stage:
            export_run(run, file)
            stage.advance()
    return file


def is_exported(run: RunFolder, file: Path) -> bool:
    """Whether a file is an export of this run, as this version makes it."""
    record = current_record(run, file)
    return (
        record is not None
        and record.compression is None
        and not record.any_size
        and record.outputs != "detections"
    )


def current_record(run: RunFolder, file: Path) -> ExportRecord | None:
    """The record of a file that this version made of this run's weights; None if there is no such file."""
    if not file.is_file():
        return None
    record = read_record(read_graph_file(file).metadata, str(file))
    made = (file_digest(run.path / RunFolder.WEIGHTS), package_versions().get("detbench", ""))
    return record if record is not None and (record.weights, record.version) == made else None


def with_facts(content: bytes, facts: CompressionFacts) -> bytes:
    """A file with a record of its compression."""
    import onnx

    model = onnx.load_from_string(content)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    record = read_record(properties, "the exported network")
    assert record is not None
    properties[KEY] = record.model_copy(update={"compression": facts}).model_dump_json()
    onnx.helper.set_model_props(model, properties)
    made: bytes = model.SerializeToString()
    return made
