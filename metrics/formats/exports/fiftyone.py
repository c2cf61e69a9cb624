"""FiftyOne's own exports: ``samples.json`` of a FiftyOneDataset, and ``labels.json`` of a FiftyOneImageDetectionDataset.

Boxes are ``[x, y, w, h]`` in fractions of the image's sides. A sample may have several fields of boxes: those whose boxes have
a confidence are detections, others are ground truth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import Box, Export, ImageAnnotation, find_files, four_numbers, number
from metrics.formats.image_search import IMAGE_SUFFIXES
from metrics.formats.json_members import list_in, object_in
from metrics.formats.purpose import parse_purpose
from metrics.formats.scored_truth import score_in
from metrics.formats.untrusted import read_head, read_json
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_USUAL = ("ground_truth", "detections", "predictions")


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of an export.

    Attributes:
        name: of the image's file, or its stem.
        size: (height, width); (0, 0) if unknown.
        fields: boxes by the name of their field; of ``labels.json`` one field.
        purpose: the split that its tags name; None without one.
        place: where it is in the file, for messages.
    """

    name: str
    size: tuple[int, int]
    fields: dict[str, list[dict[str, Any]]]
    purpose: str | None
    place: str


def is_fiftyone(file: Path) -> bool:
    """Whether a JSON file is one of FiftyOne's."""
    head = read_head(file)
    if not head.startswith(b"{"):
        return False
    return (b'"samples"' in head and b'"filepath"' in head) or (
        b'"labels"' in head and b'"classes"' in head and b'"images"' not in head and b'"bounding_box"' in head
    )


def read_samples(file: Path) -> list[Sample]:
    """The images of a file with all their boxes.

    Raises:
        InputError: another kind of file.
    """
    document = read_json(file)
    if not isinstance(document, dict):
        raise InputError(f"{file}: expected an object with samples, or with classes and labels")
    if isinstance(document.get("labels"), dict):
        return list(_labels(document, file))
    samples = document.get("samples")
    if not isinstance(samples, list):
        raise InputError(f"{file}: samples: expected a list of samples")
    return [_sample(sample, f"{file}: samples[{k}]") for k, sample in enumerate(samples)]


def box_of(row: dict[str, Any], place: str) -> tuple[float, float, float, float]:
    """``[x, y, w, h]`` of a box, in fractions."""
    return four_numbers(row.get("bounding_box"), f"{place}: bounding_box")


def label_of(row: dict[str, Any], place: str) -> str:
    """The class of a box."""
    label = row.get("label")
    if not isinstance(label, str) or not label:
        raise InputError(f"{place}: has no label; name its class, or remove it")
    return label


def choose_field(samples: Sequence[Sample], file: Path, scored: bool) -> str | None:
    """The field of boxes with (or without) confidences; None if there is no such. Others are reported.

    Raises:
        InputError: there are several, and none of them has a usual name.
    """
    fields = dict.fromkeys(name for sample in samples for name, rows in sample.fields.items() if rows)
    fitting = [name for name in fields if _is_scored(samples, name) == scored]
    if not fitting:
        return None
    chosen = [name for name in _USUAL if name in fitting] or fitting
    if len(fitting) > 1 and chosen == fitting:
        raise InputError(
            f"{file}: several fields have boxes {'with' if scored else 'without'} a confidence: {', '.join(fitting)}; export one "
            f"of them (label_field)"
        )
    if len(fields) > 1:
        text = f"{file}: of the fields {', '.join(fields)} of boxes, {chosen[0]} is read"
        report(Note("chosen_field", text, chosen[0], {"fields": len(fields)}))
    return chosen[0]


def _is_scored(samples: Sequence[Sample], name: str) -> bool:
    rows = [row for sample in samples for row in sample.fields.get(name, ())]
    return any(row.get("confidence") is not None for row in rows)


