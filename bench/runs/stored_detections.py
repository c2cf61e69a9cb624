"""Detections that another program wrote, as the detections of a run."""

from __future__ import annotations

from pathlib import Path

from bench.data.types import Split
from bench.settings.config import EntryConfig
from detectors.external.registry import DETECTIONS
from metrics.formats.discovery import read_detections
from metrics.formats.identity import parse_class_map
from metrics.tables import DetectionTable


def read_stored_detections(config: EntryConfig, split: Split) -> DetectionTable:
    """Read the detections that an entry ``detections/PATH`` names.

    Args:
        config: of the entry, with the settings of `StoredDetectionsConfig`.
        split: whose images were predicted.

    Raises:
        InputError: the format is unknown, or images, classes or numbers are invalid.
    """
    settings = config.model_settings
    class_map = None if settings.class_map is None else parse_class_map(settings.class_map)
    path = Path(config.variant.removeprefix(DETECTIONS))
    return read_detections(path, split.truth, class_map, settings.image_ids)
