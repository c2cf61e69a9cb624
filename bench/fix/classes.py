"""Fix of class names: spaces around them, and characters that cannot be seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from bench.convert.image_set import ImageSet
from bench.fix.boxes import Fixed
from bench.fix.changes import Change

_JOINERS = "\u200c\u200d"  # within words of some scripts they change how letters look


def trim_class_names(sets: Sequence[ImageSet]) -> Fixed:
    """Remove invisible characters and spaces around the names of classes.

    Classes are never merged: a name that would become that of another class stays as it is.
    """
    classes = sets[0].truth.catalog.classes
    trimmed = [visible_name(name) for name in classes]
    counts = Counter(trimmed)
    names = tuple(new if new and counts[new] == 1 else old for old, new in zip(classes, trimmed, strict=True))
    changes = [
        Change("invisible_in_class_names", "changed", class_name=old, detail=new)
        for old, new in zip(classes, names, strict=True)
        if new != old
    ]
    if not changes:
        return list(sets), []
    return [
        replace(one, truth=replace(one.truth, catalog=replace(one.truth.catalog, classes=names)))
        for one in sets
    ], changes


def visible_name(name: str) -> str:
    """A name with plain spaces, none around it, and without invisible characters."""
    spaced = "".join(" " if char.isspace() else char for char in name)
    return "".join(char for char in spaced if char.isprintable() or char in _JOINERS).strip(f" {_JOINERS}")
