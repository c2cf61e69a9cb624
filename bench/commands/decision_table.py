"""A decision on the terminal: what became of each model, the verdict, and the page."""

from __future__ import annotations

from pathlib import Path

from reports.records.decision import Decision


def show_decision(decision: Decision, page: Path) -> None:
    """Print a row per model, the verdict, and where the page is."""
    from rich.console import Console
    from rich.table import Table

    from bench.commands.results_table import literal_text
    from metrics.compare.percent import points
    from metrics.number_text import MISSING
    from reports.analysis.decisions import fates
    from reports.sections.decision_text import decision_sentences, measure_name, outcome_text

    console = Console()
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    for title in ("epochs", "seeds", f"val {measure_name(decision)}", f"test {measure_name(decision)}"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("outcome", overflow="fold")
    for fate in fates(decision):
        standing = fate.validation
        table.add_row(
            literal_text(fate.name),
            MISSING if fate.look is None else str(fate.look.epochs),
            MISSING if standing is None else str(len(standing.seeds)),
            points(None if standing is None else standing.value),
            points(None if fate.test is None else fate.test.value),
            literal_text(outcome_text(decision, fate)),
        )
    console.print(table)
    for sentence in decision_sentences(decision):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    console.print(f"report: {page}", markup=False, highlight=False, soft_wrap=True)
