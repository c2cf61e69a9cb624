"""Search spaces: ranges declared beside settings, and what `--space` adds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import Trial
from pydantic import BaseModel, ValidationError

from bench.settings import toml
from bench.settings.config import RunConfig, setting_fields
from bench.settings.errors import settings_error
from bench.settings.values import parse_text
from detectors.search_range import Choice, OnlyIf, Range
from metrics.errors import InputError
from reports.records.trial import Condition, Dimension, Scalar, Stage, is_number

SearchRange = Range | Choice

GROUPS: Mapping[str, str] = {
    "anchors": "shapes of anchor priors, fitted to the training boxes without training",
    "train": "every declared setting that needs training, except those of images and augmentation",
    "nms": "post-processing, on stored candidates",
}
"""Words that `--space` takes beside dotted paths."""

# More is slower and seldom worse, so authors of variants declare no range for these; one would take precedence.
_DEFAULT_RANGES: Mapping[str, SearchRange] = {
    "nms.top_k": Range(100, 5000, log=True),
    "nms.max_dets": Range(20, 300, log=True),
}

_BY_NAME_ONLY = frozenset(("image", "augment"))
"""Sections that are tuned only where `--space` names them or their settings: they have more settings than a study has trials."""

_PRUNING, _SPARSITY = "compression.prune", "compression.sparsity"
"""A run has one of these; groups and sections mean the first, which makes networks faster."""

_NOT_TUNABLE = frozenset(
    (
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
        "compression.run",
        "distill.teacher",
    )
)
"""Sections and settings that define the task rather than its solution."""


@dataclass(frozen=True, slots=True)
class Space:
    """Settings to tune, in the order of the configuration; each path once."""

    dimensions: tuple[Dimension, ...]

    def __iter__(self) -> Iterator[Dimension]:
        return iter(self.dimensions)

    def __len__(self) -> int:
        return len(self.dimensions)

    @property
    def defaults(self) -> dict[str, Scalar]:
        """Default value of each setting that has an effect beside the others' defaults, by dotted path."""
        values = {dimension.path: dimension.default for dimension in self}
        return {d.path: d.default for d in self if d.only_if is None or d.only_if.holds(values)}

    def of(self, stage: Stage) -> Space:
        """The settings of one stage; may be empty."""
        return Space(tuple(dimension for dimension in self if dimension.stage == stage))

    def suggest(self, trial: Trial) -> dict[str, Scalar]:
        """A value for each setting that has an effect beside the others, by dotted path."""
        values: dict[str, Scalar] = {}
        for dimension in sorted(self, key=lambda each: each.only_if is not None):
            if dimension.only_if is None or dimension.only_if.holds(values):
                values[dimension.path] = suggest(dimension, trial)
        return values

    def bounds(self, path: str, default: float) -> tuple[float, float]:
        """Lowest and highest value that a setting may take; both are `default` where it is not tuned."""
        for dimension in self:
            if dimension.path == path:
                values = [v for v in (dimension.low, dimension.high, *dimension.options) if is_number(v)]
                return min(values), max(values)  # type: ignore[type-var, return-value]
        return default, default

    def tree(self) -> dict[str, Any]:
        """Plain nested values by dotted path, for a digest."""
        return {
            each.path: each.model_dump(
                mode="json", exclude={"path", *(["only_if"] if each.only_if is None else [])}
            )
            for each in self
        }


def suggest(dimension: Dimension, trial: Trial) -> Scalar:
    """The trial's value of one setting."""
    if dimension.options:
        value: Scalar = trial.suggest_categorical(dimension.path, list(dimension.options))
        return value
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.whole:
        return trial.suggest_int(dimension.path, int(dimension.low), int(dimension.high), log=dimension.log)
    return trial.suggest_float(dimension.path, dimension.low, dimension.high, log=dimension.log)


