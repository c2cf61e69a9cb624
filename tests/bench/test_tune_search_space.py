"""Search spaces: declared ranges, ranges on the command line, and what cannot be tuned."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from tiny_runs import tiny_config

from bench.commands.tune import EXAMPLES
from bench.tune.search_space import parse_space, with_values
from metrics.errors import InputError


@pytest.fixture(scope="module")
def config():
    return tiny_config()


def by_path(config, *words):
    return {dimension.path: dimension for dimension in parse_space(config, words)}


def test_the_two_groups_hold_every_declared_range_once(config):
    nms, train = by_path(config, "nms"), by_path(config, "train")
    assert {"nms.iou", "nms.score", "nms.agnostic"} <= nms.keys()
    assert {"train.lr", "negatives", "box_loss", "train.batch"} <= train.keys()
    assert not nms.keys() & train.keys()
    assert by_path(config, "nms", "train").keys() == nms.keys() | train.keys()


def test_a_declared_range_includes_the_default(config):
    dimension = by_path(config, "negatives")["negatives"]
    assert (dimension.low, dimension.high, dimension.log, dimension.default) == (1.0, 10.0, False, 3.0)


def test_a_given_range_overrides_a_declared_one_and_options_keep_their_type(config):
    space = by_path(config, "train.lr", "train.lr=1e-3:1e-2:log", "train.optimizer=sgd|adamw", "levels=2:6")
    assert (space["train.lr"].low, space["train.lr"].high, space["train.lr"].log) == (1e-3, 1e-2, True)
    assert space["train.optimizer"].options == ("sgd", "adamw")
    assert (space["levels"].low, space["levels"].high, space["levels"].whole) == (2, 6, True)


def test_the_default_is_always_in_the_space(config):
    space = by_path(config, "train.lr=0.01:0.1", "train.batch=8|16")
    assert space["train.lr"].low == config.train.lr
    assert space["train.batch"].options == (config.train.batch, 8, 16)


def test_a_list_is_an_option(config):
    space = parse_space(config, ["image.size=64,64|96,96"])
    assert space.dimensions[0].options == ("64,64", "96,96")
    assert with_values(config, {"image.size": "96,96"}).image.size == (96, 96)


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (
            "anchor",
            "--space anchor: no group or setting of that name; groups: anchors, train, nms; or a range",
        ),
        ("nms.iuo=0.3:0.7", "nms.iuo: no such setting; did you mean 'iou'?"),
        ("nms.iuo", "nms.iuo: no such setting; did you mean 'iou'?"),
        ("nms.iou=0.7:0.3", "the range is empty: 0.7 is not below 0.3"),
        ("nms.iou=0.5:0.5", "the range is empty"),
        ("nms.iou=:0.5", "expected numbers on both sides"),
        ("nms.iou=0.5", "expected nms.iou=low:high"),
        ("nms.iou=0:0.5:log", "a logarithmic range must start above 0"),
        ("train.optimizer=sgd|adam", "train.optimizer: expected one of 'adamw', 'sgd' or 'lion', got 'adam'"),
        ("train.batch=1.5:8", "takes whole numbers only, got 1.5"),
        ("train.batch=-4:8", "train.batch: expected at least 1, got -4"),
        ("train.optimizer=1:2", "is not a number; give options"),
        ("nms=1:2", "nms is a section; name a setting in it"),
        ("seed=1:5", "seed defines the task and cannot be tuned"),
        ("data.val=1:5", "defines the task and cannot be tuned"),
        ("nms.iou=0.5|0.5", "two or more different options"),
        ("tuned", "--space tuned: declares no range; give one, as in tuned.study=low:high"),
        ("train.accumulate", "declares no range; give one, as in train.accumulate=low:high"),
    ],
)
def test_an_invalid_space_is_refused_with_the_reason(config, word, text):
    with pytest.raises(InputError) as error:
        parse_space(config, [word])
    assert text in str(error.value)


def test_augmentation_is_tuned_only_by_name(config):
    """It has more settings than a usual study has trials."""

    def sections(*words):
        return {each.path.split(".")[0] for each in parse_space(config, list(words)).dimensions}

    assert {"augment", "image"}.isdisjoint(sections("train"))
    assert sections("augment") == {"augment"}
    assert sections("train", "augment") == {*sections("train"), "augment"}


def test_changed_settings_are_validated(config):
    assert with_values(config, {"nms.iou": 0.7}).nms.iou == 0.7
    with pytest.raises(InputError, match=r"nms\.iou: expected a number, got 'high'"):
        with_values(config, {"nms.iou": "high"})


def documented_commands():
    """Commands `bench tune` in the help and in the documentation."""
    docs = Path(__file__).resolve().parents[2] / "docs"
    text = "\n".join([EXAMPLES, *((docs / name).read_text() for name in ("tuning.md", "cluster.md"))])
    return re.findall(r"^(?:exec )?(python -m bench tune .*)$", text.replace("\\\n", " "), re.MULTILINE)


@pytest.mark.parametrize("command", documented_commands())
def test_the_search_spaces_in_help_and_documentation_are_valid(command):
    words = shlex.split(command)
    rest = words[words.index("--space") + 1 :]
    space = rest[: next((at for at, word in enumerate(rest) if word.startswith("--")), len(rest))]
    assert len(parse_space(tiny_config(words[words.index("--variant") + 1]), space)) > 1
