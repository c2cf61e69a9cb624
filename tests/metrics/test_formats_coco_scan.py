"""The scanner of COCO files reads the same as a full parser, or returns that it is unsure."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from metrics.formats import coco_scan
from metrics.formats.coco_columns import read_images, read_objects, read_results
from metrics.kernels import json_columns, json_numbers
from metrics.kernels.json_columns import Column, scan_list, top_level

WHITE = st.sampled_from(["", "", " ", "\n", "\t  ", "\r\n    "])
POWERS = json_numbers.Powers(json_numbers.powers_of_ten(), json_numbers.powers_of_five())


@pytest.fixture
def tiny_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of any size are scanned, in blocks of 64 bytes and on several threads."""
    monkeypatch.setattr(coco_scan, "SMALLEST", 0)
    monkeypatch.setattr(json_columns, "_BLOCK", 64)
    monkeypatch.setattr(json_columns, "_SMALLEST_PART", 150)
    monkeypatch.setattr(json_columns, "thread_count", lambda: 3)


def read_number(text: str) -> float | None:
    """The number as the kernel reads it; None where it is unsure."""
    target = json_numbers.make_doubles(1)
    buffer = np.frombuffer(text.encode() + b"\0", np.uint8)
    end = json_numbers.read_number(buffer, 0, POWERS, target, 0)
    assert end == json_numbers.UNSURE or end == len(text)
    return None if end == json_numbers.UNSURE else float(target.values[0])


def bits(value: float) -> bytes:
    return struct.pack("d", value)


@settings(max_examples=2000)
@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or 1e-290 < abs(x) < 1e290))
@example(0.1)
@example(258.1499938964844)
@example(9007199254740993.0)
@example(-0.0)
def test_a_number_as_python_writes_it_is_read_to_the_bit(value: float) -> None:
    read = read_number(repr(value))
    if read is None:
        assert len(repr(value).strip("-").replace(".", "").split("e")[0]) > 18
    else:
        assert bits(read) == bits(value)


@settings(max_examples=2000)
@given(st.integers(0, 10**18 - 1), st.integers(-60, 60))
@example(9007199254740993, 0)  # halfway between two doubles: to the even one
@example(9007199254740995, 0)
@example(4503599627370497, -1)
@example(5, 22)
@example(1, 23)
def test_digits_and_exponent_are_rounded_as_python_rounds_them(digits: int, exponent: int) -> None:
    text = f"{digits}e{exponent}"
    read = read_number(text)
    assert read is not None
    assert bits(read) == bits(float(text))


@given(st.integers(1, 2**52 - 1), st.integers(0, 62))
def test_halfway_cases_go_to_the_even_double(mantissa: int, shift: int) -> None:
    half = (2**53 + 2 * mantissa + 1) << min(shift, 9)  # odd in the 54th bit: exactly between two doubles
    read = read_number(str(half))
    if read is not None:
        assert bits(read) == bits(float(half))


@pytest.mark.parametrize(
    "text", ["01", "1.", ".5", "+1", "1e", "1e+", "-", "--1", "NaN", "Infinity", "0x10", "1_0", ""]
)
def test_text_that_is_not_a_json_number_is_not_read_as_one(text: str) -> None:
    target = json_numbers.make_doubles(1)
    buffer = np.frombuffer(text.encode() + b"\0", np.uint8)
    end = json_numbers.read_number(buffer, 0, POWERS, target, 0)
    assert end == json_numbers.UNSURE or end < len(text)


@st.composite
def json_text(draw: st.DrawFn, value: Any) -> str:
    """JSON of a value, with keys in any order and white space anywhere."""
    w = WHITE
    if isinstance(value, dict):
        items = draw(st.permutations(list(value.items())))
        inner = ",".join(
            draw(w) + draw(json_text(k)) + draw(w) + ":" + draw(w) + draw(json_text(v)) + draw(w)
            for k, v in items
        )
        return "{" + (inner or draw(w)) + "}"
    if isinstance(value, list):
        return "[" + (",".join(draw(w) + draw(json_text(v)) + draw(w) for v in value) or draw(w)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=draw(st.booleans()))
    if isinstance(value, float) and value and draw(st.booleans()):
        digits, exponent = f"{value:.17e}".split("e")
        return f"{digits}{draw(st.sampled_from('eE'))}{int(exponent):+d}"
    return json.dumps(value)


FLOATS = st.one_of(
    st.floats(-1e3, 1e3),
    st.floats(0, 1, width=32).map(float),
    st.decimals(0, 700, places=3).map(float),
    st.integers(-3, 700),
    st.sampled_from([1e-7, 5e-324, 1.7976931348623157e308, 2**53 + 1]),
)
EXTRA = st.recursive(
    st.one_of(st.none(), st.booleans(), FLOATS, st.text(max_size=6), st.just('}, {"image_id": 1')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = {"image_id", "category_id", "bbox", "score", "id", "area", "iscrowd", "ignore"}


@st.composite
def record(draw: st.DrawFn, truth: bool) -> dict[str, Any]:
    """A result, or an annotation, with further fields."""
    whole = st.integers(-(10**17), 10**17) | st.integers(0, 90)
    fields: dict[str, Any] = {
        "image_id": draw(whole),
        "category_id": draw(whole),
        "bbox": draw(st.lists(FLOATS, min_size=4, max_size=4)),
    }
    if truth:
        fields["id"] = draw(whole)
        for key in draw(st.sets(st.sampled_from(["area", "iscrowd", "ignore"]))):
            fields[key] = draw(st.sampled_from([0, 1]) if key != "area" else FLOATS)
    else:
        fields["score"] = draw(FLOATS)
    extra = draw(st.dictionaries(st.text(max_size=8).filter(lambda key: key not in KEYS), EXTRA, max_size=2))
    return fields | extra


def assert_same(ours: Any, theirs: Any) -> None:
    for name in theirs.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), rows=st.lists(record(truth=False), min_size=1, max_size=12))
