"""Names in the documentation: options, settings, defaults, commands, formats and kinds are those of the program."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from documented_commands import BLOCK, ROOT, page_id
from documented_commands import PAGES as ALL_PAGES
from pydantic.fields import FieldInfo

from bench.cli import program
from bench.commands.list import Kind
from bench.data.folder_options import FolderOptions
from bench.data.types import DATASETS
from bench.datasets import locate_data
from bench.settings.config import ExternalConfig, setting_fields
from bench.settings.resolution import resolve
from detectors.registry import VARIANTS

PAGES = [page for page in ALL_PAGES if page.name != "CHANGELOG.md"]

assert locate_data  # importing it registers all formats

OF_TYPER = frozenset(("--install-completion",))
"""Options of Typer, which are not those of a command."""

OF_CLASSES_OF_EXAMPLES = frozenset(("data.separator",))

FILES = ("bin", "csv", "data", "html", "json", "lock", "log", "names", "onnx", "parquet", "pt", "py", "svg", "toml", "txt", "yaml", "zip")  # fmt: skip
"""Suffixes of files, whose names can look like settings: ``data.yaml``."""


def spans(page: Path) -> list[str]:
    """Text in backticks, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", page.read_text(encoding="utf-8")))


@cache
def options() -> Mapping[str, list[Any]]:
    """Defaults of each option of all commands by its name."""
    found: dict[str, list[Any]] = {}
    for command in program().commands.values():
        for each in command.params:
            for name in each.opts:
                found.setdefault(name, []).append(each.default)
    source = (ROOT / "metrics" / "command_line.py").read_text(encoding="utf-8")
    for name in re.findall(r'"(--[\w-]+)"', source):
        found.setdefault(name, [])
    return found


@cache
def settings() -> Mapping[str, list[tuple[str, FieldInfo, Any]]]:
    """Variant, field and default of each setting by dotted path."""
    found: dict[str, list[tuple[str, FieldInfo, Any]]] = {}
    for variant in VARIANTS.names():
        config = resolve(variant)
        for path, field in setting_fields(type(config)).items():
            found.setdefault(path, []).append((variant, field, config.get(path)))
    for path, field in setting_fields(ExternalConfig).items():
        found.setdefault(path, []).append(("", field, None))
    for model in (FolderOptions, *(DATASETS[name].options for name in DATASETS.names())):
        for name, field in model.model_fields.items():
            found.setdefault(f"data.{name}", []).append(("", field, field.default))
    return found


def is_known(path: str) -> bool:
    """Whether there is a setting, a section, or an entry of a setting that is a table."""
    parts = path.removesuffix(".*").split(".")
    above = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
    return any(each in settings() for each in above) or any(
        known.startswith(f"{above[-1]}.") for known in settings()
    )


def assignments(page: Path) -> Iterator[tuple[str, str | None]]:
    """Dotted paths that begin with a section of the settings, and values that are assigned to them."""
    sections = {path.split(".")[0] for path in settings() if "." in path}
    for span in spans(page):
        for word in span.split():
            found = re.fullmatch(r"([a-z]\w*(?:\.[\w*]+)+)(?:=(\S+))?", word)
            if found and found[1].split(".")[0] in sections and not found[1].endswith(FILES):
                yield found[1], found[2]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_options_exist(page: Path) -> None:
    named = {
        word.partition("=")[0]
        for span in spans(page)
        if span.startswith("--")
        for word in span.split()
        if word.startswith("--")
    }
    assert named <= options().keys() | OF_TYPER | benchmark_options()


@cache
def benchmark_options() -> frozenset[str]:
    """Options of the benchmarks."""
    files = (ROOT / "tests" / "benchmarks").glob("*.py")
    return frozenset(
        name for file in files for name in re.findall(r'"(--[\w-]+)"', file.read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_settings_exist(page: Path) -> None:
    unknown = {path for path, _ in assignments(page) if not is_known(path)} - OF_CLASSES_OF_EXAMPLES
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_settings_take_the_documented_values(page: Path) -> None:
    """Except those of `data`, which depend on the data set."""
    for path, value in assignments(page):
        variants = [variant for variant, _, _ in settings().get(path, []) if variant]
        if (
            value is None
            or not variants
            or path.startswith("data.")
            or re.search(r"[A-Z]{2}|\.\.\.|[|:]|^<", value)
        ):
            continue
        for variant in variants[:1]:
            resolve(variant, sets=[f"{path}={value}"])


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_defaults_are_those_of_the_program(page: Path) -> None:
    """A number in parentheses after an option or a setting is its default: ``--images`` (200)."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for name, number in re.findall(r"`(--[\w-]+|[a-z]\w*(?:\.\w+)*)` \((\d[\d.]*)[):]", text):
        known = options().get(name) or [default for _, _, default in settings().get(name, [])]
        numbers = [each for each in known if isinstance(each, int | float)]
        if numbers:
            assert any(math.isclose(float(number), each) for each in numbers), f"{name} ({number}): {known}"


def test_the_table_of_commands_is_complete() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `python -m bench ([\w-]+)", text, re.MULTILINE))
    assert listed == set(program().commands)


def test_the_table_of_formats_is_complete() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    cells = re.findall(
        r"^\| (`[\w`, ]+`) \|", text.partition("\n## Formats\n")[2].partition("\n## ")[0], re.MULTILINE
    )
    listed = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert listed == set(DATASETS.names()) - {"table"}


def test_every_change_of_images_is_in_the_table_of_augmentation() -> None:
    text = (
        (ROOT / "docs" / "data.md")
        .read_text(encoding="utf-8")
        .partition("\n## Augmentation\n")[2]
        .partition("\n## ")[0]
    )
    fields = {path.removeprefix("augment.") for path in settings() if path.startswith("augment.")}
    assert not {name for name in fields if f"`{name}`" not in text and f"`{name}=" not in text}


def test_all_kinds_of_bench_list_are_named() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"^\| `python -m bench list` \| (.*) \|$", text, re.MULTILINE)
    words = {"external": "external models", "datasets": "data sets"}
    assert not [kind for kind in (each.value for each in Kind) if words.get(kind, kind) not in row]
