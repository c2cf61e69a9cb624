"""From annotations and image files to a data set: files checked, sizes agreed, splits made, leaks looked for."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from bench.data.images import Header, read_header, read_image
from bench.data.leaks import find_leaks
from bench.data.splits import divide
from bench.data.types import SPLITS, DataOptions, Dataset, Split, require_objects
from metrics.errors import InputError, InputWarning
from metrics.tables import AnnotationTable, Catalog

Share = Annotated[float, Field(gt=0, le=1)]


class FolderOptions(DataOptions):
    """What can be set of any data set that lies on disk."""

    images: str | None = None
    """The folder that holds the images, where it is not beside the annotations."""
    shares: tuple[Share, Share, Share] = (0.7, 0.15, 0.15)
    """Parts of train, val and test, where the data set is not divided already."""
    check: Literal["exists", "header", "whole"] = "header"
    """How every image is checked when the data set is opened: that there is such a file; that it is an image of the
    annotated size; that all of it can be decoded."""
    allow_missing: bool = False
    """Leave images out that cannot be read, with a warning. Results are then of fewer images, and not comparable."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Images that stand together in a file or a list, and the truth about them.

    Attributes:
        purpose: ``train``, ``val``, ``test`` or ``trainval``; None for images that are not divided.
        truth: what is there.
        paths: the file of each image of the catalog.
        headers: of each image, where they have been read already.
    """

    purpose: str | None
    truth: AnnotationTable
    paths: tuple[Path, ...]
    headers: tuple[Header, ...] | None = None

    def select(self, images: ArrayLike) -> Source:
        """Only the images of these indices."""
        kept = self.truth.catalog.image_indices(images)
        headers = None if self.headers is None else tuple(self.headers[i] for i in kept)
        return Source(self.purpose, self.truth.select(kept), tuple(self.paths[i] for i in kept), headers)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A source whose files have been looked at; `upright` is whether each image's EXIF rotation is to be applied."""

    source: Source
    upright: NDArray[np.bool_]

    def select(self, images: NDArray[np.intp]) -> _Part:
        return _Part(self.source.select(images), self.upright[images])

    def __len__(self) -> int:
        return len(self.source.paths)


def assemble(
    format: str,
    path: Path,
    sources: Sequence[Source],
    options: FolderOptions,
    notes: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
) -> Dataset:
    """A data set of what a format has read.

    Args:
        format: its name.
        path: what was opened.
        sources: one for each purpose, or a single one.
        options: settings.
        notes: what there is to tell already.
        defaults: as `Dataset.defaults`.

    Raises:
        InputError: images that are missing or broken, boxes that cannot be in pixels, classes that contradict each
            other, a split without an object.
    """
    told = list(notes)
    order = (*SPLITS, "trainval", None)
    sources = _without_repeats(sorted(sources, key=lambda source: order.index(source.purpose)), told)
    parts = _divide(
        [_look_at(source, options, told) for source in _one_set_of_classes(sources)], options, told
    )
    # Splits that had to be the same images have been warned of already.
    distinct = {id(part): (name, part) for name, part in parts.items()}
    for sentence in find_leaks({name: part.source.paths for name, part in distinct.values()}):
        warnings.warn(f"leakage: {sentence}; divide the data anew", InputWarning, stacklevel=2)
    splits = {name: require_objects(_split(name, parts[name])) for name in SPLITS}
    told += _unseen_classes(splits)
    fingerprint = hashlib.sha256("".join(split.fingerprint for split in splits.values()).encode()).hexdigest()
    return Dataset(_name(path), format, path, splits, fingerprint, told, dict(defaults or {}))


def only(sources: Sequence[Source], where: Path) -> None:
    """Raise where two sources have the same purpose: which of them is meant is the user's to say."""
    for first, second in ((a, b) for k, a in enumerate(sources) for b in sources[k + 1 :]):
        if first.purpose == second.purpose:
            raise InputError(
                f"{where}: two sets of annotations for {first.purpose or 'no split'}; give the path of one"
            )


def image_headers(
    paths: Sequence[Path], options: FolderOptions
) -> tuple[list[Header | None], dict[int, str]]:
    """The header of each image, as far as `options.check` reads it; and, by index, what is wrong with which."""
    headers: list[Header | None] = []
    problems: dict[int, str] = {}
    for index, path in enumerate(paths):
        header = None
        try:
            if options.check == "exists":
                if not path.is_file() or not path.stat().st_size:
                    read_header(path)  # which says what is wrong
            else:
                header = read_header(path)
                if options.check == "whole":
                    read_image(path)
        except InputError as error:
            problems[index] = str(error)
        headers.append(header)
    return headers, problems


