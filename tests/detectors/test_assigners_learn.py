"""Every assigner that can be chosen learns: a short training detects the objects of its own images.

`tests/benchmarks/assigners.py` trains all of them on a data set. The defaults are in `test_overfits_two_images`.
"""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from raw_outputs import DENSE

from detectors.registry import VARIANTS
from detectors.types import Targets
from metrics import AnnotationTable, Catalog, evaluate
from metrics.tables import DetectionTable

SIDE, IMAGES, STEPS = 64, 4, 50
SMALL: dict[str, Any] = {"backbone": {"base_channel": 8}, "levels": 3}
SHARED = {"head": {"channels": 32}}


def offered() -> list[tuple[str, str]]:
    """Each dense variant with each value of its setting `assigner` that is not the default."""
    fields = {name: VARIANTS[name].config.model_fields.get("assigner") for name in DENSE}
    return [
        (name, option)
        for name, field in fields.items()
        if field is not None
        for option in get_args(field.annotation)
        if option != field.default
    ]


def draw_images() -> tuple[torch.Tensor, list[Targets]]:
    """Noise with one to three coloured rectangles per image, apart from each other."""
    draw = torch.Generator().manual_seed(0)
    images, targets = 0.2 * torch.rand(IMAGES, 3, SIDE, SIDE, generator=draw) + 0.3, []
    for number, image in enumerate(images):
        boxes, labels = [], []
        for quarter in torch.randperm(4, generator=draw)[: 1 + number % 3].tolist():
            low = torch.randint(0, 8, (2,), generator=draw) + torch.tensor(
                [32 * (quarter % 2), 32 * (quarter // 2)]
            )
            width, height = torch.randint(14, 24, (2,), generator=draw).tolist()
            x, y = low.tolist()
            label = int(torch.randint(0, 3, (1,), generator=draw))
            image[:, y : y + height, x : x + width] = 0.1
            image[label, y : y + height, x : x + width] = 0.9
            boxes.append([x, y, x + width, y + height])
            labels.append(label)
        targets.append(Targets(torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels)))
    return images, targets


def train(name: str, assigner: str, images: torch.Tensor, targets: list[Targets]) -> Any:
    """The variant after `STEPS` steps on all images, with the statistics of its last weights in BatchNorm."""
    torch.manual_seed(0)
    settings = {**SMALL, "assigner": assigner, **(SHARED if name != "ssd" else {})}
    detector = VARIANTS[name].build(VARIANTS[name].config.model_validate(settings), 3)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=5e-3, weight_decay=0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, STEPS, pct_start=0.2)
    for _ in range(STEPS):
        optimizer.zero_grad()
        sum(detector.losses(detector(images), targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 10)
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        for layer in detector.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None
        detector(images)
    return detector.eval()


def average_precision(detector: Any, images: torch.Tensor, targets: list[Targets]) -> float:
    """AP50 on the images."""
    names = [str(number) for number in range(len(images))]
    catalog = Catalog.of(names, ["red", "green", "blue"], [[SIDE, SIDE]] * len(images))
    truth = AnnotationTable.from_images(
        [target.boxes.numpy() for target in targets],
        [target.labels.numpy() for target in targets],
        catalog=catalog,
    )
    found = detector.predict(images)
    detections = DetectionTable.from_images(
        catalog,
        [one.boxes.numpy() for one in found],
        [one.scores.numpy() for one in found],
        [one.labels.numpy() for one in found],
    )
    return float(evaluate(truth, detections, ("average_precision",)).headline["ap50"])


@pytest.mark.parametrize(("name", "assigner"), offered())
def test_a_short_training_detects_the_objects_of_its_images(name, assigner):
    images, targets = draw_images()
    assert average_precision(train(name, assigner, images, targets), images, targets) > 0.5
