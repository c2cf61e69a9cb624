"""From the ids in a file of detections, of any format, to a table on the ground truth's catalog, with all checks."""

from __future__ import annotations

from metrics.formats.coco_columns import Results
from metrics.formats.identity import ClassMap, ImageIdMeaning, find_classes, find_images
from metrics.formats.mapping_check import check_mapping
from metrics.formats.plausibility import check_detections
from metrics.tables import AnnotationTable, DetectionTable


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
        InputError: an image or a class that the ground truth does not have, or boxes in another unit.
    """
    label = find_classes(results.class_ids, truth.catalog, where, class_map)
    image = find_images(results.image_ids, truth.catalog, where, image_ids)
    kept = label >= 0
    rows = slice(None) if kept.all() else kept
    table = DetectionTable(truth.catalog, image[rows], label[rows], results.xywh[rows], results.score[rows])
    return checked(table, truth, where)


def checked(table: DetectionTable, truth: AnnotationTable, where: str) -> DetectionTable:
    """The same table; warns about probable mistakes, and refuses boxes in another unit than the ground truth."""
    check_detections(table, truth, where)
    check_mapping(table, truth, where)
    return table
