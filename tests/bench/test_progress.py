"""Progress: bars, lines or no output, on a console in memory."""

from __future__ import annotations

import io

from rich.console import Console

from bench.process.progress import Progress


def render(style, **settings) -> str:
    out = io.StringIO()
    progress = Progress(style, Console(file=out, force_terminal=style == "bars", width=120), **settings)
    with progress.stage("training", 3) as stage:
        stage.resume(1)
        stage.advance(1, loss=1.23456)
        stage.advance(1, loss=0.5, ap=0.25)
    progress.message("[done] /tmp/x")
    return out.getvalue()


def test_lines_name_the_stage_its_steps_and_its_last_facts():
    lines = render("lines", interval=0.0).splitlines()
    assert lines[0] == "training ..."
    assert lines[1] == "training: 2/3  loss 1.23"
    assert lines[2] == "training: 3/3  loss 0.5  ap 0.25"
    assert lines[3].startswith("training: done in 0.0 s  loss 0.5  ap 0.25")
    assert lines[4] == "[done] /tmp/x"


def test_bars_end_with_all_steps_done():
    text = render("bars")
    assert "3/3" in text
    assert "loss 0.5  ap 0.25" in text


def test_off_prints_no_output():
    assert render("off") == ""


def test_auto_chooses_the_style_for_the_console():
    terminal, pipe = Console(file=io.StringIO(), force_terminal=True), Console(file=io.StringIO())
    assert Progress.auto(console=terminal).style == "bars"
    assert Progress.auto(console=pipe).style == "lines"
    assert Progress.auto(quiet=True, console=terminal).style == "off"


def test_lines_of_a_given_time_name_the_minutes_that_are_over():
    out = io.StringIO()
    progress = Progress("lines", Console(file=out, width=120))
    with progress.overall("decision", 600, done=125), progress.stage("training", 1):
        pass
    with progress.stage("after", 1):
        pass
    assert [line.split(" ...")[0] for line in out.getvalue().splitlines() if "..." in line] == [
        "[2 of 10 min] training", "after",
    ]  # fmt: skip


def test_bars_of_stages_are_below_that_of_the_given_time():
    out = io.StringIO()
    progress = Progress("bars", Console(file=out, force_terminal=True, width=120))
    with progress.overall("decision", 600, done=125), progress.stage("training", 3) as stage:
        stage.advance(2, loss=0.5)
        progress.message("a message")
    text = out.getvalue()
    assert "2/10 min" in text
    assert "training" in text
    assert "a message" in text
