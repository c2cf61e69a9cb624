"""The variants: each a file of `detectors/variants` that registers its settings and how it is built from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import nn

from detectors.config import Config
from metrics.registry import Registry

C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Variant:
    """A detector that a user can name.

    Attributes:
        name: what is typed; the name of its file.
        config: its settings; their dotted paths are what `--set` takes.
        build: settings and number of classes to a network that is a `detectors.types.Detector`.
        source: the paper.
        summary: one line for `bench list`.
        defaults: settings of a run that suit it better than the general ones, by dotted path
            (``{"train.lr": 0.002}``); presets, files and `--set` overrule them.
    """

    name: str
    config: type[Config]
    build: Callable[[Any, int], nn.Module]
    source: str
    summary: str
    defaults: Mapping[str, Any] = field(default_factory=dict)


VARIANTS: Registry[Variant] = Registry("variant", "detectors.variants")


def variant(
    name: str, config: type[C], source: str, defaults: Mapping[str, Any] | None = None
) -> Callable[[Callable[[C, int], nn.Module]], Callable[[C, int], nn.Module]]:
    """Register the decorated ``build(config, num_classes)`` under `name`; its docstring's first line is the summary."""

    def register(build: Callable[[C, int], nn.Module]) -> Callable[[C, int], nn.Module]:
        summary = (build.__doc__ or "").strip().split("\n")[0].rstrip(".")
        VARIANTS.register(name, Variant(name, config, build, source, summary, dict(defaults or {})))
        return build

    return register
