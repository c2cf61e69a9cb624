"""Classes that are rare, absent from a split, much rarer than others, or whose names look alike."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Sequence

from reports.records.data_check import MAX_EXAMPLES, ClassFacts, Example, Finding, Severity, SplitFacts

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
    names = [cls.name for cls in classes]
    totals = [sum(split.objects_by_class[label] for split in splits) for label in range(len(classes))]
    of_kind: list[tuple[str, Severity, str, list[str]]] = [
        (
            "invisible_in_class_names",
            "warning",
            "",
            [name for name in names if name != name.strip() or not name.isprintable()],
        ),
        ("unused_classes", "information", "", _chosen(names, [total == 0 for total in totals])),
        ("one_object_classes", "warning", "", _chosen(names, [total == 1 for total in totals])),
    ]
    for split in splits:
        absent = [total > 0 and not here for total, here in zip(totals, split.objects_by_class, strict=True)]
        severity: Severity = "warning" if split.name == "train" else "information"
        of_kind.append(("absent_classes", severity, split.name, _chosen(names, absent)))
    found += [
        Finding(
            kind=kind,
            severity=severity,
            subject=subject,
            count=len(concerned),
            of=len(classes),
            examples=_named(concerned),
        )
        for kind, severity, subject, concerned in of_kind
        if concerned
    ]
    return found + _imbalance(classes, splits)


def _chosen(names: Sequence[str], chosen: Sequence[bool]) -> list[str]:
    return [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]


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