def test_results_scan_to_what_they_parse_to(
    tmp_path: Path, tiny_blocks: None, data: st.DataObject, rows: list[dict[str, Any]]
) -> None:
    text = data.draw(WHITE) + data.draw(json_text(rows)) + data.draw(WHITE)
    path = tmp_path / "results.json"
    path.write_text(text, encoding="utf-8")
    scanned = coco_scan.scan_results(path)
    if scanned is not None:
        assert_same(scanned, read_results(json.loads(text), ""))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), rows=st.lists(record(truth=True), min_size=1, max_size=6), info=EXTRA)
def test_annotations_scan_to_what_they_parse_to(
    data: st.DataObject, rows: list[dict[str, Any]], info: Any
) -> None:
    images = [
        {"id": i, "width": 640, "height": 480 + i, "file_name": data.draw(st.text(max_size=5))}
        for i in range(3)
    ]
    categories = [{"id": 1, "name": "cat"}, {"id": 7, "name": "dög"}]
    document = {"info": info, "images": images, "annotations": rows, "categories": categories}
    text = data.draw(json_text(document))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coco_scan, "SMALLEST", 0)
        scanned = coco_scan.scan_truth(text.encode(), "")
    if scanned is not None:
        assert_same(scanned[0], read_images(images, ""))
        assert (scanned[1].ids, scanned[1].names) == ((1, 7), ("cat", "dög"))
        assert_same(scanned[2], read_objects(json.loads(text)["annotations"], "", scanned[1]))


def results(count: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(count)
    return [
        {
            "image_id": int(i // 7),
            "category_id": int(rng.integers(90)),
            "bbox": (rng.random(4) * 500).round(int(rng.integers(0, 17))).tolist(),
            "score": float(rng.random()),
        }
        for i in range(count)
    ]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_regular_file_is_scanned(tmp_path: Path, tiny_blocks: None, indent: int | None) -> None:
    rows = results(300)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows, indent=indent))
    scanned = coco_scan.scan_results(path)
    assert scanned is not None
    assert_same(scanned, read_results(rows, ""))


def test_objects_that_become_shorter_have_room(tmp_path: Path, tiny_blocks: None) -> None:
    long = [dict(row, note="x" * 500) for row in results(3)]
    rows = long + [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 1, 1], "score": 1}] * 5000
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows, separators=(",", ":")))
    scanned = coco_scan.scan_results(path)
    assert scanned is not None
    assert_same(scanned, read_results(rows, ""))


GOOD = '{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}'


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "",
        "[",
        f"[{GOOD}",
        f"[{GOOD},]",
        f"[{GOOD}]]",
        f"[{GOOD}] x",
        f"[{GOOD} {GOOD}]",
        f"[,{GOOD}]",
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4]}]',
        '[{"image_id": "1", "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]',
        '[{"image_id": 1.0, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3], "score": 0.5}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4, 5], "score": 0.5}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, NaN], "score": 0.5}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": true}]',
        '[{"image_id": 1, "category_id": 2, "bbox": null, "score": 0.5}]',
        '[{"image_id": 1, "image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]',
        '[{"image\\u005fid": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5, "x": [1 2]}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5, "x": "\\x"}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5, "x": {"y": }}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5, "x": '
        + "[" * 200
        + "]" * 200
        + "}]",
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5, "x": tru}]',
        '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5\0}]',
    ],
)
def test_anything_irregular_is_left_to_the_full_parser(tmp_path: Path, tiny_blocks: None, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    assert coco_scan.scan_results(path) is None


def test_a_part_that_starts_within_a_string_is_detected(tmp_path: Path, tiny_blocks: None) -> None:
    trap = '{"image_id": 9, "category_id": 9, "bbox": [9, 9, 9, 9], "score": 0.9}'
    rows = [dict(results(1)[0], note=f"{trap}, {trap}, {trap}") for _ in range(40)]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(rows))
    scanned = coco_scan.scan_results(path)
    if scanned is not None:
        assert_same(scanned, read_results(rows, ""))


def test_two_lists_in_one_file_are_left_to_the_full_parser(tmp_path: Path, tiny_blocks: None) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results(3)) + json.dumps(results(300)))
    assert coco_scan.scan_results(path) is None


def test_only_optional_columns_may_be_missing() -> None:
    text = np.frombuffer(b'[{"a": 1, "b": 2.5}, {"a": 2}]\0', np.uint8)
    columns, end = scan_list(text, 0, [Column("a", "integer"), Column("b", "number", required=False)]) or (
        {},
        0,
    )
    assert end == len(text) - 1
    np.testing.assert_array_equal(columns["a"], [1, 2])
    np.testing.assert_array_equal(columns["b"], [2.5, np.nan])
    assert scan_list(text, 0, [Column("a", "integer"), Column("b", "number")]) is None


@given(
    EXTRA.flatmap(lambda value: st.tuples(st.just(value), json_text({"k": value, "l": [1, {"m": value}]})))
)
def test_any_value_is_skipped_or_left_to_the_full_parser(drawn: tuple[Any, str]) -> None:
    value, text = drawn
    values = top_level(np.frombuffer(text.encode() + b"\0", np.uint8), {})
    if values is not None:
        part = values["k"]
        assert isinstance(part, slice)
        assert json.loads(text.encode()[part]) == value
