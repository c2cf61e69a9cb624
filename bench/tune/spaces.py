"""Where the tuner looks: settings that are marked beside their defaults, and what `--space` adds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from optuna.trial import Trial
from pydantic import BaseModel, ValidationError

from bench.settings import toml
from bench.settings.config import RunConfig, setting_fields
from bench.settings.errors import explain
from detectors.search_range import Choice, Range
from metrics.errors import InputError

Scalar = str | int | float | bool | None
Mark = Range | Choice
Stage = Literal["anchors", "train", "nms"]

STAGES: tuple[Stage, ...] = ("anchors", "train", "nms")
"""In the order in which they are done: what is found in one is fixed for the next."""

GROUPS: Mapping[str, str] = {
    "anchors": "shapes of priors, fitted to the training boxes without training",
    "train": "every marked setting that asks for a training",
    "nms": "post-processing, on candidates that were predicted once",
}
"""Words that `--space` takes, beside dotted paths."""

_POSTPROCESSING = "nms."

# Limits, which a variant's author has no reason to mark: more is slower, and seldom worse. A mark there would rule.
_NOT_MARKED: Mapping[str, Mark] = {
    "nms.top_k": Range(100, 5000, log=True),
    "nms.max_dets": Range(20, 300, log=True),
}

_NOT_TUNED = (
    "variant",
    "seed",
    "device",
    "threads",
    "workers",
    "deterministic",
    "weights",
    "data",
    "evaluate",
    "tuned",
)
"""Sections and settings that say what is asked, and not how it is answered."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """One setting, and where it may go.

    Attributes:
        path: the setting's dotted path.
        default: its value without tuning; it is in the range, or among the options.
        low, high: ends of the range, both included; None where there are `options`.
        log: the range is searched on a logarithmic scale.
        whole: only whole numbers.
        options: the values to choose from; a list is written as text, ``"96,96"``.
        fitted: a setting of priors, which is judged by how they fit the boxes.
    """

    path: str
    default: Scalar
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    options: tuple[Scalar, ...] = ()
    fitted: bool = False

    @property
    def stage(self) -> Stage:
        """What a trial of it costs: next to nothing, a training, or only suppression."""
        if self.fitted:
            return "anchors"
        return "nms" if self.path.startswith(_POSTPROCESSING) else "train"

    def suggest(self, trial: Trial) -> Scalar:
        """The trial's value."""
        if self.options:
            value: Scalar = trial.suggest_categorical(self.path, list(self.options))
            return value
        assert self.low is not None
        assert self.high is not None
        if self.whole:
            return trial.suggest_int(self.path, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.path, self.low, self.high, log=self.log)

    def __str__(self) -> str:
        if self.options:
            return f"{self.path}={'|'.join(_text(option) for option in self.options)}"
        return f"{self.path}={self.low:g}:{self.high:g}{':log' if self.log else ''}"


@dataclass(frozen=True, slots=True)
class Space:
    """Settings to be tuned, in the order of the configuration.

    Attributes:
        dimensions: at least one, each path once.
    """

    dimensions: tuple[Dimension, ...]

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.dimensions)

    def __len__(self) -> int:
        return len(self.dimensions)

    def __bool__(self) -> bool:
        return bool(self.dimensions)

    @property
    def defaults(self) -> dict[str, Scalar]:
        """The value of each setting without tuning, by dotted path."""
        return {dimension.path: dimension.default for dimension in self}

    def of(self, stage: Stage) -> Space:
        """Those of one stage; may be none."""
        return Space(tuple(dimension for dimension in self if dimension.stage == stage))

    def suggest(self, trial: Trial) -> dict[str, Scalar]:
        """A value for each setting, by dotted path."""
        return {dimension.path: dimension.suggest(trial) for dimension in self}

    def highest(self, path: str, otherwise: float) -> float:
        """The largest value that a setting may take; `otherwise` where it is not tuned."""
        for dimension in self:
            if dimension.path == path:
                return max(o for o in (dimension.high, *dimension.options) if isinstance(o, int | float))
        return otherwise

    def tree(self) -> dict[str, Any]:
        """Plain nested values, by dotted path, for a digest."""
        return {dimension.path: asdict(dimension) | {"path": None} for dimension in self}


