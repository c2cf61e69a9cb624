"""Settings that have an effect only beside some values of another setting, and are tried only there."""

from __future__ import annotations

import re

import optuna
import pytest
import torch
from augmented_samples import EVERYTHING, same, samples
from test_label_maps import masked_split
from tiny_runs import tiny_config

from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.order import Use
from bench.settings.config import setting_fields
from bench.settings.toml import merge, nest
from bench.tune.objectives import Objective, Objectives
from bench.tune.search_space import Space, parse_space
from bench.tune.study import Study
from bench.tune.study_key import StudyKey
from detectors.distillation import DistilledDetector
from detectors.distillation_config import DistillConfig
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
            assert [(start[1], other) in options for other in mark.paths] == [True]
        if mark is not None and mark.options:
            assert all(f"'{option}'" in str(fields[mark.paths[0]].annotation) for option in mark.options)


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


def conditional(prefixes, outside=False):
    """List variant, path, mark and two values of each conditional setting in (or outside) some sections."""
    found = []
    for variant in VARIANTS.names():
        fields = setting_fields(type(tiny_config(variant)))
        for path, _, mark in marks(variant):
            if mark is not None and path.startswith(prefixes) != outside:
                found.append(pytest.param(variant, path, mark, ends(fields[path]), id=f"{variant}-{path}"))
    return found


def ends(field):
    """Lowest and highest value of the declared range, or the first and the last option."""
    declared = next(each for each in field.metadata if isinstance(each, Range | Choice))
    if isinstance(declared, Choice):
        return declared.options[0], declared.options[-1]
    kind = int if field.annotation is int else float
    return kind(declared.low), kind(declared.high)


def other_values(config, mark, holds):
    """Values of each other setting of a mark with which its condition holds, or does not."""
    for path in mark.paths:
        if mark.above is not None:
            yield path, [1] if holds else [0]
        else:
            text = str(setting_fields(type(config))[path].annotation)
            options = re.findall(r"'(\w+)'", text)
            yield path, [option for option in options if (option in mark.options) == holds]


IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
ZONES = torch.cat([torch.full((64, 20), 1), torch.full((64, 24), 0), torch.full((64, 20), 3)], 1).to(
    torch.uint8
)
TARGETS = [
    Targets(
        torch.tensor([[6.0, 8, 30, 26], [35, 30, 60, 62], [2, 40, 14, 52]]), torch.tensor([0, 2, 1]),
        ZONES, torch.tensor([[32.0, 0, 64, 28]]),
    ),
    Targets(torch.tensor([[10.0, 8, 40, 56]]), torch.tensor([1]), ZONES.T.contiguous(), torch.tensor([[40.0, 0, 64, 64]])),
]  # fmt: skip
TINY = {
    "backbone.base_channel": 4,
    "head.channels": 8,
    "neck_channels": [8],
    "regions.hidden": 16,
    "num_queries": 20,
}


def loss_terms(variant, seed=0, **sets):
    made = VARIANTS[variant]
    known = setting_fields(made.config)
    tree = {}
    for path, value in (TINY | sets).items():
        if path in known and not (path == "neck_channels" and variant != "ssd"):
            tree = merge(tree, nest(path.split("."), value))
    torch.manual_seed(seed)
    detector = made.build(made.config.model_validate(tree), 3).train()
    torch.manual_seed(1)
    return detector.losses(detector(IMAGES), TARGETS)


def changes(one, other):
    return any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("variant", "path", "mark", "values"),
    conditional(("nms.", "train.", "augment.", "distill."), outside=True),
)
def test_a_setting_changes_the_loss_exactly_where_it_is_tried(variant, path, mark, values):
    """For each option or bound of the other setting; where the condition holds, one of a few networks must show the effect."""
    config = tiny_config(variant)
    without = {"loss.cross_entropy": 1} | {other: 0 for other in mark.paths if mark.above is not None}
    for holds in (True, False):
        for other, options in other_values(config, mark, holds):
            for option in options:
                sets = without | {other: option}
                effects = (
                    changes(*(loss_terms(variant, seed, **sets, **{path: value}) for value in values))
                    for seed in range(8 if holds else 1)
                )
                assert any(effects) == holds, f"{other}={option}"


@pytest.fixture(scope="module")
def split():
    return masked_split(6)


