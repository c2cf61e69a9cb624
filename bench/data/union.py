"""Union of annotated images: several pieces of data become one, with distinct images and the classes of all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.annotated_images import AnnotatedImages
from bench.data.image_masks import with_values
from bench.data.types import SPLITS
from metrics.errors import InputError, InputWarning
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable, Catalog, ImageId
from metrics.tables.catalog import ImageValue

_LONGEST_LIST = 8


def unite_images(
    pieces: Sequence[AnnotatedImages], purpose: str | None, labels: Sequence[str] | None = None
) -> tuple[AnnotatedImages, NDArray[np.intp]]:
    """The images of all pieces, whose classes are the same, as one.

    Args:
        pieces: at least one.
        purpose: of the union.
        labels: put before the ids and file names of each piece's images, as ``label/``, to distinguish them; by default they
            are kept.

    Returns:
        The union, its images sorted by id and its objects in the order of the pieces; and the position of each image in
        the concatenation of the pieces.

    Raises:
        InputError: two images have the same id.
    """
    if len(pieces) == 1 and labels is None:
        (only,) = pieces
        return replace(only, purpose=purpose), np.arange(len(only.paths))
    catalogs = [piece.truth.catalog for piece in pieces]
    prefixes = [""] * len(pieces) if labels is None else [f"{label}/" for label in labels]
    ids: list[ImageId] = []
    names: list[str] = []
    for catalog, prefix in zip(catalogs, prefixes, strict=True):
        ids += [f"{prefix}{image}" if prefix else image for image in catalog.image_ids]
        names += [f"{prefix}{name}" if name else name for name in catalog.file_names]
    if not has_distinct_ids([ids]):
        raise InputError("data sets with equal image ids cannot be united; give each part a name of its own")
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.intp)
    columns = {name: _column(name, catalogs) for catalog in catalogs for name in catalog.image_columns}
    lists = _image_classes(catalogs)
    of_classes = {
        name: tuple(
            next((value for value in values if value is not None), None)
            for values in zip(
                *(c.class_columns[name] for c in catalogs if name in c.class_columns), strict=True
            )
        )
        for name in {name for c in catalogs for name in c.class_columns}
    }
    sizes = np.concatenate([catalog.sizes for catalog in catalogs])
    catalog = replace(
        catalogs[0],
        image_ids=tuple(ids[i] for i in order),
        sizes=sizes[order],
        file_names=tuple(names[i] for i in order),
        image_columns={name: tuple(column[i] for i in order) for name, column in columns.items()},
        image_classes={name: tuple(column[i] for i in order) for name, column in lists.items()},
        class_columns=of_classes,
    )
    paths = [path for piece in pieces for path in piece.paths]
    headers = [header for piece in pieces for header in piece.headers or ()]
    masks = [mask for piece in pieces for mask in piece.masks or [None] * len(piece.paths)]
    united = AnnotatedImages(
        purpose,
        _unite_rows([piece.truth for piece in pieces], catalog, order),
        tuple(paths[i] for i in order),
        tuple(headers[i] for i in order) if len(headers) == len(paths) else None,
        tuple(masks[i] for i in order) if any(masks) else None,
    )
    return united, order


def has_distinct_ids(pieces: Sequence[Sequence[ImageId]]) -> bool:
    """Whether the ids of all pieces are of one type and distinct."""
    ids = [image for piece in pieces for image in piece]
    return len(set(ids)) == len(ids) and len({type(image) for image in ids}) <= 1


def _column(name: str, catalogs: Sequence[Catalog]) -> list[ImageValue]:
    column: list[ImageValue] = []
    for catalog in catalogs:
        column += catalog.image_columns.get(name, (None,) * len(catalog.image_ids))
    return column


def _image_classes(catalogs: Sequence[Catalog]) -> dict[str, list[tuple[int, ...]]]:
    """The lists of classes of all images; none, with a note, unless all pieces have them."""
    names = {name for catalog in catalogs for name in catalog.image_classes}
    kept = {name for name in names if all(name in catalog.image_classes for catalog in catalogs)}
    if names - kept:
        text = (
            f"not all parts list for each image which classes were annotated ({', '.join(sorted(names - kept))}); these lists are "
            f"not used, so objects of other classes count as absent"
        )
        report(Note("mixed_image_classes", text, values={"lists": len(names - kept)}), InputWarning)
    return {name: [of for catalog in catalogs for of in catalog.image_classes[name]] for name in sorted(kept)}


def _unite_rows(
    tables: Sequence[AnnotationTable], catalog: Catalog, order: NDArray[np.intp]
) -> AnnotationTable:
    columns: dict[str, NDArray[Any]] = {
        name: np.concatenate([table.columns()[name] for table in tables]) for name in tables[0].columns()
    }
    starts = np.cumsum([0, *(len(table.catalog.image_ids) for table in tables)])
    new_index = np.empty(len(order), np.int32)
    new_index[order] = np.arange(len(order), dtype=np.int32)
    shift = np.repeat(starts[:-1], [len(table) for table in tables])
    columns["image"] = new_index[columns["image"] + shift]
    if len(np.unique(columns["object_id"])) < len(columns["object_id"]):
        columns["object_id"] = np.arange(1, len(columns["object_id"]) + 1)
    further = {
        name: np.concatenate(
            [table.object_columns.get(name, np.full(len(table), np.nan)) for table in tables]
        )
        for name in {name for table in tables for name in table.object_columns}
    }
    return AnnotationTable(catalog, **columns, object_columns=further)


def unite_classes_by_id(parts: Sequence[AnnotatedImages]) -> list[AnnotatedImages]:
    """Give all parts of a data set the classes of all, and sort them: train, val, test, trainval.

    Where parts only number their classes differently, classes are matched by name, which is reported.

    Raises:
        InputError: an id has two names, which is no other numbering, because neither occurs with another id.
    """
    order = (*SPLITS, "trainval", None)
    parts = sorted(parts, key=lambda part: order.index(part.purpose))
    catalogs = [part.truth.catalog for part in parts]
    if all(c.class_ids == catalogs[0].class_ids and c.classes == catalogs[0].classes for c in catalogs):
        return parts
    names: dict[int, str] = {}
    if _are_renumbered(catalogs):
        return [part for (part,) in unite_classes_by_name([[part] for part in parts], "splits")]
    for part, catalog in zip(parts, catalogs, strict=True):
        for class_id, name in zip(catalog.class_ids, catalog.classes, strict=True):
            if names.setdefault(class_id, name) != name:
                raise InputError(
                    f"{part.purpose or 'annotations'}: class id {class_id} is {name!r} here but "
                    f"{names[class_id]!r} in another split; give a class the same name and id in all splits"
                )
    ids = tuple(sorted(names))
    classes = tuple(names[class_id] for class_id in ids)
    return [
        with_classes(part, [ids.index(class_id) for class_id in part.truth.catalog.class_ids], ids, classes)
        for part in parts
    ]


def _are_renumbered(catalogs: Sequence[Catalog]) -> bool:
    """Whether some names have several ids, and of the names of each id at most one has no other id."""
    ids_of: dict[str, set[int]] = defaultdict(set)
    names_of: dict[int, set[str]] = defaultdict(set)
    for catalog in catalogs:
        for class_id, name in zip(catalog.class_ids, catalog.classes, strict=True):
            ids_of[name].add(class_id)
            names_of[class_id].add(name)
    fixed = [sum(len(ids_of[name]) == 1 for name in names) for names in names_of.values()]
    return max(map(len, ids_of.values()), default=0) > 1 and max(fixed) <= 1


def unite_classes_by_name(
    parts: Sequence[Sequence[AnnotatedImages]], what: str = "parts"
) -> list[list[AnnotatedImages]]:
    """Give several data sets the classes of all, matched by name; their ids are kept if no two contradict each other.

    Otherwise classes are numbered from 0 in the order of their names, so that the result does not depend on the order of
    the data sets. Which classes are only in some of them is reported.

    Args:
        parts: the images of each data set, which have the same classes within it.
        what: the data sets are, for the note.
    """
    catalogs = [images[0].truth.catalog for images in parts]
    ids_of: dict[str, set[int]] = defaultdict(set)
    names_of: dict[int, set[str]] = defaultdict(set)
    count: dict[str, int] = defaultdict(int)
    for catalog in catalogs:
        for class_id, name in zip(catalog.class_ids, catalog.classes, strict=True):
            ids_of[name].add(class_id)
            names_of[class_id].add(name)
            count[name] += 1
    agree = all(len(ids) == 1 for ids in ids_of.values()) and all(
        len(names) == 1 for names in names_of.values()
    )
    names = sorted(ids_of, key=lambda name: min(ids_of[name])) if agree else sorted(ids_of)
    ids = tuple(min(ids_of[name]) for name in names) if agree else tuple(range(len(names)))
    shared = sum(number == len(parts) for number in count.values())
    only = [name for name in names if count[name] < len(parts)]
    text = f"classes of the {what} are matched by name: {plural(len(names), 'class')}, {shared} of them in all {what}"
    if only:
        text += f"; only in some: {listed(only)}"
    if not agree:
        text += "; their ids differ, so classes are numbered from 0 in the order of their names"
    report(Note("united_classes", text, values={"classes": len(names), "in_all": shared}))
    label_of = {name: label for label, name in enumerate(names)}
    return [
        [
            with_classes(one, [label_of[name] for name in one.truth.catalog.classes], ids, tuple(names))
            for one in images
        ]
        for images in parts
    ]


def with_classes(
    part: AnnotatedImages, labels: Sequence[int], ids: tuple[int, ...], names: tuple[str, ...]
) -> AnnotatedImages:
    """The part with other classes; `labels` has the new label of each of its classes, all different, -1 for none."""
    catalog = change_classes(part.truth.catalog, labels, ids, names)
    new = np.array(labels, dtype=np.int32)[part.truth.label]
    masks = with_values(part.masks, lambda label: 1 + labels[label])  # 0 for the label -1
    return replace(part, truth=replace(part.truth, catalog=catalog, label=new), masks=masks)


def change_classes(
    catalog: Catalog, labels: Sequence[int], ids: tuple[int, ...], names: tuple[str, ...]
) -> Catalog:
    """The catalog with other classes, and its columns and lists of classes with them.

    Of a merged class, an image has verified the absence or presence only if it has of all of its classes, and not all objects are
    annotated if they are not of one of them; a value that its classes do not share is unknown.

    Args:
        catalog: the images and classes.
        labels: new label of each of its classes; -1 if there is none.
        ids: new ids.
        names: new names.
    """
    members: list[list[int]] = [[] for _ in ids]
    for old, label in enumerate(labels):
        if label >= 0:
            members[label].append(old)
    of = {new: {catalog.class_ids[old] for old in olds} for new, olds in zip(ids, members, strict=True)}
    lists = {}
    for name, column in catalog.image_classes.items():
        holds = any if name == "not_exhaustive" else all
        lists[name] = tuple(
            tuple(new for new, olds in of.items() if olds and holds(old in known for old in olds))
            for known in map(frozenset, column)
        )
    columns: dict[str, tuple[ImageValue, ...]] = {}
    for name, values in catalog.class_columns.items():
        shared = [{values[old] for old in olds} for olds in members]
        columns[name] = tuple(next(iter(one)) if len(one) == 1 else None for one in shared)
    return replace(catalog, class_ids=ids, classes=names, image_classes=lists, class_columns=columns)


def listed(names: Sequence[str]) -> str:
    """The names in quotes, at most eight of them."""
    more = f" and {len(names) - _LONGEST_LIST:,} more" if len(names) > _LONGEST_LIST else ""
    return ", ".join(map(repr, names[:_LONGEST_LIST])) + more