def parse_space(
    config: RunConfig, words: Sequence[str], priors: Mapping[str, SearchRange | None] | None = None
) -> Space:
    """The search space that the words after ``--space`` describe; a later word overrides an earlier one.

    A default outside its range or options extends them, so that the default settings are in the space. Settings of a group that have
    no effect beside the others are left out; see `OnlyIf`.

    Args:
        config: the settings that tuning starts from.
        words: each a group of `GROUPS`, a section or setting with declared ranges (``focal``, ``train.lr``), a range
            ``path=low:high`` or ``path=low:high:log``, or options ``path=a|b|c``.
        priors: settings of anchor priors by dotted path, with their ranges; see `bench.tune.anchors`. Where ``anchors`` is
            among the words they are tuned in that stage, otherwise by training.

    Raises:
        InputError: an unknown word, an empty range, or a value that the setting does not take.
    """
    known = setting_fields(type(config))
    fitted = dict(priors or {}) if "anchors" in words else {}
    found: dict[str, SearchRange] = {}
    for word in words:
        if word == "anchors":
            found |= {path: declared for path, declared in fitted.items() if declared is not None}
        elif "=" in word:
            found |= _parse_range(config, word)
        else:
            found |= {path: declared for path, declared in _named(config, word).items() if path not in fitted}
    if {_PRUNING, _SPARSITY} <= found.keys():
        raise InputError(
            f"--space: {_PRUNING} and {_SPARSITY} exclude each other; name one of them, and the other in a study of its own"
        )
    if not found:
        raise InputError("--space: no setting to tune; name groups or settings, as in --space nms train.lr")
    named = {word.partition("=")[0].strip() for word in words}
    return Space(
        tuple(
            _dimension(
                config, path, found[path], "anchors" if path in fitted else _stage(config, path), condition
            )
            for path in known
            if path in found
            for condition in _conditions(config, path, found, path in named)
        )
    )


def _conditions(
    config: RunConfig, path: str, found: Mapping[str, SearchRange], is_named: bool
) -> tuple[Condition | None, ...]:
    """Where a setting has an effect, None for everywhere; empty if nowhere in the space.

    Raises:
        InputError: a setting that was named itself has no effect.
    """
    metadata = setting_fields(type(config))[path].metadata
    mark = next((each for each in metadata if isinstance(each, OnlyIf)), None)
    if mark is None:
        return (None,)
    condition = Condition(paths=mark.paths, options=mark.options, above=mark.above)
    effects = {
        other: {condition.accepts(value) for value in _extremes(config.get(other), found.get(other))}
        for other in mark.paths
    }
    if {True} in effects.values():
        return (None,)
    undecided = tuple(other for other, each in effects.items() if True in each)
    if undecided:
        return (condition.model_copy(update={"paths": undecided}),)
    if is_named:
        values = ", ".join(f"{other}={config.get(other)}" for other in mark.paths)
        several = len(mark.paths) > 1
        needed = f"above {mark.above:g}" if mark.above is not None else " or ".join(map(str, mark.options))
        where = (
            f"where one of them is {needed}"
            if several
            else needed
            if mark.above is not None
            else f"with {needed}"
        )
        raise InputError(
            f"--space {path}: has no effect with {values}, only {where}; "
            f"add {'one of them' if several else mark.paths[0]} to --space, or set it"
        )
    return ()


def _extremes(value: Any, declared: SearchRange | None) -> tuple[Scalar, ...]:
    """Value of a setting, and the options or the ends of the range among which it is tuned."""
    if isinstance(declared, Choice):
        return (value, *declared.options)
    return (value,) if declared is None else (value, declared.low, declared.high)


