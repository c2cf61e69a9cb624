"""Settings that have an effect only beside some values of another setting, and are tried only there."""

from __future__ import annotations

import re

import optuna
import pytest
import torch
from tiny_runs import tiny_config

from bench.settings.config import setting_fields
from bench.tune.objectives import Objective, Objectives
from bench.tune.search_space import Space, parse_space
from bench.tune.study import Study
from bench.tune.study_key import StudyKey
from detectors.nms import NMS, NMSConfig
from detectors.registry import VARIANTS
from detectors.search_range import Choice, OnlyIf, Range
from detectors.types import Detections, Targets
from metrics.errors import InputError
from metrics.match_rule import MatchRule

METHODS = ("hard", "diou", "soft_linear", "soft_gaussian", "none")
OTHER_VALUES = {"iou": 0.35, "sigma": 0.15, "agnostic": True}


def marks(variant):
    """Each setting of a variant with a search range: path, description and mark."""
    config = tiny_config(variant)
    for path, field in setting_fields(type(config)).items():
        ranges = [each for each in field.metadata if isinstance(each, Range | Choice)]
        if ranges:
            mark = next((each for each in field.metadata if isinstance(each, OnlyIf)), None)
            yield path, field.description or "", mark


@pytest.mark.parametrize("variant", VARIANTS.names())
def test_a_setting_described_for_one_option_is_tried_only_with_it(variant):
    fields = setting_fields(type(tiny_config(variant)))
    options = {
        (option, path)
        for path, field in fields.items()
        for option in re.findall(r"'(\w+)'", str(field.annotation))
    }
    for path, description, mark in marks(variant):
        start = re.match(r"(\w+): ", description)
        if start and any(option == start[1] for option, _ in options):
            assert mark is not None, path
            assert mark.options == (start[1],)
            assert (start[1], mark.path) in options
        if mark is not None:
            assert all(f"'{option}'" in str(fields[mark.path].annotation) for option in mark.options)


@pytest.fixture(scope="module")
def candidates():
    """Overlapping boxes of three classes."""
    draw = torch.Generator().manual_seed(0)
    corner = torch.rand(300, 2, generator=draw) * 60
    boxes = torch.cat([corner, corner + 10 + 30 * torch.rand(300, 2, generator=draw)], dim=1)
    return Detections(boxes, torch.rand(300, generator=draw), torch.randint(3, (300,), generator=draw))


@pytest.mark.parametrize("name", OTHER_VALUES)
@pytest.mark.parametrize("method", METHODS)
def test_a_setting_of_nms_changes_detections_exactly_where_it_is_tried(method, name, candidates):
    mark = next(each for each in NMSConfig.model_fields[name].metadata if isinstance(each, OnlyIf))
    default = NMSConfig(method=method, max_dets=300)
    changed = NMSConfig(method=method, max_dets=300, **{name: OTHER_VALUES[name]})
    one, other = (NMS(config)(candidates) for config in (default, changed))
    same = len(one.scores) == len(other.scores) and torch.equal(one.scores, other.scores)
    assert same == (method not in mark.options)


@pytest.mark.parametrize(
    ("variant", "setting", "low", "high", "sets"),
    [
        ("fcos", "radius", 0.5, 3.0, {"assigner": "task_aligned"}),
        ("fcos", "reach", 2.0, 16.0, {"assigner": "task_aligned"}),
        ("gfl", "top", 5, 13, {"assigner": "center"}),
        ("gfl", "alpha", 0.25, 2.0, {"assigner": "center"}),
        ("ssd", "positive", 0.3, 0.7, {"assigner": "atss"}),
        ("ssd", "band", 0.0, 0.3, {"assigner": "atss"}),
        ("ssd", "forced", "own", "none", {"assigner": "task_aligned"}),
        ("retinanet", "positive", 0.3, 0.7, {"assigner": "task_aligned"}),
        ("retinanet", "band", 0.0, 0.3, {"assigner": "atss"}),
        ("retinanet", "forced", "tied", "none", {"assigner": "atss"}),
        ("faster_rcnn", "regions.beta", 0.05, 1.0, {"box_loss": "giou"}),
        ("detr", "top", 1, 10, {"queries": "learned"}),
    ],
)
def test_a_setting_has_no_effect_on_the_loss_where_it_is_not_tried(variant, setting, low, high, sets):
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    targets = [Targets(torch.tensor([[6.0, 8, 30, 26], [35, 30, 60, 62]]), torch.tensor([0, 2]))]

    def loss(value):
        made = VARIANTS[variant]
        section, _, name = setting.rpartition(".")
        given = {**sets, **({section: {name: value}} if section else {name: value})}
        torch.manual_seed(0)
        detector = made.build(made.config.model_validate(given), 3).train()
        torch.manual_seed(1)
        terms = detector.losses(detector(images), targets)
        return torch.stack([term.detach() for term in terms.values()])

    assert torch.equal(loss(low), loss(high))


def test_only_settings_with_an_effect_are_tried_and_recorded():
    space = parse_space(tiny_config("ssd"), ["nms"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(40):
        trial = study.ask()
        values = space.suggest(trial)
        method = values["nms.method"]
        seen.add(method)
        assert values == trial.params
        assert ("nms.sigma" in values) == (method == "soft_gaussian")
        assert ("nms.iou" in values) == (method in METHODS[:3])
        assert ("nms.agnostic" in values) == (method != "none")
    assert seen == set(METHODS)
    assert "nms.sigma" not in space.defaults
    assert "nms.iou" in space.defaults


def test_a_group_leaves_out_what_has_no_effect_and_a_name_is_refused():
    fixed = tiny_config("ssd").model_copy(update={})
    words = ["nms", "nms.method=hard|diou"]
    space = parse_space(fixed, words)
    assert "nms.sigma" not in space.defaults
    assert all(each.only_if is None for each in space)
    with pytest.raises(
        InputError, match=r"--space nms.sigma: has no effect with nms.method=hard, only with soft_gaussian"
    ):
        parse_space(fixed, ["nms.sigma"])
    assert {each.path for each in parse_space(fixed, ["nms.sigma", "nms.method"])} == {
        "nms.sigma",
        "nms.method",
    }


def test_a_study_finds_its_default_trial_and_the_importance_of_conditional_settings(tmp_path):
    space = Space(
        tuple(parse_space(tiny_config("ssd"), ["nms.method=hard|soft_gaussian", "nms.iou", "nms.sigma"]))
    )
    objectives = Objectives((Objective("ap", (("ap", 1.0),), True),), ("average_precision",), MatchRule())
    tuned = Study(StudyKey("ssd", "shapes", "nms", {"space": space.tree()}), space, objectives, tmp_path)
    tuned.optimize(lambda trial, values, folder: (values.get("nms.iou", 0.1) ** 2,), 30)
    default = tuned.default()
    assert default is not None
    assert default.params == space.defaults == {"nms.method": "hard", "nms.iou": 0.45}
    importances = tuned.importances()
    assert sum(importances.values()) == pytest.approx(1)
    assert importances["nms.iou"] > importances.get("nms.sigma", 0.0)
