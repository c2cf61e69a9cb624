"""FiftyOne's own layouts of ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layouts.registry import Scene, relative, truth, write_json

_TAGS = {"train": "train", "val": "validation", "test": "test"}


@truth("fiftyone_dataset", "fiftyone", splits=True)
def dataset(root: Path, scene: Scene) -> None:
    """``export(dataset_type=fo.types.FiftyOneDataset)``: splits are tags."""
    samples = []
    for split, of in scene.splits.items():
        for k, picture in enumerate(of):
            picture.save(root / "data")
            rows: list[dict[str, Any]] = []
            for label, box in picture.objects:
                x0, y0, x1, y1 = relative(box, picture)
                rows.append(
                    {"_id": {"$oid": "1"}, "_cls": "Detection", "attributes": {}, "tags": []}
                    | {"label": scene.classes[label], "bounding_box": [x0, y0, x1 - x0, y1 - y0]}
                )
            height, width = picture.size
            size = {"_cls": "ImageMetadata", "width": width, "height": height, "num_channels": 3}
            samples.append(
                {
                    "filepath": f"data/{picture.name}.png",
                    "tags": [_TAGS[split]],
                    "metadata": size if k % 2 else None,
                }
                | {"ground_truth": {"_cls": "Detections", "detections": rows}}
            )
    write_json(root / "metadata.json", {"name": "x", "media_type": "image", "default_classes": []})
    write_json(root / "samples.json", {"samples": samples})


@truth("fiftyone_image_detection", "fiftyone")
def image_detection(root: Path, scene: Scene) -> None:
    """``FiftyOneImageDetectionDataset``: classes are indices, images are stems."""
    labels: dict[str, Any] = {}
    for picture in scene.pictures:
        picture.save(root / "data")
        rows = []
        for label, box in picture.objects:
            x0, y0, x1, y1 = relative(box, picture)
            rows.append({"label": label, "bounding_box": [x0, y0, x1 - x0, y1 - y0], "attributes": {}})
        labels[picture.name] = rows or None
    write_json(root / "labels.json", {"classes": list(scene.classes), "labels": labels})
