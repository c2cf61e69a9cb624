"""Every value that a user or the tuner can choose for a variant: it builds, has a finite loss, and predicts."""

from __future__ import annotations

import itertools
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic import BaseModel
from raw_outputs import DENSE
from rectangles import with_label_maps

from bench.settings.toml import merge
from detectors.nms import NMS
from detectors.registry import VARIANTS
from detectors.search_range import Choice, Range
from detectors.types import Targets
from metrics.errors import InputError

TARGETS = Targets(torch.tensor([[4.0, 6, 40, 50], [20, 30, 60, 60]]), torch.tensor([0, 1]))


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


SMALL: dict[str, Any] = {
    "backbone": {"base_channel": 4},
    "head": {"channels": 16},
    "proposals": {"training": 50, "prediction": 20},
    "regions": {"hidden": 16},
    "windows": {"pixels": 16, "scale_min": 0.3, "scales": 2},
    "num_queries": 20,
    "layers": 1,
    "hidden": 16,
}
"""Sizes that no other choice depends on; a choice of one of these replaces it."""


def small(name: str) -> dict[str, Any]:
    """Those settings of `SMALL` that the variant has."""
    return {key: value for key, value in SMALL.items() if key in VARIANTS[name].config.model_fields}


CASES = [(name, path, option) for name in VARIANTS.names() for path, option in choices(VARIANTS[name].config)]


def nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize("name", VARIANTS.names())
def test_every_choice_builds_learns_and_predicts(name):
    variant = VARIANTS[name]
    images = torch.rand(2, 3, 64, 64)
    targets = with_label_maps(
        [TARGETS, Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))], (64, 64)
    )
    for path, option in [(path, option) for of, path, option in CASES if of == name]:
        tree = merge(small(name), nested(path, option))
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


def options(name: str, path: str) -> list[Any]:
    return list(dict.fromkeys(option for of, p, option in CASES if (of, p) == (name, path)))


@pytest.mark.parametrize("name", DENSE)
def test_every_combination_of_assigner_box_loss_quality_and_nms_trains(name):
    variant = VARIANTS[name]
    images = torch.rand(2, 3, 32, 48)
    targets = [
        Targets(torch.tensor([[4.0, 6, 30, 24], [20, 10, 46, 30]]), torch.tensor([0, 1])),
        Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    ]
    together = [
        [(path, option) for option in options(name, path)]
        for path in ("assigner", "box_loss", "quality")
        if options(name, path)
    ]
    suppressions = itertools.cycle(options(name, "nms.method"))
    for chosen in itertools.product(*together):
        tree = {**small(name), "levels": 4, **dict(chosen)}
        config = variant.config.model_validate(tree)
        detector = variant.build(config, 3)
        output = detector(images)
        assert (output.quality is None) == (getattr(config, "quality", "none") == "none")
        terms = detector.losses(output, targets)
        names = {"class", "box"} | ({"quality"} if output.quality is not None else set())
        second = set() if output.auxiliary is None else {"auxiliary_class"}
        assert set(terms) == names | second
        sum(terms.values()).backward()
        unmoved = [
            key for key, p in detector.named_parameters() if p.grad is None or not p.grad.isfinite().all()
        ]
        assert not unmoved, (chosen, unmoved)
        method = next(suppressions)  # it only sees candidates: every fourth combination is enough
        suppress = NMS(config.nms.model_copy(update={"method": method, "score": 0.0, "max_dets": 20}))
        for found in map(suppress, detector.decode(output)):
            assert found.boxes.isfinite().all(), (chosen, method)
            assert (found.scores.diff() <= 0).all(), (chosen, method)


NETWORKS = [
    *[(name, {"backbone.finest": 4}) for name in DENSE],
    *[
        (name, {"head.towers": "own", "head.norm": norm, "head.coarser": coarser})
        for name, (norm, coarser) in zip(
            [name for name in DENSE if "head" in VARIANTS[name].config.model_fields],
            itertools.cycle(
                [("none", "backbone"), ("batch", "pool"), ("group", "pyramid"), ("batch", "backbone")]
            ),
            strict=False,
        )
    ],
    ("fcos", {"quality": "iou"}),
    ("atss", {"quality": "none", "head.neck": "pan", "head.coarser": "pool"}),
    ("ssd", {"backbone.name": "googlenet", "neck": "pan", "backbone.finest": 16}),
]


