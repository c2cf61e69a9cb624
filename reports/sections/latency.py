"""Latency by stage, throughput by batch size, and what was timed on which machine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from reports.analysis.report_data import ReportData
from reports.analysis.speed import COMMAND, Speed, TimedModel, best_rate
from reports.elements import formatting
from reports.elements.page import Cell, Figure, Link, PageTable, Section, TableColumn, TableRow
from reports.figures.box_plot import Box, boxes
from reports.figures.lines import Curve, LineAxes, lines
from reports.records.timing import END_TO_END, NOISY, STAGES, StageTimes
from reports.sections.speed_cells import interval_note, percentile_cell

NAMES = {
    "decode": "reading and decoding",
    "preprocess": "preprocessing",
    "forward": "network",
    "postprocess": "decoding and NMS",
    "predict": "network and NMS",
    END_TO_END: "end to end",
}
"""Names of the stages."""

NOT_TIMED = f"No run was timed. `{COMMAND}` adds latency, throughput and memory to this page."


def section(report: ReportData, speed: Speed) -> Section:
    """Latency by stage, throughput and memory by batch size; a sentence if no run was timed."""
    if not speed.known:
        finding = (
            NOT_TIMED if not speed.left_out else f"There is no valid timing. `{COMMAND}` repeats the timing."
        )
        return Section("latency", "Latency", finding, warnings=speed.left_out)
    several = len(speed.machines) > 1
    figures: list[Figure] = []
    for at, (machine, models) in enumerate(speed.machines):
        timed = [one for one in speed.known if one.model in models]
        suffix = "" if at == 0 else f"-{at + 1}"
        where = f" on {formatting.printable(machine.name)}" if several else ""
        figures += _figures(report, timed, suffix, where)
    tables = [
        _stages_table(report, speed),
        _batches_table(report, speed),
        _subjects_table(report, speed),
    ]
    return Section(
        "latency",
        "Latency",
        _finding(report, speed),
        figures=figures,
        tables=tables,
        warnings=_warnings(report, speed),
        method=_method(speed),
        links=(Link("timings.csv", "all stages, modes and batch sizes"),),
    )


def rows(report: ReportData, speed: Speed) -> pd.DataFrame:
    """One row per model, mode, batch size and stage: ``timings.csv``."""
    made = []
    for timed in speed.known:
        rates = {run.batch: run for run in timed.timing.batches}
        for times in timed.timing.stages:
            row = {
                "run_id": timed.timing.run,
                "model_id": report.models[timed.model].label,
                "hardware": timed.timing.machine.fingerprint,
                "mode": times.mode,
                "batch": times.batch,
                "stage": times.stage,
                "samples": times.samples,
                "mean_ms": times.mean_ms,
            }
            for one in times.percentiles:
                name = f"p{100 * one.p:g}"
                row |= {
                    f"{name}_ms": one.value_ms,
                    f"{name}_low_ms": one.low_ms,
                    f"{name}_high_ms": one.high_ms,
                }
            row |= {"iqr_ms": times.quartile_high_ms - times.quartile_low_ms, "outliers": times.outliers}
            run = rates.get(times.batch)
            counts = run is not None and times.stage == END_TO_END and times.mode == "real"
            row |= {
                "images_per_second": run.images_per_second if run and counts else None,
                "memory_bytes": run.memory_bytes if run and counts else None,
            }
            made.append(row)
    return pd.DataFrame(made)


def _finding(report: ReportData, speed: Speed) -> str:
    parts = []
    for machine, models in speed.machines:
        timed = sorted((one for one in speed.known if one.model in models), key=lambda one: one.median_ms)
        each = [f"{report.labels[one.model]} {formatting.milliseconds(one.median_ms)}" for one in timed]
        parts.append(
            f"Median latency of one image from file to detections on {formatting.printable(machine.name)}: "
            f"{formatting.join_words(each)}."
        )
    return " ".join(parts)


def _figures(report: ReportData, timed: Sequence[TimedModel], suffix: str, where: str) -> list[Figure]:
    labels = report.labels
    by_model = {one.model: one for one in timed}
    curves: list[list[Curve]] = [
        [_ecdf(by_model[number].samples_ms)] if number in by_model else [] for number in range(len(labels))
    ]
    medians = [f"{labels[one.model]} {formatting.milliseconds(one.median_ms)}" for one in timed]
    ecdf = lines(
        f"latency-ecdf{suffix}", f"Cumulative distribution of latency{where}", f"Median latency: {formatting.join_words(medians)}.",
        labels, curves, LineAxes("latency from file to detections (ms)", "share of images", y_limits=(0, 1), log_x=True),
    )  # fmt: skip
    stages = [stage for stage in STAGES if any(one.timing.stage(stage) for one in timed)]
    values = [
        [_box(by_model[number].timing.stage(stage)) for stage in stages]
        if number in by_model
        else [None] * len(stages)
        for number in range(len(labels))
    ]
    by_stage = boxes(
        f"latency-stages{suffix}", f"Latency by stage, single images{where}", _stages_finding(report, timed),
        [NAMES[stage] for stage in stages], labels, values, "latency (ms)",
    )  # fmt: skip
    drawn = [
        ecdf,
        replace(
            by_stage,
            caption=f"{by_stage.finding} Markers are medians; thick bars span the quartiles, thin bars the 1st to 99th percentile.",
        ),
    ]
    if any(len(_rates(one)[0]) > 1 for one in timed):
        throughput: list[list[Curve]] = [
            [_rates(by_model[number])] if number in by_model else [] for number in range(len(labels))
        ]
        sizes = tuple(float(run.batch) for run in timed[0].timing.batches)
        named = LineAxes("batch size", "images per second", log_x=True, ticks=sizes)
        title, finding = f"Throughput by batch size{where}", _rates_finding(report, timed)
        drawn.append(lines(f"throughput{suffix}", title, finding, labels, throughput, named))
    return drawn


def _ecdf(ms: np.ndarray) -> Curve:
    """The empirical cumulative distribution, thinned to 200 points."""
    ordered = np.sort(ms)
    shares = np.arange(1, len(ordered) + 1) / len(ordered)
    kept = np.unique(np.linspace(0, len(ordered) - 1, 200).round().astype(int))
    return ordered[kept], shares[kept]


def _box(times: StageTimes | None) -> Box | None:
    """None if the stage has too few samples."""
    if times is None or times.median_ms is None:
        return None
    low, high = times.quartile_low_ms, times.quartile_high_ms
    return times.whisker_low_ms, low, times.median_ms, high, times.whisker_high_ms


def _stages_finding(report: ReportData, timed: Sequence[TimedModel]) -> str:
    parts = []
    for one in timed:
        medians = {
            stage: times.median_ms
            for stage in STAGES
            if stage != END_TO_END and (times := one.timing.stage(stage)) and times.median_ms
        }
        if medians:
            longest = max(medians, key=lambda stage: medians[stage])
            share = medians[longest] / sum(medians.values())
            parts.append(f"{NAMES[longest]} for {report.labels[one.model]} ({share:.0%})")
    return f"Slowest stage: {formatting.join_words(parts)}."


def _rates(timed: TimedModel) -> Curve:
    measured = [run for run in timed.timing.batches if run.images_per_second is not None]
    return (
        np.array([float(run.batch) for run in measured]),
        np.array([run.images_per_second for run in measured], dtype=np.float64),
    )


def _rates_finding(report: ReportData, timed: Sequence[TimedModel]) -> str:
    parts = []
    for one in timed:
        run = best_rate(one)
        if run is not None and run.images_per_second is not None:
            rate = formatting.three_digits(run.images_per_second)
            parts.append(f"{report.labels[one.model]} {rate} images/s (batch size {run.batch})")
    return f"Highest throughput: {formatting.join_words(parts)}."


def _warnings(report: ReportData, speed: Speed) -> list[str]:
    warnings = [*speed.left_out]
    names = report.labels
    noisy = [
        f"{names[one.model]} ({same.spread:.0%})"
        for one in speed.known
        if one.timing.noisy and (same := one.timing.stage(mode="fixed"))
    ]
    if noisy:
        warnings.append(
            f"Noisy timing: for repeated passes on the same image, the interquartile range exceeds {NOISY:.0%} of the median for "
            f"{formatting.join_words(noisy)}. Repeat the timing on an idle machine."
        )
    for one in speed.known:
        warnings += [f"{names[one.model]}: {formatting.printable(note)}." for note in one.timing.notes]
    if len(speed.machines) > 1:
        warnings.append("The models were timed on different machines, so their times cannot be compared.")
    return warnings


def _stages_table(report: ReportData, speed: Speed) -> PageTable:
    made = []
    for timed in speed.known:
        for times in timed.timing.stages:
            if times.batch > 1 or (times.mode == "fixed" and times.stage != END_TO_END):
                continue
            name = NAMES[times.stage] + (", same image" if times.mode == "fixed" else "")
            cells = (
                Cell(report.labels[timed.model]),
                Cell(name),
                *(percentile_cell(times, p) for p in (0.5, 0.9, 0.99)),
                Cell(f"{times.spread:.0%}", times.spread),
                Cell(formatting.count(times.samples), times.samples, note=_outliers(times)),
            )
            made.append(TableRow(cells, series=timed.model))
    columns = (
        TableColumn("Model"), TableColumn("Stage"), TableColumn("p50", numeric=True), TableColumn("p90", numeric=True),
        TableColumn("p99", numeric=True), TableColumn("IQR / median", numeric=True), TableColumn("Samples", numeric=True),
    )  # fmt: skip
    caption = "Latency of single images by stage in milliseconds, with 95% confidence intervals"
    return PageTable("latency-table", caption, columns, tuple(made), searchable=len(made) > 24)


def _outliers(times: StageTimes) -> str:
    return formatting.plural(times.outliers, "outlier") if times.outliers else ""


def _batches_table(report: ReportData, speed: Speed) -> PageTable:
    made = []
    for timed in speed.known:
        for run in timed.timing.batches:
            if run.status != "measured":
                cells = (
                    Cell(report.labels[timed.model]), Cell(str(run.batch), run.batch), Cell(run.status),
                    Cell(formatting.MISSING), Cell(formatting.MISSING),
                )  # fmt: skip
            else:
                kept = (
                    f"{formatting.byte_size(run.reserved_bytes)} reserved by torch"
                    if run.reserved_bytes
                    else ""
                )
                cells = (
                    Cell(report.labels[timed.model]),
                    Cell(str(run.batch), run.batch),
                    Cell(
                        formatting.three_digits(run.images_per_second),
                        run.images_per_second,
                        note=interval_note(run.low, run.high),
                    ),
                    Cell(
                        formatting.three_digits(run.detector_images_per_second),
                        run.detector_images_per_second,
                    ),
                    Cell(formatting.byte_size(run.memory_bytes), run.memory_bytes, note=kept),
                )
            made.append(TableRow(cells, series=timed.model))
    columns = (
        TableColumn("Model"), TableColumn("Batch size", numeric=True), TableColumn("Images/s", numeric=True),
        TableColumn("Images/s, network and NMS", numeric=True), TableColumn("Peak memory", numeric=True),
    )  # fmt: skip
    caption = "Throughput and memory by batch size, with 95% confidence intervals"
    return PageTable("throughput-table", caption, columns, tuple(made))


def _subjects_table(report: ReportData, speed: Speed) -> PageTable:
    made = []
    for timed in speed.known:
        subject, machine, processes = timed.timing.subject, timed.timing.machine, timed.timing.processes
        first = float(np.median([process.first_call_ms for process in processes])) if processes else math.nan
        others = [process.other_cores for process in processes if process.other_cores is not None]
        dtype = f"{subject.dtype}{f', {subject.autocast} autocast' * bool(subject.autocast)}"
        size = (
            "original size"
            if subject.input_size is None
            else f"{subject.input_size[0]} × {subject.input_size[1]}"
        )
        layout = ", channels last" * subject.channels_last + ", compiled" * subject.compiled
        cells = (
            Cell(report.labels[timed.model]),
            Cell(formatting.printable(machine.name), note=formatting.printable(_machine_note(timed))),
            Cell(size, note=subject.resize),
            Cell(dtype + layout),
            Cell(formatting.printable(_settings(subject.nms)) or formatting.MISSING),
            Cell(
                formatting.large_number(subject.parameters),
                subject.parameters,
                note=formatting.byte_size(subject.weights_bytes),
            ),
            Cell(formatting.large_number(subject.flops), subject.flops),
            Cell(formatting.three_digits(first), first),
            Cell(f"{max(others):.2f}" if others else formatting.MISSING, max(others, default=math.nan)),
            Cell("" if subject.agreement is None else f"{subject.agreement:.1%}", subject.agreement),
        )
        made.append(TableRow(cells, series=timed.model))
    columns = (
        TableColumn("Model"), TableColumn("Machine"), TableColumn("Input"), TableColumn("Precision"), TableColumn("NMS"),
        TableColumn("Parameters", numeric=True), TableColumn("FLOPs", numeric=True), TableColumn("First pass (ms)", numeric=True),
        TableColumn("Load of other processes (cores)", numeric=True), TableColumn("Detection agreement", numeric=True),
    )  # fmt: skip
    return PageTable("timed-table", "Timed models and machines", columns, tuple(made), folded=True)


def _machine_note(timed: TimedModel) -> str:
    machine = timed.timing.machine
    parts = [
        f"{formatting.plural(machine.cores, 'processor')}",
        f"governor {machine.governor}" * bool(machine.governor),
        f"driver {machine.driver}" * bool(machine.driver),
        f"limit {machine.power_limit}" * bool(machine.power_limit),
        *(
            f"{name} {version}"
            for name, version in machine.packages.items()
            if name in ("torch", "cuda", "cudnn")
        ),
        machine.fingerprint,
    ]
    return ", ".join(part for part in parts if part)


def _settings(nms: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in nms.items() if value is not None)


def _method(speed: Speed) -> tuple[str, ...]:
    settings = speed.known[0].timing.settings
    counters = sorted({one.timing.subject.flop_counter for one in speed.known} - {""})
    paragraphs = [
        "Latency is measured on test images, one after another, from the file to detections in the pixels of the original image, "
        "NMS included, in evaluation mode and at the precision of the evaluation. The models take turns (A B B A) in "
        f"{formatting.plural(settings.get('rounds', 'several'), 'round')} of {formatting.plural(settings.get('processes', 'several'), 'fresh process')}, each warmed up until "
        "the median time is stable. Image files are in the disk cache.",
        "p50, p90, p99 and throughput are measured in each process; values are geometric means over processes, and intervals are "
        "Student's t over processes on the logarithmic scale, because passes of one process are not independent. One process "
        "gives no interval. Percentiles that need more samples are not shown.",
        "Throughput is the number of images divided by the total time of their batches, one batch after another in one "
        "process; it is not the reciprocal of the latency. On a CPU, memory is the peak resident memory of the process, Python "
        "and torch included; on an accelerator, the peak memory allocated by torch.",
    ]
    if counters:
        paragraphs.append(f"FLOPs of one image, two per multiply-add, counted by {'; '.join(counters)}.")
    return tuple(paragraphs)
