"""Runs to compare: a random scene, and parts of its detections as other models."""

from __future__ import annotations

import numpy as np
from strategies import Scene, random_scene, with_found

from metrics.tables import AnnotationTable, DetectionTable

Tables = tuple[AnnotationTable, DetectionTable]


def scene_of(images: int = 60) -> Scene:
    return random_scene(11, images=images, classes=3, objects=5 * images, detections=12 * images, crowds=0.02)


def run(scene: Scene, kept: float = 1.0, seed: int = 0) -> Tables:
    """The scene with a part of its detections."""
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(scene.found)) < kept)
    return scene.truth, with_found(scene, rows).found
