"""Settings of each entry, resolved from their sources in order of precedence and validated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from bench.data.location import DataLocation, locate_data
from bench.data.opening import open_dataset, open_located
from bench.data.types import Dataset, DatasetFormat
from bench.settings import toml
from bench.settings.config import EntryConfig, ExternalConfig, RunConfig, find_model, setting_fields
from bench.settings.errors import SettingMistake, SettingsError, find_type_mismatches, settings_error
from bench.settings.input_size import input_size_of
from bench.settings.sections import DataConfig
from bench.settings.sources import SettingsLayer, data_location, make_layer, read_layers, without_training
from bench.settings.toml import Tree
from detectors.config import Config
from detectors.external.registry import is_external_model
from detectors.registry import VARIANTS, Variant
from metrics.errors import InputError


def open_entries(
    entries: Sequence[tuple[str, str | None]], sources: Mapping[str, Any]
) -> tuple[Dataset, list[EntryConfig]]:
    """Open the data set of a command once, and resolve the settings of each entry on it.

    The settings of every entry are validated before the data set is opened.

    Args:
        entries: name of the variant or external model, and name of its preset or None.
        sources: ``data``, ``file``, ``sets`` and ``options`` of `resolve_entry`, which apply to every entry.

    Returns:
        The data set, and the settings of each entry in order; with the defaults of the opened data set.

    Raises:
        InputError: as `resolve_entry` and `open_dataset`; or two entries name different data.
    """
    variants = tuple(dict.fromkeys(name for name, _ in entries))
    pending = [_read_entry(name, variants, **{**sources, "preset": preset}) for name, preset in entries]
    names = {entry.data for entry in pending}
    if len(names) > 1:
        paths = ", ".join(f"{entry.name}: {entry.data[0]}" for entry in pending)
        raise InputError(f"data.path: entries are compared on one data set, got {paths}")
    location = locate_data(*pending[0].data)
    first, *others = [_resolve(entry, location) for entry in pending]
    for other in others:
        if other.data.model_dump() != first.data.model_dump():
            raise InputError(
                f"data: settings of {first.variant} and {other.variant} differ; entries are compared on one data set"
            )
    dataset = open_located(location, first.data_options)
    return dataset, [_resolve(entry, location, dataset.defaults, dataset) for entry in pending]


def open_run(variant: str, sources: Mapping[str, Any]) -> tuple[Dataset, RunConfig]:
    """Open the data set of one variant's run, and resolve the run's settings on it.

    Arguments and errors are those of `open_entries`; `sources` may also have a ``preset``.

    Raises:
        InputError: also for the name of an external model.
    """
    _require_variant(variant)
    dataset, (config,) = open_entries([(variant, sources.get("preset"))], sources)
    assert isinstance(config, RunConfig)
    return dataset, config


def open_run_data(config: EntryConfig) -> Dataset:
    """Open the data set of a run's settings."""
    return open_dataset(config.data.path, config.data.format, **config.data_options)


def resolve(variant: str, **sources: Any) -> RunConfig:
    """Settings of one variant's run, validated; arguments and errors as those of `resolve_entry`.

    Raises:
        InputError: also for the name of an external model.
    """
    _require_variant(variant)
    config = resolve_entry(variant, **sources)
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
    """Settings of one entry of a comparison, validated. No file of the data set is parsed.

    Order of precedence, lowest first: defaults, the data set's defaults, the variant's, the preset, the file, `data`
    and `options`, `sets` (the last one wins). Settings of training and of the network's input do not apply to an
    external model; they are ignored if the sources also apply to a variant.

    Args:
        name: name of a variant or external model.
        data: name or path of a data set; ``data.path``.
        preset: name of a file in `bench/presets`.
        file: a TOML file.
        sets: texts ``a.b=value``; if the first part is one of `variants`, for that entry only.
        options: other settings by dotted path, from options of the command (``{"train.epochs": 5}``).
        variants: all names that the same sources are resolved for; only `name` if empty.
        data_defaults: defaults of the opened data set by dotted path; None for those of its format, which are known
            before it is opened.

    Returns:
        A `RunConfig` for a variant, an `ExternalConfig` for an external model.

    Raises:
        InputError: an unknown name, preset, file or setting, or an invalid value. The message has one line per
            mistake, each with the setting's dotted path.
    """
    entry = _read_entry(name, tuple(variants) or (name,), data, preset, file, sets, options)
    return _resolve(entry, locate_data(*entry.data), data_defaults)


@dataclass(frozen=True, slots=True)
class _PendingEntry:
    """Sources of an entry that were read but not merged; `data` is the data set's path and format."""

    name: str
    variants: tuple[str, ...]
    layers: list[SettingsLayer]
    data: tuple[str, str]


def _require_variant(name: str) -> None:
    if name not in VARIANTS and is_external_model(name):
        raise InputError(
            f"{name}: an external model, which is neither trained nor tuned here; evaluate it with "
            f"`bench run --variant {name}`, or choose a variant (`bench list`)"
        )


def _read_entry(
    name: str,
    variants: tuple[str, ...],
    data: str | None = None,
    preset: str | None = None,
    file: str | Path | None = None,
    sets: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
) -> _PendingEntry:
    find_model(name)  # an unknown name is reported before anything else
    layers = list(read_layers(name, variants, data, preset, file, sets, options or {}))
    return _PendingEntry(name, variants, layers, data_location(layers))


