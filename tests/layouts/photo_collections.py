"""Data sets and tools with a file for each photo, in a layout of their own."""

from __future__ import annotations

from pathlib import Path

from layouts.registry import Scene, truth, write_json, write_lines


@truth("deepfashion2", "deepfashion2", splits=True)
def deepfashion2(root: Path, scene: Scene) -> None:
    """DeepFashion2: ``annos`` and ``image``; an object of a file is a garment or describes the photo."""
    folders = {"train": "train", "val": "validation", "test": "test"}
    for split, of in scene.splits.items():
        for picture in of:
            picture.save(root / folders[split] / "image", ".jpg")
            items = {
                f"item{k}": {"bounding_box": list(box), "category_id": label + 1, "scale": 2}
                | {
                    "category_name": scene.classes[label],
                    "landmarks": [1, 2, 0],
                    "segmentation": [[1, 2, 3, 4]],
                }
                for k, (label, box) in enumerate(picture.objects, 1)
            }
            document = {"source": "user", "pair_id": 7} | items
            write_json(root / folders[split] / "annos" / f"{picture.name}.json", document)


@truth("bbox_label_tool", "bbox_label_tool")
def bbox_label_tool(root: Path, scene: Scene) -> None:
    """BBox-Label-Tool: the number of boxes, and the class after each."""
    for picture in scene.pictures:
        picture.save(root / "Images" / "001")
        lines = [(*map(round, box), scene.classes[label]) for label, box in picture.objects]
        write_lines(root / "Labels" / "001" / f"{picture.name}.txt", [(len(lines),), *lines])
