"""Appearance of the page without scripts: at three widths, light and dark, and on paper."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, ask, chromium
from PIL import Image

WIDTHS = (1200, 768, 360)
HEIGHT = 1000
SCHEMES = {
    "light": "--blink-settings=preferredColorScheme=1",
    "dark": "--blink-settings=preferredColorScheme=0",
}

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

MEASURE = """
const luminance = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((c) => c / 255).map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
answer(all("iframe").map((frame) => {
  const inner = frame.contentDocument;
  const width = frame.contentWindow.innerWidth;
  const style = frame.contentWindow.getComputedStyle(inner.body);
  const box = (element) => element.getBoundingClientRect();
  return {
    width,
    sideways: inner.documentElement.scrollWidth - width,
    sections: all("main > section", inner).map((part) => [part.id, box(part).height, part.innerText.length]),
    drawings: all(".drawing svg", inner).map((svg) => [box(svg).left >= 0 && box(svg).right <= width + 0.5, box(svg).width]),
    hidden: all("table", inner).filter((table) => !seen(table) && !table.closest("details")).map((table) => table.id),
    scripted: all("#theme, #slider, .tools, th button, dialog", inner).filter(seen).length,
    ink: luminance(style.color),
    paper: luminance(style.backgroundColor),
  };
}));
"""


def side_by_side(page: Path, folder: Path) -> Path:
    """The page in a frame of each width; frames of a sandbox run no script. `loaded` is kept when all are there."""
    text = json.dumps(page.read_text(encoding="utf-8")).replace("<", "\\u003c")
    fill = f"""
    const loaded = Promise.all({list(WIDTHS)}.map((width) => new Promise((done) => {{
      const frame = document.createElement("iframe");
      frame.sandbox = "allow-same-origin";
      frame.style.cssText = `border:0;float:left;width:${{width}}px;height:{HEIGHT}px`;
      frame.onload = () => {{ if (frame.contentDocument.querySelector("footer")) done(); }};
      frame.srcdoc = {text};
      document.body.append(frame);
    }})));
    """
    wall = folder / "wall.html"
    wall.write_text(
        f'<!doctype html><meta charset="utf-8"><body style="margin:0"><script>{fill}</script></body>',
        encoding="utf-8",
    )
    return wall


def without_scripts(page: Path, to: Path) -> Path:
    to.write_text(re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    return to


@pytest.mark.parametrize("scheme", SCHEMES)
def test_fault_59_everything_is_visible_without_scripts_at_three_widths_and_themes(page, tmp_path, scheme):
    wall = side_by_side(page, tmp_path)
    found: list[dict[str, Any]] = ask(
        wall, tmp_path, f"await loaded;\n{MEASURE}", SCHEMES[scheme], width=sum(WIDTHS)
    )
    assert [each["width"] for each in found] == list(WIDTHS)
    slugs = re.findall(r'<section id="([\w-]+)"', page.read_text(encoding="utf-8"))
    assert len(slugs) >= 12
    for each in found:
        assert each["sideways"] <= 0
        assert [slug for slug, _, _ in each["sections"]] == slugs
        assert all(height > 60 and letters > 40 for _, height, letters in each["sections"]), each["sections"]
        assert len(each["drawings"]) >= 15
        assert all(inside and width >= 250 for inside, width in each["drawings"])
        assert each["hidden"] == []
        assert each["scripted"] == 0
        light, dark = sorted((each["ink"], each["paper"]), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 7
        assert (each["paper"] > each["ink"]) == (scheme == "light")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_screenshots_show_ink_on_paper_at_every_width(page, tmp_path, scheme):
    shot = tmp_path / f"{scheme}.png"
    wall = side_by_side(page, tmp_path)
    chromium(
        wall, tmp_path, SCHEMES[scheme], f"--screenshot={shot}", "--virtual-time-budget=30000",
        size=(sum(WIDTHS), HEIGHT),
    )  # fmt: skip
    pixels = np.asarray(Image.open(shot).convert("L"), np.float64)
    assert pixels.shape == (HEIGHT, sum(WIDTHS))
    for part in np.split(pixels, np.cumsum(WIDTHS)[:-1], axis=1):
        paper = np.median(part)
        assert paper > 240 if scheme == "light" else paper < 40
        ink = np.abs(part - paper) > 60
        assert 0.01 < ink.mean() < 0.4
        # What is written stays off the edges.
        assert not ink[:, :4].any()
        # The first lines of the verdict are within the first screen, in its upper three quarters.
        assert ink[HEIGHT // 2 : 3 * HEIGHT // 4].any()


def test_fault_59_collapsed_parts_are_printed(page, tmp_path):
    def pages(of: Path) -> int:
        pdf = tmp_path / f"{of.stem}.pdf"
        chromium(of, tmp_path, f"--print-to-pdf={pdf}", "--no-pdf-header-footer")
        return len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes()))

    bare = without_scripts(page, tmp_path / "bare.html")
    folded = tmp_path / "folded.html"
    rule = "details::details-content{content-visibility:visible;block-size:auto}"
    assert rule in bare.read_text(encoding="utf-8")
    folded.write_text(bare.read_text(encoding="utf-8").replace(rule, ""), encoding="utf-8")
    assert pages(bare) > pages(folded) >= 5