def refuse_or_leave_out(problems: Mapping[int, str], total: int, what: str, options: FolderOptions) -> None:
    """Raise for images that cannot be read; with `allow_missing`, warn that they are left out."""
    if not problems:
        return
    first = "; ".join(list(problems.values())[:5])
    more = f"; and {len(problems) - 5} more" if len(problems) > 5 else ""
    told = f"{what}: {len(problems)} of {total} images cannot be read: {first}{more}"
    if not options.allow_missing:
        raise InputError(f"{told}. Mend them, or leave them out with --set data.allow_missing=true")
    if len(problems) == total:
        raise InputError(f"{told}. No image is left")
    warnings.warn(f"{told}. They are left out: results are of fewer images", InputWarning, stacklevel=2)


def _look_at(source: Source, options: FolderOptions, notes: list[str]) -> _Part:
    what = source.purpose or "images"
    headers: Sequence[Header | None]
    if source.headers is None:
        headers, problems = image_headers(source.paths, options)
    else:
        headers, problems = source.headers, {}
    refuse_or_leave_out(problems, len(headers), what, options)
    if problems:
        kept = [index for index in range(len(headers)) if index not in problems]
        source, headers = source.select(kept), [headers[index] for index in kept]
    catalog = source.truth.catalog
    sizes = catalog.sizes.copy()
    upright = np.ones(len(headers), dtype=np.bool_)
    other: list[str] = []
    for index, header in enumerate(headers):
        if header is None:
            continue
        annotated = (int(sizes[index, 0]), int(sizes[index, 1]))
        if annotated == header.stored != header.upright:
            upright[index] = False
            continue
        sizes[index] = header.upright
        if 0 not in annotated and annotated != header.upright:
            (h, w), (ah, aw) = header.upright, annotated
            other.append(f"{source.paths[index].name} is {w}x{h}, annotated as {aw}x{ah}")
    if not upright.all():
        notes.append(
            f"{what}: {int((~upright).sum())} images carry an EXIF rotation that their annotations do not know of "
            f"(the annotated size is that of the stored pixels): they are read without it"
        )
    if other:
        warnings.warn(
            f"{what}: {len(other)} images have another size than their annotations say: {'; '.join(other[:5])}. "
            f"The files' sizes are used; boxes may be misplaced: export the annotations again",
            InputWarning,
            stacklevel=2,
        )
    truth = replace(source.truth, catalog=replace(catalog, sizes=sizes))
    _require_pixels(truth, what)
    return _Part(replace(source, truth=truth), upright)


def _require_pixels(truth: AnnotationTable, what: str) -> None:
    corners = truth.boxes
    if not len(corners):
        return
    small = np.abs(corners) <= 1.5
    sizes = truth.catalog.sizes[truth.image]
    if small.mean() > 0.95 and (sizes == 0).all() | (sizes.min() > 4):
        raise InputError(
            f"{what}: {small.mean():.0%} of all box coordinates are at most 1.5, so they seem to be parts of the "
            f"image's width and height, but this format has pixels; multiply them, or give the data as YOLO"
        )


def _without_repeats(sources: Sequence[Source], notes: list[str]) -> list[Source]:
    """Without sources that list the same files as one before them, as in a YAML file with the same train and val."""
    kept: list[Source] = []
    for source in sources:
        same = next((other for other in kept if set(other.paths) == set(source.paths)), None)
        if same is None:
            kept.append(source)
        else:
            notes.append(
                f"{same.purpose} and {source.purpose} list the same images, so they are taken as one set"
            )
    if len(kept) == 1 < len(sources):
        return [replace(kept[0], purpose=None)]
    return kept


def _one_set_of_classes(sources: Sequence[Source]) -> list[Source]:
    """All with the classes of all; the same id must have the same name everywhere."""
    catalogs = [source.truth.catalog for source in sources]
    if all(c.class_ids == catalogs[0].class_ids and c.classes == catalogs[0].classes for c in catalogs):
        return list(sources)
    names: dict[int, str] = {}
    for source, catalog in zip(sources, catalogs, strict=True):
        for class_id, name in zip(catalog.class_ids, catalog.classes, strict=True):
            if names.setdefault(class_id, name) != name:
                raise InputError(
                    f"{source.purpose or 'annotations'}: class id {class_id} is {name!r} here but "
                    f"{names[class_id]!r} in another split; number the classes alike"
                )
    ids = tuple(sorted(names))
    label_of = {class_id: label for label, class_id in enumerate(ids)}
    unified = []
    for source, catalog in zip(sources, catalogs, strict=True):
        labels = np.array([label_of[class_id] for class_id in catalog.class_ids], dtype=np.int32)
        catalog = replace(catalog, class_ids=ids, classes=tuple(names[class_id] for class_id in ids))
        truth = replace(source.truth, catalog=catalog, label=labels[source.truth.label])
        unified.append(replace(source, truth=truth))
    return unified


