"""The image and class of each detection, from the ids in a file of results."""

from __future__ import annotations

import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path, PurePosixPath
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputWarning
from metrics.formats.image_search import name_key, original_spellings, spellings, without_suffix
from metrics.formats.untrusted import parse_json, read_bytes
from metrics.notes import Note, report
from metrics.plurals import agree, plural
from metrics.registry import did_you_mean
from metrics.tables import Catalog, ImageId
from metrics.tables.class_names import original_matches

INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
"""A whole number of 64 bits as it is written, without leading zeros."""

CLASS_MAP_ADVICE = "pass --class-map FILE.json (class_map={...}) to map it"

ImageIdMeaning = Literal["ids", "file-names"]
"""What integers in ``image_id`` of results are: ids of the ground truth, or the numbers in the names of image files."""

Rule = Literal["from-0", "from-1", "coco-91", "drop"]
ClassMap = Rule | Mapping[int, int]
"""How class ids in results map to those of the ground truth: ``from-0`` (``from-1``): they are class indices from 0 (1);
``coco-91``: they are COCO's category ids up to 90 of the 80 classes, which the ground truth has in COCO's order; ``drop``:
equal ids, and detections of unknown classes are left out, as in pycocotools; or pairs
``{id in the results: id in the ground truth}``."""

