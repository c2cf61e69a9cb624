"""Text files that tools for evaluation read: a class, a score where it is a detection, and a box in each line, a file per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tiny_data import CLASSES, Picture

from layouts.registry import Found, Scene, centre, detections, truth, write_lines, write_text, xywh


def _write(
    root: Path, pictures: Sequence[Picture], found: Sequence[Found], line: Callable[[Found], Sequence[object]]
) -> Path:
    for picture in pictures:
        write_lines(root / f"{picture.name}.txt", [line(e) for e in found if e.picture is picture])
    return root


@detections("cartucho_map")
def names_and_corners(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Cartucho's mAP: names of classes, corners in pixels; an image without detections has an empty file."""
    return _write(root, pictures, found, lambda e: (CLASSES[e.label], e.score, *e.box))


@detections("padilla_xywh")
def corner_and_size(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Padilla's evaluator with ``class score x y w h`` in pixels."""
    return _write(root, pictures, found, lambda e: (e.label, e.score, *xywh(e.box)))


@detections("padilla_relative", tolerance=1e-3)
def fractions(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Padilla's evaluator with ``class score cx cy w h`` in fractions."""
    return _write(
        root, pictures, found, lambda e: (e.label, e.score, *(round(v, 6) for v in centre(e.box, e.picture)))
    )


@detections("corners_before_score")
def corners_before_score(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """Corners in pixels before the score, with commas."""
    for picture in pictures:
        lines = [f"{e.label},{','.join(map(str, e.box))},{e.score}\n" for e in found if e.picture is picture]
        write_text(root / f"{picture.name}.txt", "".join(lines))
    return root


@detections("kitti_results")
def kitti(root: Path, pictures: Sequence[Picture], found: Sequence[Found]) -> Path:
    """KITTI: 16 columns in ``data/``."""

    def line(e: Found) -> Sequence[object]:
        return (CLASSES[e.label], -1, -1, -10, *e.box, -1, -1, -1, -1000, -1000, -1000, -10, e.score)

    _write(root / "data", pictures, found, line)
    return root


@truth("cartucho_ground_truth", "evaluator_txt")
def cartucho(root: Path, scene: Scene) -> None:
    """Cartucho's mAP: ``ground-truth`` and ``images-optional``."""
    for picture in scene.pictures:
        picture.save(root / "images-optional", ".jpg")
        lines = [(scene.classes[label], *map(round, box)) for label, box in picture.objects]
        write_lines(root / "ground-truth" / f"{picture.name}.txt", lines)


@truth("padilla_ground_truth_relative", "evaluator_txt", tolerance=1e-3)
def padilla_relative(root: Path, scene: Scene) -> None:
    """Padilla's evaluator with centres and sizes in fractions."""
    for picture in scene.pictures:
        picture.save(root / "images")
        lines = [
            (scene.classes[label], *(round(side, 6) for side in centre(box, picture)))
            for label, box in picture.objects
        ]
        write_lines(root / "groundtruths" / f"{picture.name}.txt", lines)
