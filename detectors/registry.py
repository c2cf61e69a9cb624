"""Registry of variants: each file of `detectors/variants` registers its settings and its build function."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from detectors.config import Config
from detectors.search_range import PriorSetting
from metrics.registry import Registry

if TYPE_CHECKING:  # listing the variants must not import torch
    from torch import nn

    from detectors.priors import GridPriors

C = TypeVar("C", bound=Config)

Selection = Literal["ap", "miou"]
"""Measure by which training chooses the best weights."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A detector that a user can name.

    Attributes:
        name: as typed on the command line; also the name of its file.
        config: class of its settings; their dotted paths are the names for `--set`.
        build: makes the network, a `detectors.types.Detector`, from settings and the number of classes.
        source: the paper.
        summary: one line for `bench list`.
        priors: makes the priors from settings and the strides of the levels; None if there are none to measure.
        defaults: run settings that suit this variant better than the general defaults, by dotted path
            (``{"train.lr": 0.002}``); presets, files and `--set` override them.
        label_maps: whether it learns from pixels: its training targets have label maps, and the data set must have masks.
        selection: measure on the validation images that the best weights have: ``ap``, or ``miou`` of the label maps that a
            `detectors.types.Segmenter` predicts, if the validation images have masks.
    """

    name: str
    config: type[Config]
    build: Callable[[Any, int], nn.Module]
    source: str
    summary: str
    priors: Callable[[Any, Sequence[int]], GridPriors] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    label_maps: bool = False
    selection: Selection = "ap"

    @property
    def prior_settings(self) -> tuple[str, ...]:
        """Names of the settings marked with `PriorSetting`; empty if the shapes of the priors are fixed."""
        return tuple(
            name
            for name, setting in self.config.model_fields.items()
            if any(isinstance(mark, PriorSetting) for mark in setting.metadata)
        )


class VariantSummary(NamedTuple):
    """What `bench list` shows of a variant."""

    name: str
    summary: str
    source: str


VARIANTS: Registry[Variant] = Registry("variant", "detectors.variants")


def variant(
    name: str,
    config: type[C],
    source: str,
    priors: Callable[[C, Sequence[int]], GridPriors] | None = None,
    defaults: Mapping[str, Any] | None = None,
    label_maps: bool = False,
    selection: Selection = "ap",
) -> Callable[[Callable[[C, int], nn.Module]], Callable[[C, int], nn.Module]]:
    """Register the decorated ``build(config, num_classes)`` as variant `name`; see `Variant` for the arguments.

    The first line of the docstring of `build` is the summary. Write `name` and `source` as literals, so that
    `variant_summaries` can read them without importing the file.
    """

    def register(build: Callable[[C, int], nn.Module]) -> Callable[[C, int], nn.Module]:
        summary = _first_line(build.__doc__)
        made = Variant(
            name, config, build, source, summary, priors, dict(defaults or {}), label_maps, selection
        )
        VARIANTS.register(name, made)
        return build

    return register


def variant_summaries() -> list[VariantSummary]:
    """Name, summary and source of every variant, in alphabetical order.

    They are read from the source files, because importing these takes seconds (torch). A file that is not written in
    the documented form is imported.
    """
    modules = VARIANTS.modules()
    return [_parse(name, modules.get(name)) or _describe(VARIANTS[name]) for name in VARIANTS.names()]


def _describe(known: Variant) -> VariantSummary:
    return VariantSummary(known.name, known.summary, known.source)


def _parse(name: str, module: str | None) -> VariantSummary | None:
    spec = None if module is None else find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    for function in ast.parse(Path(spec.origin).read_bytes()).body:
        if isinstance(function, ast.FunctionDef):
            for arguments in map(_literals, function.decorator_list):
                if arguments.get("name") == name and "source" in arguments:
                    summary = _first_line(ast.get_docstring(function))
                    return VariantSummary(name, summary, arguments["source"])
    return None


def _literals(decorator: ast.expr) -> dict[str, str]:
    """The arguments of ``@variant(...)`` that are literal strings; empty for any other decorator."""
    if not isinstance(decorator, ast.Call):
        return {}
    callee = decorator.func
    if (callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")) != "variant":
        return {}
    arguments: Iterator[tuple[str | None, ast.expr]] = zip(
        ("name", "config", "source"), decorator.args, strict=False
    )
    pairs = [*arguments, *((keyword.arg, keyword.value) for keyword in decorator.keywords)]
    return {
        key: value.value
        for key, value in pairs
        if key and isinstance(value, ast.Constant) and isinstance(value.value, str)
    }


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().split("\n")[0].rstrip(".")
