"""How long an image takes and where the time goes; how much larger batches bring; what was timed, and on what."""

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
from reports.sections.speed_cells import percentile_cell

NAMES = {
    "decode": "read and decode",
    "preprocess": "fit to the input",
    "forward": "network",
    "postprocess": "boxes and suppression",
    "predict": "network and suppression",
    END_TO_END: "file to detections",
}
"""What a reader calls the stages."""

ABSENT = f"No run was timed; `{COMMAND}` adds latency, images a second and memory to this page."


def section(report: ReportData, speed: Speed) -> Section:
    """Latency by stage, throughput by batch size and memory; a sentence where nothing was timed."""
    if not speed.known:
        finding = ABSENT if not speed.left_out else f"No timing counts; `{COMMAND}` makes them anew."
        return Section("latency", "Latency", finding, warnings=speed.left_out)
    several = len(speed.machines) > 1
    figures: list[Figure] = []
    for at, (machine, models) in enumerate(speed.machines):
        timed = [one for one in speed.known if one.model in models]
        mark = "" if at == 0 else f"-{at + 1}"
        where = f" on {formatting.printable(machine.name)}" if several else ""
        figures += _figures(report, timed, mark, where)
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
        links=(Link("timings.csv", "every stage, mode and batch size"),),
    )


def rows(report: ReportData, speed: Speed) -> pd.DataFrame:
    """Every timed stage, mode and batch size: one row each; no rows where nothing was timed."""
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
                "p50_boot_low_ms": times.median_low_ms,
                "p50_boot_high_ms": times.median_high_ms,
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
    said = []
    for machine, models in speed.machines:
        timed = sorted((one for one in speed.known if one.model in models), key=lambda one: one.median_ms)
        each = [f"{report.labels[one.model]} {formatting.milliseconds(one.median_ms)}" for one in timed]
        said.append(
            f"On {formatting.printable(machine.name)} one image takes, from file to detections: {formatting.join_words(each)}."
        )
    return " ".join(said)


def _figures(report: ReportData, timed: Sequence[TimedModel], mark: str, where: str) -> list[Figure]:
    labels = report.labels
    by_model = {one.model: one for one in timed}
    curves: list[list[Curve]] = [
        [_ecdf(by_model[number].samples_ms)] if number in by_model else [] for number in range(len(labels))
    ]
    medians = [
        f"half of {labels[one.model]}'s images within {formatting.milliseconds(one.median_ms)}"
        for one in timed
    ]
    ecdf = lines(
        f"latency-ecdf{mark}", f"Share of images done within a time{where}", f"Half of the images are done: {formatting.join_words(medians)}.",
        labels, curves, LineAxes("ms from file to detections", "share of images", y_limits=(0, 1), log_x=True),
    )  # fmt: skip
    stages = [stage for stage in STAGES if any(one.timing.stage(stage) for one in timed)]
    values = [
        [_box(by_model[number].timing.stage(stage)) for stage in stages]
        if number in by_model
        else [None] * len(stages)
        for number in range(len(labels))
    ]
    by_stage = boxes(
        f"latency-stages{mark}", f"Time by stage, single images{where}", _stages_finding(report, timed),
        [NAMES[stage] for stage in stages], labels, values, "ms",
    )  # fmt: skip
    drawn = [
        ecdf,
        replace(
            by_stage,
            caption=f"{by_stage.finding} Thick bars hold the middle half, thin ones 98% of the times.",
        ),
    ]
    if any(len(_rates(one)[0]) > 1 for one in timed):
        throughput: list[list[Curve]] = [
            [_rates(by_model[number])] if number in by_model else [] for number in range(len(labels))
        ]
        sizes = tuple(float(run.batch) for run in timed[0].timing.batches)
        named = LineAxes("images of a batch", "images a second", log_x=True, ticks=sizes)
        title, finding = f"Images a second by batch size{where}", _rates_finding(report, timed)
        drawn.append(lines(f"throughput{mark}", title, finding, labels, throughput, named))
    return drawn


def _ecdf(ms: np.ndarray) -> Curve:
    """Steps of the share of times that a time is not exceeded by, thinned where there are very many."""
    ordered = np.sort(ms)
    shares = np.arange(1, len(ordered) + 1) / len(ordered)
    kept = np.unique(np.linspace(0, len(ordered) - 1, 200).round().astype(int))
    return ordered[kept], shares[kept]


