"""How far the work is: bars, lines or nothing, on a console of the test's own."""

from __future__ import annotations

import io

from rich.console import Console

from bench.process.progress import Progress


def shown(how, **settings) -> str:
    out = io.StringIO()
    progress = Progress(how, Console(file=out, force_terminal=how == "bars", width=120), **settings)
    with progress.stage("training", 3) as stage:
        stage.resume(1)
        stage.advance(1, loss=1.23456)
        stage.advance(1, loss=0.5, ap=0.25)
    progress.message("[done] /tmp/x")
    return out.getvalue()


def test_lines_name_the_stage_its_steps_and_its_last_facts():
    lines = shown("lines", every=0.0).splitlines()
    assert lines[0] == "training ..."
    assert lines[1] == "training: 2/3  loss 1.23"
    assert lines[2] == "training: 3/3  loss 0.5  ap 0.25"
    assert lines[3].startswith("training: done in 0.0 s  loss 0.5  ap 0.25")
    assert lines[4] == "[done] /tmp/x"


def test_bars_end_with_all_steps_done():
    text = shown("bars")
    assert "3/3" in text
    assert "loss 0.5  ap 0.25" in text


def test_nothing_is_nothing():
    assert shown("nothing") == ""


def test_what_fits_depends_on_where_it_is_shown():
    terminal, pipe = Console(file=io.StringIO(), force_terminal=True), Console(file=io.StringIO())
    assert Progress.fitting(console=terminal).how == "bars"
    assert Progress.fitting(console=pipe).how == "lines"
    assert Progress.fitting(quiet=True, console=terminal).how == "nothing"
