"""``bench config``: all settings of a run, and where each comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.commands import options

NAME = "config"
EXAMPLES = """Examples:

python -m bench config --variant ssd

python -m bench config --variant ssd --set nms.iou=0.4 > mine.toml
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
    """Print all settings of a run as a TOML file, with where each value comes from.

    Sources, each above those before it: the program, the data set, the variant, the preset, the file, the command.
    """
    entries = options.chosen_entries(variant, preset, config)
    sources: dict[str, Any] = {
        "data": data,
        "file": config,
        "sets": set_ or [],
        "options": {"data.format": format} if format is not None else {},
    }
    show(entries, sources, json)


def show(entries: Sequence[options.Entry], sources: dict[str, Any], json: bool = False) -> None:
    """Print the settings of each entry, as TOML or as a JSON object."""
    from bench.process.json_value import print_json
    from bench.settings.resolution import open_entries

    _, configs = open_entries(entries, sources)
    if json:
        print_json({"entries": [config.tree() for config in configs]})
        return
    print("\n\n".join(config.toml(origins=True) for config in configs), end="")
