"""Descriptions of settings for people: docstring, allowed values and search range of each field."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from detectors.search_range import Choice, Range


def describe_fields(config: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted path and description of every section and setting that has one."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            if type(value).__doc__:
                yield prefix + name, _one_line(str(type(value).__doc__))
            yield from describe_fields(value, f"{prefix}{name}.")
        elif text := describe(field):
            yield prefix + name, text


def describe(field: FieldInfo) -> str:
    """Docstring of a setting, then its allowed values and search range in brackets; empty if there is neither.

    For example ``Highest learning rate. [above 0; searched from 0.0001 to 0.01, log scale]``.
    """
    facts = [*_allowed(field.annotation, field.metadata), *_searched(field.metadata, field.annotation)]
    bracket = f"[{'; '.join(facts)}]" if facts else ""
    return " ".join(text for text in (_one_line(field.description or ""), bracket) if text)


def _allowed(annotation: Any, metadata: Iterable[Any]) -> Iterator[str]:
    """Phrases for the values that a type and its constraints allow."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    yield from _limits(metadata, "characters" if annotation is str else "items")
    if origin is Literal:
        yield f"one of {', '.join(map(str, arguments))}" if len(arguments) > 1 else f"or {arguments[0]}"
    elif origin is Annotated:
        yield from _allowed(
            arguments[0], [m for item in arguments[1:] for m in getattr(item, "metadata", [item])]
        )
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from ["may be none"] if argument is type(None) else _allowed(argument, ())
    elif origin in (tuple, list):
        items = [", ".join(_allowed(argument, ())) for argument in arguments if argument is not ...]
        if len(set(items)) == 1 and items[0]:
            yield f"each {items[0].removeprefix('each ')}"
        elif any(items):
            yield f"({'), ('.join(items)})"


def _limits(metadata: Iterable[Any], parts: str) -> Iterator[str]:
    """A phrase for the bounds of a number, or of the length of a text or list, which has such parts."""
    bounds = {
        name: _number(getattr(constraint, name))
        for constraint in metadata
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length")
        if getattr(constraint, name, None) is not None
    }
    if {"ge", "le"} <= set(bounds):
        yield f"{bounds.pop('ge')} to {bounds.pop('le')}"
    phrases = {
        "ge": "at least {}",
        "gt": "above {}",
        "le": "at most {}",
        "lt": "below {}",
        "min_length": f"{{}} or more {parts}",
        "max_length": f"at most {{}} {parts}",
    }
    texts = [phrase.format(bounds[name]) for name, phrase in phrases.items() if name in bounds]
    if texts:
        yield " and ".join(texts)


def _searched(metadata: Iterable[Any], annotation: Any) -> Iterator[str]:
    """A phrase for the values that `bench tune` tries."""
    for mark in metadata:
        if isinstance(mark, Range):
            scale = ", log scale" if mark.log else ""
            yield f"searched from {_number(mark.low)} to {_number(mark.high)}{scale}"
        elif isinstance(mark, Choice):
            everything = annotation is bool or set(mark.options) == set(get_args(annotation))
            options = "" if everything else f" among {', '.join(map(str, mark.options))}"
            yield f"searched{options}"


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
