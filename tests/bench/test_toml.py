"""Settings as text: what is written is read again, and what is typed means what it looks like."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.settings import toml
from metrics.errors import InputError

names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8)
plain = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
)
values = plain | st.lists(plain, max_size=4)
trees = st.recursive(
    st.dictionaries(names, values, max_size=4),
    lambda inner: st.dictionaries(names, inner | values, max_size=3),
)


@given(trees)
def test_what_is_written_is_read_by_python_s_own_reader(tree):
    assert tomllib.loads(toml.write(tree)) == tree


def test_none_is_written_as_text_because_toml_has_none():
    assert toml.write({"backbone": {"weights": None}}) == '[backbone]\nweights = "none"\n'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("1.5", 1.5),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("5.", 5.0),
        ("true", True),
        ("False", False),
        ("none", None),
        ("[1, 2]", [1, 2]),
        ("[disk, square]", ["disk", "square"]),
        ('"0.5"', "0.5"),
        ("resnet18", "resnet18"),
        ("2024-01-01", "2024-01-01"),
        ("weights/a=b.pth", "weights/a=b.pth"),
        ("1_x", "1_x"),
        ("inf.", "inf."),
        ("a\nb = 1", "a\nb = 1"),
    ],
)
def test_a_value_on_the_command_line_means_what_it_looks_like(text, value):
    path, parsed, typed = toml.parse_set(f"some.name={text}")
    assert (path, parsed, typed) == (("some", "name"), value, text)
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nms.iou", "--set nms.iou: expected name=value, for example --set train.epochs=5"),
        ("nms.iou=", 'nms.iou: empty value; write nms.iou="" for an empty text'),
        ("=3", "--set =3: expected a dotted name before '=', for example train.epochs"),
        ("nms..iou=3", "--set nms..iou=3: expected a dotted name before '=', for example train.epochs"),
    ],
)
def test_row_55_a_malformed_set_says_how_to_write_one(text, message):
    with pytest.raises(InputError) as caught:
        toml.parse_set(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = ", "not TOML"),
        (b"\xff", "not UTF-8"),
        (None, "no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content, message):
    file = tmp_path / "x.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        toml.read(file)
    assert str(caught.value).startswith(f"{file}: ")


@given(trees, trees)
def test_merging_keeps_all_of_the_upper_tree(below, above):
    merged = dict(toml.leaves(toml.merge(below, above)))
    for path, value in toml.leaves(above):
        if value != {}:
            assert merged[path] == value
