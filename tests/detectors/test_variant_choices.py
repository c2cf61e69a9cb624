"""Whatever a user or the tuner may choose for a variant builds, costs something finite, and predicts."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import BaseModel

from detectors.registry import VARIANTS
from detectors.space import Choice, Range
from detectors.types import Targets


def choices(config: type[BaseModel], prefix: str = "") -> list[tuple[str, Any]]:
    """Each option of each setting that is a choice, and both ends of each range, by dotted path."""
    found: list[tuple[str, Any]] = []
    for name, field in config.model_fields.items():
        path, kind = f"{prefix}{name}", field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            if name != "backbone":
                found += choices(kind, f"{path}.")
        elif get_origin(kind) is Literal:
            found += [(path, option) for option in get_args(kind)]
        for space in field.metadata:
            if isinstance(space, Choice):
                found += [(path, option) for option in space.options]
            elif isinstance(space, Range):
                ends = (space.low, space.high)
                found += [(path, int(end) if kind is int else end) for end in ends]
    return list(dict.fromkeys(found))


CASES = [(name, path, option) for name in VARIANTS.names() for path, option in choices(VARIANTS[name].config)]


def nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize("name", VARIANTS.names())
def test_every_choice_builds_learns_and_predicts(name):
    variant = VARIANTS[name]
    images = torch.rand(2, 3, 64, 64)
    targets = [
        Targets(torch.tensor([[4.0, 6, 40, 50], [20, 30, 60, 60]]), torch.tensor([0, 1])),
        Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    ]
    for path, option in [(path, option) for of, path, option in CASES if of == name]:
        tree = {"backbone": {"base_channel": 4}, **nested(path, option)}
        detector = variant.build(variant.config.model_validate(tree), 3)
        total = sum(detector.losses(detector(images), targets).values())
        total.backward()
        assert total.isfinite(), (path, option)
        assert all(p.grad.isfinite().all() for p in detector.parameters() if p.grad is not None), (
            path,
            option,
        )
        for found in detector.eval().predict(images):
            assert found.boxes.isfinite().all(), (path, option)


def test_the_families_have_the_choices_that_papers_name():
    offered = {
        (name, path): {option for of, p, option in CASES if (of, p) == (name, path)}
        for name, path, _ in CASES
    }
    for name in ("ssd", "retinanet"):
        assert offered[name, "assigner"] == {"overlap", "atss", "task_aligned", "hungarian"}
    assert offered["fcos", "assigner"] == {"center", "task_aligned", "hungarian"}
    for name in VARIANTS.names():
        assert offered[name, "box_loss"] == {"smooth_l1", "l1", "iou", "giou", "diou", "ciou"}
        assert offered[name, "nms.method"] == {"hard", "diou", "soft_linear", "soft_gaussian"}


def test_defaults_lie_where_the_tuner_looks():
    """A tuner whose space leaves the default out cannot be compared with it."""

    def check(config: BaseModel, where: str) -> None:
        for name, field in type(config).model_fields.items():
            value = getattr(config, name)
            if isinstance(value, BaseModel):
                check(value, f"{where}.{name}")
            for space in field.metadata:
                if isinstance(space, Range):
                    assert space.low <= value <= space.high, (where, name, value)
                elif isinstance(space, Choice):
                    assert value in space.options, (where, name, value)

    for name in VARIANTS.names():
        check(VARIANTS[name].config(), name)
