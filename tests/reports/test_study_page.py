"""The page of a study: every section holds for any state of a study, and shows the numbers of the record."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import pairwise

import optuna
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import cells, every, parsed, part, words
from synthetic_studies import SPACE, START, finished, gain, study_of, trial, trials_of
from test_page import HOSTILE

from reports.analysis.report_data import ReportData
from reports.analysis.search_axis import search_axes
from reports.analysis.study_values import range_text
from reports.figures import study_plots
from reports.pages import write_comparison, write_study_page
from reports.records.study import StudyFolder
from reports.records.trial import Dimension

LIMITED = {"limits": [{"name": "latency_ms", "bound": 30}]}
TWO = {"objectives": [{"text": "ap"}, {"text": "olrp", "higher": False}]}
THREE = {
    "objectives": [{"text": "ap"}, {"text": "olrp", "higher": False}, {"text": "latency_ms", "higher": False}]
}


def page_of(folder, result, **how):
    """The page of a study that is saved in `folder`."""
    return write_study_page(StudyFolder.save(folder, result), **how)


def mixed():
    """Some trials of every kind, with steps, workers and a retry."""
    made = trials_of(24)
    for each in made:
        each["worker"] = f"w{each['number'] % 3}"
        each["intermediate_values"] = {100 * k: 0.1 * k for k in range(1, 4)}
    made[5] |= {"state": "fail", "values": (), "reason": "MemoryError: no room"}
    made[6] |= {
        "state": "fail",
        "values": (),
        "reason": "its worker died; another trial continues it",
        "superseded": True,
    }
    made[7] |= {"retry_of": 6}
    made[8] |= {"state": "pruned", "values": (), "intermediate_values": {100: 0.05}}
    made[22] |= {"state": "running", "values": (), "finished": None}
    made[23] |= {"state": "waiting", "values": (), "started": None, "finished": None}
    return made


def odd(trials, **params):
    """The last trial has other settings."""
    trials[-1]["params"] = {**trials[-1]["params"], **params}
    return trials


NONE_AND_TRUE = ({"path": "a", "default": None, "options": (None, True, False, 1, "1", "none")}, SPACE[0])

ROW_49 = {
    "no trial": study_of([]),
    "all failed": study_of([trial(n, state="fail", reason="ValueError: /home/ann/x.png is bad") for n in range(4)]),
    "all pruned": study_of([trial(n, state="pruned", intermediate_values={100: 0.1, 200: None}) for n in range(4)]),
    "all running": study_of([trial(0, state="running", finished=None), trial(1, state="waiting", started=None, finished=None)]),
    "one trial": study_of(trials_of(1)),
    "one of many": study_of([*trials_of(1), *(trial(n, state="fail") for n in range(1, 5))]),
    "two trials": study_of(trials_of(2)),
    "constant": study_of(trials_of(12, value=lambda params: 0.5)),
    "all zero": study_of(trials_of(12, value=lambda params: 0.0)),
    "nan": study_of(trials_of(12, value=lambda params: float("nan"))),
    "nan at times": study_of(trials_of(12, value=lambda p: p["nms.iou"] if p["nms.iou"] < 0.5 else float("nan"))),
    "huge": study_of(trials_of(12, value=lambda params: 1e12 * params["nms.iou"])),
    "same settings": study_of([trial(n, 0.1 * n, params={"nms.iou": 0.5}) for n in range(6)]),
    "no settings": study_of([trial(n, 0.1 * n) for n in range(6)]),
    "some settings": study_of([trial(n, 0.1 * n, params={"nms.iou": 0.1 * n + 0.1} if n % 2 else {}) for n in range(8)]),
    "one setting": study_of(trials_of(12, space=SPACE[:1]), space=SPACE[:1]),
    "one option": study_of(trials_of(12, space=SPACE[2:3], value=lambda p: len(p["nms.method"])), space=SPACE[2:3]),
    "changed space": study_of(odd(trials_of(12), **{"nms.iou": 3.0, "nms.method": "soft", "nms.top_k": 7, "gone": 1})),
    "a range became options": study_of(odd(trials_of(12), **{"nms.iou": "high", "nms.score": None})),
    "options became numbers": study_of(odd(trials_of(12), **{"nms.method": 0.5, "nms.top_k": 150.5, "nms.score": -1.0})),
    "none among options": study_of(trials_of(12, space=NONE_AND_TRUE), space=NONE_AND_TRUE),
    "numbers as options": study_of(
        [trial(n, 0.1 * n, params={"b": (8, 16, 4.5)[n % 3]}) for n in range(9)],
        space=[{"path": "b", "default": 8, "options": (8, 16, 4.5)}],
    ),
    "less is better": study_of(trials_of(12), objectives=[{"text": "olrp", "higher": False}]),
    "two objectives": study_of(trials_of(12, value=lambda p: (p["nms.iou"], p["nms.iou"] ** 2)), **TWO),
    "two equal objectives": study_of(trials_of(12, value=lambda p: (0.5, 0.5)), **TWO),
    "three objectives": study_of(trials_of(12, value=lambda p: (p["nms.iou"], p["nms.score"], 1.0)), **THREE),
    "none keeps the limit": study_of(
        [each | {"feasible": False, "measured": {"latency_ms": 31.0}} for each in trials_of(8)], **LIMITED
    ),
    "some keep the limit": study_of(
        [each | {"feasible": each["number"] % 2 == 0, "measured": {"latency_ms": 29.0 + each["number"] % 2 * 2}} for each in trials_of(8)],
        **LIMITED,
    ),
    "limits unmeasured": study_of([each | {"measured": {"latency_ms": None}} for each in trials_of(8)], **LIMITED),
    "no times": study_of([each | {"started": None, "finished": None} for each in trials_of(8)]),
    "times run backwards": study_of([each | {"started": each["finished"], "finished": each["started"]} for each in trials_of(8)]),
    "direction mismatch": study_of(trials_of(12, value=lambda p: -p["nms.iou"])),
    "mixed": study_of(mixed()),
}  # fmt: skip


@pytest.mark.parametrize("kind", ROW_49)
def test_fault_49_every_section_has_a_finding_for_any_state_of_a_study(kind, tmp_path):
    tree = parsed(page_of(tmp_path, ROW_49[kind]))
    for slug in ("verdict", "history", "importances", "space", "trials", "continuation"):
        finding = next(p for p in every(part(tree, slug), "p") if p.get("class") == "finding")
        assert re.fullmatch(r".*[^.]\.", words(finding)), words(finding)
    assert "nan" not in words(next(iter(every(tree, "main")))).lower().split()
    ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    assert [name for name, times in ids.items() if times > 1] == []
    for element in tree.iter():
        for name, value in element.items():
            if name in ("aria-labelledby", "for"):
                assert set(value.split()) <= set(ids)
            assert set(re.findall(r"url\(#([^)]+)\)", value)) <= set(ids)
            if str(name).endswith("href") and value.startswith("#"):
                assert value[1:] in ids
    levels = [int(element.tag[1]) for element in tree.iter() if re.fullmatch(r"h[1-6]", str(element.tag))]
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize(
    ("kind", "slug", "text"),
    [
        ("no trial", "verdict", "The study has no trials yet."),
        ("all failed", "verdict", "No trial has a value: 4 failed. The last reason: ValueError: …/x.png is bad."),
        ("all pruned", "verdict", "No trial has a value: 4 pruned."),
        ("all failed", "history", "There is no history: no trial has a value."),
        ("all failed", "space", "Values over the search space are unknown: no trial has a value."),
        ("one trial", "history", "Only one trial has a value: ap 0.460."),
        ("one trial", "importances", "Importances are unknown: only one trial has a value."),
        ("one setting", "importances", "Importances are unknown: only one setting was tuned."),
        ("constant", "history", "All 12 complete trials have the same ap, 0.500: the settings that were tried make"),
        ("constant", "importances", "Importances are unknown: all complete trials have the same value."),
        ("same settings", "space", "all complete trials have the same settings."),
        ("changed space", "verdict", "1 trial is outside the search space"),
        ("none keeps the limit", "trials", "8 of 8 trials are over a limit."),
        ("mixed", "trials", "23 trials: 19 complete, 1 pruned, 1 failed, 1 running and 1 waiting"),
        ("mixed", "trials", "1 trial continues another one whose worker died or was stopped."),
        ("two objectives", "front", "12 of 12 complete trials are on the Pareto front of ap and olrp."),
        ("two equal objectives", "front", "12 of 12 complete trials"),
    ],
)  # fmt: skip
def test_fault_49_what_is_unknown_is_stated_in_a_sentence(kind, slug, text, tmp_path, no_drawing):
    assert text in words(part(parsed(page_of(tmp_path, ROW_49[kind])), slug))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "Tuning helped: on the test split, ap is 0.450 [0.400, 0.500] with the settings of trial 3 and 0.380 with the "
             "default settings, a difference of +0.070 [+0.020, +0.120]. On the validation split, the settings of trial 3 had 0.500 in "
             "the study and have 0.460 with 2 fresh seeds. Validation minus test is +0.010 for the settings of trial 3 and +0.020 for the "
             "default settings."),
        ({"gain": gain(-0.02, 0.12)}, "Whether tuning helped is uncertain: on the test split,"),
        ({"gain": gain(-0.12, -0.02)}, "Tuning made it worse: on the test split,"),
        ({"gain": gain(doubt="too few images")}, "Whether tuning helped is uncertain (too few images): on the test split,"),
        ({"gain": gain() | {"interval": None}}, "Whether tuning helped is uncertain without a confidence interval: on the test split,"),
        ({"chosen": None, "gain": None}, "Tuning did not help: the default settings did best on the validation split. "
             "On the test split, ap is 0.380. On the validation split, the default settings had 0.400 in the study and have 0.400 with 2 fresh "
             "seeds. Validation minus test is +0.020 for the default settings."),
        ({"finalists": [{"trial": 3, "tuned": 0.5}], "gain": None},
         "The settings of trial 3 did best on the validation split. The settings were not retrained with fresh seeds: their "
         "value on the validation split, 0.500, comes from the study, where it was selected from 12 complete trials."),
    ],
)  # fmt: skip
def test_the_first_section_states_the_result_of_the_final_evaluation(changes, text, tmp_path, no_drawing):
    tree = parsed(page_of(tmp_path, finished(study_of(trials_of(12)), **changes)))
    assert text in words(part(tree, "verdict"))


def test_a_study_that_looked_at_the_test_split_again_says_so(tmp_path, no_drawing):
    looks = [{"trials": count, "chosen": 3, "fresh_seeds": 2, "when": START} for count in (6, 12, 1200)]
    for count in (0, 1):
        once = finished(study_of(trials_of(12), test_looks=looks[:count]))
        assert "looked at the test split" not in words(
            next(iter(every(parsed(page_of(tmp_path / "a", once)), "header")))
        )
    several = parsed(page_of(tmp_path / "b", finished(study_of(trials_of(12), test_looks=looks))))
    assert "The study looked at the test split 3 times, after 6, 12 and 1 200 trials." in words(
        part(several, "verdict")
    )
    assert "3 looks at the test split" in words(next(iter(every(several, "header"))))


def test_where_lower_is_better_a_negative_gain_helps(tmp_path, no_drawing):
    result = study_of(trials_of(12), objectives=[{"text": "olrp", "higher": False}])
    tree = parsed(page_of(tmp_path, finished(result, gain=gain(-0.12, -0.02))))
    assert "Tuning helped:" in words(part(tree, "verdict"))


def test_a_final_evaluation_names_its_own_objective(tmp_path, no_drawing):
    fitted = study_of(trials_of(12), stage="anchors", objectives=[{"text": "fit", "higher": True}])
    tree = parsed(
        page_of(
            tmp_path, finished(fitted, objective={"text": "olrp", "higher": False}, gain=gain(-0.12, -0.02))
        )
    )
    text = words(part(tree, "verdict"))
    assert "Tuning helped: on the test split, olrp is 0.450" in text
    assert "tuned settings: olrp on the validation split" in text
    assert "The best fit, " in words(part(tree, "history"))


def test_empty_options_are_named():
    dimension = Dimension(path="image.scales", default=None, options=(None, "", True, "64,64"))
    assert range_text(dimension) == "none, empty, true and 64,64"


def test_the_tables_are_those_of_the_study(tmp_path, no_drawing):
    result = finished(study_of(mixed(), importances={"nms.iou": 0.75, "nms.score": 0.25}))
    page = page_of(tmp_path, result)
    tree = parsed(page)
    assert [row[:6] for row in cells(tree, "finalists")] == [
        ["default", "0.400", "0.400 0.390 to 0.410", "0.000", "0.380 0.370 to 0.390", "+0.020"],
        ["trial 3 chosen", "0.500", "0.460 0.450 to 0.470", "+0.040", "0.450 [0.400, 0.500]", "+0.010"],
    ]
    assert [row[:3] for row in cells(tree, "settings")] == [
        ["nms.iou", "0.5", "0.7"],
        ["nms.method", "hard", "diou"],
    ]
    assert {row[0]: row[1] for row in cells(tree, "trials-states")} == {
        "COMPLETE": "19", "PRUNED": "1", "FAIL": "1", "RUNNING": "1", "WAITING": "1",
    }  # fmt: skip
    assert cells(tree, "trials-reasons") == [["MemoryError: no room", "1"]]
    assert [row[:2] for row in cells(tree, "importances-table")] == [
        ["nms.iou", "0.75"],
        ["nms.score", "0.25"],
    ]
    assert len(cells(tree, "trials-all")) == 24
    best = [row[0] for row in cells(tree, "space-trials")]
    assert best[0] == f"trial {result.complete[0].number}"
    assert best[-1] == "trial 0 default"
    assert "PED-ANOVA, 19 complete trials" in words(part(tree, "importances"))
    table = pd.read_csv(page.parent / "trials.csv")
    assert list(table["number"]) == list(range(24))


def test_the_table_of_improvements_is_the_running_maximum(tmp_path, no_drawing):
    result = study_of(trials_of(30, seed=3))
    tree = parsed(page_of(tmp_path, result))
    running = [
        t.number for t in result.trials if all(t.value > other.value for other in result.trials[: t.number])
    ]
    assert [row[0] for row in cells(tree, "history-best")] == [f"trial {number}" for number in running]


def test_user_given_names_are_shown_literally_and_run_nothing(tmp_path):
    rng = random.Random(0)
    space = [{"path": HOSTILE[at], "default": HOSTILE[0], "options": HOSTILE} for at in range(4)]
    trials = [
        trial(
            n,
            rng.random(),
            params={each["path"]: rng.choice(HOSTILE) for each in space},
            reason=HOSTILE[n % 9],
        )
        for n in range(12)
    ]
    trials[3] |= {"state": "fail", "values": ()}
    given = study_of(
        trials, space=space, variant=HOSTILE[0], data=HOSTILE[1], name=HOSTILE[2], command=HOSTILE[3],
        objectives=[{"text": HOSTILE[5]}, {"text": HOSTILE[8]}][:1], importances={HOSTILE[1]: 0.6, HOSTILE[2]: 0.4},
    )  # fmt: skip
    finalists = [
        {"trial": 3, "values": {HOSTILE[0]: HOSTILE[6]}, "tuned": 0.5, "retrained": [0.4], "test": [0.3]}
    ]
    result = finished(given, finalists=finalists, gain={"delta": 0.1, "doubt": HOSTILE[4]}, note=HOSTILE[7])
    page = page_of(tmp_path, result)
    tree = parsed(page)
    assert len(every(tree, "script")) == 1
    assert every(tree, "img") == []
    assert not any(name.startswith("on") for element in tree.iter() for name, _ in element.items())
    assert "<script>alert(1)</script>" in words(next(iter(every(tree, "h1"))))
    assert "{{7*7}}{% raw %}" in words(part(tree, "continuation"))
    for svg in (page.parent / "figures").glob("*.svg"):
        assert "<script" not in svg.read_text()


def test_the_same_study_is_the_same_bytes(tmp_path):
    result = finished(study_of(mixed(), importances={"nms.iou": 0.75, "nms.score": 0.25}))
    first, again = (page_of(tmp_path / name, result).parent for name in ("a", "b"))
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) > 8
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert [name for name in names if (first / name).read_bytes() != (again / name).read_bytes()] == []
    text = (first / "report.html").read_text()
    drawings = re.findall(r"<svg viewBox.*?</svg>", text, re.S)
    assert (
        len(drawings) == 8
    )  # final evaluation, history, steps, importances, slices, interaction, lines, timeline
    # A colour that is not the style sheet's would stay as it is when the page turns dark.
    assert [drawing[:200] for drawing in drawings if re.search(r"#[0-9a-f]{6}\b", drawing)] == []
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text)
    for svg in (each for each in every(parsed(text), "svg") if each.get("role") == "img"):
        named = {element.get("id"): words(element) for element in svg.iter() if element.get("id")}
        title, finding = (named[name] for name in svg.get("aria-labelledby").split())
        assert title
        assert finding.endswith(".")


def test_both_stages_are_on_the_page_of_the_last(tmp_path, no_drawing):
    StudyFolder.save(tmp_path / "first", study_of(trials_of(6), stage="train"))
    page = page_of(
        tmp_path / "last", finished(study_of(trials_of(6), earlier=("first",), fixed={"train.lr": 0.01}))
    )
    tree = parsed(page)
    assert "Optimization history, training" in words(part(tree, "history-0"))
    assert "Optimization history, post-processing" in words(part(tree, "history-1"))
    assert "train.lr=0.01" in words(part(tree, "continuation"))
    gone = page_of(tmp_path / "alone", study_of(trials_of(2), earlier=("nowhere",)))
    assert "stages missing" in words(parsed(gone))


def test_paths_are_shown_only_on_request(tmp_path, no_drawing):
    result = study_of(trials_of(3), command="python -m bench tune --data /home/ann/cells --space nms")
    assert "/home/ann" not in page_of(tmp_path / "a", result).read_text()
    assert "/home/ann/cells" in page_of(tmp_path / "b", result, show_paths=True).read_text()


def test_the_page_and_the_files_that_it_links_to_can_go_elsewhere(tmp_path, no_drawing):
    folder = StudyFolder.save(tmp_path / "s", finished(study_of(trials_of(4))))
    (folder.path / "winner.toml").write_text('variant = "ssd"\n')
    page = write_study_page(StudyFolder.open(folder.path), tmp_path / "out" / "tuning.html", title="Mine")
    tree = parsed(page)
    assert words(next(iter(every(tree, "h1")))) == "Mine"
    for link in every(tree, "a"):
        target = link.get("href")
        assert target.startswith("#") or (page.parent / target).is_file(), target


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), min_size=1, max_size=12))
def test_the_pareto_front_is_optunas(drawn):
    trials = [trial(n, (a / 4, b / 4), feasible=kept) for n, (a, b, kept) in enumerate(drawn)]
    reference = optuna.create_study(directions=["maximize", "minimize"])
    reference.add_trials(
        [
            optuna.create_trial(values=(a / 4, b / 4), constraints={"limit": 0.0 if kept else 1.0})
            for a, b, kept in drawn
        ]
    )
    front = study_of(trials, space=SPACE, **TWO).pareto_front
    assert {each.number for each in front} == {each.number for each in reference.best_trials}


def test_an_axis_holds_all_values_of_a_setting():
    axes = search_axes(ROW_49["changed space"])
    assert (axes["nms.iou"].low, axes["nms.iou"].high) == (0.1, 3.0)
    assert axes["nms.iou"].relative(3.0) == 1
    assert axes["nms.method"].options == ("hard", "linear", "diou", "soft")
    assert axes["nms.method"].position("soft") == 3
    assert axes["nms.score"].log
    assert axes["nms.score"].relative((0.001 * 0.5) ** 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(("low", "high"), [(0.00115, 0.005), (0.0031, 0.0046), (0.0006, 0.03), (1e-5, 0.1)])
def test_a_logarithmic_axis_has_at_least_two_numbers(low, high):
    space = ({"path": "train.lr", "default": low, "low": low, "high": high, "log": True},)
    trials = [trial(n, n / 10, params={"train.lr": low * (high / low) ** (n / 3)}) for n in range(4)]
    result = study_of(trials, space=space)
    drawn = study_plots.slices("some", "Title", "A finding.", result, [*search_axes(result).values()])
    texts = re.findall(r">\s*(\d[\d.e-]*)\s*</text>", drawn.inline)
    assert len({float(text) for text in texts if low * 0.6 <= float(text) <= high * 1.6}) >= 2


def test_a_comparison_has_a_section_about_the_studies_behind_its_runs(runs, tmp_path, no_drawing):
    first = StudyFolder.save(tmp_path / "a", finished(study_of(trials_of(12))))
    second = StudyFolder.save(tmp_path / "b", study_of(trials_of(3), variant="fcos"))
    alone, both = (
        parsed(write_comparison(ReportData.from_runs(runs[:1]), tmp_path / name, studies=studies))
        for name, studies in (("one", [first]), ("two", [first, second]))
    )
    assert words(part(alone, "tuning")).startswith("Tuning Tuning helped: on the test split, ap is 0.450")
    assert cells(alone, "tuning-0")[1][0] == "trial 3 chosen"
    text = words(part(both, "tuning"))
    assert "ssd (nms): Tuning helped" in text
    assert "fcos (nms): The study is not finished. The best of 3 complete trials so far is trial " in text
    without = parsed(write_comparison(ReportData.from_runs(runs[:1]), tmp_path / "none"))
    assert "tuning" not in {section.get("id") for section in every(without, "section")}