def _labels(document: dict[str, Any], file: Path) -> Iterator[Sample]:
    classes = list_in(document, "classes", str(file))
    for name, rows in document["labels"].items():
        place = f"{file}: labels: {name[:60]}"
        found = []
        for k, row in enumerate(_rows(rows or [], place)):
            label = row.get("label")
            if isinstance(label, int) and not isinstance(label, bool):
                if not 0 <= label < len(classes):
                    raise InputError(
                        f"{place}[{k}]: label {label}, but there {agree(len(classes), 'is', 'are')} {plural(len(classes), 'class')}"
                    )
                row = row | {"label": classes[label]}
            found.append(row)
        yield Sample(name, (0, 0), {"labels": found}, None, place)


def _sample(sample: Any, place: str) -> Sample:
    if not isinstance(sample, dict) or not isinstance(sample.get("filepath"), str):
        raise InputError(f"{place}: has no filepath; expected the image's")
    size = sample.get("metadata") or {}
    tags = sample.get("tags") or []
    if not isinstance(size, dict) or not isinstance(tags, list):
        raise InputError(
            f"{place}: expected metadata as an object and tags as a list; export the data set again"
        )
    height, width = (int(number(size.get(key) or 0, f"{place}: {key}")) for key in ("height", "width"))
    fields = {
        key: _rows(value.get("detections") or [], f"{place}: {key}")
        for key, value in sample.items()
        if isinstance(value, dict) and (value.get("_cls") == "Detections" or "detections" in value)
    }
    named = [parse_purpose(tag) for tag in tags if isinstance(tag, str)]
    purposes = [purpose for purpose in dict.fromkeys(named) if purpose]
    return Sample(
        sample["filepath"], (height, width), fields, purposes[0] if len(purposes) == 1 else None, place
    )


def _rows(rows: Any, place: str) -> list[dict[str, Any]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{place}: expected a list of boxes")
    return rows


def _files(path: Path) -> list[Path]:
    return find_files(
        path, ".json", ("samples.json", "labels.json", "*/samples.json", "*/labels.json"), is_fiftyone
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    images = []
    for file in files:
        samples = read_samples(file)
        field = choose_field(samples, file, scored=False) or choose_field(samples, file, scored=True)
        folder = parse_purpose(file.parent.name) if len(files) > 1 else None
        by_tag = all(sample.purpose for sample in samples)
        images += [
            _image(sample, field, folder or (sample.purpose if by_tag else None)) for sample in samples
        ]
    crowds = sum(box.crowd for image in images for box in image.boxes)
    if crowds:
        text = f"{root}: {plural(crowds, 'box with iscrowd or IsGroupOf is a crowd region', 'boxes with iscrowd or IsGroupOf are crowd regions')}"
        report(Note("ignored_regions", text, str(root), {"regions": crowds}))
    return images


def _image(sample: Sample, field: str | None, purpose: str | None) -> ImageAnnotation:
    boxes = []
    for k, row in enumerate(sample.fields.get(field or "", ())):
        place = f"{sample.place}: {field}[{k}]"
        x, y, w, h = box_of(row, place)
        attributes = row | object_in(row, "attributes", place)
        crowd = any(_flag(attributes.get(key)) for key in ("iscrowd", "IsGroupOf"))
        boxes.append(
            Box(
                label_of(row, place),
                (x, y, x + w, y + h),
                ignored=_flag(attributes.get("difficult")),
                crowd=crowd,
                score=score_in(row),
            )
        )
    of_stem = Path(sample.name).suffix.lower() not in IMAGE_SUFFIXES
    return ImageAnnotation(
        "" if of_stem else sample.name,
        tuple(boxes),
        purpose=purpose,
        stem=sample.name if of_stem else "",
        relative=True,
    ).in_pixels_of(sample.size)


def _flag(value: Any) -> bool:
    if isinstance(value, dict):  # an attribute of older versions
        value = value.get("value")
    return value in (True, 1, "1", "true", "True")


EXPORT = Export(
    name="fiftyone",
    summary="FiftyOneDataset and FiftyOneImageDetectionDataset",
    source="docs.voxel51.com/user_guide/export_datasets.html",
    looks_for="samples.json with filepath, or labels.json with classes and labels",
    files=_files,
    read=_read,
    images=("data", "images", ""),
)
