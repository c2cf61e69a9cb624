"""Cross-validation: the runs of all folds of one model and seed, pooled to a run on all images of the data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.annotated_images import AnnotatedImages
from bench.data.union import unite_images
from bench.designs.levels import Level, LevelRuns
from bench.runs.context import RunContext
from bench.runs.folders import create_run_folder, digest, is_done, slug
from bench.settings import toml
from metrics.atomic_files import atomic_write
from metrics.evaluator import evaluate
from metrics.match_rule import MatchRule
from metrics.plurals import agree, plural
from metrics.tables import AnnotationTable, DetectionTable
from reports.analysis.folds import FOLD
from reports.records.run import Budget, RunFolder, RunResult, save_result


def fold_levels(folds: int) -> list[Level]:
    """The levels of a cross-validation."""
    return [
        Level(f"fold {fold} of {folds}", {"data.folds": folds, "data.fold": fold})
        for fold in range(1, folds + 1)
    ]


def pool_levels(levels: Sequence[LevelRuns], out: Path, context: RunContext) -> list[RunFolder]:
    """One run on all images for each cell whose runs are finished in every fold; others are reported."""
    cells = sorted({cell for level in levels for cell in level.runs})
    pooled = []
    for cell in cells:
        runs = [level.runs[cell] for level in levels if cell in level.runs]
        if len(runs) < len(levels):
            context.progress.message(
                f"{runs[0].result.variant}, seed {runs[0].result.seed}: {len(runs)} of {plural(len(levels), 'fold')} {agree(len(runs), 'is', 'are')} finished; not included"
            )
            continue
        pooled.append(pool_folds(runs, out, context))
    return pooled


def pool_folds(runs: Sequence[RunFolder], out: Path, context: RunContext) -> RunFolder:
    """Write the out-of-fold detections of one model and seed as a run on all images, or reuse it.

    The images have a column `reports.analysis.folds.FOLD` with the number of their fold. The run has no weights.

    Args:
        runs: of each fold, in order.
        out: parent folder of the run.
        context: progress and the command to record.
    """
    first = runs[0].result
    name = f"{slug(first.variant)}-{slug(first.data.name)}"
    cause = digest([run.result.name for run in runs])
    seed = "" if first.seed is None else f"-{first.seed}"
    folder = out / f"{name}{seed}-{len(runs)}folds-{cause}"
    if is_done(folder) and not context.fresh:
        context.progress.message(f"{folder.name}: reusing the finished run")
        return RunFolder.open(folder)
    with create_run_folder(folder, replace=context.fresh) as partial:
        if partial is None:
            return RunFolder.open(folder)
        truth, detections = pool_tables([run.truth for run in runs], [run.detections for run in runs])
        settings = first.config.get("evaluate", {})
        rule = MatchRule(max_dets=tuple(settings["max_dets"])) if "max_dets" in settings else MatchRule()
        evaluation = evaluate(truth, detections, rule=rule)
        result = _result(folder.name, [run.result for run in runs], truth, evaluation.headline, context)
        file = runs[0].path / RunFolder.CONFIG
        if file.is_file():
            atomic_write(partial / RunFolder.CONFIG, toml.write(_without_fold(toml.read(file))))
        saved = save_result(partial, result, truth, detections, matches=evaluation.matches)
    return saved.replace(path=folder)


def pool_tables(
    truths: Sequence[AnnotationTable], detections: Sequence[DetectionTable]
) -> tuple[AnnotationTable, DetectionTable]:
    """The ground truth and detections of all folds in one table each, with the column `FOLD` of the images.

    Objects are in the order of the images, and detections too; those of one image keep their order.

    Args:
        truths: of each fold; no image is in two of them.
        detections: of each fold.
    """
    pieces = [AnnotatedImages(None, truth, (Path(),) * len(truth.catalog.image_ids)) for truth in truths]
    united, order = unite_images(pieces, None)
    sizes = [len(truth.catalog.image_ids) for truth in truths]
    fold = np.repeat(np.arange(1, len(truths) + 1), sizes)[order]
    catalog = united.truth.catalog
    catalog = replace(catalog, image_columns={**catalog.image_columns, FOLD: tuple(fold.tolist())})
    truth = replace(united.truth, catalog=catalog).take(np.argsort(united.truth.image, kind="stable"))
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    starts = np.cumsum([0, *sizes])
    columns = {
        name: np.concatenate([table.columns()[name] for table in detections])
        for name in detections[0].columns()
    }
    columns["image"] = np.concatenate(
        [place[start + table.image] for start, table in zip(starts, detections, strict=False)]
    )
    found = DetectionTable(catalog, **columns)
    return truth, found.take(np.argsort(found.image, kind="stable"))


def _result(
    name: str,
    results: Sequence[RunResult],
    truth: AnnotationTable,
    headline: Mapping[str, float],
    context: RunContext,
) -> RunResult:
    first = results[0]
    started = [result.started for result in results if result.started is not None]
    finished = [result.finished for result in results if result.finished is not None]
    trained = [result.data.train_images for result in results if result.data.train_images is not None]
    data = first.data.model_copy(
        update={
            "split": "folds",
            "fingerprint": truth.fingerprint,
            "content": "",
            "images": len(truth.catalog.image_ids),
            "objects": len(truth),
            "train_images": round(sum(trained) / len(trained)) if trained else None,
            "leaked": 0,
            "notes": tuple(dict.fromkeys(note for result in results for note in result.data.notes)),
        }
    )
    return RunResult.model_validate(
        first.model_dump()
        | {
            "name": name,
            "data": data,
            "config": _without_fold(first.config),
            "budget": _budget([result.budget for result in results]),
            "headline": dict(headline),
            "score_threshold": None,
            "protocols": {},
            "masks": {},
            "command": context.command,
            "files": {},
            "warnings": tuple(dict.fromkeys(text for result in results for text in result.warnings)),
            "started": min(started, default=None),
            "finished": max(finished, default=None),
        }
    )


def _budget(budgets: Sequence[Budget]) -> Budget:
    """Of all folds together; epochs and parameters are those of one."""
    sums = {}
    for name in ("images_seen", "train_seconds", "total_seconds"):
        values = [getattr(budget, name) for budget in budgets]
        sums[name] = None if None in values else sum(values)
    return budgets[0].model_copy(update=sums)


def _without_fold(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of all folds: `data.folds` stays."""
    data = {name: value for name, value in settings.get("data", {}).items() if name != "fold"}
    return {**json.loads(json.dumps(dict(settings))), "data": data}
