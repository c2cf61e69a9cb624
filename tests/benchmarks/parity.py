"""Compare the engine with pycocotools, to the last bit, on as many scenes as one likes.

    python tests/benchmarks/parity.py --scenes 5000

Of every scene the precision, recall and scores arrays at each max_dets, and of every image, class, area range and
threshold which detection found which object. Scenes are drawn from their number: small and crowded, with ties of
scores, equal boxes, crowds, empty images and classes, areas on a boundary.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path[:0] = [str(folder) for folder in Path(__file__).resolve().parents[1:3]]

import numpy as np  # noqa: E402
from oracles import RULES, assert_is_the_reference, coco_reference  # noqa: E402
from strategies import Scene, random_scene  # noqa: E402

from metrics.matching import match  # noqa: E402


def scene_of(number: int) -> Scene:
    """One of infinitely many scenes."""
    rng = np.random.default_rng(number)
    scene = random_scene(
        number,
        images=int(rng.integers(1, 8)),
        classes=int(rng.integers(1, 5)),
        objects=int(rng.choice([0, 3, 20, 60, 150], p=[0.05, 0.2, 0.35, 0.3, 0.1])),
        detections=int(rng.choice([1, 10, 80, 300], p=[0.1, 0.3, 0.4, 0.2])),
        side=float(rng.choice([20, 100, 400])),
        crowds=float(rng.choice([0, 0.05, 0.4])),
    )
    grid = float(rng.choice([0.1, 4, 16]))
    for table in (scene.truth, scene.detections):
        table.xywh[:] = np.round(table.xywh / grid) * grid
    on_edge = rng.random(len(scene.truth)) < 0.2
    scene.truth.area[on_edge] = rng.choice([0.0, 1024.0, 9216.0, 1e10, 2e10], np.count_nonzero(on_edge))
    if rng.random() < 0.3:
        scene.detections.score[:] = np.round(scene.detections.score, 1)
    return scene


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    given = parser.parse_args()
    begin, pairs = time.perf_counter(), 0
    for number in range(given.first, given.first + given.scenes):
        scene = scene_of(number)
        matches = match(scene.truth, scene.detections, RULES[number % len(RULES)])
        try:
            assert_is_the_reference(matches, coco_reference(scene.truth, scene.detections, matches.rule))
        except AssertionError as error:
            sys.exit(f"scene {number}, rule {number % len(RULES)}: differs\n{error}\n{scene}")
        pairs += len(matches.pair_row)
        if (number + 1) % 500 == 0:
            print(f"{number + 1 - given.first} scenes, {time.perf_counter() - begin:.0f} s", flush=True)
    print(f"{given.scenes} scenes with {pairs} pairs: all equal to the last bit")


if __name__ == "__main__":
    main()
