"""Detections in many images as files of other programs: COCO results, CSV, YOLO text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np
import orjson

from bench.prediction.image_files import ImageFile
from bench.prediction.trained_detector import ImageDetections
from metrics.errors import InputError

Found = Sequence[tuple[ImageFile, ImageDetections]]


def coco_results(found: Found, class_ids: Sequence[int]) -> bytes:
    """A list of COCO results as JSON.

    The image id is the image's file name, because the ids of an annotation file are not known; `python -m metrics` and `bench
    eval` find the images by it. Boxes are [x, y, width, height] in pixels.

    Args:
        found: detections of each image.
        class_ids: id of each label in the annotations of the training data.
    """
    rows = [
        {
            "image_id": file.name,
            "category_id": class_ids[label],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": round(score, 6),
        }
        for file, each in found
        for label, score, (x1, y1, x2, y2) in zip(
            each.labels.tolist(), each.scores.tolist(), each.boxes.tolist(), strict=True
        )
    ]
    return orjson.dumps(rows)


def csv_table(found: Found) -> str:
    """A row ``image_id,class,x,y,w,h,score`` per detection, in pixels; `python -m metrics` reads it.

    Images without detections have no row. The image id is the image's file name.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", "class", "x", "y", "w", "h", "score"])
    for file, each in found:
        for name, score, (x1, y1, x2, y2) in each:
            numbers = (f"{value:.3f}" for value in (x1, y1, x2 - x1, y2 - y1))
            writer.writerow([file.name, name, *numbers, f"{score:.6f}"])
    return text.getvalue()


def yolo_texts(found: Found) -> dict[str, str]:
    """For each image ``labels/<name>.txt`` with lines ``class cx cy w h score``, as fractions of the image's sides.

    Raises:
        InputError: two images differ only in their suffix, so their label files would have one name.
    """
    texts: dict[str, str] = {}
    for file, each in found:
        name = f"labels/{PurePosixPath(file.name).with_suffix('.txt')}"
        if name in texts:
            raise InputError(
                f"{file.path}: another image has the same name with another suffix; rename one of them"
            )
        height, width = each.size
        center = (each.boxes[:, :2] + each.boxes[:, 2:]) / 2 / [width, height]
        sides = (each.boxes[:, 2:] - each.boxes[:, :2]) / [width, height]
        rows = np.concatenate([center, sides, each.scores[:, None]], axis=1).tolist()
        texts[name] = "".join(
            f"{label} {' '.join(f'{value:.6f}' for value in row)}\n"
            for label, row in zip(each.labels.tolist(), rows, strict=True)
        )
    return texts
