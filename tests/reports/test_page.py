"""The page: valid, self-contained, safe, and the same for the same runs."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from itertools import pairwise

import pytest
from pages import every, parsed, words
from synthetic_runs import found_in, picture, run_in, truth_of

from metrics.compare import MeasureLimit
from metrics.evaluator import evaluate
from metrics.tables import DetectionTable
from reports.analysis.comparison_options import ComparisonOptions
from reports.elements.page_template import json_block
from reports.pages import write_report
from reports.records import run as run_record
from reports.records.run import Environment, RunFolder, save_result

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><svg onload=alert(1)>",
    "{{7*7}}{% raw %}",
    "\u202egnp.exe שלום",
    "🙂 $x^2$ ![a](javascript:b)",
    "line\nbreak\ttab",
    "=cmd()|' /C calc'!A0",
    "]]>--><!--&lt;&#x3c;",
)


def test_the_page_is_valid_html_with_landmarks_and_one_heading(page):
    tree = parsed(page)
    assert len(every(tree, "h1")) == len(every(tree, "main")) == len(every(tree, "nav")) == 1
    assert next(iter(every(tree, "html"))).get("lang") == "en"
    levels = [int(element.tag[1]) for element in tree.iter() if re.fullmatch(r"h[1-6]", str(element.tag))]
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_every_id_is_unique_and_every_reference_finds_one(page):
    tree = parsed(page)
    ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    wanted = set()
    for element in tree.iter():
        for name, value in element.items():
            if name in ("aria-labelledby", "aria-describedby", "for"):
                wanted.update(value.split())
            elif str(name).endswith("href") and value.startswith("#"):
                wanted.add(value[1:])
            wanted.update(re.findall(r"url\(#([^)]+)\)", value))
    assert wanted - set(ids) == set()
    assert {"verdict", "curves", "gallery", "leaderboard-caption"} <= wanted


def test_every_table_has_a_caption_and_every_heading_cell_a_scope(page):
    tree = parsed(page)
    tables = every(tree, "table")
    assert len(tables) >= 8
    for table in tables:
        assert words(next(iter(table.iter("caption"))))
        assert {cell.get("scope") for cell in table.iter("th")} == {"col", "row"}
        widths = {len(list(row)) for row in table.iter("tr")}
        assert len(widths) == 1


def test_every_figure_has_its_finding_as_a_description(page):
    tree = parsed(page)
    drawings = [svg for svg in every(tree, "svg") if svg.get("role") == "img"]
    assert len(drawings) > 20
    for svg in drawings:
        if svg.get("aria-label"):
            continue
        named = {element.get("id"): words(element) for element in svg.iter() if element.get("id")}
        title, finding = (named[name] for name in svg.get("aria-labelledby").split())
        assert title
        assert finding.endswith(".")


def test_nothing_is_loaded_from_elsewhere(page):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"data:image/[^\"]*", "", text))
    tree = parsed(text)
    for element in tree.iter():
        assert element.tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name, value in element.items():
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                assert value.startswith(("#", "data:image/")) or (page.parent / value).is_file(), value
    assert "url(" not in "".join(words(style) for style in every(tree, "style"))


def test_the_content_security_policy_allows_only_this_script(page):
    tree = parsed(page)
    scripts = [script for script in every(tree, "script") if script.get("type") is None]
    (script,) = scripts
    digest = base64.b64encode(hashlib.sha256("".join(script.itertext()).encode()).digest()).decode()
    (policy,) = [meta.get("content") for meta in every(tree, "meta") if meta.get("http-equiv")]
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "base-uri 'none'; form-action 'none'" in policy
    assert not any(name.startswith("on") for element in tree.iter() for name, _ in element.items())


def test_the_script_stays_small():
    from reports.elements.page_template import template_text

    assert len(template_text("report.js").encode()) < 20_000


def test_the_same_runs_in_any_order_give_the_same_bytes(runs, page, tmp_path):
    truth = runs[0].truth
    again = write_report(runs[::-1], tmp_path, lambda image: picture(truth, image))
    names = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(page.parent) for path in page.parent.rglob("*") if path.is_file())
    assert [
        name for name in names if (again.parent / name).read_bytes() != (page.parent / name).read_bytes()
    ] == []


def test_a_run_in_memory_is_matched_once_and_has_the_page_of_the_run_on_disk(
    tmp_path, monkeypatch, no_drawing
):
    truth = truth_of(8, ["round", "long"])
    evaluation = evaluate(truth, found_in(truth, 0.6, seed=1))
    saved = run_in(tmp_path / "run", truth, "ssd", 0.6, found=evaluation.matches.detections)
    opened = write_report([RunFolder.open(saved.path)], tmp_path / "opened")
    made = RunFolder(saved.path, saved.result, truth, evaluation.matches.detections, evaluation.matches)
    monkeypatch.setattr(run_record, "match", None)
    kept = write_report([made], tmp_path / "kept")
    for file in opened.parent.rglob("*.*"):
        assert (kept.parent / file.relative_to(opened.parent)).read_bytes() == file.read_bytes(), file.name


def test_fault_59_the_page_is_complete_without_scripts(page):
    text = page.read_text(encoding="utf-8")
    style = text[text.index("<style>") : text.index("</style>")]
    # Models and marks are hidden by the style sheet from checkboxes; what only scripts can do is hidden until they run.
    assert 'body:has(#show-0:not(:checked)) [data-series="0"]{display:none}' in style
    assert re.search(r'<button type="button" id="theme" hidden>', text)
    assert re.search(r'<div class="slider" id="slider" hidden>', text)
    assert "@media print" in style
    assert "details::details-content" in style


def test_fault_26_hostile_names_are_shown_literally(tmp_path):
    truth = truth_of(9, HOSTILE, seed=3)
    catalog = truth.catalog
    object.__setattr__(catalog, "file_names", HOSTILE)
    column = "video <img src=x onerror=alert(1)>\u202e"
    object.__setattr__(catalog, "image_columns", {column: ("=cmd()",) * 4 + ("<b>",) * 5})
    changes = {
        "variant_source": HOSTILE[0],
        "config": {HOSTILE[1]: {HOSTILE[2]: HOSTILE[3]}, "x": [HOSTILE[4]]},
        "environment": Environment(device=HOSTILE[5], cpu=HOSTILE[1], packages={HOSTILE[0]: HOSTILE[2]}),
        "command": HOSTILE[1],
        "warnings": HOSTILE,
    }
    runs = []
    for at, name in enumerate((HOSTILE[0], HOSTILE[1], HOSTILE[4])):
        run = run_in(tmp_path, truth, name, 0.7, at, **changes | {"name": f"run {at} {name}"})
        data = run.result.data.model_copy(update={"name": HOSTILE[2], "format": HOSTILE[3], "notes": HOSTILE})
        found = run.detections
        result = run.result.model_copy(update={"data": data})
        runs.append(save_result(run.path, result, truth, found, run.history))
    options = ComparisonOptions(limits=(MeasureLimit("ap", 0.0),), baseline=frozenset({runs[0].result.name}))
    page = write_report(
        runs, tmp_path / "out", lambda image: picture(truth, image), title=HOSTILE[1], options=options
    )
    text = page.read_text(encoding="utf-8")
    tree = parsed(text)
    assert len(every(tree, "script")) == 2
    assert every(tree, "img") == []
    assert not any(name.startswith("on") for element in tree.iter() for name, _ in element.items())
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069]", text)
    seen = words(tree)
    assert "image column 'video <img src=x onerror=alert(1)>" in seen
    assert re.search(r"Gate: ap: .* vs <script>alert\(1\)</script> ", seen)
    for name in (
        *HOSTILE[:4],
        "🙂 $x^2$ ![a](javascript:b)",
        "[U+202E]gnp.exe שלום",
        "line␊break␉tab",
        *HOSTILE[7:],
    ):
        assert name in seen, name
    assert "49" not in words(next(iter(every(tree, "h1"))))
    for file in page.parent.rglob("*"):
        assert re.fullmatch(r"[a-z0-9-]+(\.(csv|svg|png|html))?", file.name), file
    for file in page.parent.glob("*.csv"):
        assert not re.search(r'(?m)(?:^|,)"?[=+@\t\r]', file.read_text(encoding="utf-8")), file
    for figure in (page.parent / "figures").glob("*.svg"):
        assert b"<script" not in figure.read_bytes()


def test_figures_are_linked_as_png_only_on_request(runs, tmp_path):
    for png in (False, True):
        page = write_report(runs[:2], tmp_path / str(png), options=ComparisonOptions(resamples=0, png=png))
        linked = set(re.findall(r'"(figures/[\w-]+\.png)"', page.read_text(encoding="utf-8")))
        written = {f"figures/{file.name}" for file in (page.parent / "figures").glob("*.png")}
        assert linked == written
        assert bool(written) == png


def test_json_cannot_end_its_script_element_and_is_parsed_back():
    value = {"name": "</script><!--\u2028&amp;", "n": [1, None]}
    text = str(json_block(value))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def degenerate():
    """Edge cases, each with a sentence of its page."""
    one = truth_of(1, ["only"], seed=1)
    yield (
        "fault_34_one_image_one_class_one_run",
        one,
        found_in(one, 0.7, 0),
        "The data set has one class with valid objects.",
    )
    several = truth_of(8, ["a", "b"], seed=2)
    empty = DetectionTable.builder(several.catalog).build()
    yield "fault_1_no_detections", several, empty, "There are no true positives at IoU 0.50"
    kept = several.label == 0
    rows = {
        name: getattr(several, name)[kept] for name in ("image", "label", "xywh", "area", "crowd", "ignored")
    }
    lacking = type(several)(several.catalog, **rows, object_id=several.object_id[kept])
    yield (
        "fault_4_a_class_without_objects",
        lacking,
        found_in(several, 0.7, 0),
        "1 class has no valid objects on these images and is left out",
    )
    none = type(several)(
        several.catalog, *(getattr(several, name)[:0] for name in ("image", "label", "xywh", "area", "crowd", "ignored")),
        several.object_id[:0],
    )  # fmt: skip
    yield (
        "fault_2_no_objects_at_all",
        none,
        found_in(several, 0.7, 0),
        "AP is not defined: the test split",
    )


CASES = list(degenerate())


@pytest.mark.parametrize(
    ("truth", "found", "text"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_edge_cases_have_a_page(truth, found, text, tmp_path):
    run = run_in(tmp_path, truth, "ssd", 0.5, found=found)
    page = write_report([run], tmp_path / "report.html", lambda image: picture(truth, image))
    tree = parsed(page)
    assert text in words(tree)
    assert not re.search(r"\b(nan|inf|None)\b", words(next(iter(every(tree, "main")))))


def test_absolute_paths_are_hidden_by_default(runs, page, tmp_path, no_drawing):
    assert "alice" not in page.read_text(encoding="utf-8")
    shown = write_report(runs[:1], tmp_path, show_paths=True).read_text(encoding="utf-8")
    assert "/home/alice/cells" in shown


def test_a_report_in_the_run_folder_does_not_change_the_run(runs, tmp_path, no_drawing):
    run = run_in(tmp_path, runs[0].truth, "a", 0.7)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    for _ in range(2):
        write_report([type(run).open(run.path)], run.path)
    assert {name: (run.path / name).read_bytes() for name in before} == before
