"""Signs of numbers in text that people read: a true minus sign on pages and terminals alike."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.messages import with_minus_sign
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


def test_numbers_formatted_with_a_sign_get_a_true_minus():
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in ("bench", "detectors", "metrics", "reports")
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in _signed_lines(ast.parse(path.read_text()))
    ]
    assert not found


def test_a_number_formatted_with_a_sign_is_found():
    assert _signed_lines(ast.parse("f'{x:+.2f}'")) == [1]
    assert _signed_lines(ast.parse("with_minus_sign(f'{x:+.2f}')")) == []
    assert with_minus_sign("-0.00") == with_minus_sign("+0.00") == "0.00"


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
