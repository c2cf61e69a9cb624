"""``bench config``: all settings of a run, with meaning, range and origin of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.commands import options

NAME = "config"
EXAMPLES = """Examples:

python -m bench config --variant ssd

python -m bench config --variant ssd --set nms.iou=0.4 > mine.toml

python -m bench config --preset ssd300-vgg16
"""


def command(
    variant: options.Variants = None,
    data: options.Data = None,
    format: options.Format = None,
    preset: options.Presets = None,
    config: options.ConfigFile = None,
    set_: options.Sets = None,
    json: options.Json = False,
    strict: options.Strict = False,
    debug: options.Debug = False,
) -> None:
    """Print all settings of a run as a TOML file: value, meaning, range and origin of each.

    Order of precedence, lowest first: defaults, data set, variant, preset, file, command line.
    """
    entries = options.chosen_entries(variant, preset, config)
    show(entries, options.setting_sources(data, config, set_, format=format), json)


def show(entries: Sequence[options.Entry], sources: dict[str, Any], json: bool = False) -> None:
    """Print the settings of each entry, as a described TOML file each or as one JSON object."""
    from bench.process.json_value import print_json
    from bench.settings.resolution import open_entries

    _, configs = open_entries(entries, sources)
    if json:
        print_json({"entries": [config.tree() for config in configs]})
        return
    for number, ((_, preset), config) in enumerate(zip(entries, configs, strict=True)):
        if len(entries) > 1:
            print("\n\n" * (number > 0) + f"# Settings of {preset or config.variant}\n")
        print(config.toml(described=True), end="")
