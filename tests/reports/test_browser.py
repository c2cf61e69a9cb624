"""The page in Chromium: its script runs under its own policy, and axe-core reports no violations.

Skipped where Chromium is absent; the check by axe-core also where ``AXE_CORE`` does not name its ``axe.min.js`` (the
npm package axe-core has it; ``.ci/run`` fetches it). Nothing is downloaded here.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from browser import CHROMIUM, ask, browse

AXE = os.environ.get("AXE_CORE", "")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")


def test_the_script_runs_under_the_pages_own_policy(page, tmp_path):
    dom = browse(page, tmp_path)
    assert re.search(r'<button type="button" id="theme"[^>]*>(Dark|Light)</button>', dom)
    assert 'id="theme" hidden' not in dom
    assert len(re.findall(r">Enlarge<", dom)) == len(re.findall(r'class="shot"', dom))
    assert re.search(r'<div class="slider" id="slider">', dom)


def test_the_interactive_parts_of_the_page_work(page, tmp_path):
    answer = ask(
        page,
        tmp_path,
        """
        const out = {};
        const board = document.getElementById("leaderboard");
        const names = () => [...board.tBodies[0].rows].map((row) => row.cells[0].querySelector("bdi").textContent);
        out.first = names();
        const head = [...board.tHead.rows[0].cells].find((cell) => cell.textContent.trim() === "AP");
        head.querySelector("button").click();
        out.falling = [names(), head.getAttribute("aria-sort")];
        head.querySelector("button").click();
        out.rising = [names(), head.getAttribute("aria-sort")];
        head.querySelector("button").click();
        out.last = [names(), head.getAttribute("aria-sort")];
        let copied = [];
        navigator.clipboard.writeText = async (text) => { copied.push(text); };
        for (const button of all(".tools button", board.closest(".table"))) { button.click(); await wait(10); }
        out.copied = copied;
        const box = document.getElementById("show-0");
        const count = () => all('[data-series="0"]').filter(seen).length;
        out.before = count();
        box.click();
        await wait(50);
        out.after = count();
        out.hash = location.hash;
        box.click();
        const table = document.getElementById("thresholds-table");
        const numbers = () => [...table.tBodies[0].rows].map((row) => [...row.cells].slice(1).map((cell) => cell.textContent));
        out.best = numbers();
        const range = document.getElementById("slider-score");
        range.value = 0;
        range.dispatchEvent(new Event("input"));
        out.zero = numbers();
        out.cursors = all('[data-hook="cursor-0"] path').map((path) => path.style.strokeOpacity);
        document.getElementById("slider-best").click();
        out.again = numbers();
        document.querySelector(".shot button").click();
        const dialog = document.querySelector("dialog");
        out.open = [dialog.open, dialog.querySelector("h4 bdi").textContent];
        dialog.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
        out.next = dialog.querySelector("h4 bdi").textContent;
        const closed = new Promise((done) => dialog.addEventListener("close", done));
        dialog.close();
        await closed;
        out.focus = document.activeElement.textContent;
        const again = document.getElementById("thresholds-table").tBodies[0].rows[0].cells[2];
        out.noted = [again.querySelector("bdi").textContent, again.querySelector("small").textContent];
        URL.createObjectURL = (blob) => { out.saved = blob.text(); return "blob:none"; };
        HTMLAnchorElement.prototype.click = function () { out.file = this.download; };
        document.querySelector("footer button").click();
        out.saved = JSON.parse(await out.saved);
        out.shots = all(".shot > h4 > bdi").map((name) => name.textContent);
        answer(out);
        """,
    )
    first = answer["first"]
    assert answer["falling"] == [first, "descending"]
    assert answer["rising"] == [first[::-1], "ascending"]
    assert answer["last"] == [first, None]
    table, markdown, latex = answer["copied"]
    assert table.splitlines()[0].startswith("Model,Rank,Ties,AP,AP50,")
    assert [line.split(",")[0] for line in table.splitlines()[1:]] == first
    assert 0 < float(table.splitlines()[1].split(",")[3]) < 1
    assert markdown.splitlines()[1].startswith("| --- | ---: |")
    assert latex.startswith("\\begin{tabular}{lrrr")
    assert latex.count("\\\\") == 4
    assert answer["before"] > 10
    assert answer["after"] == 0
    assert answer["hash"] == "#hide=0"
    assert answer["again"] == answer["best"] != answer["zero"]
    assert {row[0] for row in answer["zero"]} == {"0.000"}
    assert set(answer["cursors"]) == {"1"}
    assert re.fullmatch(r"\d+\.\d", answer["noted"][0])
    assert re.fullmatch(r"\[\d+\.\d, \d+\.\d\]", answer["noted"][1])
    assert re.search(r"\| \d\d\.\d \\\[\d+\.\d, \d+\.\d\\\] \|", markdown)
    assert answer["file"] == "report.json"
    assert set(answer["saved"]) == {"title", "tables", "thresholds"}
    board = answer["saved"]["tables"]["leaderboard"]
    assert [row[0].split(" ")[0] for row in board["rows"]] == first
    assert board["rows"][0][board["columns"].index("AP")]["value"] == float(
        table.splitlines()[1].split(",")[3]
    )
    assert answer["open"] == [True, answer["shots"][0]]
    assert answer["next"] == answer["shots"][1]
    assert answer["focus"] == "Enlarge"


@pytest.mark.parametrize("width", [1200, 768, 360])
def test_nothing_overflows_horizontally(page, tmp_path, width):
    # A window cannot be narrower than 500 pixels; a frame can.
    wide = ask(
        page,
        tmp_path,
        f"""
        if (window !== top) return;
        const frame = document.createElement("iframe");
        frame.style.cssText = "position:fixed;top:0;left:0;height:800px;border:0;width:{width}px";
        frame.srcdoc = document.documentElement.outerHTML;
        document.body.append(frame);
        await new Promise((done) => {{ frame.onload = done; }});
        const inner = frame.contentDocument;
        const out = all("main *, header *, .bar *", inner).filter((element) => {{
            const clipped = element.parentElement.closest(".scroll, .unseen, svg, .models, pre");
            return seen(element) && !clipped && !element.matches(".unseen") && element.getBoundingClientRect().right > {width} + 0.5;
        }}).map((element) => element.outerHTML.slice(0, 120));
        answer([inner.defaultView.innerWidth, inner.querySelectorAll("table").length > 5, out]);
        """,
    )
    assert wide == [width, True, []]


@pytest.mark.skipif(not AXE, reason="AXE_CORE does not name axe.min.js of the npm package axe-core")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_reports_no_violations(page, tmp_path, theme):
    assert axe_violations(page, tmp_path, theme) == []


def axe_violations(page: Path, folder: Path, theme: str) -> list[object]:
    """What axe-core finds wrong with a page whose details are open."""
    return ask(
        page,
        folder,
        f"""
        document.documentElement.dataset.theme = "{theme}";
        for (const details of all("details")) details.open = true;
        const result = await axe.run(document, {{ resultTypes: ["violations"], iframes: false }});
        answer(result.violations.map(({{ id, help, nodes }}) => [id, help, nodes.length, nodes.slice(0, 3).map((node) => [node.html.slice(0, 200), node.failureSummary])]));
        """,
        before=Path(AXE).read_text(encoding="utf-8"),
    )
