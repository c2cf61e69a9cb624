"""Settings of each entry, resolved from their sources in order of precedence and validated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from bench.data.opening import detect_format, open_dataset
from bench.data.types import DATASETS, Dataset
from bench.settings import toml
from bench.settings.config import EntryConfig, ExternalConfig, RunConfig, find_model, setting_fields
from bench.settings.errors import explain
from bench.settings.sections import DataConfig
from bench.settings.sources import SettingsLayer, data_location, make_layer, read_layers, without_training
from bench.settings.toml import Tree
from bench.settings.values import as_typed, other_kind, with_nones
from detectors.config import Config
from detectors.external.registry import external_model_names
from detectors.registry import VARIANTS, Variant
from metrics.errors import InputError


def resolve(
    variant: str,
    data: str | None = None,
    preset: str | None = None,
    file: str | Path | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    variants: Sequence[str] = (),
    data_defaults: Mapping[str, Any] | None = None,
) -> RunConfig:
    """All settings of one variant's run, checked; arguments and errors as those of `resolve_entry`.

    Raises:
        InputError: also for the name of a predictor that was trained elsewhere.
    """
    if variant not in VARIANTS and variant in external_model_names():
        raise InputError(
            f"{variant}: was trained elsewhere, so nothing of it is sought or trained here; "
            f"`bench run --variant {variant}` measures it, and `bench list` shows the variants"
        )
    config = resolve_entry(variant, data, preset, file, sets, options, variants, data_defaults)
    assert isinstance(config, RunConfig)
    return config


def resolve_entry(
    name: str,
    data: str | None = None,
    preset: str | None = None,
    file: str | Path | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    variants: Sequence[str] = (),
    data_defaults: Mapping[str, Any] | None = None,
) -> EntryConfig:
    """All settings of one entry of a comparison, checked.

    Each source overrules those before it: defaults, the data set's defaults, the variant's, the preset, the
    file, `data` and `options`, `sets` (of these the last). Of sources that speak to variants too, a predictor that
    was trained elsewhere passes over what is said of training and of the network's input.

    Args:
        name: a variant's name, or that of a predictor that was trained elsewhere.
        data: a data set's name or path; ``data.path``.
        preset: a file of `bench/presets`, by its name.
        file: a TOML file.
        sets: texts ``a.b=value``; where the first part is one of `variants`, for that entry alone.
        options: other settings by dotted path, from the command line's own options (``{"train.epochs": 5}``).
        variants: all names that the same sources are resolved for; `name` where empty.
        data_defaults: those of the opened data set, by dotted path; where None, those of its format, which are
            known without opening it.

    Returns:
        A `RunConfig` for a variant, else an `ExternalConfig`.

    Raises:
        InputError: an unknown name, preset, file or setting, or a value of the wrong kind; every mistake is
            told, one a line, with the setting's dotted path.
    """
    variants = tuple(variants) or (name,)
    known = find_model(name)
    given = list(read_layers(name, variants, data, preset, file, sets, options or {}))
    model = _model(name, *data_location(given))
    layers = [SettingsLayer("default", _defaults(model.config), {})]
    if isinstance(known, Variant):
        of_data = model.data_defaults if data_defaults is None else data_defaults
        layers += [
            make_layer(f"data set {model.data_format}", of_data),
            make_layer(f"variant {name}", known.defaults),
            *given,
        ]
    else:
        alone = not any(other in VARIANTS for other in variants)
        layers += [without_training(layer, name, known.config, alone) for layer in given]
    config = _validate(model.config, name, layers, several=len(variants) > 1)
    config._origins.update(_origins(layers))
    return config


def open_run_data(config: EntryConfig) -> Dataset:
    """Open the data set of a run's settings."""
    return open_dataset(config.data.path, config.data.format, **config.data_options)


@dataclass(frozen=True, slots=True)
class _Model:
    config: type[EntryConfig]
    data_format: str
    data_defaults: Mapping[str, Any]


def _model(variant: str, path: str, format: str) -> _Model:
    """The class of all settings: sections of the run, the data format's options, the variant's own."""
    found = DATASETS[detect_format(path, format)]
    data = _join(f"DataConfig[{found.name}]", DataConfig, found.options, f"data set {found.name!r}")
    known = find_model(variant)
    base = RunConfig if isinstance(known, Variant) else ExternalConfig
    config = _join(
        f"{base.__name__}[{variant}]", base, known.config, f"variant {variant!r}", data=(data, data())
    )
    return _Model(config, found.name, found.defaults)


def _join(name: str, ours: type[Config], theirs: type[Config], owner: str, **fields: Any) -> Any:
    both = sorted(set(ours.model_fields) & set(theirs.model_fields))
    if both:
        raise InputError(f"{owner}: its setting {both[0]!r} has the name of one of the run's; rename it")
    return create_model(name, __base__=(theirs, ours), __doc__=ours.__doc__, **fields)


def _defaults(model: type[EntryConfig]) -> Tree:
    """The sections as they are by default: a variant's may differ from those of the section's own class."""
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()
    }
    return {
        name: value.model_dump(mode="json")
        for name, value in defaults.items()
        if isinstance(value, BaseModel)
    }


def _validate(
    model: type[EntryConfig], variant: str, layers: Sequence[SettingsLayer], several: bool
) -> EntryConfig:
    values: Tree = {}
    texts: dict[str, str] = {}
    for layer in layers:
        values = toml.merge(values, layer.values)
        texts |= layer.texts
    known = setting_fields(model)
    values = with_nones(values | {"variant": variant}, known)
    try:
        config = as_typed(model, values, texts)
    except ValidationError as error:
        owner = f" of variant {variant!r}" if several else ""
        lines = explain(error, values, list(known), _origins(layers), owner)
        raise InputError("\n".join(lines)) from None
    mistaken = [line for path, value in toml.leaves(values) for line in other_kind(config, path, value)]
    if mistaken:
        raise InputError("\n".join(mistaken))
    return config


def _origins(layers: Sequence[SettingsLayer]) -> dict[str, str]:
    return {path: layer.origin for layer in layers for path, _ in toml.leaves(layer.values)}
