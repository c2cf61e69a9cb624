"""Data sets of faces and persons in text files."""

from __future__ import annotations

from pathlib import Path

from layouts.registry import Scene, truth, write_lines, write_text, xywh

_FACES = {"cat": "face", "dog": "face"}


@truth("retinaface", "retinaface", splits=True, renamed=_FACES)
def retinaface(root: Path, scene: Scene) -> None:
    """RetinaFace: ``label.txt`` beside ``images``; landmarks are -1 where a face has none."""
    for split, of in scene.splits.items():
        lines: list[tuple[object, ...]] = []
        for picture in of:
            picture.save(root / split / "images" / "0--Parade", ".jpg")
            lines.append(("#", f"0--Parade/{picture.name}.jpg"))
            lines += [(*xywh(box), *[-1.0] * 15, 0.82) for _, box in picture.objects]
        write_lines(root / split / "label.txt", lines)


@truth("scrfd", "retinaface", splits=True, renamed=_FACES)
def scrfd(root: Path, scene: Scene) -> None:
    """SCRFD: ``labelv2.txt`` with sizes and corners."""
    for split, of in scene.splits.items():
        lines: list[tuple[object, ...]] = []
        for picture in of:
            picture.save(root / split / "images", ".jpg")
            lines.append(("#", f"{picture.name}.jpg", 64, 48))
            lines += [(*box, *(30.5, 20.25, 0.0) * 5) for _, box in picture.objects]
        write_lines(root / split / "labelv2.txt", lines)


@truth("widerperson", "widerperson", splits=True, renamed={"cat": "pedestrian", "dog": "rider"})
def widerperson(root: Path, scene: Scene) -> None:
    """WiderPerson: lists of images, and text files with the suffix of the image in their names."""
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / "Images", ".jpg")
            lines = [(label + 1, *map(round, box)) for label, box in picture.objects]
            write_lines(root / "Annotations" / f"{picture.name}.jpg.txt", [(len(lines),), *lines])
        write_text(root / f"{split}.txt", "".join(f"{picture.name}\n" for picture in of))
