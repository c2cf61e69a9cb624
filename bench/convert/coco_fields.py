"""Fields of COCO's annotations that tables do not have, such as masks and keypoints, carried from a COCO file into a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.convert.image_set import ImageSet
from bench.convert.written import WrittenFiles
from metrics.notes import Note
from metrics.plurals import plural

_OBJECT = frozenset({"id", "image_id", "category_id", "bbox", "area", "iscrowd", "ignore"})
_CATEGORY = frozenset({"id", "name"})
"""Fields that tables have."""

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CocoFields:
    """Further fields of annotation files.

    Attributes:
        objects: by the name of the image in the file and the id of the object; None where several objects have both.
        categories: by name, from the first file that has some.
    """

    objects: Mapping[tuple[str, int], Fields | None]
    categories: Mapping[str, Fields]


def read_coco_fields(files: Sequence[Path]) -> CocoFields:
    """Read the further fields of COCO files, which can be read as a data set."""
    import orjson

    objects: dict[tuple[str, int], Fields | None] = {}
    categories: dict[str, Fields] = {}
    for file in files:
        document = orjson.loads(file.read_bytes().removeprefix(b"\xef\xbb\xbf"))
        names = {image["id"]: str(image.get("file_name", "")) for image in document.get("images", ())}
        for row in document.get("annotations", ()):
            key = (names.get(row["image_id"], ""), row.get("id"))
            objects[key] = None if key in objects else _without(row, _OBJECT)
        for row in document.get("categories", ()):
            categories.setdefault(str(row["name"]).strip(), _without(row, _CATEGORY))
    return CocoFields(objects, categories)


def carry_coco_fields(written: WrittenFiles, sets: Sequence[ImageSet], fields: CocoFields) -> list[Note]:
    """Add further fields to the annotation files of a copy in COCO's format, as they are.

    An image that is rotated loses those of its objects, because their coordinates would not fit. So do objects with a new id,
    and those that share image and id with another.

    Args:
        written: from `bench.convert.coco.coco_files`; its annotation files are replaced.
        sets: that were written, with the names of images and the ids of objects as they were read.
        fields: of the data set.

    Returns:
        A note with the number of objects whose fields are lost, if there are any fields and any such object.
    """
    import orjson

    if not any(fields.objects.values()) and not any(fields.categories.values()):
        return []
    lost = 0
    for one in sets:
        name = f"annotations/instances{'' if one.purpose is None else f'_{one.purpose}'}.json"
        document = orjson.loads(written.texts[name])
        rows = zip(
            document["annotations"], one.truth.image.tolist(), one.truth.object_id.tolist(), strict=True
        )
        for row, image, identity in rows:
            picture = one.pictures[image]
            further = fields.objects.get((picture.written, identity))
            if picture.made_upright or further is None:
                lost += further is None or bool(further)
            else:
                row.update({key: value for key, value in further.items() if key not in row})
        for row in document["categories"]:
            further = fields.categories.get(row["name"], {})
            row.update({key: value for key, value in further.items() if key not in row})
        written.texts[name] = orjson.dumps(document)
    if not lost:
        return []
    text = (
        f"{plural(lost, 'object loses its', 'objects lose their')} further fields, such as masks and keypoints: the image is rotated, or the "
        "id is not that of one object"
    )
    return [Note("lost_fields", text, "coco", {"objects": lost})]


def _without(row: Fields, known: frozenset[str]) -> Fields:
    return {key: value for key, value in row.items() if key not in known}
