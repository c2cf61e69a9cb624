"""Names of classes: distinct, so that tables, files and pages that show a name show one class."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from metrics.errors import InputWarning
from metrics.notes import Note, report
from metrics.plurals import plural

_LONGEST_LIST = 5


def distinct_names(names: Sequence[str], ids: Sequence[int]) -> tuple[str, ...]:
    """The names, each that several classes have with the class's id: ``bolt (1)``, ``bolt (2)``. An empty name becomes the id.

    A change is reported as a note.
    """
    counts = Counter(names)
    if len(counts) == len(names) and "" not in counts:
        return tuple(names)
    taken = {name for name, count in counts.items() if count == 1}
    distinct = []
    for name, class_id in zip(names, ids, strict=True):
        new = name or str(class_id)
        while (counts[name] > 1 and new in counts) or (new != name and new in taken):
            new = f"{new} ({class_id})"
        taken.add(new)
        distinct.append(new)
    changed = [
        f"{class_id} {old!r} is {new!r}"
        for class_id, old, new in zip(ids, names, distinct, strict=True)
        if new != old
    ]
    listed = ", ".join(changed[:_LONGEST_LIST]) + ", ..." * (len(changed) > _LONGEST_LIST)
    text = f"{plural(len(changed), 'class has no name of its own and gets one with its', 'classes have no name of their own and get one with their')} id: {listed}"
    report(Note("renamed_classes", text, values={"classes": len(changed)}), stacklevel=4)
    return tuple(distinct)


def original_matches(name: str, classes: Sequence[str], ids: Sequence[int]) -> list[int]:
    """Indices of the classes that are called `name`, or were before `distinct_names`."""
    return [
        label
        for label, (known, class_id) in enumerate(zip(classes, ids, strict=True))
        if known == name or known == f"{name} ({class_id})"
    ]


def report_similar_names(
    classes: Sequence[str], where: str, fix: str = "give them one id if they are one class"
) -> None:
    """Warn about distinct classes whose names differ only in case, spaces or separators: ``cat``, ``Cat``, ``"cat "``."""
    alike: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        alike["".join(name.replace("_", " ").replace("-", " ").casefold().split())].append(name)
    groups = [names for names in alike.values() if len(names) > 1]
    if groups:
        listed = "; ".join(" and ".join(map(repr, names)) for names in groups[:_LONGEST_LIST])
        text = f"{where}: classes look alike but are distinct: {listed}; {fix}"
        report(Note("similar_classes", text, where, {"groups": len(groups)}), InputWarning, stacklevel=3)
