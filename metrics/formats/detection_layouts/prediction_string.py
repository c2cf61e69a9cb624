"""Kaggle's submissions: a CSV table with an image and all its detections as text in ``PredictionString``.

The text repeats ``class score x1 y1 x2 y2`` (in fractions if no coordinate is above 1: Open Images; otherwise pixels: VinBigData), or
``score x y w h`` (Global Wheat).
"""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.csv_rows import header_of, named_rows
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.image_annotations import number
from metrics.notes import Note, report
from metrics.tables import AnnotationTable

_COLUMN = "predictionstring"
_IMAGES = ("imageid", "image_id", "image", "id", "patientid")


def _is_ours(path: Path) -> bool:
    return (
        path.is_file()
        and path.name.lower().removesuffix(".gz").endswith(".csv")
        and _COLUMN in header_of(path)
    )


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    header = header_of(path)
    image = next((name for name in _IMAGES if name in header), None)
    if image is None:
        raise InputError(f"{path}:1: has no column of images; call it ImageId")
    found = [(place, row[image], row[_COLUMN].split()) for place, row in named_rows(path, (image, _COLUMN))]
    count = _words_per_box([words for _, _, words in found], len(truth.catalog.classes) == 1)
    if count is None:
        raise InputError(
            f"{path}: {_COLUMN}: expected class score x1 y1 x2 y2 for each detection, or score x y w h of the only class"
        )
    text = [words[k : k + count] for _, _, words in found for k in range(0, len(words), count)]
    values = [number(word, str(path)) for words in text for word in words[-4:]]
    relative = bool(values) and max(values) <= 1
    rows = DetectionRows(str(path), relative=relative, indices=True)
    for place, name, words in found:
        for k in range(0, len(words), count):
            *label, score, a, b, c, d = words[k : k + count]
            box = [number(word, place) for word in (a, b, c, d)]
            size = (box[2] - box[0], box[3] - box[1]) if label else (box[2], box[3])
            known = label[0] if label else truth.catalog.classes[0]
            rows.add(
                name,
                int(known) if known.isdecimal() else known,
                (box[0], box[1], *size),
                number(score, place),
                place,
            )
    order = "class score x1 y1 x2 y2" if count == 6 else "score x y w h"
    unit = "fractions of the image" if relative else "pixels"
    report(Note("guessed_layout", f"{path}: {_COLUMN} is read as {order}, {unit}", str(path)))
    return rows


def _words_per_box(rows: list[list[str]], one_class: bool) -> int | None:
    """Five words for each detection without a class, which is only possible with one class; otherwise six."""
    fitting = [count for count in (6, 5) if all(len(words) % count == 0 for words in rows)]
    fitting = [count for count in fitting if count == 6 or one_class]
    if len(fitting) == 2:  # a multiple of 30 words: a score is in [0, 1], a class is a whole number or a name
        first = next((words for words in rows if words), ["0"])
        return 5 if "." in first[0] else 6
    return fitting[0] if fitting else None


LAYOUT = DetectionLayout(
    name="prediction_string",
    summary="Kaggle's submissions with a PredictionString for each image",
    source="kaggle.com/competitions/open-images-2019-object-detection/overview/evaluation",
    is_ours=_is_ours,
    read=_read,
)
