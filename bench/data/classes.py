"""Classes of a data set merged, renamed, left out or selected by name, and the classes of another one matched with them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.data.annotated_images import AnnotatedImages
from bench.data.folder_options import ClassChoice, LeftOut
from bench.data.image_masks import IGNORED_CLASS, with_values
from bench.data.union import change_classes, listed, with_classes
from metrics.errors import InputError, InputWarning
from metrics.formats.plausibility import repeated_rows
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.registry import did_you_mean, nearest_name
from metrics.tables import AnnotationTable, Catalog

_OTHERS = "*"
_LONGEST_SELECTION = 8


def check_choice(choice: ClassChoice, classes: Sequence[str], setting: str) -> None:
    """Raise an `InputError` for names in a choice of classes that no class has.

    Args:
        choice: see `FolderOptions.classes`.
        classes: names of all classes that the choice applies to.
        setting: its name in messages.
    """
    for name in choice:
        if name not in classes and name != _OTHERS:
            hint = did_you_mean(name, classes) or f"; classes: {listed(classes)}"
            raise InputError(f"{setting}: no class {name!r}{hint}")


def choose_classes(
    parts: Sequence[AnnotatedImages], choice: ClassChoice, left_out: LeftOut, setting: str = "data.classes"
) -> list[AnnotatedImages]:
    """Merge, rename, leave out or select classes, and report what becomes of how many objects.

    A merged class has the smallest id of its classes. Images stay, also those without an object of the chosen classes.

    Args:
        parts: images with the same classes.
        choice: see `FolderOptions.classes`; nothing is done if it is empty.
        left_out: see `FolderOptions.left_out`.
        setting: name of the choice in messages.

    Raises:
        InputError: no class is left.
    """
    if not choice or not parts:
        return list(parts)
    catalog = parts[0].truth.catalog
    new = [_new_name(name, choice) for name in catalog.classes]
    id_of: dict[str, int] = {}
    for class_id, name in zip(catalog.class_ids, new, strict=True):
        if name is not None:
            id_of.setdefault(name, class_id)
    if not id_of:
        raise InputError(
            f"{setting}: every class is left out; name a class to use, of {listed(catalog.classes)}"
        )
    names = tuple(sorted(id_of, key=id_of.__getitem__))
    labels = [-1 if name is None else names.index(name) for name in new]
    ids = tuple(id_of[name] for name in names)
    chosen = [_relabel(part, labels, ids, names, left_out) for part in parts]
    _report_choice(parts, chosen, new, left_out, setting)
    return chosen


def adopt_classes(
    parts: Sequence[AnnotatedImages], model: Catalog, where: str, selectable: bool = False
) -> list[AnnotatedImages]:
    """Give images the classes of another data set, matched by name.

    Args:
        parts: images with the same classes.
        model: has the classes, after any choice.
        where: name of the images in messages.
        selectable: whether the names of these classes may be suggested as a choice.

    Raises:
        InputError: objects of a class that the other data set lacks.
    """
    if not parts:
        return []
    catalog = parts[0].truth.catalog
    label_of = {name: label for label, name in enumerate(model.classes)}
    labels = [label_of.get(name, -1) for name in catalog.classes]
    objects = sum(
        (np.bincount(part.truth.label, minlength=len(labels)) for part in parts), np.zeros(len(labels), int)
    )
    unknown = [k for k, label in enumerate(labels) if label < 0 and objects[k]]
    if unknown:
        first = catalog.classes[unknown[0]]
        nearest = nearest_name(first, model.classes) or "NAME"
        counted = [f"{catalog.classes[k]!r} ({plural(objects[k], 'object')})" for k in unknown[:5]]
        more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        setting = "data.classes." + (first if first.isidentifier() else json.dumps(first, ensure_ascii=False))
        select = ""
        if selectable and len(model.classes) <= _LONGEST_SELECTION:
            names = json.dumps(model.classes, ensure_ascii=False, separators=(",", ":"))
            select = f", or use only those of the data set with --set 'data.classes={names}'"
        raise InputError(
            f"{where}: classes that the data set does not have: {', '.join(counted)}{more}; its classes are "
            f"{listed(model.classes)}. Give each the name of one of them with --set '{setting}=\"{nearest}\"', or leave it out "
            f"with --set '{setting}=\"\"'{select}"
        )
    unused = [name for name, label in zip(catalog.classes, labels, strict=True) if label < 0]
    if unused:
        text = f"{where}: {plural(len(unused), 'class')} without objects {agree(len(unused), 'is', 'are')} left out, because the data set does not have {agree(len(unused), 'it', 'them')}: {listed(unused)}"
        report(Note("unused_classes", text, where, {"classes": len(unused)}))
    return [with_classes(part, labels, model.class_ids, model.classes) for part in parts]


def _new_name(name: str, choice: ClassChoice) -> str | None:
    if isinstance(choice, dict):
        return choice.get(name, choice.get(_OTHERS, name)) or None
    return name if name in choice else None


def _relabel(
    part: AnnotatedImages,
    labels: Sequence[int],
    ids: tuple[int, ...],
    names: tuple[str, ...],
    left_out: LeftOut,
) -> AnnotatedImages:
    """Objects of the classes with the label -1 are removed, or become ignored objects of every class; so do their pixels."""
    truth = part.truth
    new = np.array(labels, np.int32)[truth.label]
    kept, away = np.flatnonzero(new >= 0), np.flatnonzero(new < 0)
    if left_out == "removed":
        away = away[:0]
    copies = len(names)
    rows = np.concatenate([kept, np.repeat(away, copies)])
    columns = {name: column[rows] for name, column in truth.columns().items()}
    columns["label"] = np.concatenate([new[kept], np.tile(np.arange(copies, dtype=np.int32), len(away))])
    changed = np.arange(len(rows)) >= len(kept)
    columns["crowd"] = columns["crowd"] | (changed & (left_out == "regions"))
    columns["ignored"] = columns["ignored"] | (changed & (left_out == "ignored"))
    if copies > 1 and len(away):
        columns["object_id"] = np.arange(1, len(rows) + 1)
    catalog = change_classes(truth.catalog, labels, ids, names)
    further = {name: column[rows] for name, column in truth.object_columns.items()}
    value_away = 0 if left_out == "removed" else IGNORED_CLASS
    masks = with_values(part.masks, lambda label: 1 + labels[label] if labels[label] >= 0 else value_away)
    return replace(part, truth=AnnotationTable(catalog, **columns, object_columns=further), masks=masks)


def _report_choice(
    before: Sequence[AnnotatedImages],
    after: Sequence[AnnotatedImages],
    new: Sequence[str | None],
    left_out: LeftOut,
    setting: str,
) -> None:
    old = before[0].truth.catalog.classes
    count: Counter[str] = Counter()
    for part in before:
        numbers = np.bincount(part.truth.label, minlength=len(old))
        count.update(dict(zip(old, numbers.tolist(), strict=True)))
    now = after[0].truth.catalog.classes
    changes = []
    for name in now:
        sources = [source for source, target in zip(old, new, strict=True) if target == name]
        if sources != [name]:
            members = sorted(sources, key=lambda one: -count[one])
            more = f" and {len(members) - 5:,} more" if len(members) > 5 else ""
            changes.append(
                f"{name!r} is "
                + ", ".join(f"{one!r} ({plural(count[one], 'object')})" for one in members[:5])
                + f"{more}"
            )
    away = [name for name, target in zip(old, new, strict=True) if target is None]
    objects = sum(count[name] for name in away)
    text = f"{setting}: {plural(len(old), 'class becomes', 'classes become')} {len(now):,}"
    if changes:
        text += (
            ": " + "; ".join(changes[:8]) + (f"; and {len(changes) - 8:,} more" if len(changes) > 8 else "")
        )
    if away:
        became = {
            "removed": "removed",
            "ignored": "ignored",
            "regions": "regions in which no detection counts",
        }
        text += f"; left out: {listed(away)}, whose {plural(objects, 'object is', 'objects are')} {became[left_out]}"
    report(
        Note(
            "chosen_classes",
            text,
            setting,
            {"before": len(old), "after": len(now), "left_out": len(away), "objects": objects},
        )
    )
    repeated = sum(
        int(repeated_rows(two.truth).sum()) - int(repeated_rows(one.truth).sum())
        for one, two in zip(before, after, strict=True)
    )
    if changes and left_out == "removed" and repeated > 0:
        text = f"{setting}: {plural(repeated, 'object')} of merged classes {agree(repeated, 'has', 'have')} the same box as another one, and each counts as an object"
        report(Note("merged_repeats", text, setting, {"objects": repeated}), InputWarning)
    emptied = sum(
        len(np.setdiff1d(one.truth.image, two.truth.image)) for one, two in zip(before, after, strict=True)
    )
    if emptied:
        text = f"{setting}: {plural(emptied, 'image has no object of the chosen classes and is kept as an image', 'images have no object of the chosen classes and are kept as images')} without objects"
        report(Note("emptied_images", text, setting, {"images": emptied}))
