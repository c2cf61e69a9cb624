"""Numbers in text that people read: a true minus sign and one mark for missing numbers, on pages and terminals alike."""

from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.number_text import MISSING, fixed, with_minus_sign
from reports.analysis import study_values
from reports.elements import formatting

ROOT = Path(__file__).parent.parent

FORMATS = [
    formatting.points,
    formatting.signed_points,
    formatting.fixed,
    study_values.number,
    study_values.signed,
]


@pytest.mark.parametrize("format_number", FORMATS, ids=lambda each: each.__name__)
@given(value=st.floats(-99, 99))
def test_a_number_has_a_true_minus_and_zero_has_no_sign(format_number, value):
    text = format_number(value)
    read = float(text.replace("−", "-"))
    assert "-" not in text
    assert read * value >= 0
    assert text.startswith("−") == (read < 0)


def _sources() -> list[Path]:
    """Every file of the four packages."""
    packages = ("bench", "detectors", "metrics", "reports")
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def test_numbers_formatted_with_a_sign_get_a_true_minus():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in _sources()
        for line in _signed_lines(ast.parse(path.read_text()))
    ]
    assert not found


def test_a_number_formatted_with_a_sign_is_found():
    assert _signed_lines(ast.parse("f'{x:+.2f}'")) == [1]
    assert _signed_lines(ast.parse("with_minus_sign(f'{x:+.2f}')")) == []
    assert with_minus_sign("-0.00") == with_minus_sign("+0.00") == "0.00"


def test_a_missing_number_has_one_mark():
    assert fixed(None) == fixed(math.nan) == fixed(math.inf) == MISSING
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in _sources()
        if path.name != "number_text.py"
        for line in _mark_lines(ast.parse(path.read_text()))
    }
    assert not found


def test_a_mark_of_its_own_for_a_missing_number_is_found():
    assert _mark_lines(ast.parse("text = '-' if value is None else f'{value:.3f}'")) == [1]
    assert _mark_lines(ast.parse("def text(value):\n if not value:\n  return '–'\n return str(value)")) == [3]
    assert _mark_lines(ast.parse("cells = [Cell('—')]")) == [1]
    assert _mark_lines(ast.parse("name = '-'.join(words) if words else '-b'")) == []


def _mark_lines(tree: ast.AST) -> list[int]:
    """Lines of dashes that stand for something missing: a lone en or em dash, or a hyphen of a conditional or of `return`."""
    lines = [
        each.lineno for each in ast.walk(tree) if isinstance(each, ast.Constant) and each.value in ("–", "—")
    ]
    for each in ast.walk(tree):
        arms = [each.body, each.orelse] if isinstance(each, ast.IfExp) else []
        arms += [each.value] if isinstance(each, ast.Return) else []
        lines += [arm.lineno for arm in arms if isinstance(arm, ast.Constant) and arm.value == "-"]
    return lines


def _signed_lines(tree: ast.AST) -> list[int]:
    """Lines of f-strings with a format such as ``+.2f`` that no `with_minus_sign` contains; ``__repr__`` is for programs."""
    if isinstance(tree, ast.FunctionDef) and tree.name == "__repr__":
        return []
    if (
        isinstance(tree, ast.Call)
        and getattr(tree.func, "attr", getattr(tree.func, "id", "")) == "with_minus_sign"
    ):
        return []
    if isinstance(tree, ast.FormattedValue) and tree.format_spec is not None:
        spec = tree.format_spec.values[0]
        if isinstance(spec, ast.Constant) and str(spec.value).startswith("+"):
            return [tree.lineno]
    return [line for child in ast.iter_child_nodes(tree) for line in _signed_lines(child)]
