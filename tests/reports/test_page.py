"""The page: valid, self-contained, safe, the same for the same runs, and true to its numbers."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from pages import cells, every, parsed, part, words
from scene_runs import PAIRWISE_COLUMNS
from synthetic_runs import found_in, picture, run_in, truth_of

from metrics.compare import Limit
from metrics.tables import DetectionTable
from reports.comparison import Terms
from reports.html import json_block, write_report
from reports.results import Budget, Environment, save_result

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


def test_every_figure_says_its_finding_to_who_cannot_see_it(page):
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


def test_the_policy_allows_this_very_script_and_nothing_else(page):
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
    from reports.html import template_text

    assert len(template_text("report.js").encode()) < 20_000


def test_the_same_runs_in_any_order_give_the_same_bytes(runs, page, tmp_path):
    truth = runs[0].truth
    again = write_report(runs[::-1], tmp_path, lambda image: picture(truth, image))
    names = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(page.parent) for path in page.parent.rglob("*") if path.is_file())
    assert [
        name for name in names if (again.parent / name).read_bytes() != (page.parent / name).read_bytes()
    ] == []


def means_of(runs):
    """AP of each variant, mean over its seeds; best first."""
    of = {}
    for run in runs:
        of.setdefault(run.result.variant, []).append(run.result.headline["ap"])
    return sorted(((float(np.mean(values)), name) for name, values in of.items()), reverse=True)


def test_without_resamples_the_verdict_says_the_differences_and_claims_no_significance(
    runs, tmp_path, no_drawing
):
    page = write_report(runs, tmp_path, terms=Terms(resamples=0))
    said = words(part(parsed(page), "verdict"))
    (best, name), *others = means_of(runs)
    assert f"{name} has the highest AP, {100 * best:.1f}, " in said
    for value, other in others:
        assert f"{100 * (best - value):.1f} above {other} ({100 * value:.1f})" in said
    assert "calls no difference significant" in said
    assert not re.search(r"significantly|p ?[<=] ?0?\.\d|\[\d", said)
    assert not (tmp_path / "pairwise.csv").exists()


def test_of_few_images_the_verdict_decides_nothing(runs, page):
    tree = parsed(page)
    (best, name), *_ = means_of(runs)
    said = words(part(tree, "verdict"))
    assert re.search(rf"{name} has the highest AP, {100 * best:.1f} \[\d+\.\d, \d+\.\d\]\.", said)
    assert "With 16 images nothing can be decided." in said
    assert "too few images to call any difference more than chance" in words(part(tree, "pairs"))
    assert {row[-1] for row in cells(tree, "pairs-table")} == {"too few images"}
    assert {row[2] for row in cells(tree, "leaderboard")} == {"a"}


def test_groups_are_a_fact_and_too_few_of_them_a_warning(runs, tmp_path, no_drawing):
    groups = {image: image % 8 for image in runs[0].truth.catalog.image_ids}
    tree = parsed(write_report(runs[:2], tmp_path, terms=Terms(groups=groups, resamples=50)))
    verdict = part(tree, "verdict")
    warned = [words(each) for each in every(verdict, "p") if each.get("class") == "warning"]
    facts = [words(each) for each in every(verdict, "li")]
    assert "16 images were drawn in 8 groups." in facts
    (few,) = [said for said in warned if "drawn" in said or "too few" in said]
    assert few.startswith("Note. 8 groups with ")


def test_the_verdict_and_the_tables_say_the_same_of_every_pair(tmp_path, no_drawing):
    truth = truth_of(60, ["a", "b"], seed=5)
    runs = [
        run_in(tmp_path, truth, name, skill)
        for name, skill in (("weak", 0.2), ("good", 0.8), ("better", 0.82))
    ]
    page = write_report(runs, tmp_path / "out")
    tree = parsed(page)
    rows = pd.read_csv(page.parent / "pairwise.csv")
    assert list(rows.columns)[:16] == PAIRWISE_COLUMNS
    pairs = rows[(rows["metric"] == "ap") & (rows["scope"] == "all") & (rows["test"] == "bootstrap")]
    ap = {run.result.variant: run.result.headline["ap"] for run in runs}
    letters = {row[0].split(" ")[0]: row[2] for row in cells(tree, "leaderboard")}
    said = words(part(tree, "verdict"))
    for pair, cell in zip(pairs.itertuples(), cells(tree, "pairs-table"), strict=True):
        assert pair.delta == pytest.approx(ap[pair.model_a] - ap[pair.model_b])
        assert cell[0] == f"{pair.model_a} − {pair.model_b}"
        assert cell[1].startswith(f"{100 * pair.delta:+.1f}")
        assert cell[-1] == (f"{pair.model_a} is better" if pair.decisive else "tied")
        assert bool(set(letters[pair.model_a]) & set(letters[pair.model_b])) == (not pair.decisive)
        assert pair.sim_low <= pair.ci_low or pair.sim_high >= pair.ci_high
    leader = pairs.iloc[0]["model_a"]
    beaten = pairs[(pairs["model_a"] == leader) & pairs["decisive"]]["model_b"]
    assert list(beaten) == ["weak"]
    assert "It beats weak by" in said
    # One run a model: its interval is the run's, and stands beside the run's value.
    metrics = pd.read_csv(page.parent / "metrics.csv")
    own = metrics[(metrics["model_id"] == "good") & (metrics["metric"] == "ap")]
    assert ((own["ci_low"] < own["value"]) & (own["value"] < own["ci_high"])).all()
    assert metrics[metrics["metric"] == "ar_small"]["ci_low"].isna().all()
    # What each image does to the lead: leaving one out changes it by its influence.
    moved = pd.read_csv(page.parent / "influence.csv")
    assert (moved["influence"] + moved["delta_without"]).to_numpy() == pytest.approx(pairs.iloc[0]["delta"])


def test_the_leaderboard_holds_the_means_of_the_seeds(runs, page):
    rows = {row[0].split(" ")[0]: row for row in cells(parsed(page), "leaderboard")}
    for variant in ("ssd", "retinanet", "fcos"):
        values = [run.result.headline for run in runs if run.result.variant == variant]
        ap = [100 * value["ap"] for value in values]
        assert rows[variant][0] == f"{variant} 2 seeds: {ap[0]:.1f}, {ap[1]:.1f}"
        assert rows[variant][3].split(" ")[0] == f"{np.mean(ap):.1f}"
        assert rows[variant][4] == f"{100 * np.mean([value['ap50'] for value in values]):.1f}"


def test_the_sliders_counts_are_those_of_the_table_at_the_same_score(runs, page):
    tree = parsed(page)
    (block,) = [script for script in every(tree, "script") if script.get("type") == "application/json"]
    payload = json.loads("".join(block.itertext()))["thresholds"]
    assert len(payload["thresholds"]) == 201
    assert payload["classes"] == ["round", "long", "odd"]
    for model in payload["models"]:
        for counts in (model["right"], model["false"]):
            assert [sum(column) for column in zip(*counts[1:], strict=True)] == counts[0]
            assert counts[0] == sorted(counts[0], reverse=True)
    assert payload["asked"][0] == sum(payload["asked"][1:])


def test_fault_row_59_all_is_there_with_scripts_off(page):
    text = page.read_text(encoding="utf-8")
    style = text[text.index("<style>") : text.index("</style>")]
    # Models and marks are hidden by the style sheet from checkboxes; what only scripts can do is hidden until they run.
    assert 'body:has(#show-0:not(:checked)) [data-series="0"]{display:none}' in style
    assert re.search(r'<button type="button" id="theme" hidden>', text)
    assert re.search(r'<div class="slider" id="slider" hidden>', text)
    assert "@media print" in style
    assert "details::details-content" in style


def test_fault_row_26_every_name_is_shown_literally_and_nothing_else_happens(tmp_path, no_pixels):
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
        found = run.found
        result = run.result.model_copy(update={"data": data})
        runs.append(save_result(run.path, result, truth, found, run.history))
    terms = Terms(limits=(Limit("ap", 0.0),), old=frozenset({runs[0].result.name}))
    page = write_report(
        runs, tmp_path / "out", lambda image: picture(truth, image), title=HOSTILE[1], terms=terms
    )
    text = page.read_text(encoding="utf-8")
    tree = parsed(text)
    assert len(every(tree, "script")) == 2
    assert every(tree, "img") == []
    assert not any(name.startswith("on") for element in tree.iter() for name, _ in element.items())
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069]", text)
    seen = words(tree)
    assert "have a column 'video <img src=x onerror=alert(1)>" in seen
    assert re.search(r"Gate: ap: .* less <script>alert\(1\)</script> ", seen)
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


def test_json_in_the_page_cannot_end_its_block_and_comes_back():
    value = {"name": "</script><!--\u2028&amp;", "n": [1, None]}
    text = str(json_block(value))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def degenerate():
    """Scenes at the edge: what they hold, and a sentence that the page must say of them."""
    one = truth_of(1, ["only"], seed=1)
    yield "fault_row_34_one_image_one_class_one_run", one, found_in(one, 0.7, 0), "There is one class, only."
    several = truth_of(8, ["a", "b"], seed=2)
    empty = DetectionTable.builder(several.catalog).build()
    yield "fault_row_1_no_detections", several, empty, "No detection is right at IoU 0.50"
    kept = several.label == 0
    rows = {
        name: getattr(several, name)[kept] for name in ("image", "label", "xywh", "area", "crowd", "ignored")
    }
    lacking = type(several)(several.catalog, **rows, object_id=several.object_id[kept])
    yield (
        "fault_row_4_a_class_without_objects",
        lacking,
        found_in(several, 0.7, 0),
        "1 class without an object here: b.",
    )
    none = type(several)(
        several.catalog, *(getattr(several, name)[:0] for name in ("image", "label", "xywh", "area", "crowd", "ignored")),
        several.object_id[:0],
    )  # fmt: skip
    yield "fault_row_2_no_objects_at_all", none, found_in(several, 0.7, 0), "AP is not defined here"


def test_fault_row_15_scores_that_are_no_probabilities_are_said_and_the_rest_stands(
    runs, tmp_path, no_drawing
):
    truth = runs[0].truth
    found = runs[0].found
    logits = DetectionTable(found.catalog, found.image, found.label, found.xywh, 10 * found.score - 3)
    page = write_report([run_in(tmp_path, truth, "logits", 0.7, found=logits)], tmp_path / "out")
    tree = parsed(page)
    assert "Not measured, because scores are no probabilities" in words(part(tree, "calibration"))
    assert not (page.parent / "reliability.csv").exists()
    assert cells(tree, "leaderboard")[0][1].split(" ")[0] == f"{100 * runs[0].result.headline['ap']:.1f}"
    assert "F1 over all classes is highest for logits" in words(part(tree, "thresholds"))


CASES = list(degenerate())


@pytest.mark.parametrize(
    ("truth", "found", "said"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_page_stands_at_the_edges(truth, found, said, tmp_path, no_pixels):
    run = run_in(tmp_path, truth, "ssd", 0.5, found=found)
    page = write_report([run], tmp_path / "report.html", lambda image: picture(truth, image))
    tree = parsed(page)
    assert said in words(tree)
    assert not re.search(r"\b(nan|inf|None)\b", words(next(iter(every(tree, "main")))))


def test_fault_row_36_two_equal_models_share_the_lead(tmp_path, no_drawing):
    truth = truth_of(8, ["a", "b"])
    found = found_in(truth, 0.7, 0)
    runs = [run_in(tmp_path, truth, name, 0.7, found=found) for name in ("one", "two")]
    tree = parsed(write_report(runs, tmp_path / "out"))
    said = words(part(tree, "verdict"))
    assert "nothing can be decided" in said
    assert [row[1:3] for row in cells(tree, "leaderboard")] == [["1 1 to 2", "a"], ["1 1 to 2", "a"]]
    assert cells(tree, "pairs-table")[0][1].startswith("0.0")
    page = write_report(runs, tmp_path / "unmeasured", terms=Terms(resamples=0))
    assert "one and two share the highest AP" in words(part(parsed(page), "verdict"))


def test_fault_row_36_the_very_same_detections_are_tied_however_many_images(tmp_path, no_drawing):
    truth = truth_of(64, ["a", "b"])
    found = found_in(truth, 0.7, 0)
    runs = [run_in(tmp_path, truth, name, 0.7, found=found) for name in ("one", "two")]
    page = write_report(runs, tmp_path / "out")
    tree = parsed(page)
    assert "No difference is decisive." in words(part(tree, "verdict"))
    (pair,) = cells(tree, "pairs-table")
    assert pair[1:3] == ["0.0 [0.0, 0.0]", "[0.0, 0.0]"]
    assert (pair[3], pair[-1]) == ("1.000", "tied")
    assert [row[2] for row in cells(tree, "leaderboard")] == ["a", "a"]
    assert not pd.read_csv(page.parent / "pairwise.csv")["decisive"].any()
    assert not every(part(tree, "pairs"), "strong")


def test_fault_row_34_intervals_of_too_little_are_pale_and_said_to_be_a_hint(runs, page, tmp_path, no_pixels):
    tree = parsed(page)  # of 16 images
    figure = next(one for one in every(tree, "figure") if one.get("id") == "figure-ap")
    assert "Pale ones are a hint at most: too few images or objects." in words(figure)
    assert "of too few images: a hint at most" in words(part(tree, "curves"))
    opacity = r"stroke-opacity: ([\d.]+)"
    bars = {
        float(found[1])
        for path in figure.iter()
        if (found := re.search(opacity, path.get("style") or "")) and path.get("clip-path")
    }
    assert bars == {0.3}
    assert pd.read_csv(page.parent / "standings.csv")["too_few"].all()
    one = truth_of(1, ["only"], seed=1)
    alone = parsed(write_report([run_in(tmp_path, one, "ssd", 0.7)], tmp_path / "out"))
    # Of one image nothing is known of others: no interval at all.
    assert "[" not in cells(alone, "leaderboard")[0][1]
    assert pd.read_csv(tmp_path / "out" / "standings.csv")["ci_low"].isna().all()


def test_budgets_that_differ_are_said_and_equal_ones_too(runs, page, tmp_path, no_drawing):
    assert "All models were given the same budget" in words(part(parsed(page), "budget"))
    truth = runs[0].truth
    given = {"a": Budget(epochs=10, images_seen=1000), "b": Budget(epochs=30, images_seen=3000)}
    other = [run_in(tmp_path, truth, name, 0.7, budget=budget, name=name) for name, budget in given.items()]
    said = words(part(parsed(write_report(other, tmp_path / "out")), "budget"))
    assert "Budgets differ in epochs: " in said
    assert "a difference in AP may be one of budget" in said


def test_what_training_began_with_is_the_whole_detectors_before_the_backbones(runs, tmp_path, no_drawing):
    random = {"weights": None, "backbone": {"weights": None}}
    given = {
        "a": random,
        "b": random | {"weights": "SSD300_VGG16_Weights.COCO_V1"},
        "c": random | {"backbone": {"weights": "mine.safetensors"}},
    }
    truth, known = runs[0].truth, Budget(epochs=1, images_seen=10)
    made = [
        run_in(tmp_path, truth, name, 0.7, config=settings, budget=known, name=name)
        for name, settings in given.items()
    ]
    tree = parsed(write_report(made, tmp_path / "out"))
    assert {row[0]: row[-2] for row in cells(tree, "budget-table")} == {
        "a": "random weights", "b": "SSD300_VGG16_Weights.COCO_V1", "c": "mine.safetensors",
    }  # fmt: skip
    assert "Only some start from pretrained weights: b and c." in words(part(tree, "budget"))


def test_a_reference_was_trained_elsewhere_and_found_here(runs, tmp_path, no_drawing):
    truth = runs[0].truth
    elsewhere = run_in(tmp_path, truth, "torchvision/x", 0.7, budget=Budget(total_seconds=3.0), seed=0)
    said = words(part(parsed(write_report([runs[0], elsewhere], tmp_path / "out")), "budget"))
    assert "What some models were given is not known: they were trained elsewhere." in said


def test_kinds_of_object_are_those_of_the_truth_and_each_is_measured(runs, page):
    tree = parsed(page)
    truth = runs[0].truth
    asked = int((~truth.ignored).sum())
    rows = cells(tree, "slices-table")
    by = {}
    for name, axis, objects, *_ in rows[:-1]:
        by.setdefault(axis, {})[name] = int(objects)
    assert len(by) == 4
    assert all(sum(counts.values()) == asked for counts in by.values())
    edge = (
        (truth.boxes.min(1) <= 2) | (truth.boxes[:, 2] >= 318) | (truth.boxes[:, 3] >= 238)
    ) & ~truth.ignored
    assert by["Nearness to the border"]["at the border"] == edge.sum()
    assert re.search(r"matters most for", words(part(tree, "slices")))


def test_badges_say_what_to_keep_in_mind(runs, page, tmp_path, no_drawing):
    assert "2 seeds a dot each" in words(next(iter(every(parsed(page), "header"))))
    truth = runs[0].truth
    dirty = Environment(device="cpu", cpu="one", dirty=True)
    made = [
        run_in(tmp_path, truth, "a", 0.7, environment=dirty, status="partial"),
        run_in(tmp_path, truth, "b", 0.7, environment=Environment(device="cpu", cpu="two")),
    ]
    said = words(next(iter(every(parsed(write_report(made, tmp_path / "out")), "header"))))
    for badge in ("1 seed seed variance not measured", "partial run", "dirty git", "mixed hardware"):
        assert badge in said


def test_paths_are_hidden_unless_asked_for(runs, page, tmp_path, no_drawing):
    assert "alice" not in page.read_text(encoding="utf-8")
    shown = write_report(runs[:1], tmp_path, show_paths=True).read_text(encoding="utf-8")
    assert "/home/alice/cells" in shown


def test_another_result_than_the_detections_give_is_said(runs, tmp_path, no_drawing):
    truth = runs[0].truth
    run = run_in(tmp_path, truth, "a", 0.7, headline={"ap": 0.99, "ap50": None})
    said = words(part(parsed(write_report([run], tmp_path / "out")), "verdict"))
    assert "result.json has another ap and ap50 than its detections give" in said


def test_a_report_in_the_run_folder_leaves_the_run_as_it_was(runs, tmp_path, no_drawing):
    run = run_in(tmp_path, runs[0].truth, "a", 0.7)
    before = {path.name: path.read_bytes() for path in run.path.iterdir()}
    for _ in range(2):
        write_report([type(run).open(run.path)], run.path)
    assert {name: (run.path / name).read_bytes() for name in before} == before
