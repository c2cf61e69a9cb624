"""Sources of settings: presets, TOML files and the command line, each read into a layer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from bench.settings import toml
from bench.settings.config import ExternalConfig, RunConfig
from bench.settings.presets import read_preset
from bench.settings.sections import DataConfig
from bench.settings.toml import Tree
from bench.settings.values import CommandLineText, parse_text
from detectors.config import Config
from detectors.external.registry import HUGGING_FACE, PATH_PREFIXES, external_model_names
from detectors.registry import VARIANTS
from metrics.errors import InputError
from metrics.plurals import plural


@dataclass(frozen=True, slots=True)
class SettingsLayer:
    """Settings of one source; a later layer takes precedence.

    Attributes:
        origin: name of the source: ``preset ssd300-vgg16``, ``my.toml``, ``--set``.
        values: nested settings; a `CommandLineText` for each value of ``--set``.
        kind: whether the values are defaults, or come from a preset or file, or from options of the command.
    """

    origin: str
    values: Tree
    kind: Literal["default", "file", "option"] = "option"

    def typed(self, fields: Mapping[str, FieldInfo]) -> SettingsLayer:
        """The same settings, with text from the command line read as the types of `fields` require."""
        values = self.values
        for path, value in _leaf_paths(self.values):
            if isinstance(value, CommandLineText):
                values = toml.merge(values, toml.nest(path, parse_text(value, _annotation(path, fields))))
        return replace(self, values=values)


def _leaf_paths(tree: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys that lead to each leaf, and its value; a key may have dots."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from (((key, *path), leaf) for path, leaf in _leaf_paths(value))
        else:
            yield (key,), value


def _annotation(path: Sequence[str], fields: Mapping[str, FieldInfo]) -> Any:
    """Type of a setting, or of the values of a setting that is a table of any keys; any type if there is no such setting."""
    dotted = ".".join(path)
    if dotted in fields:
        return fields[dotted].annotation
    table = ".".join(path[:-1])
    options = _union_members(fields[table].annotation) if table in fields else ()
    return next((get_args(one)[1] for one in options if get_origin(one) is dict), Any)


def _union_members(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def read_layers(
    variant: str,
    variants: Sequence[str],
    data: str | None,
    preset: str | None,
    file: str | Path | None,
    sets: Sequence[str],
    options: Mapping[str, Any],
) -> Iterator[SettingsLayer]:
    """Layers of one entry, lowest precedence first; arguments as those of `bench.settings.resolution.resolve_entry`.

    Raises:
        InputError: the preset is unknown, the file cannot be read, or a source is for a variant that does not run.
    """
    if preset is not None:
        origin = f"preset {preset}"
        yield SettingsLayer(origin, _settings_for(variant, variants, read_preset(preset), origin), "file")
    if file is not None:
        values = _settings_for(variant, variants, toml.read(Path(file)), str(file))
        yield SettingsLayer(Path(file).name, values, "file")
    if data is not None:
        yield make_layer("--data", {"data.path": data})
    for path, value in options.items():
        yield make_layer(f"--{path.rpartition('.')[2]}", {path: value})
    names = {*VARIANTS.names(), *external_model_names()}
    for text in sets:
        parts, value = toml.parse_set(text)
        owner, rest = _owner(parts, {*names, *variants})
        if owner is not None:
            if owner not in variants:
                raise InputError(
                    f"--set {text}: {owner!r} is not part of this command, only {', '.join(variants)}; "
                    f"add --variant {owner}, or remove the setting"
                )
            if owner != variant:
                continue
            parts = rest
        yield SettingsLayer("--set", toml.nest(parts, CommandLineText(value)))


def _owner(parts: tuple[str, ...], names: Collection[str]) -> tuple[str | None, tuple[str, ...]]:
    """The variant or external model that the parts of a dotted name start with, and the other parts.

    The path of a file has dots, so that its name can be several parts.
    """
    for count in range(1, len(parts)):
        name = ".".join(parts[:count])
        if name in names:
            return name, parts[count:]
    if parts[0].startswith(PATH_PREFIXES) and len(parts) > 1:
        count = 1 if parts[0].startswith(HUGGING_FACE) else 2  # the name of a file has a suffix
        return ".".join(parts[:count]), parts[count:]
    return None, parts


def data_location(layers: Sequence[SettingsLayer]) -> tuple[str, str]:
    """Path and format of the data set, which decide which other settings the section ``data`` has."""
    fields = {f"data.{name}": field for name, field in DataConfig.model_fields.items()}
    section: Tree = {name: field.default for name, field in DataConfig.model_fields.items()}
    for layer in layers:
        values = layer.typed(fields).values.get("data", {})
        if not isinstance(values, Mapping):
            raise InputError(f"{layer.origin}: data: expected a section, as in data.path={values}")
        section = toml.merge(section, values)
        if isinstance(values.get("path"), list):
            raise InputError(several_data_sets(f"{layer.origin}: data.path", section["path"]))
    return str(section["path"]), str(section["format"])


def several_data_sets(where: str, paths: Sequence[Any]) -> str:
    """Why a list of data sets is refused, and what to do instead."""
    joined = "+".join(map(str, paths))
    return (
        f"{where}: a list of {plural(len(paths), 'data set')}; a command takes one. Join them to one data set with {joined}, or do one "
        f"command for each"
    )


def make_layer(
    origin: str, paths: Mapping[str, Any], kind: Literal["default", "file", "option"] = "option"
) -> SettingsLayer:
    """A layer of settings by dotted path."""
    values: Tree = {}
    for path, value in paths.items():
        values = toml.merge(values, toml.nest(path.split("."), value))
    return SettingsLayer(origin, values, kind)


def without_training(layer: SettingsLayer, name: str, config: type[Config], alone: bool) -> SettingsLayer:
    """The settings of a layer that apply to an external model.

    Args:
        layer: settings of a source.
        name: the external model.
        config: its settings.
        alone: no variant is resolved from the same sources, so that a setting of training is a mistake.

    Raises:
        InputError: `alone`, and the layer has a setting of training or of the network's input.
    """
    void = set(RunConfig.model_fields) - set(ExternalConfig.model_fields) - set(config.model_fields)
    mistakes = sorted((void - _HARMLESS) & set(layer.values))
    if alone and mistakes:
        path, _ = next(toml.leaves({mistakes[0]: layer.values[mistakes[0]]}))
        raise InputError(
            f"{path}: {name} is an external model, which has no settings of training or network input; remove it"
        )
    return replace(layer, values={key: value for key, value in layer.values.items() if key not in void})


_HARMLESS = {"seed", "workers", "deterministic"}
"""Settings of a run that may be given for an external model, because they would not change its results."""


def _settings_for(variant: str, variants: Sequence[str], values: Tree, origin: str) -> Tree:
    """Settings of a file that apply to one variant: the general ones, then those in a table of the variant's name."""
    owner = values.get("variant", variant)
    if owner not in variants:
        raise InputError(
            f"{origin}: made for variant {owner!r}, not for {', '.join(variants)}; "
            f"run it with --variant {owner}, or remove the line 'variant = ...'"
        )
    if owner != variant:
        return {}
    names = {*VARIANTS.names(), *external_model_names()}
    own = values.get(variant)
    general = {
        key: value
        for key, value in values.items()
        if key != "variant"
        and not ((key in names or key.startswith(PATH_PREFIXES)) and isinstance(value, Mapping))
    }
    return toml.merge(general, own) if isinstance(own, Mapping) else general
