"""Classes that are rare, absent from a split, much rarer than others, or whose names look alike."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from reports.records.data_check import MAX_EXAMPLES, ClassFacts, Example, Finding, SplitFacts

IMBALANCE = 100.0
"""Ratio of the most to the least frequent class in training from which it is reported."""


def class_findings(classes: Sequence[ClassFacts], splits: Sequence[SplitFacts]) -> list[Finding]:
    """Findings on the classes of a data set."""
    found = [
        Finding(
            kind="similar_classes",
            severity="warning",
            count=len(alike),
            of=len(classes),
            examples=(Example(names=tuple(alike)),),
        )
        for alike in _alike([cls.name for cls in classes])
    ]
    spaced = [cls.name for cls in classes if cls.name != cls.name.strip() or not cls.name.isprintable()]
    if spaced:
        found.append(
            Finding(
                kind="invisible_in_class_names",
                severity="warning",
                count=len(spaced),
                of=len(classes),
                examples=_named(spaced),
            )
        )
    totals = [sum(split.objects_by_class[label] for split in splits) for label in range(len(classes))]
    absent = [cls.name for cls, total in zip(classes, totals, strict=True) if total == 0]
    if absent:
        found.append(
            Finding(
                kind="unused_classes",
                severity="information",
                count=len(absent),
                of=len(classes),
                examples=_named(absent),
            )
        )
    single = [cls.name for cls, total in zip(classes, totals, strict=True) if total == 1]
    if single:
        found.append(
            Finding(
                kind="one_object_classes",
                severity="warning",
                count=len(single),
                of=len(classes),
                examples=_named(single),
            )
        )
    for split in splits:
        missing = [
            cls.name
            for cls, total, here in zip(classes, totals, split.objects_by_class, strict=True)
            if total and not here
        ]
        if missing:
            found.append(
                Finding(
                    kind="absent_classes",
                    severity="warning" if split.name == "train" else "information",
                    subject=split.name,
                    count=len(missing),
                    of=len(classes),
                    examples=_named(missing),
                )
            )
    return found + _imbalance(classes, splits)


def _imbalance(classes: Sequence[ClassFacts], splits: Sequence[SplitFacts]) -> list[Finding]:
    train = splits[0]
    counts = sorted(
        (count, cls.name) for cls, count in zip(classes, train.objects_by_class, strict=True) if count
    )
    if not counts or counts[-1][0] < IMBALANCE * counts[0][0]:
        return []
    (least, rare), (most, frequent) = counts[0], counts[-1]
    return [
        Finding(
            kind="class_imbalance",
            severity="information",
            subject=train.name,
            count=sum(count * IMBALANCE <= most for count, _ in counts),
            of=len(classes),
            values={"least": least, "most": most, "ratio": most / least},
            examples=(Example(names=(rare, frequent)),),
        )
    ]


def _alike(names: Sequence[str]) -> list[list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[skeleton(name)].append(name)
    return [group for group in groups.values() if len(group) > 1]


def skeleton(name: str) -> str:
    """What is left of a name without case, accents, spaces, separators and invisible characters, and with one letter for
    those that look alike (0 and o; 1, l and i; Cyrillic and Latin): names with the same skeleton look alike.
    """
    decomposed = unicodedata.normalize("NFKD", name).casefold()
    return "".join(char for char in decomposed.translate(_LOOK_ALIKE) if char.isalnum() or ord(char) > 0x2FF)


_LOOK_ALIKE = str.maketrans("0і1iјуахеосрѕԁ|", "olllj" + "yaxeocpsdl")


def _named(names: Sequence[str]) -> tuple[Example, ...]:
    return tuple(Example(names=(name,)) for name in names[:MAX_EXAMPLES])
