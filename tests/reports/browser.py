"""A page in Chromium: what its elements are after its script ran, what a script finds in it, and how it looks."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

DRIVER = """
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const seen = (element) => element.getClientRects().length > 0;
const answer = (value) => {
  const pre = document.createElement("pre");
  pre.id = "answer";
  pre.textContent = JSON.stringify(value);
  document.body.replaceChildren(pre);
};
addEventListener("error", (event) => answer({ error: event.message }));
"""


def browse(page: Path, folder: Path, *flags: str, width: int = 1200) -> str:
    """The page's elements after its script ran."""
    done = chromium(page, folder, "--virtual-time-budget=60000", "--dump-dom", *flags, size=(width, 900))
    assert done.stdout, done.stderr[-2000:]
    return done.stdout


def chromium(
    page: Path, folder: Path, *flags: str, size: tuple[int, int] = (1200, 900)
) -> subprocess.CompletedProcess[str]:
    """Chromium without a window on the page; the last of equal flags counts."""
    assert CHROMIUM is not None
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
        "--hide-scrollbars", f"--user-data-dir={folder / 'profile'}", f"--window-size={size[0]},{size[1]}", *flags,
        page.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def ask(page: Path, folder: Path, script: str, *flags: str, before: str = "", width: int = 1200) -> Any:
    """Result of `script`, run in a copy of the page without its content security policy."""
    text = re.sub(r"<meta http-equiv=.*?>", "", page.read_text(encoding="utf-8"), count=1)
    script_tag = f"<script>{before}</script><script>{DRIVER}(async () => {{ {script} }})();</script></body>"
    copy = folder / "instrumented.html"
    copy.write_text(text.replace("</body>", script_tag), encoding="utf-8")
    found = None
    for _ in range(3):  # a machine that is busy may spend the page's time before its frames are there
        dom = browse(copy, folder, *flags, width=width)
        if found := re.search(r'<pre id="answer">(.*?)</pre>', dom, re.DOTALL):
            break
    assert found, "the page gave no answer"
    value = json.loads(html.unescape(found[1]))
    assert not (isinstance(value, dict) and "error" in value), value
    return value