COCO_91 = tuple(k for k in range(1, 91) if k not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""COCO's category ids of its 80 classes, in their order."""


def find_images(
    ids: NDArray[np.int64] | Sequence[ImageId],
    catalog: Catalog,
    where: str,
    image_ids: ImageIdMeaning = "ids",
) -> NDArray[np.int32]:
    """(N,) index in the catalog of the image of each detection.

    Integers and strings are ids of the catalog. Tools that identify an image by its file write a string, or the number
    in it: where the types differ, ``"42"`` is 42, and then a string is a file name, with or without folder and suffix.
    With ``file-names`` an integer is the number in an image's file name: 42 for ``images/000042.jpg``.

    Raises:
        InputError: the ground truth lacks images; the message has their number and the first five.
    """
    known = catalog.image_ids
    if image_ids == "file-names" and isinstance(ids, np.ndarray):
        numbers = file_numbers(catalog.file_names)
        indices = np.array([numbers.get(identity, -1) for identity in ids.tolist()], np.int32)
    else:
        indices, by_end = _known_images(ids, catalog)
        _report_by_end(by_end, catalog)
    unknown = indices < 0
    if unknown.any():
        lost = int(np.count_nonzero(unknown))
        images = list(dict.fromkeys(to_python(ids)[row] for row in np.flatnonzero(unknown).tolist()))
        advice = "Give the ground truth that these detections were made for, or remove those detections"
        if image_ids == "ids" and set(to_python(ids)) <= set(file_numbers(catalog.file_names)):
            advice = "All ids are numbers of file names: pass --image-ids file-names (image_ids='file-names') to read them so"
        raise InputError(
            f"{where}: {lost:,} of {plural(len(indices), 'detection')} {agree(lost, 'is', 'are')} on {plural(len(images), 'image')} that "
            f"the ground truth does not have: {_list(images)}; its image ids are like {_list(known, 3)}. {advice}"
        )
    return indices


def known_images(ids: NDArray[np.int64] | Sequence[ImageId], catalog: Catalog) -> NDArray[np.int32]:
    """(N,) index in the catalog of the image of each id or name, or -1; nothing is reported."""
    return _known_images(ids, catalog)[0]


def _known_images(
    ids: NDArray[np.int64] | Sequence[ImageId], catalog: Catalog
) -> tuple[NDArray[np.int32], dict[ImageId, int]]:
    """The same, and the images of the names of which only the end of the path is known."""
    known = catalog.image_ids
    found: dict[ImageId, int] = {}
    if isinstance(ids, np.ndarray) and not isinstance(known[0] if known else 0, str):
        return positions(ids, known), found
    names = _image_names(catalog)
    indices = np.array([names.get(identity, -1) for identity in to_python(ids)], np.int32)
    unknown = np.flatnonzero(indices < 0)
    if len(unknown):
        by_end = _names_by_key(catalog)
        for row in unknown.tolist():
            identity = to_python(ids)[row]
            if identity not in found:
                found[identity] = _by_end(str(identity), by_end) if isinstance(identity, str) else -1
            indices[row] = found[identity]
    return indices, {name: index for name, index in found.items() if index >= 0}


def images_by_file(file_names: Sequence[str], catalog: Catalog) -> NDArray[np.int32]:
    """(N,) index in the catalog of the image with each file name, or -1; ids of the catalog do not matter."""
    names: dict[str, int] = {}
    for spell in (str, lambda name: PurePosixPath(name).name):
        seen: dict[str, int] = {}
        for index, name in enumerate(map(spell, catalog.file_names)):
            seen[name] = -1 if name in seen else index
        names = seen | names
    written = [name.replace("\\", "/") for name in file_names]
    return np.array(
        [names.get(name, names.get(PurePosixPath(name).name, -1)) if name else -1 for name in written],
        np.int32,
    )


def file_numbers(file_names: Sequence[str]) -> dict[ImageId, int]:
    """The image of each number that is the own name of exactly one file: 7 for ``images/007.jpg``."""
    stems = [PurePosixPath(name).stem for name in file_names]
    numbers = [
        int(stem) if stem.isascii() and stem.isdecimal() and len(stem) < 19 else None for stem in stems
    ]
    counts = Counter(numbers)
    return {
        number: index for index, number in enumerate(numbers) if number is not None and counts[number] == 1
    }


def find_classes(
    ids: NDArray[np.int64], catalog: Catalog, where: str, class_map: ClassMap | None = None
) -> NDArray[np.int32]:
    """(N,) label of each detection; -1 where `class_map` leaves it out.

    Raises:
        InputError: the ground truth lacks classes; the message has their number, the first five, and the `class_map` that
            would explain them.
    """
    known = catalog.class_ids
    if class_map in ("from-0", "from-1"):
        first = 1 if class_map == "from-1" else 0
        indices = positions(ids, range(first, first + len(known)))
    elif class_map == "coco-91":
        if len(known) != len(COCO_91):
            raise InputError(
                f"{where}: the class map coco-91 is for the 80 classes of COCO, but the ground truth has {len(known):,}; "
                f"{CLASS_MAP_ADVICE}"
            )
        indices = positions(ids, COCO_91)
    elif isinstance(class_map, Mapping):
        _check_targets(class_map, catalog, where)
        sources = sorted(class_map)
        targets = np.array([known.index(class_map[source]) for source in sources] + [-1], np.int32)
        indices = targets[positions(ids, sources)]
    else:
        indices = positions(ids, known)
    unknown = indices < 0
    if unknown.any():
        lost = int(np.count_nonzero(unknown))
        unknown_ids = np.unique(ids[unknown]).tolist()
        problem = (
            f"{where}: {lost:,} of {plural(len(ids), 'detection')} {agree(lost, 'is', 'are')} of {plural(len(unknown_ids), 'class')} "
            f"that the ground truth does not have: category_id {_list(unknown_ids)}"
        )
        if class_map != "drop":
            raise InputError(
                f"{problem}; the ground truth has {_list(catalog.class_ids) or 'none'}. {_suggest_rule(ids, catalog)}"
            )
        warnings.warn(f"{problem}; they are left out", InputWarning, stacklevel=3)
    return indices


def match_names(
    names: Mapping[int, str], catalog: Catalog, where: str, fix: str = CLASS_MAP_ADVICE
) -> dict[int, int]:
    """The label of each class of another file by its name; classes that share a name also by their id.

    Args:
        names: name of each class that has detections, by its id in the other file.
        catalog: of the ground truth.
        where: the other file, for error messages.
        fix: what to do about a class that is not found.

    Raises:
        InputError: the ground truth lacks a class, or has several of its name and none of them with its id.
    """
    labels = {}
    counts = Counter(names.values())
    for class_id, name in names.items():
        fitting = original_matches(name, catalog.classes, catalog.class_ids)
        if len(fitting) > 1 or counts[name] > 1:
            fitting = [label for label in fitting if catalog.class_ids[label] == class_id]
            problem = f"is the name of several classes, none of which has this id in both files; {fix}"
        else:
            hint = did_you_mean(name, catalog.classes) or f"; {fix}"
            problem = f"is not a class of the ground truth{hint}"
        if not fitting:
            raise InputError(f"{where}: category_id {class_id}, {name!r}, {problem}")
        labels[class_id] = fitting[0]
    return labels


def ids_of_names(
    names: Sequence[str],
    catalog: Catalog,
    class_map: ClassMap | None,
    refusal: Callable[[int, str], InputError],
) -> list[int]:
    """The class id of each name in a file of detections without class ids.

    Whole numbers that are no names of classes are ids. With ``drop`` an unknown name gets an id that the ground truth lacks.

    Args:
        names: distinct names.
        catalog: of the ground truth.
        class_map: see `ClassMap`.
        refusal: makes the error of a name, from its index and the problem.

    Raises:
        InputError: the ground truth has no class, or several classes, of a name.
    """
    absent = min((*catalog.class_ids, 0)) - 1
    ids = []
    for index, name in enumerate(names):
        fitting = original_matches(name, catalog.classes, catalog.class_ids)
        if len(fitting) == 1:
            ids.append(catalog.class_ids[fitting[0]])
        elif class_map == "drop" and not fitting:
            ids.append(absent)
        else:
            several = f"is the name of several classes; write class_id, or {CLASS_MAP_ADVICE}"
            hint = did_you_mean(name, catalog.classes) or "; --class-map drop leaves such detections out"
            raise refusal(index, several if fitting else f"no class of the ground truth{hint}")
    return ids


def are_ids(names: Sequence[str], catalog: Catalog) -> bool:
    """Whether all names are whole numbers, and none is the name of a class."""
    return all(map(INTEGER.fullmatch, names)) and not set(names) & set(catalog.classes)


def positions(values: NDArray[np.int64] | Sequence[ImageId], known: Sequence[ImageId]) -> NDArray[np.int32]:
    """For each value its index in the sorted, unique `known`, or -1."""
    if not isinstance(values, np.ndarray) or (known and isinstance(known[0], str)):
        index_of = {identity: index for index, identity in enumerate(known)}
        return np.array([index_of.get(value, -1) for value in to_python(values)], np.int32)
    if not known:
        return np.full(len(values), -1, np.int32)
    sorted_ids = np.array(known, np.int64)
    least, most = int(sorted_ids[0]), int(sorted_ids[-1])
    if most - least < 4 * len(values) + 1000:  # for ids in a narrow range a table is faster than a search
        table = np.full(most - least + 2, -1, np.int32)
        table[sorted_ids - least] = np.arange(len(sorted_ids), dtype=np.int32)
        return table[np.where((values >= least) & (values <= most), values - least, -1)]
    indices = np.searchsorted(sorted_ids, values)
    indices[indices == len(known)] = 0
    return np.where(sorted_ids[indices] == values, indices, -1).astype(np.int32)


def to_python(ids: NDArray[np.int64] | Sequence[ImageId]) -> Sequence[ImageId]:
    """The same ids as Python integers and strings."""
    return ids.tolist() if isinstance(ids, np.ndarray) else ids


def parse_class_map(text: str) -> ClassMap:
    """Parse ``from-0``, ``from-1``, ``drop``, or the name of a JSON file of ``{"id in the results": id}``.

    Raises:
        InputError: another word; or the file is not one object of whole numbers of 64 bits, or has an id twice.
    """
    if text in get_args(Rule):
        return text  # type: ignore[return-value]  # one of them
    if not text.endswith(".json"):
        raise InputError(
            f"--class-map {text}: expected {', '.join(get_args(Rule))}, or the name of a .json file"
        )
    path = Path(text)
    content = read_bytes(path)
    if not isinstance(parse_json(content, path), dict):  # also checks how deep it is
        raise InputError(f"{path}: {_PAIRS}, got another kind of JSON")
    class_map: dict[int, int] = {}
    for source, target in json.loads(content, object_pairs_hook=list):
        pair = _whole_number(source), _whole_number(target)
        if pair[0] is None or pair[1] is None:
            raise InputError(f"{path}: {_PAIRS}, got {str(source)[:40]!r}: {str(target)[:40]!r}")
        if pair[0] in class_map:
            raise InputError(f"{path}: {_PAIRS}; the id {pair[0]} occurs twice")
        class_map[pair[0]] = pair[1]
    return class_map


_PAIRS = 'expected pairs of class ids such as {"0": 1, "1": 2}'


def _whole_number(value: object) -> int | None:
    """The whole number of 64 bits that a value is or spells; None for other values."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,19}", value):
        value = int(value)
    whole = type(value) is int and -(2**63) <= value < 2**63
    return cast(int, value) if whole else None


def _image_names(catalog: Catalog) -> dict[ImageId, int]:
    """Every unambiguous name of an image: first its id, then the parts of its file name."""
    ids: Sequence[ImageId] = catalog.image_ids
    names: dict[ImageId, int] = {}
    for columns in (
        list(ids),
        [str(identity) for identity in ids],
        list(catalog.file_names),
        [PurePosixPath(name).name for name in catalog.file_names],
        [PurePosixPath(name).stem for name in catalog.file_names],
        [without_suffix(name) if name else "" for name in catalog.file_names],
        [_number(identity) if isinstance(identity, str) else "" for identity in ids],
    ):
        seen: dict[ImageId, int] = {}
        for index, name in enumerate(columns):
            seen[name] = -1 if name in seen else index
        names = {name: index for name, index in seen.items() if name != "" and index >= 0} | names
    return names


def _number(text: str) -> int | Literal[""]:
    """The number that a text is, if an id can have as many digits; else an empty text."""
    return int(text) if text.isdecimal() and len(text) < 20 else ""


def _names_by_key(catalog: Catalog) -> tuple[dict[str, int], dict[str, int]]:
    """Every unambiguous end of the path of an image's file, with and without suffix, in any case of letters.

    Of the paths as written, and of those before an upload to Label Studio, for names that no image has.
    """
    written = [PurePosixPath(name.replace("\\", "/")).parts for name in catalog.file_names]
    original = [next(iter(original_spellings(name)), ()) for name in catalog.file_names]
    return _ends(written), _ends(original)


def _ends(paths: Sequence[tuple[str, ...]]) -> dict[str, int]:
    """The path of each end, with and without suffix; -1 where several paths have it."""
    keys: dict[str, int] = {}
    for index, parts in enumerate(paths):
        for first in range(len(parts)):
            end = name_key("/".join(parts[first:]))
            for key in {end, without_suffix(end)}:
                keys[key] = index if keys.setdefault(key, index) == index else -1
    return keys


def _by_end(written: str, tables: Sequence[Mapping[str, int]]) -> int:
    """The image whose path ends like a written one, or has its own name; -1 if none or several have."""
    for parts, keys in product((*spellings(written), *original_spellings(written)), tables):
        for first in range(len(parts)):
            key = name_key("/".join(parts[first:]))
            for end in (key, without_suffix(key)):
                if end in keys:
                    return keys[end]
    return -1


def _report_by_end(found: Mapping[ImageId, int], catalog: Catalog) -> None:
    if found:
        name, index = next(iter(found.items()))
        text = (
            f"detections name {plural(len(found), 'image')} by other paths than the ground truth; the ends of the paths are compared: "
            f"{name!r} is {catalog.file_names[index]!r}"
        )
        report(Note("images_by_name", text, values={"images": len(found)}), stacklevel=3)


def _check_targets(class_map: Mapping[int, int], catalog: Catalog, where: str) -> None:
    wrong = [target for target in class_map.values() if target not in catalog.class_ids]
    if wrong:
        raise InputError(
            f"{where}: the class map contains category_id {_list(wrong)}, which the ground truth does not have; "
            f"it has {_list(catalog.class_ids)}"
        )


def _suggest_rule(ids: NDArray[np.int64], catalog: Catalog) -> str:
    """The rule under which all ids would be known."""
    count = len(catalog.class_ids)
    low, high = int(ids.min()), int(ids.max())
    if low == 0 and high < count:
        return f"They seem to be indices of the {plural(count, 'class')} from 0: pass --class-map from-0 (class_map='from-0')"
    if count == len(COCO_91) and count <= high and set(ids.tolist()) <= set(COCO_91):
        return "They seem to be COCO's category ids up to 90: pass --class-map coco-91 (class_map='coco-91')"
    if low >= 1 and high <= count:
        return f"They seem to be indices of the {plural(count, 'class')} from 1: pass --class-map from-1 (class_map='from-1')"
    return (
        "Pass --class-map FILE.json with pairs of ids (class_map={...}), or --class-map drop to ignore those "
        "detections"
    )


def _list(values: Sequence[object], most: int = 5) -> str:
    text = ", ".join(json.dumps(value) for value in values[:most])
    return f"{text}, ..." if len(values) > most else text
