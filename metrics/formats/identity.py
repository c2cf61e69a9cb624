"""Which image and which class of the truth a detection means, by the ids in somebody's results."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError, InputWarning
from metrics.formats.untrusted import read_json
from metrics.tables import Catalog, ImageId

Rule = Literal["from-0", "from-1", "drop"]
ClassMap = Rule | Mapping[int, int]
"""How class ids in results become those of the truth: ``from-0`` (``from-1``): they count the truth's classes
from 0 (1); ``drop``: as they are, and detections of an unknown class are left out, as the reference does; or
pairs ``{id in the results: id in the truth}``."""


def find_images(
    ids: NDArray[np.int64] | Sequence[ImageId], catalog: Catalog, where: str
) -> NDArray[np.int32]:
    """(N,) index in the catalog of the image that each detection is on.

    Whole numbers and strings are the catalog's ids. Tools that know an image by its file write a string or the
    number in it: where the kinds differ, ``"42"`` is 42, and then a string is a file name, or one without
    folder or suffix.

    Raises:
        InputError: images that the truth does not have, how many, and the first five.
    """
    known = catalog.image_ids
    if isinstance(ids, np.ndarray) and not isinstance(known[0] if known else 0, str):
        places = positions(ids, known)
    else:
        names = _names(catalog)
        places = np.array([names.get(identity, -1) for identity in plain(ids)], np.int32)
    unknown = places < 0
    if unknown.any():
        images = list(dict.fromkeys(plain(ids)[row] for row in np.flatnonzero(unknown).tolist()))
        raise InputError(
            f"{where}: {np.count_nonzero(unknown)} of {len(places)} detections are on {len(images)} images that "
            f"the truth does not have: {_some(images)}; its image ids are like {_some(known, 3)}. "
            "Give the truth that these detections were made for, or leave those detections out"
        )
    return places


def find_classes(
    ids: NDArray[np.int64], catalog: Catalog, where: str, class_map: ClassMap | None = None
) -> NDArray[np.int32]:
    """(N,) label of each detection; -1 where `class_map` says to leave it out.

    Raises:
        InputError: classes that the truth does not have, how many, the first five, and which `class_map` would
            explain them.
    """
    known = catalog.class_ids
    if class_map in ("from-0", "from-1"):
        first = 1 if class_map == "from-1" else 0
        places = positions(ids, range(first, first + len(known)))
    elif isinstance(class_map, Mapping):
        _check_targets(class_map, catalog, where)
        sources = sorted(class_map)
        targets = np.array([known.index(class_map[source]) for source in sources] + [-1], np.int32)
        places = targets[positions(ids, sources)]
    else:
        places = positions(ids, known)
    unknown = places < 0
    if unknown.any():
        strange = np.unique(ids[unknown]).tolist()
        story = (
            f"{where}: {np.count_nonzero(unknown)} of {len(ids)} detections are of {len(strange)} classes "
            f"that the truth does not have: category_id {_some(strange)}"
        )
        if class_map != "drop":
            raise InputError(f"{story}; the truth has {_some(catalog.class_ids)}. {_guess(ids, catalog)}")
        warnings.warn(f"{story}; they are left out", InputWarning, stacklevel=3)
    return places


def positions(values: NDArray[np.int64] | Sequence[ImageId], known: Sequence[ImageId]) -> NDArray[np.int32]:
    """For each value its index among the sorted, unique `known`, or -1."""
    if not isinstance(values, np.ndarray) or (known and isinstance(known[0], str)):
        index = {identity: place for place, identity in enumerate(known)}
        return np.array([index.get(value, -1) for value in plain(values)], np.int32)
    if not known:
        return np.full(len(values), -1, np.int32)
    sorted_ids = np.array(known, np.int64)
    least, most = int(sorted_ids[0]), int(sorted_ids[-1])
    if most - least < 4 * len(values) + 1000:  # ids in a narrow range: a table is faster than a search
        table = np.full(most - least + 2, -1, np.int32)
        table[sorted_ids - least] = np.arange(len(sorted_ids), dtype=np.int32)
        return table[np.where((values >= least) & (values <= most), values - least, -1)]
    places = np.searchsorted(sorted_ids, values)
    places[places == len(known)] = 0
    return np.where(sorted_ids[places] == values, places, -1).astype(np.int32)


def plain(ids: NDArray[np.int64] | Sequence[ImageId]) -> Sequence[ImageId]:
    """The same ids as Python's own numbers and strings."""
    return ids.tolist() if isinstance(ids, np.ndarray) else ids


def parse_class_map(text: str) -> ClassMap:
    """What a user types: ``from-0``, ``from-1``, ``drop``, or a JSON file of ``{"id in the results": id}``."""
    if text in get_args(Rule):
        return text  # type: ignore[return-value]  # one of them
    if not text.endswith(".json"):
        raise InputError(
            f"class map {text!r}: expected {', '.join(get_args(Rule))}, or the name of a .json file"
        )
    pairs = read_json(Path(text))
    try:
        return {int(source): int(target) for source, target in pairs.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError(f'{text}: expected pairs of class ids like {{"0": 1, "1": 2}}: {error}') from error


def _names(catalog: Catalog) -> dict[ImageId, int]:
    """All that an image may be called, and not by two images: its id first, then what its file's name says."""
    ids: Sequence[ImageId] = catalog.image_ids
    names: dict[ImageId, int] = {}
    for spelled in (
        list(ids),
        [str(identity) for identity in ids],
        list(catalog.file_names),
        [PurePosixPath(name).name for name in catalog.file_names],
        [PurePosixPath(name).stem for name in catalog.file_names],
        [int(identity) if isinstance(identity, str) and identity.isdecimal() else "" for identity in ids],
    ):
        seen: dict[ImageId, int] = {}
        for place, name in enumerate(spelled):
            seen[name] = -1 if name in seen else place
        names = {name: place for name, place in seen.items() if name != "" and place >= 0} | names
    return names


def _check_targets(class_map: Mapping[int, int], catalog: Catalog, where: str) -> None:
    wrong = [target for target in class_map.values() if target not in catalog.class_ids]
    if wrong:
        raise InputError(
            f"{where}: the class map leads to category_id {_some(wrong)}, which the truth does not have; "
            f"it has {_some(catalog.class_ids)}"
        )


def _guess(ids: NDArray[np.int64], catalog: Catalog) -> str:
    """The mend: which rule would make all of the ids known."""
    count = len(catalog.class_ids)
    low, high = int(ids.min()), int(ids.max())
    if low == 0 and high < count:
        return f"They seem to count the {count} classes from 0: pass --class-map from-0 (class_map='from-0')"
    if low >= 1 and high <= count:
        return f"They seem to count the {count} classes from 1: pass --class-map from-1 (class_map='from-1')"
    return (
        "Pass --class-map FILE.json with pairs of ids (class_map={...}), or --class-map drop to leave those "
        "detections out"
    )


def _some(values: Sequence[object], most: int = 5) -> str:
    shown = ", ".join(json.dumps(value) for value in values[:most])
    return f"{shown}, ..." if len(values) > most else shown
