"""Runs to compare: a random scene, and subsets of its detections as other models."""

from __future__ import annotations

import numpy as np
from strategies import Scene, random_scene, with_detections

from metrics.tables import AnnotationTable, DetectionTable

PAIRWISE_COLUMNS = [
    "model_a",
    "model_b",
    "metric",
    "scope",
    "delta",
    "ci_low",
    "ci_high",
    "sim_low",
    "sim_high",
    "p_raw",
    "p_adj",
    "adjust",
    "p_a_gt_b",
    "mdd",
    "test",
    "B",
]
"""The first columns of `pairwise.csv`, in order."""

Tables = tuple[AnnotationTable, DetectionTable]


def scene_of(images: int = 60) -> Scene:
    return random_scene(11, images=images, classes=3, objects=5 * images, detections=12 * images, crowds=0.02)


def run(scene: Scene, kept: float = 1.0, seed: int = 0) -> Tables:
    """The scene with a subset of its detections."""
    rows = np.flatnonzero(np.random.default_rng(seed).random(len(scene.detections)) < kept)
    return scene.truth, with_detections(scene, rows).detections
