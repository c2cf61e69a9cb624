"""What a run's result records of a file that was evaluated."""

from __future__ import annotations

from bench.pipeline.inference import model_file_of
from detectors.types import Predictor
from reports.records.run import ModelFileFacts


def model_file_facts(predictor: Predictor | None) -> ModelFileFacts | None:
    """The facts of the file that a predictor computes; None for other predictors."""
    known = None if predictor is None else model_file_of(predictor)
    if known is None:
        return None
    file, graph, runtime = known.file, known.file.graph, known.file.runtime
    made = None if file.export is None else file.export.compression
    method = "" if made is None else f"{made.method} ({made.operators})" if made.operators else made.method
    return ModelFileFacts(
        name=file.name,
        sha256=graph.sha256,
        size_bytes=graph.size_bytes,
        convention=file.convention,
        runtime=runtime.runtime,
        provider=runtime.provider,
        precision=runtime.precision,
        threads=runtime.threads,
        parameters=file.parameters,
        run="" if file.export is None else file.export.run,
        compression=method,
        compression_images=0 if made is None else made.images,
        compression_seconds=0.0 if made is None else made.seconds,
    )