@pytest.mark.parametrize(("name", "chosen"), NETWORKS)
def test_other_networks_export_come_back_and_treat_each_image_alone(name, chosen):
    variant = VARIANTS[name]
    tree: dict[str, Any] = {**small(name), "levels": 5, "nms": {"score": 0.0}}
    for path, value in chosen.items():
        tree = merge(tree, nested(path, value))
    if name == "ssd":
        tree["nms"]["max_dets"] = 50
    config = variant.config.model_validate(tree)
    detector, again = variant.build(config, 3), variant.build(config, 3)
    images = torch.rand(2, 3, 96, 64)
    sum(detector.train().losses(detector(images), [TARGETS, TARGETS]).values()).backward()
    assert all(p.grad is not None for p in detector.parameters())
    again.load_state_dict(detector.state_dict())
    detector.eval(), again.eval()
    output = detector(images)
    strides = detector.neck.strides
    assert len(strides) == 5
    for side, size in zip(strides, detector.priors.shapes, strict=True):
        assert size  # priors follow the strides that the network really has
        assert side == strides[0] * 2 ** strides.index(side)
    assert sum(output.levels) == len(output.priors)
    with torch.no_grad():
        exported = torch.export.export(detector, (images,)).module()(images)
        for actual, expected in ((again(images), output), (exported, output)):
            torch.testing.assert_close(actual.logits, expected.logits, rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(actual.codes, expected.codes, rtol=1e-4, atol=1e-4)
        one = detector(images[1:])
    torch.testing.assert_close(one.logits[0], output.logits[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(one.codes[0], output.codes[1], rtol=1e-4, atol=1e-4)


def test_priors_begin_at_the_finest_stride():
    """RetinaNet's smallest anchors are 2 strides; P2 halves them, and quadruples the number of the finest level."""
    retinanet = VARIANTS["retinanet"]
    levels, sides = {}, {}
    for finest in (4, 8):
        config = retinanet.config.model_validate(
            {"backbone": {"base_channel": 4, "finest": finest}, "levels": 3}
        )
        detector = retinanet.build(config, 1)
        levels[finest] = detector(torch.zeros(1, 3, 64, 64)).levels
        sides[finest] = [min(w for w, h in level if w == h) for level in detector.priors.shapes]
    assert sides == {4: [8, 16, 32], 8: [16, 32, 64]}
    assert levels[4] == (4 * levels[8][0], *levels[8][:2])


def test_levels_with_different_numbers_of_priors_want_heads_of_their_own():
    retinanet = VARIANTS["retinanet"]
    tree = {"levels": 2, "shapes": [[[8, 8], [12, 12]], [[30, 30]]], "backbone": {"base_channel": 4}}
    with pytest.raises(
        InputError, match=r"shapes: 2, 1 priors per cell at the levels, which share a head; .*head.towers=own"
    ):
        retinanet.build(retinanet.config.model_validate(tree), 2)
    detector = retinanet.build(retinanet.config.model_validate({**tree, "head": {"towers": "own"}}), 2)
    output = detector(torch.zeros(1, 3, 64, 64))
    assert output.logits.shape[1] == len(output.priors) == 8 * 8 * 2 + 4 * 4


def test_the_families_have_the_choices_that_papers_name():
    offered = {
        (name, path): {option for of, p, option in CASES if (of, p) == (name, path)}
        for name, path, _ in CASES
    }
    for name in ("ssd", "retinanet"):
        assert offered[name, "assigner"] == {"overlap", "atss", "task_aligned", "hungarian"}
        assert offered[name, "forced"] == {"own", "tied", "none"}
    assert offered["fcos", "assigner"] == {"center", "task_aligned", "hungarian"}
    for name in ("fcos", "atss"):
        assert offered[name, "quality"] == {"centerness", "iou", "none"}
    for name in ("atss", "dual", "fcos", "gfl", "retinanet"):
        assert offered[name, "head.norm"] == {"none", "group", "batch"}
        assert offered[name, "head.towers"] == {"shared", "own"}
        assert offered[name, "head.neck"] == {"fpn", "pan"}
        assert offered[name, "head.coarser"] == {"pyramid", "backbone", "pool"}
    for name in DENSE:
        assert offered[name, "box_loss"] == {"smooth_l1", "l1", "iou", "giou", "diou", "ciou"}
    for name in VARIANTS.names():
        assert offered[name, "class_weights.rule"] == {"equal", "inverse", "sqrt_inverse", "effective"}
        assert offered[name, "nms.method"] == {"hard", "diou", "soft_linear", "soft_gaussian", "none"}


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
