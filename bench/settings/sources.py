"""Sources of settings: presets, TOML files and the command line, each read into a layer."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.settings import toml
from bench.settings.config import ExternalConfig, RunConfig
from bench.settings.presets import read_preset
from bench.settings.sections import DataConfig
from bench.settings.toml import Tree
from detectors.config import Config
from detectors.external.registry import external_model_names
from detectors.registry import VARIANTS
from metrics.errors import InputError


@dataclass(frozen=True, slots=True)
class SettingsLayer:
    """Settings of one source; a later layer overrules an earlier one.

    Attributes:
        origin: what the source is called: ``preset quick``, ``my.toml``, ``--set``.
        values: the settings, nested.
        texts: what was typed for a value, by dotted path, where it was typed on the command line.
    """

    origin: str
    values: Tree
    texts: Mapping[str, str]


def read_layers(
    variant: str,
    variants: Sequence[str],
    data: str | None,
    preset: str | None,
    file: str | Path | None,
    sets: Sequence[str],
    options: Mapping[str, Any],
) -> Iterator[SettingsLayer]:
    names = {*VARIANTS.names(), *external_model_names()}
    if preset is not None:
        values = _for_variant(read_preset(preset), variant, variants, names, f"preset {preset}")
        yield SettingsLayer(f"preset {preset}", values, {})
    if file is not None:
        values = _for_variant(toml.read(Path(file)), variant, variants, names, str(file))
        yield SettingsLayer(Path(file).name, values, {})
    if data is not None:
        yield make_layer("--data", {"data.path": data})
    for path, value in options.items():
        yield make_layer(f"--{path.rpartition('.')[2]}", {path: value})
    for text in sets:
        parts, value, typed = toml.parse_set(text)
        if parts[0] in names and len(parts) > 1:
            if parts[0] not in variants:
                raise InputError(
                    f"--set {text}: this run has no variant {parts[0]!r}, only {', '.join(variants)}"
                )
            if parts[0] != variant:
                continue
            parts = parts[1:]
        yield SettingsLayer("--set", toml.nest(parts, value), {".".join(parts): typed})


def data_location(layers: Sequence[SettingsLayer]) -> tuple[str, str]:
    """Path and format of the data set, which must be known before its format's own settings can be."""
    section: Tree = {"path": DataConfig().path, "format": DataConfig().format}
    for layer in layers:
        values = layer.values.get("data", {})
        if not isinstance(values, Mapping):
            raise InputError(f"{layer.origin}: data: expected a section, as in data.path={values}")
        section = toml.merge(section, values)
    return str(section["path"]), str(section["format"])


def make_layer(origin: str, paths: Mapping[str, Any]) -> SettingsLayer:
    values: Tree = {}
    for path, value in paths.items():
        values = toml.merge(values, toml.nest(path.split("."), value))
    return SettingsLayer(origin, values, {})


def _for_variant(
    values: Tree, variant: str, variants: Sequence[str], names: Collection[str], origin: str
) -> Tree:
    """What a file says to one variant: its general settings, then those in a table of the variant's name."""
    owner = values.get("variant", variant)
    if owner not in variants:
        raise InputError(
            f"{origin}: made for variant {owner!r}, not for {', '.join(variants)}; "
            f"run it with --variant {owner}, or take the line 'variant = ...' out"
        )
    if owner != variant:
        return {}
    own = values.get(variant)
    general = {
        key: value
        for key, value in values.items()
        if key != "variant" and not (key in names and isinstance(value, Mapping))
    }
    return toml.merge(general, own) if isinstance(own, Mapping) else general


def without_training(layer: SettingsLayer, name: str, own: type[Config], alone: bool) -> SettingsLayer:
    """What a source says to a predictor that was trained elsewhere."""
    void = set(RunConfig.model_fields) - set(ExternalConfig.model_fields) - set(own.model_fields)
    if alone and (said := sorted((void - _HARMLESS) & set(layer.values))):
        path = next(toml.leaves({said[0]: layer.values[said[0]]}))[0]
        raise InputError(
            f"{path}: {name} is an external model, which has no settings of training or network input; remove it"
        )
    return SettingsLayer(
        layer.origin, {key: value for key, value in layer.values.items() if key not in void}, layer.texts
    )


_HARMLESS = {"seed", "workers", "deterministic"}
"""What has no effect on a predictor that was trained elsewhere and promises none."""
