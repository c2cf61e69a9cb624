"""Warnings are ignored by threads that read images without the loss of any other warning."""

from __future__ import annotations

import threading
import warnings

import pytest

from bench.data.library_warnings import ignored_warnings
from metrics.errors import InputNote
from metrics.notes import Note


def warn_as(module: str) -> None:
    warnings.warn_explicit("large", UserWarning, "file.py", 1, module=module)


def test_only_warnings_of_the_libraries_are_ignored():
    with ignored_warnings():
        warn_as("PIL.Image")
        warn_as("torchvision.io.image")
        for module in ("PILot", "torchvision.ops", "bench.data"):
            with pytest.warns(UserWarning, match="large"):
                warn_as(module)
    with pytest.warns(UserWarning, match="large"):
        warn_as("PIL.Image")


def test_filters_are_as_before_after_threads_that_overlap_in_any_order():
    """Each thread enters while another one is inside, and leaves after it; with `catch_warnings`, filters of the first are left."""
    before = list(warnings.filters)
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with ignored_warnings():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second() -> None:
        first_in.wait(10)
        with ignored_warnings():
            second_in.set()
            first_out.wait(10)
            warn_as("PIL.Image")

    threads = [threading.Thread(target=each) for each in (first, second)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert warnings.filters == before
    with pytest.warns(InputNote, match="left out"):
        warnings.warn(InputNote(Note("kind", "left out")), stacklevel=1)


def test_filters_that_another_block_sets_inside_are_not_changed():
    before = list(warnings.filters)
    with ignored_warnings(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ignored_warnings():
            pass
        assert warnings.filters[0][0] == "ignore"
    assert warnings.filters == before
