"""Settings of stored detections as an entry of a comparison, importable without torch."""

from __future__ import annotations

from typing import Literal

from detectors.config import Config


class StoredDetectionsConfig(Config):
    """Settings of a file or folder of detections that another program wrote."""

    class_map: str | None = None
    """Maps class ids of the detections to those of the data set: `from-0`, `from-1`, `coco-91`, `drop`, or a JSON file; see
    `python -m metrics --class-map`."""
    image_ids: Literal["ids", "file-names"] = "ids"
    """What whole numbers in `image_id` are: `ids` of the data set, or, for `file-names`, the numbers in the names of the image
    files."""
