"""ODVG, as Grounding DINO is trained on: a JSON object per line and image, with instances of ``detection``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.image_annotations import (
    Box,
    Export,
    ImageAnnotation,
    file_purpose,
    find_files,
    four_numbers,
    number,
    report_left_out,
)
from metrics.formats.json_members import list_in, object_in, objects_in
from metrics.formats.scored_truth import score_in
from metrics.formats.untrusted import read_head, read_json_lines
from metrics.notes import Note, report
from metrics.plurals import plural


def _files(path: Path) -> list[Path]:
    patterns = ("*.jsonl", "annotations/*.jsonl", "*.json", "*/*.jsonl", "*/*.json")
    return find_files(path, "", patterns, _is_ours)


def _is_ours(file: Path) -> bool:
    head = read_head(file)
    return (
        head.startswith(b"{")
        and b'"filename"' in head
        and (b'"instances"' in head or (b'"grounding"' in head and b'"caption"' in head))
    )


def _read(root: Path, files: Sequence[Path]) -> list[ImageAnnotation]:
    left_out: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    images = [
        _image(row, where, file_purpose(file, root, files), left_out, counts)
        for file in files
        for where, row in read_json_lines(file)
    ]
    report_left_out(left_out, str(root))
    if counts["phrases"]:
        text = f"{root}: {plural(counts['phrases'], 'region has', 'regions have')} phrases of a caption, which are read as names of classes"
        report(Note("made_names", text, str(root), dict(counts)))
    return images


def _image(
    row: Any, where: str, purpose: str | None, left_out: Counter[str], counts: Counter[str]
) -> ImageAnnotation:
    if not isinstance(row, dict) or not isinstance(row.get("filename"), str):
        raise InputError(f"{where}: expected an object with filename, and detection or grounding")
    boxes = [*_instances(row, where), *_phrases(row, where, left_out)]
    counts["phrases"] += len(boxes) if "grounding" in row and "detection" not in row else 0
    height, width = (int(number(row.get(key) or 0, f"{where}: {key}")) for key in ("height", "width"))
    return ImageAnnotation(row["filename"], tuple(boxes), (height, width), purpose)


def _instances(row: dict[str, Any], where: str) -> Iterator[Box]:
    for k, each in enumerate(objects_in(object_in(row, "detection", where), "instances", where)):
        place = f"{where}: instances[{k}]"
        label = each.get("category", each.get("label"))
        if isinstance(label, bool) or not isinstance(label, int | str) or label == "":
            raise InputError(f"{place}: has no category; expected the name of its class")
        yield Box(
            str(label),
            four_numbers(each.get("bbox"), f"{place}: bbox", "[x1, y1, x2, y2]"),
            score=score_in(each),
        )


def _phrases(row: dict[str, Any], where: str, left_out: Counter[str]) -> Iterator[Box]:
    """The regions of a caption; one may have several boxes."""
    for k, each in enumerate(objects_in(object_in(row, "grounding", where), "regions", where)):
        place = f"{where}: regions[{k}]"
        phrase = each.get("phrase")
        if isinstance(phrase, list):  # the parts of a phrase that is not in one piece
            phrase = " ".join(map(str, phrase))
        if not isinstance(phrase, str) or not phrase:
            raise InputError(f"{place}: has no phrase")
        written = list_in(each, "bbox", place)
        if not written:
            left_out["regions without an area"] += 1
        for box in written if written and isinstance(written[0], list) else [written] * bool(written):
            yield Box(phrase, four_numbers(box, f"{place}: bbox", "[x1, y1, x2, y2]"))


EXPORT = Export(
    name="odvg",
    summary="ODVG (Grounding DINO): a JSON object per line with instances of detection",
    source="github.com/longzw1997/Open-GroundingDino; mmdetection.readthedocs.io (MM Grounding DINO)",
    looks_for="a .jsonl file with filename and detection",
    files=_files,
    read=_read,
    images=("", "images"),
)