def _resolve(
    entry: _PendingEntry,
    location: DataLocation,
    data_defaults: Mapping[str, Any] | None = None,
    dataset: Dataset | None = None,
) -> EntryConfig:
    """Merge and validate the sources of an entry; with the opened data set, ``image.pixels`` becomes ``image.size``."""
    name = entry.name
    known = find_model(name)
    data_format = location.format
    model = _model(name, data_format)
    layers = [SettingsLayer("default", _defaults(model), "default")]
    if location.options:
        layers.append(SettingsLayer(str(location.path), {"data": dict(location.options)}, "default"))
    if isinstance(known, Variant):
        of_data = data_format.defaults if data_defaults is None else data_defaults
        layers += [
            make_layer(f"data set {data_format.name}", of_data, "default"),
            make_layer(f"variant {name}", known.defaults, "default"),
            *entry.layers,
        ]
    else:
        alone = not any(other in VARIANTS for other in entry.variants)
        layers += [without_training(layer, name, known.config, alone) for layer in entry.layers]
    config = _validate(model, name, layers, several=len(entry.variants) > 1)
    config._given.update(path for layer in entry.layers for path, _ in toml.leaves(layer.values))
    if dataset is None or not isinstance(config, RunConfig) or config.image.pixels is None:
        return config
    return _with_input_size(config, layers, dataset)


def _with_input_size(config: RunConfig, layers: Sequence[SettingsLayer], dataset: Dataset) -> RunConfig:
    """The settings with ``image.size`` from ``image.pixels``, unless a later layer gives the size; without ``pixels``."""
    given = [[path for path, _ in toml.leaves(layer.values)] for layer in layers]
    latest = {
        name: max(number for number, paths in enumerate(given) if name in paths)
        for name in ("image.pixels", "image.size")
    }
    changed: dict[str, Any] = {"pixels": None}
    if latest["image.pixels"] >= latest["image.size"]:
        assert config.image.pixels is not None
        changed["size"], note = input_size_of(dataset, config.image.pixels)
        config._notes.append(note)
        config._origins["image.size"] = "training images"
    return config.model_copy(update={"image": config.image.model_copy(update=changed)})


def _model(name: str, data_format: DatasetFormat) -> type[EntryConfig]:
    """The class of all settings: sections of the run, the data format's options, the model's own settings."""
    data = _data_model(data_format.name, data_format.options)
    known = find_model(name)
    return _entry_model(name, RunConfig if isinstance(known, Variant) else ExternalConfig, known.config, data)


@cache
def _data_model(name: str, options: type[Config]) -> type[Config]:
    model: type[Config] = _join(f"DataConfig[{name}]", DataConfig, options, f"data set {name!r}")
    return model


@cache
def _entry_model(
    name: str, base: type[EntryConfig], settings: type[Config], data: type[Config]
) -> type[EntryConfig]:
    model: type[EntryConfig] = _join(
        f"{base.__name__}[{name}]", base, settings, f"variant {name!r}", data=(data, data())
    )
    return model


def _join(name: str, ours: type[Config], theirs: type[Config], owner: str, **fields: Any) -> Any:
    """A configuration class with the fields of both, which must differ in name."""
    shared = sorted(set(ours.model_fields) & set(theirs.model_fields))
    if shared:
        raise InputError(
            f"{owner}: setting {shared[0]!r} has the name of one of the run's settings; rename it"
        )
    return create_model(name, __base__=(theirs, ours), __doc__=ours.__doc__, **fields)


def _defaults(model: type[EntryConfig]) -> Tree:
    """Default sections; a variant's defaults may differ from those of the section's class."""
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()
    }
    return {
        name: value.model_dump(mode="json")
        for name, value in defaults.items()
        if isinstance(value, BaseModel)
    }


def _useless_epochs(config: EntryConfig, sources: Mapping[str, SettingsLayer]) -> Iterator[SettingMistake]:
    """The mistake of a number of epochs on the command line although a budget ends training."""
    limit = config.train.budget.limit if isinstance(config, RunConfig) else None
    layer = sources.get("train.epochs")
    if limit is not None and layer is not None and layer.kind == "option":
        message = f"has no effect, because {limit} ends training; leave one of them out (train.budget.{limit.unit}=none)"
        yield SettingMistake(path="train.epochs", message=message)


def _validate(
    model: type[EntryConfig], variant: str, layers: Sequence[SettingsLayer], several: bool
) -> EntryConfig:
    fields = setting_fields(model)
    layers = [layer.typed(fields) for layer in layers]
    values: Tree = {}
    for layer in layers:
        values = toml.merge(values, layer.values)
    values["variant"] = variant
    sources = {path: layer for layer in layers for path, _ in toml.leaves(layer.values)}
    files = {path: layer.origin for path, layer in sources.items() if layer.kind == "file"}
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        owner = f"of variant {variant!r}" if several else ""
        raise settings_error(error, values, fields, files, owner) from None
    mismatches = list(find_type_mismatches(config, dict(toml.leaves(values)), files))
    mismatches += list(_useless_epochs(config, sources))
    if mismatches:
        raise SettingsError(mismatches)
    config._origins.update(
        {path: layer.origin for path, layer in sources.items() if layer.origin != layers[0].origin}
    )
    config._given.update(path for path, layer in sources.items() if layer.kind != "default")
    return config