def _divide(parts: Sequence[_Part], options: FolderOptions, notes: list[str]) -> dict[str, _Part]:
    """Train, val and test out of what there is; what had to be divided is told.

    Without test, val is halved: the best checkpoint is chosen by one half, and measured on the other. A test
    split that there is stays as it is.
    """
    given = {part.source.purpose: part for part in parts}
    if "trainval" in given:
        whole = given.pop("trainval")
        given.setdefault("train", whole)
    train, val, test = options.shares
    share = {"train": train, "val": val, "test": test}
    if len(given) == 1:
        (only_part,) = given.values()
        return _cut(only_part, share, "the data set is not divided: all of its images are", options, notes)
    missing = [name for name in SPLITS if name not in given]
    if not missing:
        return {name: given[name] for name in SPLITS}
    donor = "val" if missing[0] in {"test", "train"} else "train"
    wanted = {name: share[name] for name in SPLITS if name in (donor, missing[0])}
    why = f"the data set has no {missing[0]} split: the images of {donor} are"
    made = _cut(given[donor], wanted, why, options, notes)
    return {name: made.get(name) or given[name] for name in SPLITS}


def _cut(
    part: _Part, shares: Mapping[str, float], why: str, options: FolderOptions, notes: list[str]
) -> dict[str, _Part]:
    if len(part) < len(shares):
        warnings.warn(
            f"{why} too few to divide ({len(part)}), so {' and '.join(shares)} are the same images, and results say "
            f"only whether training works; give more images",
            InputWarning,
            stacklevel=2,
        )
        return dict.fromkeys(shares, part)
    names = [path.stem for path in part.source.paths]
    indices = divide(names, list(shares.values()), options.seed)
    made = {name: part.select(chosen) for name, chosen in zip(shares, indices, strict=True)}
    counts = ", ".join(f"{name} {len(piece)}" for name, piece in made.items())
    notes.append(f"{why} divided by a hash of their names and seed {options.seed}: {counts}")
    return made


def _split(name: str, part: _Part) -> Split:
    truth = part.source.truth
    digest = hashlib.sha256(f"{name} {truth.fingerprint}".encode())
    for path in part.source.paths:
        digest.update(path.stat().st_size.to_bytes(8, "little"))
    sizes = truth.catalog.sizes
    load = _Files(tuple(map(str, part.source.paths)), part.upright, sizes)
    return Split(name, truth, load, digest.hexdigest())


@dataclass(frozen=True, slots=True, eq=False)
class _Files:
    """Reads image i; it can be sent to other processes."""

    paths: tuple[str, ...]
    upright: NDArray[np.bool_]
    sizes: NDArray[np.int32]

    def __call__(self, index: int) -> NDArray[np.uint8]:
        path = Path(self.paths[index])
        image = read_image(path, upright=bool(self.upright[index]))
        height, width = self.sizes[index].tolist()
        if height and width and image.shape[:2] != (height, width):
            raise InputError(
                f"{path}: {image.shape[1]}x{image.shape[0]} pixels, but annotated as {width}x{height}; the file has "
                f"changed, or was not looked at: set data.check=header"
            )
        return image


def _unseen_classes(splits: Mapping[str, Split]) -> list[str]:
    """Notes on classes that some split has no object of."""
    notes = []
    for name, split in splits.items():
        truth = split.truth
        catalog: Catalog = truth.catalog
        seen = set(truth.label[~(truth.crowd | truth.ignored)].tolist())
        absent = [cls for label, cls in enumerate(catalog.classes) if label not in seen]
        if absent:
            shown = ", ".join(absent[:8]) + (f" and {len(absent) - 8} more" if len(absent) > 8 else "")
            notes.append(f"{name}: no object of {len(absent)} of {len(catalog.classes)} classes: {shown}")
    return notes


def _name(path: Path) -> str:
    path = path.resolve()
    if path.is_dir() or path.stem in {"data", "dataset", "instances", "annotations", "_annotations.coco"}:
        return path.name if path.is_dir() else path.parent.name
    return path.stem
