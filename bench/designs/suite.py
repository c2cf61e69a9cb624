"""A suite: models on several data sets, described by a TOML file that any number of machines work off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError, model_validator

from bench.data.types import DATASETS
from bench.designs.levels import Level
from bench.settings import toml
from bench.settings.errors import settings_error
from bench.settings.presets import variants_of
from detectors.config import Config
from metrics.errors import InputError

EXAMPLE = 'variants = ["ssd", "fcos"], seeds = 3, data = ["shapes", "my_images"]'


class SuiteConfig(Config):
    """A suite as its file has it."""

    name: str = ""
    """Title of the page; by default the name of the file."""
    variants: tuple[str, ...] = ()
    """Variants and external models (`bench list`)."""
    presets: tuple[str, ...] = ()
    """Presets, each with its own variant, or with every variant if it names none."""
    seeds: Annotated[int, Field(ge=1)] = 1
    """Runs of each model on each data set."""
    config: str | None = None
    """File of settings, relative to the suite's file, with sections for single variants."""
    data: Annotated[tuple[str | dict[str, Any], ...], Field(min_length=2)]
    """Data sets: names, or paths relative to the suite's file; or tables with `path`, `format` and further settings of the
    section ``data``, and a table `settings` for settings of the runs on this data set alone."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Settings of all runs, as in a file of settings: the budget, such as ``train.epochs``, among them."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="after")
    def _names_models(self) -> SuiteConfig:
        if not self.variants and not self.presets:
            raise ValueError("neither variants nor presets; name the models to run")
        return self


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that was read.

    Attributes:
        title: of its page.
        entries: name of the variant or external model, and preset or None, of each model.
        seeds: runs of each model on each data set.
        config: file of settings.
        levels: one for each data set, with all settings.
    """

    title: str
    entries: tuple[tuple[str, str | None], ...]
    seeds: int
    config: Path | None
    levels: tuple[Level, ...]

    @property
    def sources(self) -> dict[str, Any]:
        """Sources of settings of `bench.settings.resolution.open_entries`."""
        return {"data": None, "file": self.config, "sets": [], "options": {}}


def read_suite(file: Path) -> Suite:
    """Read the file of a suite.

    Raises:
        InputError: the file cannot be read, or something in it is missing or invalid.
    """
    values = toml.read(file)
    fields = SuiteConfig.model_fields
    try:
        config = SuiteConfig.model_validate(values)
    except ValidationError as error:
        if "data" not in values:
            raise InputError(
                f"{file}: expected the data sets and models of a suite, as in {EXAMPLE}"
            ) from None
        raise settings_error(
            error, values, dict(fields), dict.fromkeys(fields, str(file)), owner="of a suite"
        ) from None
    levels = tuple(_level(each, number, config, file) for number, each in enumerate(config.data))
    names = [level.name for level in levels]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{file}: two data sets are {name}; give each once")
    given = None if config.config is None else file.parent / config.config
    return Suite(config.name or file.stem, _entries(config, file), config.seeds, given, levels)


def _entries(config: SuiteConfig, file: Path) -> tuple[tuple[str, str | None], ...]:
    owners = {preset: variants_of(preset) for preset in config.presets}
    names = dict.fromkeys([*config.variants, *(name for owner in owners.values() for name in owner)])
    if not names:
        raise InputError(f"{file}: presets: none names its variant; add variants")
    entries: list[tuple[str, str | None]] = []
    for name in names:
        own = [preset for preset, owner in owners.items() if owner in ([], [name])]
        entries += [(name, preset) for preset in own]
        if name in config.variants or not own:
            entries.append((name, None))
    return tuple(entries)


def _level(given: str | dict[str, Any], number: int, config: SuiteConfig, file: Path) -> Level:
    """The level of one data set: its own settings, then those of all runs that it does not have."""
    values: dict[str, Any] = {"path": given} if isinstance(given, str) else dict(given)
    path = values.get("path")
    if not isinstance(path, str) or not path:
        raise InputError(f'{file}: data[{number}]: expected a name or path, or a table with path = "..."')
    own = values.pop("settings", {})
    if not isinstance(own, Mapping):
        raise InputError(f"{file}: data[{number}].settings: expected a table of settings")
    if path not in DATASETS:
        values["path"] = "+".join(str(file.parent / piece) for piece in path.split("+"))
    settings = toml.merge(config.settings, own)
    settings = toml.merge(settings, {"data": values})
    return Level(str(values.get("name") or path), dict(toml.leaves(settings)))
