"""Numbers in sentences: nouns and verbs agree with them, in the function that chooses and in all sources that use it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from metrics.plurals import agree, counts_by_kind, plural

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("metrics", "detectors", "reports", "bench")

NOT_PLURAL = frozenset(
    [
        "accepts",
        "always",
        "as",
        "bias",
        "compresses",
        "defines",
        "differs",
        "does",
        "gives",
        "has",
        "helps",
        "is",
        "its",
        "knows",
        "leads",
        "leaves",
        "less",
        "loses",
        "matters",
        "means",
        "minus",
        "ms",
        "needs",
        "occurs",
        "pays",
        "plus",
        "px",
        "reaches",
        "reads",
        "replaces",
        "rises",
        "stays",
        "takes",
        "this",
        "uses",
        "versus",
        "vs",
        "was",
    ]
)
"""Words in -s that are no plural nouns; those that are verbs end a phrase."""

ENDS_PHRASE = frozenset(
    [
        "a",
        "after",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "before",
        "between",
        "but",
        "by",
        "do",
        "for",
        "from",
        "had",
        "have",
        "if",
        "in",
        "into",
        "it",
        "no",
        "not",
        "of",
        "on",
        "or",
        "over",
        "than",
        "that",
        "the",
        "their",
        "them",
        "these",
        "to",
        "under",
        "until",
        "up",
        "were",
        "which",
        "who",
        "with",
        "within",
        "without",
    ]
)
"""Words after which a plural noun no longer belongs to the number."""

TEXTS = frozenset(
    {"agree", "join", "join_words", "plural", "points", "printable", "signed_points", "three_digits"}
)
"""Functions whose result is a text, or a number with decimals."""

NEVER_ONE = {
    ("bench/data/file_images.py", "{whole} pixels"),  # "40 x 30"
    ("bench/training/decoding.py", "{2 * enlargement(config.augment)} times"),  # at least 2
    ("metrics/formats/exports/scale_ai.py", "{kind} annotations"),  # a word
    ("bench/anchors/fit.py", "{per_cell} priors"),  # "3, 3, 3": a list
    ("bench/commands/tune.py", "{stage.stage} trials"),  # a name
    ("bench/datasets/voc.py", "{part.name} names"),  # a name
    ("bench/pipeline/sampling.py", "{which} objects"),  # a word
    ("bench/settings/resolution.py", "{limit} ends"),  # a setting
    ("bench/tune/objectives.py", "{name} measures"),  # a name
    ("metrics/compare/verdict.py", "{counts[0]} runs"),  # one run is another sentence
    ("metrics/compare/verdict.py", "{number} runs"),  # "2 to 3"
    ("metrics/formats/image_paths.py", "{stem} names"),  # a name
    ("metrics/formats/plausibility.py", "{sides} pixels"),  # "40 x 30"
    ("metrics/formats/yolo_undescribed.py", "{second} list different class names"),  # a file
    ("metrics/mask_files.py", "{_size(other)} pixels"),  # "40 x 30"
    ("reports/analysis/data_findings.py", "{_boxes(found, 'has', 'have')} both sides"),  # a sentence
    ("reports/analysis/training_budget.py", "{amount} FLOPs"),
    ("reports/sections/data_images.py", "{number} different sizes"),  # one size is another sentence
    ("reports/sections/data_sets.py", "{_mean_text(each)} points"),
    ("reports/sections/data_sets.py", "{drawing.finding} Bars"),  # a sentence
    ("reports/sections/data_splits.py", "{ratio} times"),  # above 1
    ("reports/sections/decision_text.py", "{split} images"),  # a word
    ("reports/sections/latency.py", "{by_stage.finding} Markers"),  # a sentence
    ("reports/sections/latency.py", "{rate} images"),  # a number with decimals
    ("reports/sections/learning_curves.py", "{_gain(doubling)} points"),
    ("reports/sections/learning_curves.py", "{finding} Markers"),  # a sentence
    ("reports/sections/learning_curves.py", "{most} images"),  # at least four numbers of images
    ("reports/sections/masks.py", "{len(PHOTO)} colours"),
    ("reports/sections/pairs.py", "{len(rows)} differences"),  # one difference is another sentence
    ("reports/sections/shifts.py", "{finding} Bands"),  # a sentence
    ("reports/sections/slices.py", "{ends} percentage points"),  # an interval
    ("reports/sections/speed_accuracy.py", "{most} models"),  # at least three
    ("reports/sections/speed_accuracy.py", "{pairs} pairs"),  # at least three
    ("reports/sections/study_history.py", "{len(complete)} complete trials"),  # one is another sentence
    ("reports/sections/study_space.py", "{name} ranges"),  # a name
    ("reports/sections/training.py", "{100 * LEAST_GAIN} percentage points"),
    ("reports/sections/training.py", "{formatting.sentence(note.text)} More epochs"),  # a sentence
    ("reports/sections/tuning_text.py", "{counts} trials"),  # "10, 20": a list
    ("reports/sections/verdict_text.py", "{_lead(means[0] - value)} percentage points"),
    ("reports/sections/verdict_text.py", "{number} seeds"),  # one seed has no sentence
}
"""Reviewed values before a plural noun that are texts, or numbers that cannot be 1, by file."""


@pytest.mark.parametrize(
    ("words", "expected"),
    {
        (0, "image"): "0 images",
        (1, "image"): "1 image",
        (2, "image"): "2 images",
        (1200, "image"): "1,200 images",
        (2, "box"): "2 boxes",
        (2, "training pass"): "2 training passes",
        (2, "batch"): "2 batches",
        (2, "epoch"): "2 epochs",
        (2, "category"): "2 categories",
        (2, "key"): "2 keys",
        (1, "image has", "images have"): "1 image has",
        (3, "image has", "images have"): "3 images have",
    }.items(),
    ids=str,
)
def test_plural_writes_a_count(words: tuple[int, str], expected: str) -> None:
    assert plural(*words) == expected


def test_agree_chooses_by_the_number_alone() -> None:
    assert [agree(number, "is", "are") for number in (0, 1, 1.0, 1.5, 2)] == ["are", "is", "is", "are", "are"]


def test_counts_by_kind_need_no_plural() -> None:
    assert counts_by_kind({"points": 1, "lines of text": 1200}) == "lines of text (1,200), points (1)"


def called(value: ast.expr) -> str:
    """Name of the function or method that a value calls; empty for other values."""
    function = value.func if isinstance(value, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def may_be_one(part: ast.FormattedValue) -> bool:
    """Whether a formatted value can be the number 1: no text, decimals, percent or constant."""
    spec = part.format_spec.values[-1] if isinstance(part.format_spec, ast.JoinedStr) else None
    decimals = isinstance(spec, ast.Constant) and str(spec.value)[-1:] in {"f", "%", "e"}
    name = getattr(part.value, "attr", getattr(part.value, "id", ""))
    constant = name.strip("_").isupper()
    text = isinstance(part.value, ast.IfExp) or called(part.value) in TEXTS
    return part.conversion == -1 and not (decimals or constant or text)


def plural_noun(text: str) -> str:
    """The words up to a plural noun at the beginning of a text that follows a number; empty without one."""
    words = re.match(r"(?: [A-Za-z][\w'-]*)+", text)
    if words is None:
        return ""
    for count, word in enumerate(words[0].split()[:4], start=1):
        if word.lower() in ENDS_PHRASE | NOT_PLURAL:
            break
        if re.search(r"[^s]s$", word):
            return " ".join(words[0].split()[:count])
    return ""


def disagreements(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of each number that stands before a plural noun, and of each count that stands beside a plural verb."""
    for string in ast.walk(tree):
        if not isinstance(string, ast.JoinedStr):
            continue
        for at, part in enumerate(string.values):
            if not isinstance(part, ast.FormattedValue):
                continue
            before, after = (
                str(beside.value) if isinstance(beside, ast.Constant) else ""
                for beside in (
                    string.values[at - 1] if at else None,
                    string.values[at + 1] if at + 1 < len(string.values) else None,
                )
            )
            value = ast.unparse(part.value)
            if called(part.value) == "plural":
                verb = re.match(r" (are|have|were|do|get|differ|share)\b", after)
                if verb or re.search(r"\b[Tt]here (are|were) $", before):
                    yield part.lineno, f"{before[-10:]}{{{value}}}{after[:10]}"
            elif (
                may_be_one(part)
                and not re.search(r"(^|[ }])x $|^x$", before)
                and (noun := plural_noun(after))
            ):
                yield part.lineno, f"{{{value}}} {noun}"


SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("package", PACKAGES)
def test_nouns_and_verbs_beside_numbers_agree_with_them(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for line, text in disagreements(ast.parse(path.read_text(encoding="utf-8")))
        if (path.relative_to(ROOT).as_posix(), text) not in NEVER_ONE
    ]
    assert not wrong, "use metrics.plurals:\n" + "\n".join(wrong)


def test_every_reviewed_exception_is_still_there() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), text)
        for path in SOURCES
        for _, text in disagreements(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found >= NEVER_ONE, NEVER_ONE - found


@pytest.mark.parametrize(
    "wrong",
    [
        'f"{n} images"',
        'f"{len(x):,} training images are left out"',
        'f"{a} of {n} classes"',
        'f"{n:g} extra "f"levels"',
        "f\"{plural(n, 'image')} are left out\"",
        "f\"there are {plural(n, 'class')}\"",
    ],
)
def test_the_check_finds_what_it_is_for(wrong: str) -> None:
    assert len(list(disagreements(ast.parse(wrong)))) == 1


@pytest.mark.parametrize(
    "right",
    [
        "f\"{plural(n, 'image')}\"",
        "f\"{n:,} of {plural(m, 'image')} {agree(n, 'is', 'are')} left out\"",
        'f"{name!r} names the class"',
        'f"{w} x {h} pixels"',
        'f"{share:.0%} confidence intervals"',
        'f"{FEW_OBJECTS} objects"',
        'f"{n} of the images"',
    ],
)
def test_the_check_accepts_what_is_right(right: str) -> None:
    assert not list(disagreements(ast.parse(right)))
