"""Learning curves: the same runs on nested subsets of the training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.designs.levels import Level, LevelRuns, run_levels
from bench.runs.context import RunContext
from detectors.registry import VARIANTS
from metrics.errors import InputError
from metrics.plurals import plural

ALL = "all"


def size_levels(words: Sequence[str]) -> list[Level]:
    """The levels of ``--train-sizes``, the largest first, so that a number above that of the training images fails at once.

    Args:
        words: numbers of training images, or ``all``; those that occur twice count once.

    Raises:
        InputError: a word is neither, or there are fewer than two different ones.
    """
    sizes: set[int] = set()
    for word in words:
        if word != ALL and not (word.isascii() and word.isdigit() and len(word) < 10 and int(word) > 0):
            raise InputError(f"--train-sizes {word!r}: expected numbers of training images, or {ALL}")
        if word != ALL:
            sizes.add(int(word))
    levels = [Level("all training images", {"data.train_images": None})] if ALL in words else []
    levels += [
        Level(plural(size, "training image"), {"data.train_images": size})
        for size in sorted(sizes, reverse=True)
    ]
    if len(levels) < 2:
        raise InputError("--train-sizes: expected at least two sizes, such as 50 100 200 all")
    return levels


def run_sizes(
    levels: Sequence[Level],
    entries: Sequence[tuple[str, str | None]],
    sources: Mapping[str, Any],
    seeds: int,
    out: Path,
    context: RunContext,
) -> list[LevelRuns]:
    """Do the runs of all sizes; external models, which are not trained, only with the first one. See `run_levels`."""
    trained = [entry for entry in entries if entry[0] in VARIANTS]
    if not trained:
        raise InputError("--train-sizes: none of these models is trained here; name a variant (`bench list`)")
    first = run_levels(levels[:1], entries, sources, seeds, out, context)
    return [*first, *run_levels(levels[1:], trained, sources, seeds, out, context)]
