"""Cityscapes: ``gtFine`` with a JSON file of polygons per image, and ``leftImg8bit``; CityPersons: ``gtBboxCityPersons`` with boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.file_listing import top_folder
from metrics.formats.image_annotations import (
    Box,
    Corners,
    Export,
    ImageAnnotation,
    bounding_corners,
    find_files,
    four_numbers,
    number,
    report_left_out,
)
from metrics.formats.json_members import list_in, objects_in, points_in, text_in
from metrics.formats.purpose import folder_purpose
from metrics.formats.unpublished import without_unpublished
from metrics.formats.untrusted import read_head, read_json
from metrics.notes import Note, report
from metrics.plurals import agree, plural

_ENDINGS = ("_gtFine_polygons", "_gtCoarse_polygons", "_gtBboxCityPersons", "_polygons")
_GROUP = "group"
_WITHOUT_EVALUATION = frozenset(("caravan", "trailer"))
"""Classes of objects that the benchmark does not evaluate."""
_STUFF = frozenset(
    (
        "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground", "road", "sidewalk",
        "parking", "rail track", "building", "wall", "fence", "guard rail", "bridge", "tunnel", "pole", "polegroup",
        "traffic light", "traffic sign", "vegetation", "terrain", "sky", "license plate",
    )
)  # fmt: skip
"""Labels of Cityscapes whose polygons are no objects of the benchmark."""
_REGIONS_OF_PERSONS = frozenset(("ignore", "person group"))
_TRIED = 20


def _files(path: Path) -> list[Path]:
    patterns = (
        "gtFine/*/*/*_polygons.json",
        "gtBbox*/*/*/*_gtBboxCityPersons.json",
        "gtCoarse/*/*/*_polygons.json",
        "*/*/*_polygons.json",
        "*/*/*_gtBboxCityPersons.json",
        "*/*/*/*/*_gtBboxCityPersons.json",
        "*/*_polygons.json",
        "*/*_gtBboxCityPersons.json",
        "*_polygons.json",
        "*_gtBboxCityPersons.json",
    )
    return find_files(path, ".json", patterns, _is_ours, _TRIED)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return b'"imgHeight"' in head and b'"imgWidth"' in head and b'"objects"' in head


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    top = top_folder(root)
    counts: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    images = without_unpublished([_image(file, top, counts, left_out) for file in files], root)
    if counts["groups"]:
        text = f"{root}: {plural(counts['groups'], 'group is a crowd region of its', 'groups are crowd regions of their')} class (such as cargroup)"
        report(Note("crowd_groups", text, str(root), {"groups": counts["groups"]}))
    if counts["regions"]:
        text = f"{root}: {plural(counts['regions'], 'region')} that the benchmark does not evaluate {agree(counts['regions'], 'is', 'are')} ignored for every class"
        report(Note("ignored_regions", text, str(root), {"regions": counts["regions"]}))
    report_left_out(
        left_out, str(root), ("polygon is not an object and is", "polygons are not objects and are")
    )
    return images


def _image(file: Path, root: Path, counts: Counter[str], left_out: Counter[str]) -> ImageAnnotation:
    where = str(file)
    document = read_json(file)
    if not isinstance(document, dict):
        raise InputError(f"{where}: expected an object with imgHeight, imgWidth and objects")
    boxes = [
        box
        for k, each in enumerate(objects_in(document, "objects", where))
        if (box := _box(each, f"{where}: objects[{k}]", counts, left_out)) is not None
    ]
    height, width = (
        int(number(document.get(key) or 0, f"{where}: {key}")) for key in ("imgHeight", "imgWidth")
    )
    folders = file.relative_to(root).parts[:-1]
    own = file.stem.removesuffix(next((ending for ending in _ENDINGS if file.stem.endswith(ending)), ""))
    stem = "/".join((*folders, own))
    return ImageAnnotation(
        f"{own}_leftImg8bit.png", tuple(boxes), (height, width), folder_purpose(folders), stem
    )


def _box(each: dict[str, Any], where: str, counts: Counter[str], left_out: Counter[str]) -> Box | None:
    label = text_in(each, "label", where)
    if each.get("deleted"):
        left_out["deleted"] += 1
        return None
    of_persons = "bbox" in each
    if not of_persons and label in _STUFF:
        left_out[label] += 1
        return None
    corners = _bbox(each, where) if of_persons else _around(each, where)
    if corners is None:
        left_out["without an area"] += 1
        return None
    single = label.removesuffix(_GROUP) if not of_persons else label
    region = single in _WITHOUT_EVALUATION or (of_persons and label in _REGIONS_OF_PERSONS)
    group = single != label and not region
    counts["groups"] += group
    counts["regions"] += region
    return Box("" if region else single, corners, crowd=group)


def _bbox(each: dict[str, Any], where: str) -> Corners:
    x, y, w, h = four_numbers(list_in(each, "bbox", where), f"{where}: bbox")
    return x, y, x + w, y + h


def _around(each: dict[str, Any], where: str) -> Corners | None:
    points = [(number(x, where), number(y, where)) for x, y in points_in(each, "polygon", where)]
    return bounding_corners(points) if len(points) > 2 else None


EXPORT = Export(
    name="cityscapes",
    summary="Cityscapes' polygons of gtFine and gtCoarse, and CityPersons' boxes",
    source="Cordts et al. 2016, arXiv:1604.01685; Zhang et al. 2017, arXiv:1702.05693",
    looks_for="files *_gtFine_polygons.json or *_gtBboxCityPersons.json",
    files=_files,
    read=_read,
    images=("leftImg8bit", "leftImg8bit_trainvaltest/leftImg8bit", "images", ""),
    per_image=True,
)
