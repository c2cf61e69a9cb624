"""Names and numbers as a reader sees them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.elements import formatting


@given(st.text(st.characters()))
def test_printable_text_is_valid_in_html_and_svg(text):
    seen = formatting.printable(text)
    assert not any(
        ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 or ord(char) in (0xFFFE, 0xFFFF) for char in seen
    )
    seen.encode("utf-8")


def test_invisible_characters_become_visible():
    assert formatting.printable("a\nb\x00\u202ec\ud800") == "a␊b␀[U+202E]c�"
    assert formatting.printable("<b> 日本 🙂 ß") == "<b> 日本 🙂 ß"


@given(st.lists(st.text("ab", max_size=40), max_size=5), st.sampled_from([8, 22]))
def test_short_names_of_different_names_are_different(names, most):
    shown = formatting.short_names(names, most)
    assert all(len(text) <= most for text in shown)
    assert len(set(zip(names, shown, strict=True))) == len(set(names)) == len(set(shown))
    assert all(
        text == name
        for text, name in zip(shown, names, strict=True)
        if shown and max(map(len, names)) <= most
    )


def test_names_that_differ_at_the_end_or_in_the_middle_show_where():
    assert formatting.short_names(["detector-with-mosaic-A", "detector-with-mosaic-B", "ssd"], 12) == [
        "…th-mosaic-A", "…th-mosaic-B", "ssd"
    ]  # fmt: skip
    middle = ["trained for 100 epochs on the same images", "trained for 300 epochs on the same images"]
    assert formatting.short_names(middle, 12) == ["…for 100 ep…", "…for 300 ep…"]


@given(st.text("abc ", min_size=1), st.text("xyz", min_size=1))
def test_the_label_of_a_difference_shows_both_names(one, other):
    label = formatting.difference_label(one, other)
    first, second = label.split(" − ")
    assert len(label) <= 30
    for seen, name in ((first, one), (second, other)):
        cut = (name.startswith(seen[:-1]) and seen.endswith("…")) or (
            name.endswith(seen[1:]) and seen.startswith("…")
        )
        assert seen == name or (cut and len(seen) >= 13)
    assert len(f"{one} − {other}") > 30 or label == f"{one} − {other}"


def test_models_that_differ_at_the_end_of_their_names_are_told_apart_in_pairs():
    pair = "ssd (pruned 50%, distilled)", "ssd (pruned 50%, trained longer)"
    assert formatting.difference_label(*pair) == "…, distilled) − …ined longer)"


@given(st.text(), st.text())
def test_slugs_are_file_names_and_no_two_names_share_one(one, other):
    for name in (one, other):
        assert formatting.slug(name)
        assert set(formatting.slug(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert (formatting.slug(one) == formatting.slug(other)) == (one == other)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("/home/alice/cells", "…/cells"),
        ("/home/Alice Smith/my cells", "…/my cells"),
        ("bench run --data /home/alice/cells --seed 1", "bench run --data …/cells --seed 1"),
        ("bench run --data '/home/Alice Smith/cells'", "bench run --data '…/cells'"),
        (r"C:\Users\alice\cells\a.json: odd", "…/a.json: odd"),
        ("~/data/cells", "…/cells"),
        ("backbone.weights=/mnt/w/a.pth", "backbone.weights=…/a.pth"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("data/cells and 3/4 of it", "data/cells and 3/4 of it"),
    ],
)
def test_absolute_paths_are_cut_to_their_last_part(text, seen):
    assert formatting.hide_paths(text) == seen


def test_a_note_becomes_a_sentence():
    assert formatting.sentence("16 images are few") == "16 images are few."
    assert formatting.sentence("too few\x00") == "Too few␀."


def test_numbers():
    assert formatting.points(0.3414) == "34.1"
    assert formatting.points(-0.0001) == "0.0"
    assert formatting.points(math.nan) == formatting.points(None) == "–"
    assert formatting.signed_points(-0.068) == "−6.8"
    assert formatting.signed_points(-0.0001) == "0.0"
    assert formatting.count(1234567) == "1\u202f234\u202f567"
    assert [formatting.large_number(number) for number in (950, 1234, 3.07e6)] == ["950", "1.23 k", "3.07 M"]
    assert [formatting.large_number(number) for number in (0, 999.6, 999_600, 2.5e12)] == [
        "0",
        "1 k",
        "1 M",
        "2500 G",
    ]
    assert [formatting.duration(number) for number in (1.23, 48.2, 725, 12000)] == [
        "1.2 s",
        "48 s",
        "12 min 5 s",
        "3 h 20 min",
    ]
    assert [formatting.milliseconds(ms) for ms in (0.816, 9.997, 16.23, 99.96, 1240.4, math.nan)] == [
        "0.82 ms",
        "10.0 ms",
        "16.2 ms",
        "100 ms",
        "1\u202f240 ms",
        "–",
    ]
    assert [formatting.byte_size(number) for number in (918e6, None)] == ["918 MB", "–"]
    assert formatting.join_words(["a", "b", "c"]) == "a, b and c"
    assert formatting.join_words(list("abcdefgh"), most=2) == "a, b and 6 more"
    assert (
        formatting.plural(1, "class", "classes") + formatting.plural(2, "class", "classes")
        == "1 class2 classes"
    )
    assert formatting.timestamp(datetime(2026, 3, 1, 14, 5, tzinfo=UTC)) == "2026-03-01 14:05 UTC"
