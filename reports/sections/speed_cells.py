"""Table cells of latency, throughput and memory."""

from __future__ import annotations

from reports.analysis.speed import Speed, best_rate
from reports.elements import formatting
from reports.elements.page import Cell, TableColumn
from reports.records.timing import StageTimes


def leaderboard_columns(speed: Speed) -> tuple[TableColumn, ...]:
    """Headings of `leaderboard_cells`; none without a valid timing."""
    if not speed.known:
        return ()
    titles = ("p50 (ms)", "p99 (ms)", "Images/s", "Memory")
    machine = (TableColumn("Timed on"),) if len(speed.machines) > 1 else ()
    return (*(TableColumn(title, numeric=True) for title in titles), *machine)


def leaderboard_cells(speed: Speed, model: int) -> list[Cell]:
    """Latency of single images, highest throughput and memory of one model."""
    if not speed.known:
        return []
    timed, several = speed.models[model], len(speed.machines) > 1
    if timed is None:
        return [Cell(formatting.MISSING)] * (4 + several)
    rate = best_rate(timed)
    single = next((run for run in timed.timing.batches if run.batch == 1), None)
    middle, last = (percentile_cell(timed.whole, p, brief=True) for p in (0.5, 0.99))
    cells = [
        Cell(
            middle.text,
            middle.value,
            note=", ".join(filter(None, [middle.note, "noisy" * timed.timing.noisy])),
        ),
        last,
        Cell(
            formatting.three_digits(rate.images_per_second if rate else None),
            rate.images_per_second if rate else None,
            note=f"batch size {rate.batch}" if rate else "",
        ),
        Cell(
            formatting.byte_size(single.memory_bytes if single else None),
            single.memory_bytes if single else None,
        ),
    ]
    return [*cells, Cell(formatting.printable(timed.timing.machine.name))] if several else cells


def percentile_cell(times: StageTimes | None, p: float, brief: bool = False) -> Cell:
    """A percentile with its interval over processes, or a note that there are too few samples."""
    if times is None:
        return Cell(formatting.MISSING)
    one = times.percentile(p)
    if one.value_ms is None:
        return Cell(
            formatting.MISSING, note=f"n={times.samples} < {one.least}" + ": too few samples" * (not brief)
        )
    return Cell(
        formatting.three_digits(one.value_ms), one.value_ms, note=interval_note(one.low_ms, one.high_ms)
    )


def interval_note(low: float | None, high: float | None) -> str:
    """``[16.1, 16.4]``; empty without an interval."""
    if low is None or high is None:
        return ""
    return f"[{formatting.three_digits(low)}, {formatting.three_digits(high)}]"
