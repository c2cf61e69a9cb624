"""Ground truth of evaluators: a text file for each image, a class and a box in each line.

Cartucho's mAP has ``class left top right bottom`` in ``ground-truth/``, with ``difficult`` at the end of some lines. Padilla's
evaluator has ``class x y w h`` or ``class x1 y1 x2 y2`` in pixels, or ``class cx cy w h`` in fractions, in ``groundtruths/``. A file
does not tell which: the order is the one that all boxes fit, if the others do not. CARPK and DeepPCB have ``x1 y1 x2 y2 class``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metrics.boxes import convert
from metrics.errors import InputError
from metrics.formats.box_orders import LARGEST_RELATIVE, BoxOrder, fitting_boxes
from metrics.formats.file_listing import image_text_files, is_most
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, number
from metrics.formats.image_search import ImageSearch
from metrics.formats.image_sizes import image_sizes
from metrics.formats.untrusted import read_head, read_text
from metrics.notes import Note, report
from metrics.plurals import plural

_CORNERS = BoxOrder("class x1 y1 x2 y2", "xyxy")
_ORDERS = (
    _CORNERS,
    BoxOrder("class x y w h", "xywh"),
    BoxOrder("class cx cy w h, fractions of the image", "cxcywh", True),
)
_OF_CORNERS = "ground-truth"
"""Folder of Cartucho's mAP, whose lines have corners."""
_PATTERNS = (
    f"{_OF_CORNERS}/*.txt",
    "groundtruths/*.txt",
    f"*/{_OF_CORNERS}/*.txt",
    "*/groundtruths/*.txt",
    "*.txt",
    "*/*.txt",
)
_OTHERS = frozenset(("label", "labels", "detections", "detection-results"))
"""Folders of other layouts: those of classes of the OIDv4 toolkit, of YOLO, and of detections."""
_DIFFICULT = "difficult"
_TRIED = 20
_RARE = 0.05
"""Share of boxes that may be errors of annotation, so that an order that only these do not fit is not ruled out."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One object: the name of its file without suffix, its class, four numbers, and whether it is difficult."""

    stem: str
    label: str
    numbers: tuple[float, float, float, float]
    difficult: bool


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return []
    for pattern in _PATTERNS:
        files = [file for file in image_text_files(path, pattern) if file.parent.name.lower() not in _OTHERS]
        filled = [words for file in files[:_TRIED] if (words := _first_words(file))]
        if filled and is_most(map(_is_ours, filled)):
            return files
    return []


def _first_words(file: Path) -> list[str]:
    """The words of the first line that is not empty; none in the file of an image without objects."""
    text = read_head(file, 1000).decode("utf-8-sig", "replace")
    return next((line.split() for line in text.splitlines() if line.strip()), [])


def _is_ours(words: list[str]) -> bool:
    """Whether a line is a class and a box: not of a number as class and fractions, which are YOLO's."""
    try:
        values = [float(word) for word in _without_flag(words)[1:]]
    except ValueError:
        return False
    named = not words[0].replace(".", "").isdigit()
    return len(values) == 4 and (named or max(map(abs, values)) > LARGEST_RELATIVE)


def _without_flag(words: list[str]) -> list[str]:
    return words[:-1] if len(words) == 6 and words[-1] == _DIFFICULT else words


def _class_first(words: list[str], class_last: bool) -> list[str]:
    return [words[-1], *words[:-1]] if class_last else words


def _is_class_last(files: Sequence[Path]) -> bool:
    """Whether the class is the last of five numbers, as in CARPK and DeepPCB: that column has fewer different values than the first."""
    lines = [
        _without_flag(line.split()) for file in files for line in read_text(file).splitlines() if line.strip()
    ]
    if not lines or not all(
        len(words) == 5 and _is_number(words[0]) and words[-1].isdecimal() for words in lines
    ):
        return False
    first, last = ({words[k] for words in lines} for k in (0, -1))
    if len(last) >= len(first):
        return False
    where = str(files[0].parent)
    text = f"{where}: all lines are numbers: the last one is read as the class, because it has {plural(len(last), 'different value')}, and the first one {len(first):,}"
    report(Note("guessed_layout", text, where, {"rows": len(lines)}))
    return True


