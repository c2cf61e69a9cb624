"""Detections of other programs as a run that can be compared."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.runs.folders import create_run_folder, digest, slug
from bench.runs.provenance import environment
from metrics.evaluation import Evaluation
from reports.records.run import SCHEMA_VERSION, Budget, DataFacts, RunFolder, RunResult, save_result


def save_external(
    name: str,
    evaluation: Evaluation,
    out: Path,
    *,
    data: str,
    format: str = "",
    source: str = "",
    command: str = "",
    warnings: tuple[str, ...] = (),
    show_paths: bool = False,
    by_protocol: Evaluation | None = None,
    page: bool = True,
) -> RunFolder:
    """Write the run folder of detections from another program; it has no training, weights or seed.

    Args:
        name: name of the detector in tables.
        evaluation: the detections, matched and evaluated.
        out: parent folder.
        data: name of the data set in tables.
        format: of the data set; empty where ground truth and detections were read from files without one.
        source: origin of the detections.
        command: command line to record.
        warnings: warnings about the files.
        show_paths: keep absolute paths in the report.
        by_protocol: the evaluation of the same detections by a benchmark's protocol, whose numbers are kept.
        page: write ``report.html`` into the folder.
    """
    truth, detections = evaluation.matches.truth, evaluation.matches.detections
    started, began = datetime.now(UTC), time.monotonic()
    cause = {
        "schema": SCHEMA_VERSION,
        "name": name,
        "truth": truth.fingerprint,
        "found": detections.fingerprint,
    }
    folder = out / f"{slug(name)}-{slug(data)}-{digest(cause)}"
    with create_run_folder(folder, replace=True) as partial:
        assert partial is not None  # it replaces a finished run
        result = RunResult(
            name=folder.name,
            variant=name,
            variant_source=source,
            data=DataFacts(
                name=data,
                format=format,
                split="given",
                fingerprint=truth.fingerprint,
                images=len(truth.catalog.image_ids),
                objects=len(truth),
                classes=len(truth.catalog.classes),
            ),
            budget=Budget(total_seconds=round(time.monotonic() - began, 3)),
            headline=dict(evaluation.headline),
            protocols={} if by_protocol is None else _protocol_numbers(by_protocol),
            environment=environment(),
            command=command,
            warnings=warnings,
            started=started,
            finished=datetime.now(UTC),
        )
        saved = save_result(partial, result, truth, detections, matches=evaluation.matches)
        if page:
            from reports.pages import write_report  # imports Matplotlib

            write_report([saved], partial, show_paths=show_paths)
    return saved.replace(path=folder)


def _protocol_numbers(evaluation: Evaluation) -> dict[str, dict[str, float | None]]:
    """The numbers over all classes by the name of their protocol; None where undefined."""
    numbers = {
        row.name: None if math.isnan(row.value) else row.value
        for row in evaluation.rows
        if not row.class_name
    }
    return {evaluation.protocol: numbers}
