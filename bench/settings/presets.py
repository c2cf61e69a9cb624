"""Presets: settings that come with the program, one TOML file each in `bench/presets`."""

from __future__ import annotations

from pathlib import Path

from bench.settings import toml
from bench.settings.toml import Tree
from metrics.errors import InputError
from metrics.registry import did_you_mean

_FOLDER = Path(__file__).parent.parent / "presets"


def presets() -> dict[str, str]:
    """Description of every preset by name: the comment in its first line."""
    return {
        path.stem: path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ").strip()
        for path in sorted(_FOLDER.glob("*.toml"))
    }


def read_preset(name: str) -> Tree:
    """Settings of a preset.

    Raises:
        InputError: the name is unknown.
    """
    if name not in presets():
        near = did_you_mean(name, presets()) or f"; known: {', '.join(presets()) or 'none'}"
        raise InputError(f"unknown preset {name!r}{near}")
    return toml.read(_FOLDER / f"{name}.toml")


def variants_of(preset: str | None = None, file: str | Path | None = None) -> list[str]:
    """Variant that a settings file, or otherwise a preset, is for: one name, or none if neither names a variant.

    Raises:
        InputError: the preset is unknown, or the file cannot be read.
    """
    for values in (
        {} if file is None else toml.read(Path(file)),
        {} if preset is None else read_preset(preset),
    ):
        if "variant" in values:
            return [str(values["variant"])]
    return []