def _box(times: StageTimes | None) -> Box | None:
    """None where the stage has too few samples."""
    if times is None or times.median_ms is None:
        return None
    low, high = times.quartile_low_ms, times.quartile_high_ms
    return times.whisker_low_ms, low, times.median_ms, high, times.whisker_high_ms


def _stages_finding(report: ReportData, timed: Sequence[TimedModel]) -> str:
    said = []
    for one in timed:
        medians = {
            stage: times.median_ms
            for stage in STAGES
            if stage != END_TO_END and (times := one.timing.stage(stage)) and times.median_ms
        }
        if medians:
            longest = max(medians, key=lambda stage: medians[stage])
            share = medians[longest] / sum(medians.values())
            said.append(f"{report.labels[one.model]}: {NAMES[longest]} ({share:.0%})")
    return f"What takes longest: {formatting.join_words(said)}."


def _rates(timed: TimedModel) -> Curve:
    measured = [run for run in timed.timing.batches if run.images_per_second is not None]
    return (
        np.array([float(run.batch) for run in measured]),
        np.array([run.images_per_second for run in measured], dtype=np.float64),
    )


def _rates_finding(report: ReportData, timed: Sequence[TimedModel]) -> str:
    said = []
    for one in timed:
        run = best_rate(one)
        if run is not None and run.images_per_second is not None:
            rate = formatting.three_digits(run.images_per_second)
            said.append(f"{report.labels[one.model]} {rate} (in batches of {run.batch})")
    return f"Most images a second: {formatting.join_words(said)}."


def _warnings(report: ReportData, speed: Speed) -> list[str]:
    said = [*speed.left_out]
    names = report.labels
    noisy = [
        f"{names[one.model]} ({same.spread:.0%})"
        for one in speed.known
        if one.timing.noisy and (same := one.timing.stage(mode="fixed"))
    ]
    if noisy:
        said.append(
            f"Noisy: the same image took times whose middle half spans more than {NOISY:.0%} of their median: "
            f"{formatting.join_words(noisy)}. Time again when the machine is at rest."
        )
    for one in speed.known:
        said += [f"{names[one.model]}: {formatting.printable(note)}." for note in one.timing.notes]
    if len(speed.machines) > 1:
        said.append(
            "The models were timed on machines that differ: times of one and the other cannot be compared."
        )
    return said


def _stages_table(report: ReportData, speed: Speed) -> PageTable:
    made = []
    for timed in speed.known:
        for times in timed.timing.stages:
            if times.batch > 1 or (times.mode == "fixed" and times.stage != END_TO_END):
                continue
            name = NAMES[times.stage] + (", the same image each time" if times.mode == "fixed" else "")
            low, high = times.median_low_ms, times.median_high_ms
            span = (
                f"[{formatting.three_digits(low)}, {formatting.three_digits(high)}]"
                if low is not None
                else ""
            )
            middle = percentile_cell(times, 0.5)
            cells = (
                Cell(report.labels[timed.model]),
                Cell(name),
                replace(middle, note=span) if times.median_ms is not None else middle,
                percentile_cell(times, 0.9),
                percentile_cell(times, 0.99),
                Cell(f"{times.spread:.0%}", times.spread),
                Cell(formatting.count(times.samples), times.samples, note=_outliers(times)),
            )
            made.append(TableRow(cells, series=timed.model))
    columns = (
        TableColumn("Model"), TableColumn("Stage"), TableColumn("p50", numeric=True), TableColumn("p90", numeric=True),
        TableColumn("p99", numeric=True), TableColumn("Spread", numeric=True), TableColumn("Samples", numeric=True),
    )  # fmt: skip
    caption = (
        "Milliseconds of single images by stage, with 95% intervals; spread is the middle half by the median"
    )
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
                span = (
                    f"[{formatting.three_digits(run.low)}, {formatting.three_digits(run.high)}]"
                    if run.low is not None
                    else ""
                )
                kept = (
                    f"{formatting.byte_size(run.reserved_bytes)} kept by torch" if run.reserved_bytes else ""
                )
                cells = (
                    Cell(report.labels[timed.model]),
                    Cell(str(run.batch), run.batch),
                    Cell(formatting.three_digits(run.images_per_second), run.images_per_second, note=span),
                    Cell(
                        formatting.three_digits(run.detector_images_per_second),
                        run.detector_images_per_second,
                    ),
                    Cell(formatting.byte_size(run.memory_bytes), run.memory_bytes, note=kept),
                )
            made.append(TableRow(cells, series=timed.model))
    columns = (
        TableColumn("Model"), TableColumn("Batch", numeric=True), TableColumn("Images a second", numeric=True),
        TableColumn("without reading and fitting", numeric=True), TableColumn("Memory at most", numeric=True),
    )  # fmt: skip
    caption = "Throughput and memory by batch size; in brackets 95% intervals"
    return PageTable("throughput-table", caption, columns, tuple(made))


