"""CrowdHuman's results: a JSON object per line and image, with ``dtboxes``."""

from __future__ import annotations

from pathlib import Path

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.image_annotations import four_numbers, number
from metrics.formats.records import records
from metrics.formats.untrusted import parse_json, read_bytes, read_head
from metrics.tables import AnnotationTable


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    head = read_head(path).lstrip()
    return head.startswith(b"{") and b'"dtboxes"' in head and b'"ID"' in head


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    rows = DetectionRows(str(path), indices=True)
    for line_number, line in enumerate(read_bytes(path).splitlines(), 1):
        where = f"{path}:{line_number}"
        image = parse_json(line, where) if line.strip() else {"ID": "", "dtboxes": []}
        if not isinstance(image, dict) or not isinstance(image.get("ID"), str):
            raise InputError(f"{where}: expected an object with ID and dtboxes")
        for k, each in enumerate(records(image.get("dtboxes") or [], f"{where}: dtboxes")):
            place = f"{where}: dtboxes[{k}]"
            box = four_numbers(each.get("box"), f"{place}: box")
            tag = each.get("tag", 1)
            label = (
                tag if isinstance(tag, str) else int(number(tag, f"{place}: tag")) - 1
            )  # 0 is the background
            rows.add(image["ID"], label, box, number(each.get("score"), f"{place}: score"), place)
    return rows


LAYOUT = DetectionLayout(
    name="crowdhuman",
    summary="CrowdHuman's results, a JSON object per line with dtboxes",
    source="Shao et al. 2018, arXiv:1805.00123; Chu et al. 2020, arXiv:2003.09163",
    is_ours=_is_ours,
    read=_read,
)
