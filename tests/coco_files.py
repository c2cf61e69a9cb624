"""Valid COCO files that tests modify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metrics.formats import coco
from metrics.tables import AnnotationTable

IMAGES = [{"id": i, "file_name": f"{i}.jpg", "width": 640, "height": 480} for i in (1, 2, 3, 4)]

CATEGORIES = [{"id": i, "name": name} for i, name in ((1, "person"), (2, "bicycle"), (4, "car"))]

OBJECT = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 100, 100], "area": 10000, "iscrowd": 0}

RESULT = {"image_id": 1, "category_id": 1, "bbox": [10, 10, 100, 100], "score": 0.9}


def write(path: Path, value: Any) -> Path:
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def truth(folder: Path, *objects: dict[str, Any], **document: Any) -> AnnotationTable:
    given = {"images": IMAGES, "annotations": list(objects) or [OBJECT], "categories": CATEGORIES}
    return coco.read_truth(write(folder / "gt.json", given | document))


def found(folder: Path, *results: Any, **options: Any) -> Any:
    return coco.read_detections(write(folder / "dt.json", list(results)), truth(folder), **options)
