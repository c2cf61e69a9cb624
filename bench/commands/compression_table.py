"""Candidates and trials of a compression on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metrics.plurals import plural

if TYPE_CHECKING:
    from rich.table import Table

    from reports.records.compression import CompressionRecord
    from reports.records.study import StudyResult


def show_candidates(record: CompressionRecord) -> None:
    """Print the candidates with their numbers on validation images."""
    from rich.console import Console

    from reports.elements import formatting

    table = _table("operators", "number", "AP on validation", "ms", "MB", "")
    for each in record.candidates:
        table.add_row(
            f"{each.name}: {each.summary}",
            str(each.operators),
            formatting.MISSING if each.ap is None else f"{each.ap:.3f}",
            f"{each.latency_ms:.2f}",
            f"{each.size_bytes / 1e6:.2f}",
            "chosen" if each.name == record.chosen else "",
        )
    console = Console()
    console.print(table)
    console.print(
        f"{plural(record.validation_images, 'validation image')}; ranges from {plural(record.calibration_images, 'training image')} in "
        f"{record.calibration_seconds:.1f} s\n",
        highlight=False,
    )


def show_search(result: StudyResult) -> None:
    """Print the trials with different settings, best AP first, with their numbers on validation images."""
    from rich.console import Console

    evaluation = result.final_evaluation
    front = {trial.number for trial in result.pareto_front}
    cost = result.objectives[1].text
    table = _table("pruned, operators", "trial", "AP on validation", "ms", "MB", "")
    shown: set[tuple[object, ...]] = set()
    for trial in result.complete:
        settings = tuple(trial.params.values())
        if settings in shown:
            continue
        shown.add(settings)
        share, operators = (trial.params[each.path] for each in result.space)
        words = ["chosen"] if evaluation is not None and trial.number == evaluation.chosen else []
        words += ["Pareto front"] if trial.number in front else []
        assert isinstance(share, float)
        table.add_row(
            f"{100 * share:g}%, {operators}",
            str(trial.number),
            f"{trial.value:.3f}",
            *(f"{trial.measured[name] or 0:.2f}" for name in ("latency_ms", "size_mb")),
            ", ".join(words),
        )
    console = Console()
    console.print(table)
    states = ", ".join(f"{count} {state}" for state, count in sorted(result.states.items()))
    console.print(
        f"{states}; objectives ap and {cost} on {plural(result.images or 0, 'validation image')}\n",
        highlight=False,
    )


def _table(first: str, *others: str) -> Table:
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first)
    for title in others:
        table.add_column(title, justify="right" if title else "left")
    return table
