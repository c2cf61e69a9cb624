"""Annotations and results of COCO, read from objects of pycocotools or from lists of dicts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError
from metrics.plurals import plural
from metrics.tables import AnnotationTable, Catalog, DetectionTable

Record = Mapping[str, Any]

Cells = defaultdict[tuple[Any, Any], list[dict[str, Any]]]
"""Annotations by image id and category id; an empty list where there are none."""


class AnnotationSource(NamedTuple):
    """The annotations to evaluate.

    Attributes:
        truth: pycocotools' ``COCO``, any object with its ``dataset``, or the contents of a COCO file.
        results: the same, or the list of results.
        image_ids: images to evaluate on.
        category_ids: classes to evaluate, in the order of labels.
    """

    truth: Any
    results: Any
    image_ids: Sequence[Any]
    category_ids: Sequence[Any]

    def objects_by_cell(self) -> Cells:
        """Copies of the objects, with `area`, `iscrowd` and `ignore`, as in `_gts` of pycocotools."""
        cells: Cells = defaultdict(list)
        for item in self._choose(self.truth).records:
            crowd = item.get("iscrowd", 0)
            cells[item["image_id"], item["category_id"]].append(
                {**item, "id": item.get("id", 0), "area": _area(item), "iscrowd": crowd, "ignore": crowd}
            )
        return cells

    def detections_by_cell(self) -> Cells:
        """Copies of the detections, with `area`, and with `id` counted from 1, as in `_dts` of pycocotools."""
        cells: Cells = defaultdict(list)
        for number, item in enumerate(self._choose(self.results).records, 1):
            cells[item["image_id"], item["category_id"]].append(
                {**item, "id": item.get("id", number), "area": _area(item)}
            )
        return cells

    def tables(self) -> Tables:
        """All annotations as tables; images and classes are numbered in the order of the ids."""
        catalog = Catalog.of(range(len(self.image_ids)), [str(identity) for identity in self.category_ids])
        objects, image, label = self._choose(self.truth)
        truth = AnnotationTable.of(
            catalog,
            image,
            label,
            boxes_of(objects),
            area=_areas(objects),
            crowd=[bool(item.get("iscrowd", 0)) for item in objects],
            object_id=[item.get("id", 0) for item in objects],
        )
        results, image, label = self._choose(self.results)
        score = np.fromiter(map(itemgetter("score"), results), np.float64, len(results))
        try:
            ids = list(map(itemgetter("id"), results))
        except KeyError:
            ids = [item.get("id", number) for number, item in enumerate(results, 1)]
        detections = DetectionTable(catalog, image, label, boxes_of(results), score)
        return Tables(truth, detections, np.array(ids, np.int64), _areas(results))

    def _choose(self, owner: Any) -> _Chosen:
        """The records of evaluated images and classes."""
        image_of = {identity: index for index, identity in enumerate(self.image_ids)}
        label_of = {identity: index for index, identity in enumerate(self.category_ids)}
        records = list(_annotations(owner, self.image_ids))
        images = list(map(image_of.get, map(itemgetter("image_id"), records)))
        labels = list(map(label_of.get, map(itemgetter("category_id"), records)))
        if None in images or None in labels:
            kept = [row for row, pair in enumerate(zip(images, labels, strict=True)) if None not in pair]
            records = [records[row] for row in kept]
            images, labels = [images[row] for row in kept], [labels[row] for row in kept]
        return _Chosen(records, np.array(images, np.int32), np.array(labels, np.int32))


class _Chosen(NamedTuple):
    """Records, and the index of the image and class of each."""

    records: list[Record]
    image: NDArray[np.int32]
    label: NDArray[np.int32]


class Tables(NamedTuple):
    """The annotations of an `AnnotationSource` as columns.

    Attributes:
        truth: G objects.
        detections: N detections.
        detection_ids: (N,) int64.
        detection_areas: (N,) float64 square pixels, as in the results, else w * h.
    """

    truth: AnnotationTable
    detections: DetectionTable
    detection_ids: NDArray[np.int64]
    detection_areas: NDArray[np.float64]


def document_of(coco: Any) -> Mapping[str, Any]:
    """The contents of a COCO file, which objects of pycocotools and its successors hold as ``dataset``.

    Raises:
        InputError: neither such an object nor such contents.
    """
    document = getattr(coco, "dataset", coco)
    if not isinstance(document, Mapping) or (document is coco and "annotations" not in document):
        raise InputError(f"COCOeval: expected pycocotools' COCO with a dataset, got {type(coco).__name__}")
    return document


def boxes_of(items: Sequence[Record]) -> NDArray[np.float64]:
    """(N, 4) xywh of each record.

    Raises:
        InputError: a box that does not have four numbers.
    """
    boxes = list(map(itemgetter("bbox"), items))
    sizes = list(map(len, boxes))
    if sizes.count(4) != len(boxes):
        row = next(row for row, size in enumerate(sizes) if size != 4)
        raise InputError(
            f"COCOeval: image {items[row]['image_id']!r} has a bbox of {plural(sizes[row], 'number')}, expected 4 (x, y, w, h); "
            "for other shapes override computeIoU in a subclass"
        )
    return np.fromiter(chain.from_iterable(boxes), np.float64, 4 * len(boxes)).reshape(-1, 4)


def _areas(items: Sequence[Record]) -> NDArray[np.float64]:
    try:
        areas = list(map(itemgetter("area"), items))
    except KeyError:
        areas = list(map(_area, items))
    return np.array(areas, np.float64)


def _annotations(owner: Any, image_ids: Sequence[Any]) -> Iterable[Record]:
    """The records of a list, or those of these images or more."""
    if isinstance(owner, Sequence):
        return owner
    # the index makes the time of an evaluation of few images independent of the size of the data set
    by_image = getattr(owner, "imgToAnns", None)
    if isinstance(by_image, Mapping) and by_image:
        return chain.from_iterable(by_image[image] for image in image_ids if image in by_image)
    records: Iterable[Record] = document_of(owner).get("annotations", ())
    return records


def _area(item: Record) -> Any:
    return item["area"] if "area" in item else item["bbox"][2] * item["bbox"][3]
