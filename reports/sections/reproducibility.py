"""Reproducibility: commands, settings, versions, machines and warnings of all runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from reports.analysis.models import differences, flat, model_settings
from reports.analysis.report_data import ReportData
from reports.elements import formatting
from reports.elements.page import Cell, PageTable, Section, TableColumn, TableRow
from reports.records.run import RunResult


def section(report: ReportData) -> Section:
    """What determined every run."""
    results = report.results
    differing = differences([model_settings(model.results[0]) for model in report.models])
    tables = [_runs(report)]
    if differing:
        tables.append(_settings(report, differing))
    if any(result.protocols for result in results):
        tables.append(_protocols(results))
    if any(result.model_file is not None for result in results):
        tables.append(_model_files(results))
    tables.append(_environments(report))
    warnings = [
        f"{formatting.printable(result.name)}: {report.private(text)}"
        for result in results
        for text in result.warnings
    ]
    machines = report.timed_hardware
    finding = f"{formatting.plural(len(results), 'run')} of {formatting.plural(len(report.models), 'model')}"
    if len(results) > 1 and machines:
        finding += (
            ", trained on the same hardware"
            if len(machines) == 1
            else ", trained on different hardware, so their times are not comparable"
        )
    unknown = [
        label
        for label, model in zip(report.labels, report.models, strict=True)
        if not model.results[0].config
    ]
    if unknown:
        finding += f"; the settings of {formatting.join_words(unknown)} are not known"
    elif len(report.models) > 1:
        finding += (
            f"; the models differ in {formatting.plural(len(differing), 'setting')}"
            if differing
            else "; all models have the same settings"
        )
    return Section(
        "reproducibility",
        "Reproducibility",
        finding + ".",
        tables=tables,
        template="reproducibility.html",
        extra={
            "warnings": warnings,
            "settings": [
                (label, "\n".join(_lines(report, model.results[0])))
                for label, model in zip(report.labels, report.models, strict=True)
                if model.results[0].config
            ],
            "commands": _commands(report),
        },
        method=(
            "Settings are the effective values after defaults, presets, files and command line, by the dotted path that --set "
            "accepts. The same command, versions and device reproduce the numbers up to the order of floating-point sums, which "
            "is not deterministic on some accelerators.",
        ),
    )


def _model_files(results: Sequence[RunResult]) -> PageTable:
    rows = []
    for result in results:
        if (file := result.model_file) is not None:
            texts = (
                formatting.printable(result.name), formatting.printable(file.name), file.sha256, formatting.byte_size(file.size_bytes),
                file.convention, file.runtime, file.provider, file.precision, str(file.threads), file.run or formatting.MISSING,
            )  # fmt: skip
            rows.append(TableRow(tuple(map(Cell, texts))))
    titles = (
        "Run", "File", "SHA-256", "Size", "Outputs", "Runtime", "Provider", "Precision", "Threads", "Exported run",
    )  # fmt: skip
    return PageTable(
        "files-table", "Files that predicted", tuple(TableColumn(title) for title in titles), tuple(rows)
    )


def _protocols(results: Sequence[RunResult]) -> PageTable:
    rows = [
        TableRow(
            (
                Cell(formatting.printable(result.name)),
                Cell(protocol),
                Cell(name),
                Cell(formatting.MISSING if value is None else f"{100 * value:.4f}", value),
            )
        )
        for result in results
        for protocol, numbers in result.protocols.items()
        for name, value in numbers.items()
    ]
    columns = (
        TableColumn("Run"),
        TableColumn("Protocol"),
        TableColumn("Number"),
        TableColumn("Percent", numeric=True),
    )
    return PageTable("protocols-table", "Numbers by the protocols of benchmarks", columns, tuple(rows))


def _runs(report: ReportData) -> PageTable:
    rows = []
    for number, model in enumerate(report.models):
        for result in model.results:
            rows.append(
                TableRow(
                    (
                        Cell(formatting.printable(result.name), note=report.private(result.variant_source)),
                        Cell(formatting.MISSING if result.seed is None else str(result.seed), result.seed),
                        Cell(formatting.timestamp(result.started)),
                        Cell(formatting.timestamp(result.finished)),
                        Cell(result.status),
                        Cell(_commit(result)),
                    ),
                    series=number,
                )
            )
    columns = (
        TableColumn("Run"), TableColumn("Seed", numeric=True), TableColumn("Started"), TableColumn("Finished"), TableColumn("Status"), TableColumn("Commit"),
    )  # fmt: skip
    return PageTable("runs-table", "Runs on this page", columns, tuple(rows), searchable=len(rows) > 12)


def _commit(result: RunResult) -> str:
    commit = result.environment.commit
    return (
        formatting.MISSING
        if commit is None
        else commit[:12] + (" (modified)" if result.environment.dirty else "")
    )


def _settings(report: ReportData, differing: dict[str, list[Any]]) -> PageTable:
    rows = [
        TableRow((Cell(formatting.printable(path)), *(Cell(_value(report, value)) for value in values)))
        for path, values in differing.items()
    ]
    columns = (TableColumn("Setting"), *(TableColumn(label) for label in report.labels))
    return PageTable(
        "settings-table", "Settings that differ between models", columns, tuple(rows),
        column_series=(None, *range(len(report.models))), searchable=len(rows) > 12,
    )  # fmt: skip


def _environments(report: ReportData) -> PageTable:
    packages = sorted({name for result in report.results for name in result.environment.packages})
    rows = []
    for label in ("python", *packages, "platform", "device", "cpu", "threads"):
        values = []
        for model in report.models:
            each = sorted({_environment(result, label) for result in model.results})
            values.append(
                formatting.join_words([report.private(value) or formatting.MISSING for value in each])
            )
        rows.append(TableRow((Cell(formatting.printable(label)), *(Cell(value) for value in values))))
    columns = (TableColumn("Component"), *(TableColumn(label) for label in report.labels))
    return PageTable(
        "environment-table", "Versions and machines", columns, tuple(rows),
        column_series=(None, *range(len(report.models))),
    )  # fmt: skip


def _environment(result: RunResult, name: str) -> str:
    environment = result.environment
    if name in ("python", "platform", "device", "cpu", "threads"):
        return str(getattr(environment, name) or "")
    return environment.packages.get(name, "")


def _value(report: ReportData, value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return formatting.MISSING if value is None else report.private(text)


def _lines(report: ReportData, result: RunResult) -> list[str]:
    return [
        f"{formatting.printable(path)} = {report.private(json.dumps(value, ensure_ascii=False))}"
        for path, value in sorted(flat(result.config).items())
    ]


def _commands(report: ReportData) -> list[str]:
    """The distinct commands in the order of the runs."""
    return list(dict.fromkeys(report.private(result.command) for result in report.results if result.command))
