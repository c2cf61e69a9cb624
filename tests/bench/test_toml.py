"""Settings as text: TOML that is written and read, and text from the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.settings import errors, toml
from bench.settings.resolution import resolve
from bench.settings.values import parse_text
from metrics.errors import InputError
from metrics.messages import MAX_LINES

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
def test_written_toml_is_read_by_tomllib(tree):
    assert tomllib.loads(toml.write(tree)) == tree


def test_none_is_written_as_text_because_toml_has_none():
    assert toml.write({"backbone": {"weights": None}}) == '[backbone]\nweights = "none"\n'


Literals = Literal["adamw", "sgd"]


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("1", int, 1),
        ("1.5", float, 1.5),
        ("1e-3", float, 1e-3),
        (".5", float, 0.5),
        ("5.", float, 5.0),
        ("true", bool, True),
        ("False", bool, False),
        ("[1, 2]", tuple[int, ...], [1, 2]),
        ("[disk, square]", tuple[str, ...], ("disk", "square")),
        ('["disk", "square"]', tuple[str, ...], ["disk", "square"]),
        ("64,96", tuple[int, int], [64, 96]),
        ("64", tuple[int, ...], [64]),
        ("[8,8],[12,20]", tuple[tuple[float, float], ...], [[8, 8], [12, 20]]),
        ("[[8,8],[12,20]]", tuple[tuple[float, float], ...], [[8, 8], [12, 20]]),
        ("64,96", tuple[int, int] | None, [64, 96]),
        ('"0.5"', str, "0.5"),
        ("0.5", str, "0.5"),
        ("true", str, "true"),
        ("resnet18", str, "resnet18"),
        ("sgd", Literals, "sgd"),
        ("2024-01-01", str, "2024-01-01"),
        ("weights/a=b.pth", str | None, "weights/a=b.pth"),
        ("1_x", str, "1_x"),
        ("inf.", str, "inf."),
        ("a\nb = 1", str, "a\nb = 1"),
        ("{cat = 2}", dict[str, float], {"cat": 2}),
        ("1_x", float, "1_x"),
        ('"0.5"', float, "0.5"),
        ("1", bool, 1),
        ("3", tuple[int, int], 3),
        ("resnet18", Any, "resnet18"),
        ("2.5", Any, 2.5),
    ],
)
def test_text_of_the_command_line_is_read_as_the_type_of_its_setting(text, annotation, value):
    parsed = parse_text(text, annotation)
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_setting_of_the_command_line_has_a_path_and_a_text():
    assert toml.parse_set(" nms.iou = .5 ") == (("nms", "iou"), ".5")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nms.iou", "--set nms.iou: expected name=value, for example --set train.epochs=5"),
        (
            "nms.iou=",
            "nms.iou: empty value; for an empty text write 'nms.iou=\"\"', with both kinds of quotes",
        ),
        ("=3", "--set =3: expected a dotted name before '=', for example train.epochs"),
        ("nms..iou=3", "--set nms..iou=3: expected a dotted name before '=', for example train.epochs"),
    ],
)
def test_fault_55_a_malformed_set_is_reported_with_an_example(text, message):
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
def test_merging_keeps_every_value_of_the_upper_tree(below, above):
    merged = dict(toml.leaves(toml.merge(below, above)))
    for path, value in toml.leaves(above):
        if value != {}:
            assert merged[path] == value


TOO_DEEP = "more than 20 levels of names or brackets, which is too deep for settings"
TOO_LARGE = "a whole number of more than 64 bits, which no setting takes"

EXHAUSTING = {
    "arrays": (f"a = {'[' * 100_000}{']' * 100_000}", TOO_DEEP),
    "unclosed arrays": (f"a = {'[' * 100_000}", TOO_DEEP),
    "inline tables": ("a = " + "{b = " * 2000 + "1" + "}" * 2000, TOO_DEEP),
    "dotted keys": (f"{'a.' * 50_000}a = 1", TOO_DEEP),
    "quoted keys": (f"{chr(34)}a{chr(34)} . " * 10_000 + "a = 1", TOO_DEEP),
    "a table's name": (f"[{'a.' * 50_000}a]", TOO_DEEP),
    "a few levels more": (f"a = {'[' * 22}{']' * 22}", TOO_DEEP),
    "decimal digits": (f"seed = {'9' * 5000}", TOO_LARGE),
    "hexadecimal digits": (f"seed = 0x{'f' * 5000}", TOO_LARGE),
    "one bit": (f"seed = {2**63}", TOO_LARGE),
    "within a list": (f"a = [[{-(2**63) - 1}]]", TOO_LARGE),
    "a date": ("seed = 1979-05-27", "a date or time, which no setting takes"),
    "a time": ("a = [{b = 07:32:00}]", "a date or time, which no setting takes"),
    "bytes": (f"# {'x' * 2**20}", "more than 1,048,576 bytes, which is too long for settings"),
}


@pytest.mark.parametrize(("text", "message"), EXHAUSTING.values(), ids=EXHAUSTING)
def test_fault_74_settings_that_would_exhaust_their_reader_are_refused(tmp_path: Path, text, message):
    file = tmp_path / "s.toml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        toml.read(file)
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.parametrize(
    "text", ["9" * 5000, f"0x{'f' * 5000}", "[" * 9000, "1979-05-27", "[1979-05-27]", "{a = 07:32:00}"]
)
def test_fault_74_such_text_of_the_command_line_is_no_toml_value(text):
    with pytest.raises(ValueError, match=r"."):
        toml.read_value(text)
    assert parse_text(text, int) == text


@pytest.mark.parametrize("levels", [1, 5, 20])
def test_settings_may_have_some_levels(tmp_path: Path, levels):
    file = tmp_path / "s.toml"
    file.write_text(
        f"a = {'[' * levels}{']' * levels}\n{'b.' * (levels - 1)}b = {2**63 - 1}\n[c]\nd = 'x.y.z'"
    )
    assert toml.read(file)["c"] == {"d": "x.y.z"}


def test_a_long_text_with_dots_is_no_deep_path(tmp_path: Path):
    file = tmp_path / "s.toml"
    file.write_text(f"a = '{'x/../' * 1000}'\nb = \"{'1.5, ' * 1000}\"\nc = [{'1.5, ' * 1000}]")
    assert len(toml.read(file)["c"]) == 1000


def test_a_byte_order_mark_and_line_ends_of_windows_are_read(tmp_path: Path):
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfseed = 1\r\n[train]\r\nepochs = 2\r\n")
    assert toml.read(tmp_path / "a.toml") == {"seed": 1, "train": {"epochs": 2}}


def test_fault_74_the_nearest_names_are_found_for_the_mistakes_that_are_listed_only(tmp_path, monkeypatch):
    (tmp_path / "a.toml").write_text("\n".join(f"epohcs{k} = 1" for k in range(2000)))
    asked = []
    monkeypatch.setattr(errors, "nearest_name", lambda name, known: asked.append(name))
    with pytest.raises(errors.SettingsError) as raised:
        resolve("ssd", file=tmp_path / "a.toml")
    assert len(raised.value.lines) == 2000
    assert len(asked) <= 2 * MAX_LINES
