"""Records like COCO's that other programs write: with a class's name in place of its id, or a score under another key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metrics.errors import InputError
from metrics.formats.identity import INTEGER, ClassMap, ids_of_names
from metrics.formats.records import Record
from metrics.notes import Note, report
from metrics.tables import Catalog

SCORE_KEYS = ("confidence", "conf", "probability", "prob")
"""Keys under which programs write a score."""

NAME_KEYS = ("category_name", "class_name", "category", "label", "class")
"""Keys under which programs write the name of a class, the clearest first."""

FILE_KEYS = ("filename", "fileName", "name", "image_name", "path", "file")
"""Keys under which programs write the name of an image's file, the clearest first."""

_INDEX_KEYS = ("class_id", "class", "label", "category", "label_id", "cls")


def with_score(rows: list[Record], where: str) -> list[Record]:
    """Results whose score is called ``score``, which is reported where it has another name.

    Raises:
        InputError: there are several keys that may be the score.
    """
    if not rows or "score" in rows[0]:
        return rows
    keys = [key for key in SCORE_KEYS if key in rows[0]]
    if len(keys) > 1:
        raise InputError(
            f"{where}[0]: has {' and '.join(keys)}, but no score; rename the one that is meant to score"
        )
    if not keys:
        return rows
    report(Note("other_keys", f"{where}: {keys[0]} is read as score", where, {"rows": len(rows)}))
    return [row if "score" in row else row | {"score": row.get(keys[0])} for row in rows]


def with_ids_of_results(
    rows: list[Record], catalog: Catalog, class_map: ClassMap | None, where: str
) -> tuple[list[Record], bool]:
    """Results with ``category_id``, and whether these are ids of the ground truth that were found by names.

    Raises:
        InputError: see `class_names`; or the ground truth lacks a class, or has several of its name.
    """
    names = class_names(rows, dict(zip(catalog.class_ids, catalog.classes, strict=True)), where)
    if names is None:
        return rows, False
    distinct = list(dict.fromkeys(names))

    def refusal(index: int, problem: str) -> InputError:
        name = distinct[index]
        return InputError(f"{where}[{names.index(name)}]: class {name!r}: {problem}")

    id_of = dict(zip(distinct, ids_of_names(distinct, catalog, class_map, refusal), strict=True))
    return [row | {"category_id": id_of[name]} for row, name in zip(rows, names, strict=True)], True


def with_ids_of_categories(rows: list[Record], classes: Mapping[int, str], where: str) -> list[Record]:
    """Annotations with ``category_id``, which may be found by the names of the file's own categories.

    Raises:
        InputError: see `class_names`; or no category, or several, have a name.
    """
    names = class_names(rows, classes, where)
    if names is None:
        return rows
    id_of: dict[str, int] = {}
    for name in dict.fromkeys(names):
        fitting = [identity for identity, other in classes.items() if other == name]
        if len(fitting) != 1:
            problem = "several categories have this name" if fitting else "no category has this name"
            raise InputError(f"{where}[{names.index(name)}]: class {name!r}: {problem}; write category_id")
        id_of[name] = fitting[0]
    return [row | {"category_id": id_of[name]} for row, name in zip(rows, names, strict=True)]


def class_names(rows: Sequence[Record], classes: Mapping[int, str], where: str) -> list[str] | None:
    """The class's name of each record, where records have names in place of ids, which is reported; else None.

    Args:
        rows: results or annotations.
        classes: names of the known classes by id.
        where: file and location in it.

    Raises:
        InputError: text may be an id or a name; only an index is there; two keys contradict each other; or a name is missing.
    """
    if not rows or type(rows[0].get("category_id")) not in (str, type(None)):
        return None
    if "category_id" in rows[0] and rows[0]["category_id"] is not None:
        if not all(isinstance(row.get("category_id"), str) for row in rows):
            return None
        key, column = "category_id", [row["category_id"] for row in rows]
        if all(INTEGER.fullmatch(name) for name in column):
            _refuse_numeric_names(column, classes, where)
            return None
    else:
        keys = [key for key in NAME_KEYS if _is_name(key, rows[0].get(key))]
        if not keys:
            _refuse_indices(rows[0], where)
            return None
        key, column = keys[0], [row.get(keys[0]) for row in rows]
        for row, name in enumerate(column):
            if not isinstance(name, str):
                raise InputError(
                    f"{where}[{row}]: {key}: expected the name of a class, as in other records, or write category_id"
                )
            if other := next((other for other in keys[1:] if rows[row].get(other) not in (name, None)), None):
                raise InputError(
                    f"{where}[{row}]: {key} and {other} are different; remove one of them, or write category_id"
                )
    text = f"{where}: classes are read from their names in {key}, such as {column[0]!r}"
    report(Note("classes_by_name", text, where, {"rows": len(rows)}))
    return column


def _is_name(key: str, value: object) -> bool:
    """Whether a value is the name of a class; digits are, only where the key says so."""
    return isinstance(value, str) and (key.endswith("_name") or not INTEGER.fullmatch(value))


def _refuse_numeric_names(column: Sequence[str], classes: Mapping[int, str], where: str) -> None:
    ids = {name: identity for identity, name in classes.items()}
    for row, text in enumerate(column):
        if text in ids and ids[text] != int(text):
            raise InputError(
                f"{where}[{row}]: category_id {text!r} is text, and may be the id {text} or the name of class {ids[text]}; write a "
                f"number for an id, or category_name for a name"
            )


def _refuse_indices(row: Record, where: str) -> None:
    key = next((key for key in _INDEX_KEYS if key in row), None)
    if key is not None:
        raise InputError(
            f"{where}[0]: has {key}, but no category_id; rename it to category_id if it is the id of a category (for indices from 0 "
            f"in results also pass --class-map from-0), or to category_name if it is a name"
        )


def with_named_files(names: list[str], rows: Sequence[Record], where: str) -> list[str]:
    """Names of images' files; where all are empty, those under another key, which is reported, as of Argoverse-HD."""
    if any(names) or not rows:
        return names
    key = next((key for key in FILE_KEYS if all(_is_file_name(row.get(key)) for row in rows)), None)
    if key is None:
        return names
    report(Note("other_keys", f"{where}: {key} is read as file_name", where, {"rows": len(rows)}))
    return [row[key] for row in rows]


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