def _subjects_table(report: ReportData, speed: Speed) -> PageTable:
    made = []
    for timed in speed.known:
        its, machine, processes = timed.timing.subject, timed.timing.machine, timed.timing.processes
        first = float(np.median([process.first_call_ms for process in processes])) if processes else math.nan
        others = [process.other_cores for process in processes if process.other_cores is not None]
        dtype = f"{its.dtype}{f', {its.autocast} in the network' * bool(its.autocast)}"
        size = "as it is" if its.input_size is None else f"{its.input_size[0]} × {its.input_size[1]}"
        layout = ", channels last" * its.channels_last + ", compiled" * its.compiled
        cells = (
            Cell(report.labels[timed.model]),
            Cell(formatting.printable(machine.name), note=formatting.printable(_machine_note(timed))),
            Cell(size, note=its.resize),
            Cell(dtype + layout),
            Cell(formatting.printable(_settings(its.nms)) or formatting.MISSING),
            Cell(
                formatting.large_number(its.parameters),
                its.parameters,
                note=formatting.byte_size(its.weights_bytes),
            ),
            Cell(formatting.large_number(its.flops), its.flops),
            Cell(formatting.three_digits(first), first),
            Cell(f"{max(others):.2f}" if others else formatting.MISSING, max(others, default=math.nan)),
            Cell("" if its.agreement is None else f"{its.agreement:.1%}", its.agreement),
        )
        made.append(TableRow(cells, series=timed.model))
    columns = (
        TableColumn("Model"), TableColumn("Machine"), TableColumn("Input"), TableColumn("Numbers"), TableColumn("Suppression"),
        TableColumn("Parameters", numeric=True), TableColumn("FLOPs", numeric=True), TableColumn("First call, ms", numeric=True),
        TableColumn("Others' load", numeric=True), TableColumn("Same detections", numeric=True),
    )  # fmt: skip
    return PageTable("timed-table", "What was timed, and on what", columns, tuple(made), folded=True)


def _machine_note(timed: TimedModel) -> str:
    machine = timed.timing.machine
    words = [
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
    return ", ".join(word for word in words if word)


def _settings(nms: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in nms.items() if value is not None)


def _method(speed: Speed) -> tuple[str, ...]:
    settings = speed.known[0].timing.settings
    counters = sorted({one.timing.subject.flop_counter for one in speed.known} - {""})
    paragraphs = [
        "Real test images, one after another, from the file to detections in its own pixels, suppression included, in "
        "evaluation mode, the network in the precision in which the run was evaluated. Models take turns (A B B A) in "
        f"{settings.get('rounds', 'several')} rounds of {settings.get('processes', 'several')} fresh processes, each "
        "warmed up until the median of its times stands still. Files were read before, so that the disk plays no part.",
        "p50, p90 and p99 are measured values. The interval of p90 and p99 is free of any distribution and holds for "
        "samples that do not depend on each other; a percentile that so few samples cannot know is not shown. Samples "
        "of one round resemble each other, so the interval of p50 and of images a second comes from resampled "
        "processes and rounds instead; from three processes it is rough.",
        "Images a second are all images by all the time that their batches took, one batch after another in one "
        "process: not one by the latency. Memory on a CPU is all of the process at its highest, Python and torch "
        "included; on an accelerator what torch allocated.",
    ]
    if counters:
        paragraphs.append(
            f"FLOPs of one image, two for a multiplication with its addition, by {'; '.join(counters)}."
        )
    return tuple(paragraphs)
