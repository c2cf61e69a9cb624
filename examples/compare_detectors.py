"""Compare two detectors on the same images: is the difference more than chance, and which images decide it?

python examples/compare_detectors.py
"""

import numpy as np

from metrics import AnnotationTable, Catalog, DetectionTable
from metrics.compare import compare, influence


def simulate_truth(rng: np.random.Generator, images: int) -> AnnotationTable:
    """Two objects per image, in separate halves of a 640 x 480 image."""
    image = np.repeat(np.arange(images), 2)
    side = rng.uniform(40, 160, len(image))
    x = np.tile([40.0, 360.0], images) + rng.uniform(0, 80, len(image))
    boxes = np.stack([x, rng.uniform(20, 300, len(image)), side, side], axis=1)
    catalog = Catalog.of(range(images), ["bolt", "nut"])
    return AnnotationTable.of(catalog, image, rng.integers(2, size=len(image)), boxes)


def simulate_detector(rng: np.random.Generator, truth: AnnotationTable, recall: float) -> DetectionTable:
    """Find each object with probability `recall`, with a slightly shifted box."""
    rows = np.flatnonzero(rng.random(len(truth)) < recall)
    boxes = truth.xywh[rows] + rng.normal(0, 3, (len(rows), 4))
    return DetectionTable(
        truth.catalog, truth.image[rows], truth.label[rows], boxes, rng.beta(5, 2, len(rows))
    )


rng = np.random.default_rng(0)
truth = simulate_truth(rng, images=150)
runs = {
    "careful": [(truth, simulate_detector(rng, truth, recall=0.85))],
    "hasty": [(truth, simulate_detector(rng, truth, recall=0.75))],
}

comparison = compare(runs, "ap", also=["ap50"])
print(comparison)  # the verdict in words
print(comparison.to_frame())  # a row per model: AP with its confidence interval
print(comparison.pairwise_to_frame())  # a row per pair: difference, interval, p-value

print("The images that contribute most to the difference:")
print(influence(runs, "careful", "hasty").top(5))
