"""From the ids in a file of detections, of any format, to a table on the ground truth's catalog, with all checks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.formats.coco_columns import Results
from metrics.formats.identity import (
    ClassMap,
    ImageIdMeaning,
    find_classes,
    find_images,
    images_by_file,
    known_images,
)
from metrics.formats.mapping_check import check_mapping
from metrics.formats.plausibility import check_detections
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable, Catalog, DetectionTable


def table_of(
    results: Results,
    truth: AnnotationTable,
    where: str,
    class_map: ClassMap | None = None,
    image_ids: ImageIdMeaning = "ids",
) -> DetectionTable:
    """Detections on the catalog of `truth`, in the order of the file.

    Args:
        results: columns as in the file.
        truth: ground truth of the same data set.
        where: the file, for messages.
        class_map: from class ids of the file to those of the ground truth; see `metrics.formats.identity`.
        image_ids: what integers in the image ids are.

    Raises:
        InputError: an image or a class that the ground truth does not have, an image of unknown size with boxes in fractions,
            or boxes in another unit.
    """
    if results.mapped and class_map != "drop":
        class_map = None
    label = find_classes(results.class_ids, truth.catalog, where, class_map)
    image = _images(results, truth.catalog, where, image_ids)
    xywh = _in_pixels(results.xywh, image, truth.catalog, where) if results.relative else results.xywh
    kept = label >= 0
    rows = slice(None) if kept.all() else kept
    table = DetectionTable(truth.catalog, image[rows], label[rows], xywh[rows], results.score[rows])
    if not len(table):
        report(Note("no_detections", f"{where}: no detections, so AP is 0 for every class with objects"))
    return checked(table, truth, where)


def checked(table: DetectionTable, truth: AnnotationTable, where: str) -> DetectionTable:
    """The same table; warns about probable mistakes, and refuses boxes in another unit than the ground truth."""
    check_detections(table, truth, where)
    check_mapping(table, truth, where)
    return table


def _images(results: Results, catalog: Catalog, where: str, image_ids: ImageIdMeaning) -> NDArray[np.int32]:
    """The image of each detection, by its file's name where each detection has one that the ground truth knows."""
    if results.file_names is None or image_ids != "ids":
        return find_images(results.image_ids, catalog, where, image_ids)
    by_file = images_by_file(results.file_names, catalog)
    by_id = known_images(results.image_ids, catalog)
    if (by_file < 0).any() or (by_file == by_id).all():
        return find_images(results.image_ids, catalog, where, image_ids)
    row = int(np.argmax(by_file != by_id))
    text = (
        f"{where}: image_id and file_name are of different images in {np.count_nonzero(by_file != by_id)} of {plural(len(by_file), 'detection')}, "
        f"the first {_first(results.image_ids, row)!r} and {results.file_names[row]!r}: file_name is used"
    )
    report(Note("images_by_file", text, where, {"rows": len(by_file)}))
    return by_file


def _first(ids: NDArray[np.int64] | Sequence[int | str], row: int) -> int | str:
    value = ids[row]
    return value if isinstance(value, str) else int(value)


def _in_pixels(
    boxes: NDArray[np.float64], image: NDArray[np.int32], catalog: Catalog, where: str
) -> NDArray[np.float64]:
    """Boxes (N, 4) in fractions of their image's sides, in pixels."""
    sizes = catalog.sizes[image]
    unknown = (sizes == 0).any(1)
    if unknown.any():
        identity = catalog.image_ids[int(image[np.argmax(unknown)])]
        raise InputError(
            f"{where}: boxes are in fractions of the image's sides, but the ground truth has no size of image {identity!r}; add "
            f"width and height to its images"
        )
    return boxes * np.tile(sizes[:, ::-1], 2)