def with_values(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """`config` with the settings at some dotted paths replaced.

    Raises:
        InputError: a setting does not take its value.
    """
    tree, fields = config.tree(), setting_fields(type(config))
    for path, value in values.items():
        if isinstance(value, str) and isinstance(config.get(path), tuple):
            value = parse_text(value, fields[path].annotation)
        tree = toml.merge(tree, toml.nest(path.split("."), value))
    try:
        return type(config).model_validate(tree)
    except ValidationError as error:
        raise settings_error(error, tree, fields) from None


def as_text(values: Sequence[Any]) -> str:
    """A list as one value of a trial, as `with_values` reads it: ``96,96``; ``[8.0,8.0],[12.0,20.0]``."""
    return json.dumps(values, separators=(",", ":"))[1:-1]


def declared_ranges(config: RunConfig) -> dict[str, SearchRange]:
    """Range or options of each setting that declares them, by dotted path; those of compression and distillation only where they are used."""
    unused = {"compression": config.compression.run is None, "distill": config.distill.teacher is None}
    known = {
        path: field
        for path, field in setting_fields(type(config)).items()
        if not unused.get(path.partition(".")[0], False)
    }
    declared = {
        path: annotation
        for path, field in known.items()
        for annotation in field.metadata
        if isinstance(annotation, Range | Choice)
    }
    return {path: default for path, default in _DEFAULT_RANGES.items() if path in known} | declared


def _stage(config: RunConfig, path: str) -> Stage:
    return "nms" if config.is_post_processing(path) else "train"


def _named(config: RunConfig, word: str) -> dict[str, SearchRange]:
    """Declared ranges of a group, a section or a setting."""
    declared = declared_ranges(config)
    if word in GROUPS:
        chosen = {
            path: found
            for path, found in declared.items()
            if _stage(config, path) == word and path.split(".")[0] not in _BY_NAME_ONLY
        }
    else:
        chosen = {p: found for p, found in declared.items() if p == word or p.startswith(f"{word}.")}
    if word != _SPARSITY:
        chosen.pop(_SPARSITY, None)
    if chosen:
        return chosen
    if word in GROUPS:
        raise InputError(f"--space {word}: variant {config.variant!r} has no such settings to tune")
    if "." not in word and word not in type(config).model_fields:
        raise InputError(
            f"--space {word}: no group or setting of that name; groups: {', '.join(GROUPS)}; "
            "or a range, as in nms.iou=0.3:0.7"
        )
    value = config.get(word)  # raises with the nearest name where there is none
    example = word if not isinstance(value, BaseModel) else f"{word}.{next(iter(type(value).model_fields))}"
    raise InputError(f"--space {word}: declares no range; give one, as in {example}=low:high")


def _parse_range(config: RunConfig, word: str) -> dict[str, SearchRange]:
    path, _, text = word.partition("=")
    path, text = path.strip(), text.strip()
    if not path:
        raise InputError(f"--space {word}: expected a setting before '=', as in nms.iou=0.3:0.7")
    if isinstance(config.get(path), BaseModel):
        raise InputError(f"--space {word}: {path} is a section; name a setting in it")
    if path in _NOT_TUNABLE or path.split(".")[0] in _NOT_TUNABLE:
        raise InputError(f"--space {word}: {path} defines the task and cannot be tuned")
    if "|" in text:
        options = [_parse_option(config, path, part.strip()) for part in text.split("|") if part.strip()]
        if len(set(options)) < 2:
            raise InputError(f"--space {word}: expected two or more different options, as in {path}=a|b")
        return {path: Choice(*options)}  # type: ignore[arg-type]
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in {2, 3} or (len(parts) == 3 and parts[2] != "log"):
        raise InputError(f"--space {word}: expected {path}=low:high, {path}=low:high:log or {path}=a|b|c")
    low, high = _parse_number(parts[0]), _parse_number(parts[1])
    if low is None or high is None:
        raise InputError(f"--space {word}: expected numbers on both sides of ':', or options {path}=a|b|c")
    if not low < high:
        raise InputError(
            f"--space {word}: the range is empty: {low:g} is not below {high:g}; swap or widen them"
        )
    try:
        return {path: Range(low, high, log=len(parts) == 3)}
    except ValueError:
        raise InputError(f"--space {word}: a logarithmic range must start above 0") from None


def _parse_number(text: str) -> float | None:
    """The number that `text` is; None where it is none."""
    value = parse_text(text, float)
    return value if is_number(value) else None


def _parse_option(config: RunConfig, path: str, text: str) -> Scalar:
    value = parse_text(text, setting_fields(type(config))[path].annotation)
    valid = with_values(config, {path: value}).get(path)
    option: Scalar = as_text(valid) if isinstance(valid, tuple) else valid
    return option


def _dimension(
    config: RunConfig, path: str, declared: SearchRange, stage: Stage, only_if: Condition | None
) -> Dimension:
    value = config.get(path)
    default: Scalar = as_text(value) if isinstance(value, tuple) else value
    if isinstance(declared, Choice):
        included = any(
            default == o and isinstance(default, bool) == isinstance(o, bool) for o in declared.options
        )
        options = declared.options if included else (default, *declared.options)
        for option in options:
            with_values(config, {path: option})
        return Dimension(path=path, stage=stage, default=default, options=options, only_if=only_if)
    if not is_number(default):
        raise InputError(
            f"--space {path}: its default {default!r} is not a number; give options, {path}=a|b|c"
        )
    assert isinstance(default, int | float)
    if declared.log and default <= 0:
        raise InputError(
            f"--space {path}: its default {default:g} cannot be in a logarithmic range; omit ':log'"
        )
    whole = isinstance(default, int)
    for end in (declared.low, declared.high):
        if whole and end != int(end):
            raise InputError(f"--space {path}: takes whole numbers only, got {end:g}")
        with_values(config, {path: int(end) if whole else float(end)})
    low, high = min(declared.low, default), max(declared.high, default)
    return Dimension(
        path=path,
        stage=stage,
        default=default,
        low=low,
        high=high,
        log=declared.log,
        whole=whole,
        only_if=only_if,
    )