def space_of(
    config: RunConfig, words: Sequence[str], priors: Mapping[str, Mark | None] | None = None
) -> Space:
    """The space that the words after ``--space`` name; a later word overrules an earlier one.

    A default that lies outside of its range or options widens them, so that the untuned settings are in the space.

    Args:
        config: the settings that tuning starts from.
        words: each a group of `GROUPS`, a section or setting with marks (``focal``, ``train.lr``), a range
            ``path=low:high`` or ``path=low:high:log``, or options ``path=a|b|c``.
        priors: settings of priors by dotted path, with where to look if nobody says; see `bench.tune.anchors`. Where
            the word ``anchors`` is given they are tuned in that stage, and otherwise by training, like any other.

    Raises:
        InputError: a word names nothing, a range is empty, or a value is not one that the setting takes.
    """
    known = setting_fields(type(config))
    fitted = dict(priors or {}) if "anchors" in words else {}
    found: dict[str, Mark] = {}
    for word in words:
        if word == "anchors":
            found |= {path: mark for path, mark in fitted.items() if mark is not None}
        elif "=" in word:
            found |= _given(config, word)
        else:
            found |= {path: mark for path, mark in _named(config, word).items() if path not in fitted}
    if not found:
        raise InputError("--space: nothing to tune; name groups or settings, as in --space nms train.lr")
    order = {path: place for place, path in enumerate(known)}
    chosen = sorted(found.items(), key=lambda item: order[item[0]])
    return Space(tuple(_dimension(config, path, where, path in fitted) for path, where in chosen))


