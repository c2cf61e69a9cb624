"""Groups of images that stay together when splits are drawn, such as those of one video or patient."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bench.data.annotated_images import AnnotatedImages
from metrics.compare.groups import GROUP_COLUMN, SPLIT_GROUPS, groups_from_csv
from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.real_path import real_path

FOLDER = "folder"


class NoGroups(InputError):
    """A grouping that gives no image a group."""


def with_groups(
    parts: Sequence[AnnotatedImages],
    groups: str | None,
    root: Path,
    part_name: str = "",
    required: bool = True,
) -> list[AnnotatedImages]:
    """Add the group of each image as the image column `SPLIT_GROUPS`; unchanged without groups, or if there are any already.

    An image without a group (an empty field, a name that the expression does not match) is a group of its own.

    Args:
        parts: the images of each split.
        groups: see `FolderOptions.groups`.
        root: path of the data set, to which folders are relative.
        part_name: put before the groups that are folders or values of a field, whose names only have a meaning within their
            part of a data set.
        required: whether some image must have a group.

    Raises:
        NoGroups: there is no such field, or the expression matches no name.
        InputError: the table cannot be used, or the expression is invalid.
    """
    if groups is None or any(groups_of(part) is not None for part in parts):
        return list(parts)
    labels = [_labels(part, groups, root) for part in parts]
    known = [label for of_part in labels for label in of_part if label is not None]
    if not known and required:
        raise NoGroups(f"data.groups: {groups!r} gives no image of {root} a group; {_help(parts)}")
    _report_groups(groups, sum(map(len, labels)), known, part_name)
    local = f"{part_name}/" if part_name and _kind(groups) in ("folder", "field") else ""
    return [
        _with_column(part, [None if label is None else local + label for label in of_part], root, part_name)
        for part, of_part in zip(parts, labels, strict=True)
    ]


def without_groups(parts: Sequence[AnnotatedImages], root: Path, part_name: str) -> list[AnnotatedImages]:
    """Make each image a group of its own, beside other parts of the data set that have groups."""
    return [
        part if groups_of(part) else _with_column(part, [None] * len(part.paths), root, part_name)
        for part in parts
    ]


def _with_column(
    part: AnnotatedImages, labels: Sequence[str | None], root: Path, part_name: str
) -> AnnotatedImages:
    top, before = _folder(root), f"{part_name}/" if part_name else ""
    column = tuple(
        f"image {before}{Path(os.path.relpath(real_path(path), top)).as_posix()}" if label is None else label
        for label, path in zip(labels, part.paths, strict=True)
    )
    columns = {**part.truth.catalog.image_columns, SPLIT_GROUPS: column}
    catalog = replace(part.truth.catalog, image_columns=columns)
    return replace(part, truth=replace(part.truth, catalog=catalog))


def _folder(root: Path) -> Path:
    return real_path(top_folder(root))


def field_of_groups(groups: str | None) -> str | None:
    """Name of the field of COCO's images that holds the groups; None if they come from elsewhere."""
    return groups if groups is not None and _kind(groups) == "field" else None


def groups_of(part: AnnotatedImages) -> tuple[str, ...] | None:
    """The group of each image, as `with_groups` has added it; None without groups."""
    column = part.truth.catalog.image_columns.get(SPLIT_GROUPS)
    return None if column is None else tuple(map(str, column))


def likely_groups(part: AnnotatedImages) -> dict[str, tuple[str | None, ...]]:
    """Fields of the images that seem to group them, with at least two images of one value."""
    likely = {}
    for name, column in part.truth.catalog.image_columns.items():
        counts = Counter(value for value in column if value is not None)
        if name != SPLIT_GROUPS and GROUP_COLUMN.search(name) and counts and max(counts.values()) > 1:
            likely[name] = tuple(None if value is None else str(value) for value in column)
    return likely


def _kind(groups: str) -> str:
    if groups == FOLDER:
        return "folder"
    if groups.lower().endswith(".csv"):
        return "table"
    return "field" if re.fullmatch(r"[\w -]+", groups) else "expression"


def _labels(part: AnnotatedImages, groups: str, root: Path) -> list[str | None]:
    catalog = part.truth.catalog
    kind = _kind(groups)
    if kind == "folder":
        top = _folder(root)
        return [Path(os.path.relpath(real_path(path).parent, top)).as_posix() for path in part.paths]
    if kind == "table":
        by_image = groups_from_csv(groups, catalog)
        ids: Sequence[int | str] = catalog.image_ids
        return [by_image[image] for image in ids]
    if kind == "field":
        column = catalog.image_columns.get(groups, (None,) * len(part.paths))
        return [None if value is None else str(value) for value in column]
    try:
        expression = re.compile(groups)
    except re.error as error:
        raise InputError(f"data.groups: {groups!r} is not a regular expression: {error}") from None
    return [_matched(expression, path.name) for path in part.paths]


def _matched(expression: re.Pattern[str], name: str) -> str | None:
    match = expression.search(name)
    if match is None:
        return None
    texts = [text for text in match.groups() if text is not None] if expression.groups else [match.group()]
    return "|".join(texts) if texts else None


def _help(parts: Sequence[AnnotatedImages]) -> str:
    fields = sorted({name for part in parts for name in part.truth.catalog.image_columns})
    known = f"fields of the images: {', '.join(fields)}" if fields else "the images have no field of groups"
    example = parts[0].paths[0].name if parts[0].paths else "v01_0001.jpg"
    return (
        f"{known}; a regular expression is matched with file names such as {example!r} and has its group in parentheses; "
        f"'{FOLDER}' and the path of a .csv file with columns image,group are also possible"
    )


def _report_groups(groups: str, images: int, known: Sequence[str], part_name: str) -> None:
    counts = Counter(known)
    source = {
        "folder": "by folder",
        "table": f"by {Path(groups).name}",
        "field": f"by the field {groups!r}",
        "expression": f"by {groups!r} in their names",
    }[_kind(groups)]
    of_part = f"{part_name}: " if part_name else ""
    text = f"{of_part}{plural(images, 'image is', 'images are')} in {plural(len(counts), 'group')} {source}, with up to {plural(max(counts.values(), default=0), 'image')}"
    if len(known) < images:
        text += f"; {plural(images - len(known), 'image')} without a group {agree(images - len(known), 'is on its own', 'are each on their own')}"
    report(
        Note(
            "image_groups",
            text,
            part_name,
            {"images": images, "groups": len(counts), "alone": images - len(known)},
        )
    )
