"""Compare the matching engine with pycocotools, bit by bit, on any number of random scenes.

    python tests/benchmarks/parity.py --scenes 5000

Compares the precision, recall and score arrays of each scene at each max_dets, and which detection matches which object
for each image, class, area range and IoU threshold. Each scene is generated from its number; scenes are small and
crowded, with tied scores, identical boxes, crowd regions, empty images and classes, and areas on a boundary.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.pop(0)  # this folder, whose files may hide packages
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from metrics.matching import match
from tests.oracles import RULES, assert_is_the_reference, coco_reference
from tests.strategies import Scene, random_scene


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=5000, help="number of scenes")
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    args = parser.parse_args()
    start, pairs = time.perf_counter(), 0
    for number in range(args.first, args.first + args.scenes):
        scene = make_scene(number)
        matches = match(scene.truth, scene.detections, RULES[number % len(RULES)])
        try:
            assert_is_the_reference(matches, coco_reference(scene.truth, scene.detections, matches.rule))
        except AssertionError as error:
            sys.exit(f"scene {number}, rule {number % len(RULES)}: results differ\n{error}\n{scene}")
        pairs += len(matches.pair_row)
        if (number + 1) % 500 == 0:
            print(f"{number + 1 - args.first} scenes, {time.perf_counter() - start:.0f} s", flush=True)
    print(f"{args.scenes} scenes with {pairs} pairs: all results equal to the bit")


def make_scene(number: int) -> Scene:
    """Return the scene of a number."""
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


if __name__ == "__main__":
    main()
