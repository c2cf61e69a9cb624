"""Detections that were made elsewhere, as a run that can be compared with ours."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from bench.runs.folders import create_run_folder, digest, slug
from bench.runs.provenance import environment
from metrics.evaluation import Evaluation
from metrics.tables import AnnotationTable, DetectionTable
from reports.pages import write_report
from reports.records.run import SCHEMA_VERSION, Budget, DataFacts, RunFolder, RunResult, save_result


def save_external(
    name: str,
    truth: AnnotationTable,
    found: DetectionTable,
    evaluation: Evaluation,
    out: Path,
    *,
    data: str,
    source: str = "",
    command: str = "",
    warnings: tuple[str, ...] = (),
    show_paths: bool = False,
) -> RunFolder:
    """Write the folder of a run whose detections somebody else made; it has no training, weights or seed.

    Args:
        name: what tables call the detector.
        truth: what it was measured against.
        found: what it found.
        evaluation: the numbers.
        out: the folder of run folders.
        data: what tables call the data.
        source: where the detections come from.
        command: what was typed.
        warnings: what was odd about the files.
        show_paths: leave absolute paths on the page.
    """
    started, began = datetime.now(UTC), time.monotonic()
    cause = {
        "schema": SCHEMA_VERSION,
        "name": name,
        "truth": truth.fingerprint,
        "found": found.fingerprint,
    }
    folder = out / f"{slug(name)}-{slug(data)}-{digest(cause)}"
    with create_run_folder(folder) as partial:
        result = RunResult(
            name=folder.name,
            variant=name,
            variant_source=source,
            data=DataFacts(
                name=data,
                format="files",
                split="given",
                fingerprint=truth.fingerprint,
                images=len(truth.catalog.image_ids),
                objects=len(truth),
                classes=len(truth.catalog.classes),
            ),
            budget=Budget(total_seconds=round(time.monotonic() - began, 3)),
            headline=dict(evaluation.headline),
            environment=environment(),
            command=command,
            warnings=warnings,
            started=started,
            finished=datetime.now(UTC),
        )
        saved = save_result(partial, result, truth, found)
        write_report([saved], partial, show_paths=show_paths)
    return RunFolder.open(folder)
