"""Detections in FiftyOne's exports: the field of ``samples.json`` whose boxes have a confidence, or ``labels.json``."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.exports.fiftyone import box_of, choose_field, is_fiftyone, label_of, read_samples
from metrics.formats.image_annotations import number
from metrics.tables import AnnotationTable


def _file(path: Path) -> Path | None:
    candidates = [path / "samples.json", path / "labels.json"] if path.is_dir() else [path]
    return next((file for file in candidates if file.is_file() and is_fiftyone(file)), None)


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    file = _file(path)
    assert file is not None
    samples = read_samples(file)
    field = choose_field(samples, file, scored=True)
    if field is None and any(any(sample.fields.values()) for sample in samples):
        raise InputError(
            f"{file}: no box has a confidence, so that these are annotations; export the field of the predictions"
        )
    rows = DetectionRows(str(file), relative=True)
    for sample in samples:
        for k, row in enumerate(sample.fields.get(field or "", ())):
            place = f"{sample.place}: {field}[{k}]"
            score = number(row.get("confidence"), f"{place}: confidence")
            rows.add(sample.name, label_of(row, place), box_of(row, place), score, place)
    return rows


LAYOUT = DetectionLayout(
    name="fiftyone",
    summary="FiftyOneDataset and FiftyOneImageDetectionDataset with predictions",
    source="docs.voxel51.com/user_guide/export_datasets.html",
    is_ours=lambda path: _file(path) is not None,
    read=_read,
)