def _is_number(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    class_last = _is_class_last(files)
    lines: list[_Line] = [line for file in files for line in _lines(file, class_last)]
    order = _order(lines, files, root) if lines else _CORNERS
    values = np.array([line.numbers for line in lines], np.float64).reshape(-1, 4)
    boxes: dict[str, list[Box]] = {}
    for line, (x1, y1, x2, y2) in zip(lines, convert(values, order.layout, "xyxy").tolist(), strict=True):
        boxes.setdefault(line.stem, []).append(Box(line.label, (x1, y1, x2, y2), ignored=line.difficult))
    return [
        ImageAnnotation("", tuple(boxes.get(str(file), ())), stem=file.stem, relative=order.relative)
        for file in files
    ]


def _lines(file: Path, class_last: bool) -> list[_Line]:
    lines = []
    for line_number, text in enumerate(read_text(file).splitlines(), 1):
        words = text.split()
        if not words:
            continue
        where = f"{file}:{line_number}"
        label, *numbers = _class_first(_without_flag(words), class_last)
        if len(numbers) == 5:
            raise InputError(
                f"{where}: {text.strip()[:60]!r} has a score, as detections do; give the folder as detections, or remove the scores"
            )
        if len(numbers) != 4:
            raise InputError(
                f"{where}: expected a class and four numbers of a box, got {text.strip()[:60]!r}"
            )
        a, b, c, d = (number(word, where) for word in numbers)
        lines.append(_Line(str(file), label, (a, b, c, d), words[-1] == _DIFFICULT))
    return lines


def _order(lines: Sequence[_Line], files: Sequence[Path], root: Path) -> BoxOrder:
    """The order that all boxes fit, if more than a few do not fit the others.

    Raises:
        InputError: no order, or two.
    """
    boxes = np.array([line.numbers for line in lines], np.float64)
    sizes = np.zeros((len(lines), 2))
    chosen = _fitting(boxes, sizes)
    if len(chosen) > 1:
        sizes = _sizes(lines, root)
        chosen = _fitting(boxes, sizes)
    of_corners = files[0].parent.name == _OF_CORNERS or any(line.difficult for line in lines)
    if _CORNERS in chosen and of_corners:
        chosen = [_CORNERS]
    advice = (
        f"; call the folder {_OF_CORNERS} if lines are {_CORNERS.name}{', add the images' * (not sizes.all())}, or convert the files to a CSV table "
        f"with the columns image_id, class, and x1, y1, x2, y2 or x, y, w, h"
    )
    where = str(files[0].parent)
    if not chosen:
        names = ", nor ".join(order.name for order in _ORDERS)
        raise InputError(
            f"{where}: the boxes are not {names}: in each, boxes are outside their image or have no size{advice}"
        )
    if len(chosen) > 1:
        raise InputError(f"{where}: the boxes fit {' and '.join(order.name for order in chosen)}{advice}")
    text = f"{where}: {plural(len(lines), 'line is', 'lines are')} read as {chosen[0].name}{', pixels' * (not chosen[0].relative)}"
    report(Note("guessed_layout", text, where, {"rows": len(lines)}))
    return chosen[0]


def _fitting(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> list[BoxOrder]:
    """The orders that all boxes fit, or all but a few; none if no order fits all."""
    shares = {order: float(fitting_boxes(boxes, order, sizes).mean()) for order in _ORDERS}
    return [order for order, share in shares.items() if share >= 1 - _RARE] if 1 in shares.values() else []


def _sizes(lines: Sequence[_Line], root: Path) -> NDArray[np.float64]:
    """(N, 2) width and height of the image of each line; 0 where the image is not there."""
    search = ImageSearch(root)
    of: dict[str, tuple[int, int]] = {}
    for stem in dict.fromkeys(line.stem for line in lines):
        image = search.find(Path(stem).stem, stem, by_stem=True, strict=False)
        height, width = image_sizes([image])[0].tolist() if image else (0, 0)
        of[stem] = (width, height)
    return np.array([of[line.stem] for line in lines], np.float64)


EXPORT = Export(
    name="evaluator_txt",
    summary="ground truth of evaluators (Cartucho's mAP, Padilla's): a text file for each image",
    source="github.com/Cartucho/mAP; github.com/rafaelpadilla/Object-Detection-Metrics",
    looks_for="text files of lines class and four numbers in ground-truth/ or groundtruths/",
    files=_files,
    read=_read,
    images=("images-optional", "images", ""),
    per_image=True,
)
