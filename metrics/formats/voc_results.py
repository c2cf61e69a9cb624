"""Pascal VOC's result files: ``comp4_det_test_car.txt``, one per class, with a line for each detection.

A line is ``image_id score xmin ymin xmax ymax``, in pixels that count from 1 and include the last one, as in the XML
files of the ground truth and under the same choice of `metrics.formats.voc.Pixels`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrics.errors import InputError
from metrics.formats.box_table import BoxTable
from metrics.formats.coco_columns import ImageIds, Results
from metrics.formats.identity import ClassMap, to_python
from metrics.formats.layouts import voc_folder
from metrics.formats.untrusted import read_text
from metrics.formats.voc import Pixels
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import Catalog

_NAME = re.compile(r"(?P<competition>[A-Za-z0-9]+)_det_(?P<split>[A-Za-z0-9]+)_(?P<class_name>.+)\.txt")
_COLUMNS = ("image_id", "score", "x1", "y1", "x2", "y2")
_LARGEST = 2**30


@dataclass(frozen=True, slots=True)
class VOCResults:
    """The result files of one split.

    Attributes:
        split: as in the files' names.
        files: by the name of their class.
    """

    split: str
    files: dict[str, Path]

    @property
    def folder(self) -> Path:
        """The folder that the files are in."""
        return next(iter(self.files.values())).parent


def find_results(path: Path, split: str | None = None, year: str = "") -> VOCResults | None:
    """The result files of a path: one file, or those in a folder, its ``Main``, or ``VOC2007/Main`` below it.

    Args:
        path: a file or a folder, such as the development kit's ``results``.
        split: where there are files of several.
        year: of the folder to take where there are several, such as ``2007``.

    Returns:
        None where there are no such files.

    Raises:
        InputError: there are files of several splits, competitions or years, and the arguments do not say which.
    """
    named = _named_files(path, year)
    if not named:
        return None
    folders = sorted({str(file.parent) for file, _ in named})
    if len(folders) > 1:
        raise InputError(
            f"{path}: result files in several folders: {', '.join(folders)}; give the path of one"
        )
    splits = sorted({name["split"] for _, name in named})
    if split is None and len(splits) > 1:
        raise InputError(
            f"{path}: result files of several splits: {', '.join(splits)}; choose one by --split"
        )
    chosen = [(file, name) for file, name in named if split in (None, name["split"])]
    if not chosen:
        raise InputError(
            f"{path}: no result files of split {split!r}; there are those of {', '.join(splits)}"
        )
    competitions = sorted({name["competition"] for _, name in chosen})
    if len(competitions) > 1:
        raise InputError(
            f"{path}: result files of several competitions: {', '.join(competitions)}; keep those of one in a folder of their own"
        )
    return VOCResults(chosen[0][1]["split"], {name["class_name"]: file for file, name in chosen})


def read_results(
    found: VOCResults, catalog: Catalog, class_map: ClassMap | None = None, pixels: Pixels = "inclusive"
) -> Results:
    """The detections of all files, class by class in the order of names, in the order of the lines.

    Args:
        found: of `find_results`.
        catalog: of the ground truth. Its classes without a file have no detections, which is reported.
        class_map: ``drop`` leaves out files of classes that the ground truth does not have.
        pixels: convention of the coordinates.

    Raises:
        InputError: a line is not of six values or has another value than a number, or the ground truth lacks a class; the
            message has the file and the line.
    """
    parts = [_read_file(file, name, catalog, class_map) for name, file in sorted(found.files.items())]
    absent = [name for name in catalog.classes if name not in found.files]
    if absent:
        listed = ", ".join(absent[:5]) + ", ..." * (len(absent) > 5)
        text = f"{plural(len(absent), 'class has', 'classes have')} no result file, and so no detections: {listed}"
        report(Note("no_result_file", text, values={"classes": len(absent)}))
    xywh = np.concatenate([np.zeros((0, 4)), *(part.xywh for part in parts)])
    if pixels == "inclusive":
        xywh += (-1, -1, 1, 1)
    return Results(
        _joined_ids([part.image_ids for part in parts]),
        np.concatenate([np.zeros(0, np.int64), *(part.class_ids for part in parts)]),
        xywh,
        np.concatenate([np.zeros(0), *(part.score for part in parts)]),
    )


def _named_files(path: Path, year: str) -> list[tuple[Path, re.Match[str]]]:
    """Result files with the parts of their names."""
    if path.is_file():
        match = _NAME.fullmatch(path.name)
        return [(path, match)] if match else []
    for pattern in ("*_det_*.txt", "Main/*_det_*.txt", f"VOC{year}/Main/*_det_*.txt", "VOC*/Main/*_det_*.txt",
                    f"results/VOC{year}/Main/*_det_*.txt", "results/VOC*/Main/*_det_*.txt"):  # fmt: skip
        files = [file for file in sorted(path.glob(pattern)) if file.is_file()]
        named = [(file, match) for file in files if (match := _NAME.fullmatch(file.name))]
        if named:
            return named
    return []


def _read_file(file: Path, class_name: str, catalog: Catalog, class_map: ClassMap | None) -> Results:
    import pyarrow as pa

    lines = read_text(file, _LARGEST).rstrip().splitlines()
    rows = [line.split() for line in lines]
    for number, row in enumerate(rows, 1):
        if len(row) != len(_COLUMNS):
            raise InputError(
                f"{file}:{number}: expected six values, image_id score xmin ymin xmax ymax, got {len(row):,}"
            )
    values: list[tuple[str, ...]] = list(zip(*rows, strict=True)) if rows else [()] * len(_COLUMNS)
    columns = dict(zip(_COLUMNS, values, strict=True)) | {"class": (class_name,) * len(rows)}
    arrays = {name: pa.chunked_array([pa.array(texts, pa.string())]) for name, texts in columns.items()}
    return BoxTable(str(file), arrays, 1).results(catalog, class_map)


def _joined_ids(parts: Sequence[ImageIds]) -> ImageIds:
    """Ids of all files; text unless all are integers."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate([np.zeros(0, np.int64), *parts])
    return [str(identity) for part in parts for identity in to_python(part)]


def folder_of_year(path: Path, year: str) -> Path:
    """The folder ``VOC<year>`` of a development kit with several; the path itself where it has none of that year."""
    if not year or (path / "Annotations").is_dir() or not path.is_dir():
        return path
    folders = [folder.parent for folder in sorted(path.glob(f"**/VOC{year}/Annotations")) if folder.is_dir()]
    return folders[0] if len(folders) == 1 else path


def listed_split(truth: Path, found: VOCResults) -> str | None:
    """The split of a VOC data set that the names of result files say; None where ``ImageSets/Main`` does not list it.

    What is chosen is reported.
    """
    if not truth.is_dir():
        return None
    listed = voc_folder(truth) / "ImageSets" / "Main" / f"{found.split}.txt"
    exists = listed.is_file()
    text = (
        f"{truth}: the result files are of split {found.split!r}: its images in {listed.name} are evaluated"
        if exists
        else f"{truth}: the result files are of split {found.split!r}, which ImageSets/Main does not list: all images are evaluated"
    )
    report(Note("split_of_results", text, found.split))
    return found.split if exists else None