@pytest.mark.parametrize(
    ("variant", "path", "mark", "values"),
    [each for each in conditional(("augment.",)) if each.values[0] == "ssd"],
)
def test_a_setting_changes_augmented_images_exactly_where_it_is_tried(variant, path, mark, values, split):
    """Without the other settings beside every other change; with one of them alone."""
    name = path.removeprefix("augment.")
    others = [other.removeprefix("augment.") for other in mark.paths]
    image = ImageConfig(size=(48, 64))

    def differ(**sets):
        one, two = (samples(split, image, label_maps=True, **sets | {name: value}) for value in values)
        closing = name == "close_mosaic"  # it decides which images are not combined
        return any(not same(one[Use(0, k)], two[Use(0, k, alone=closing)]) for k in range(6))

    assert not differ(**EVERYTHING | dict.fromkeys(others, 0))
    for other in others:
        assert differ(**{other: 1})


@pytest.mark.parametrize("variant", ["gfl", "ssd"])
def test_the_temperature_changes_distillation_exactly_where_it_is_tried(variant):
    mark = next(
        each for each in DistillConfig.model_fields["temperature"].metadata if isinstance(each, OnlyIf)
    )
    made = VARIANTS[variant]
    torch.manual_seed(0)
    student, teacher = (made.build(made.config(), 3) for _ in range(2))

    def terms(temperature, **weights):
        config = DistillConfig(temperature=temperature, feature_weight=1, **weights)
        torch.manual_seed(1)
        distilled = DistilledDetector(student, teacher, config, (64, 64)).train()
        sums = distilled.loss_sums(distilled(IMAGES), TARGETS)
        return {name: term.total.detach() for name, term in sums.items()}

    names = [path.removeprefix("distill.") for path in mark.paths]
    none = dict.fromkeys(names, 0)
    assert not changes(terms(1.0, **none), terms(4.0, **none))
    effects = [changes(terms(1.0, **none | {name: 1}), terms(4.0, **none | {name: 1})) for name in names]
    assert effects == [True, variant == "gfl"]  # boxes of other variants have no distribution


def test_no_condition_is_on_a_conditional_setting():
    """`Space.suggest` draws settings without a condition first."""
    for variant in VARIANTS.names():
        fields = setting_fields(type(tiny_config(variant)))
        for _, _, mark in marks(variant):
            for path in mark.paths if mark else ():
                assert not any(isinstance(each, OnlyIf) for each in fields[path].metadata)


def test_a_condition_on_numbers_decides_by_values_and_ranges():
    space = parse_space(tiny_config("ssd"), ["augment.blur", "augment.blur_sigma"])
    assert space.defaults == {"augment.blur": 0.0}
    (condition,) = [each.only_if for each in space if each.only_if is not None]
    assert [condition.holds({"augment.blur": value}) for value in (0, 0.0, 0.01, None)] == [
        False,
        False,
        True,
        False,
    ]
    set_higher = parse_space(tiny_config("ssd", ["augment.blur=0.2"]), ["augment.blur_sigma"])
    assert set_higher.defaults == {"augment.blur_sigma": 1.5}
    one_of_three = parse_space(
        tiny_config("ssd", ["augment.mixup=0.2"]), ["augment.close_mosaic", "augment.mosaic"]
    )
    assert all(each.only_if is None for each in one_of_three)
    tuned = parse_space(tiny_config("ssd"), ["augment.close_mosaic", "augment.mosaic"])
    assert [each.only_if.paths for each in tuned if each.only_if] == [("augment.mosaic",)]


@pytest.mark.parametrize(
    ("word", "advice"),
    [
        ("augment.blur_sigma", "augment.blur=0.0, only above 0; add augment.blur to --space, or set it"),
        (
            "augment.close_mosaic",
            "augment.mosaic=0.0, augment.mixup=0.0, augment.copy_paste=0.0, only where one of them is above 0; "
            "add one of them to --space, or set it",
        ),
    ],
)
def test_a_setting_without_effect_is_refused_with_advice_that_works(word, advice):
    with pytest.raises(InputError, match=re.escape(f"--space {word}: has no effect with {advice}")):
        parse_space(tiny_config("ssd"), [word])
    other = re.match(r"[\w.]+", advice)[0]
    assert word in {each.path for each in parse_space(tiny_config("ssd"), [word, other])}
    assert word in {each.path for each in parse_space(tiny_config("ssd", [f"{other}=0.5"]), [word])}


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