def configured(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The same settings with those at some dotted paths changed.

    Raises:
        InputError: a setting does not take its value.
    """
    tree = config.tree()
    for path, value in values.items():
        if isinstance(value, str) and isinstance(config.get(path), tuple):
            value = toml.parse_value(f"[{value}]")
        tree = toml.merge(tree, toml.nest(path.split("."), value))
    try:
        return type(config).model_validate(tree)
    except ValidationError as error:
        raise InputError("\n".join(explain(error, tree, list(setting_fields(type(config))), {}))) from None


def as_text(values: Sequence[Any]) -> str:
    """A list as one value of a trial, and as `configured` reads it: ``96,96``; ``[8.0,8.0],[12.0,20.0]``."""
    return json.dumps(values, separators=(",", ":"))[1:-1]


def marks(config: RunConfig) -> dict[str, Mark]:
    """Where each setting may go that its author marked, by dotted path."""
    known = setting_fields(type(config))
    marked = {
        path: mark
        for path, field in known.items()
        for mark in field.metadata
        if isinstance(mark, Range | Choice)
    }
    return {path: mark for path, mark in _NOT_MARKED.items() if path in known} | marked


def _named(config: RunConfig, word: str) -> dict[str, Mark]:
    marked = marks(config)
    if word == "nms":
        of_group = {path: mark for path, mark in marked.items() if path.startswith(_POSTPROCESSING)}
    elif word == "train":
        of_group = {path: mark for path, mark in marked.items() if not path.startswith(_POSTPROCESSING)}
    else:
        of_group = {p: mark for p, mark in marked.items() if p == word or p.startswith(f"{word}.")}
    if of_group:
        return of_group
    groups = ", ".join(GROUPS)
    if word in GROUPS:
        raise InputError(f"--space {word}: variant {config.variant!r} has no such settings to tune")
    if "." not in word and word not in type(config).model_fields:
        raise InputError(
            f"--space {word}: no group and no setting of that name; groups: {groups}; "
            "or a range, as in nms.iou=0.3:0.7"
        )
    value = config.get(word)  # names the nearest setting where there is none
    example = word if not isinstance(value, BaseModel) else f"{word}.{next(iter(type(value).model_fields))}"
    raise InputError(f"--space {word}: is not marked with a range; give one, as in {example}=low:high")


def _given(config: RunConfig, word: str) -> dict[str, Mark]:
    path, _, text = word.partition("=")
    path, text = path.strip(), text.strip()
    if isinstance(config.get(path), BaseModel):
        raise InputError(f"--space {word}: {path} is a section; name a setting in it")
    if path in _NOT_TUNED or path.split(".")[0] in _NOT_TUNED:
        raise InputError(f"--space {word}: {path} says what is asked; only how it is answered can be tuned")
    if "|" in text:
        options = [_option(config, path, part.strip()) for part in text.split("|") if part.strip()]
        if len(set(options)) < 2:
            raise InputError(f"--space {word}: expected two or more different options, as in {path}=a|b")
        return {path: Choice(*options)}  # type: ignore[arg-type]
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in {2, 3} or (len(parts) == 3 and parts[2] != "log"):
        raise InputError(f"--space {word}: expected {path}=low:high, {path}=low:high:log or {path}=a|b|c")
    low, high = _end(parts[0]), _end(parts[1])
    if low is None or high is None:
        raise InputError(f"--space {word}: expected numbers on both sides of ':', or options {path}=a|b|c")
    if not low < high:
        raise InputError(
            f"--space {word}: the range is empty: {low:g} is not below {high:g}; swap or widen them"
        )
    try:
        return {path: Range(low, high, log=len(parts) == 3)}
    except ValueError:
        raise InputError(f"--space {word}: a logarithmic range starts above 0") from None


def _end(text: str) -> float | None:
    """The number at one end of a range; None where there is none."""
    value = toml.parse_value(text) if text else None
    return None if isinstance(value, bool) or not isinstance(value, int | float) else value


def _option(config: RunConfig, path: str, text: str) -> Scalar:
    if isinstance(config.get(path), tuple):
        depth, value = _depth(config.get(path)), toml.parse_value(f"[{text}]")
        while _depth(value) > depth and len(value) == 1:  # typed in brackets of its own
            value = value[0]
        return as_text(configured(config, {path: as_text(value)}).get(path))
    value = toml.parse_value(text)
    if isinstance(config.get(path), str) or not (
        value is None or isinstance(value, str | int | float | bool)
    ):
        return text
    return value


def _depth(value: Any) -> int:
    """0 of a number, 1 of a list of numbers, 2 of a list of these; of an empty list, however it was meant, 1."""
    return 1 + max((_depth(inner) for inner in value), default=0) if isinstance(value, tuple | list) else 0


def _dimension(config: RunConfig, path: str, where: Mark, fitted: bool) -> Dimension:
    value = config.get(path)
    default: Scalar = as_text(value) if isinstance(value, tuple) else value
    if isinstance(where, Choice):
        known = where.options
        options = known if any(_same(default, option) for option in known) else (default, *known)
        for option in options:
            configured(config, {path: option})
        return Dimension(path, default, options=options, fitted=fitted)
    if isinstance(default, bool) or not isinstance(default, int | float):
        raise InputError(
            f"--space {path}: is {default!r} by default, which is in no range; give options, {path}=a|b|c"
        )
    if where.log and default <= 0:
        raise InputError(
            f"--space {path}: is {default:g} by default, which no logarithmic range holds; leave ':log' out"
        )
    whole = isinstance(value, int)
    for end in (where.low, where.high):
        if whole and end != int(end):
            raise InputError(f"--space {path}: takes whole numbers, and {end:g} is none")
        configured(config, {path: int(end) if whole else float(end)})
    low, high = min(where.low, default), max(where.high, default)
    kind = int if whole else float
    return Dimension(path, default, kind(low), kind(high), where.log, whole, fitted=fitted)


def _same(a: Scalar, b: Scalar) -> bool:
    return a == b and isinstance(a, bool) == isinstance(b, bool)


def _text(option: Scalar) -> str:
    return str(option).lower() if option is None or isinstance(option, bool) else str(option)
