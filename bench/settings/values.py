"""From what a file or the command line says to values of the types that settings have, and what cannot be taken so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bench.settings import toml
from bench.settings.toml import Tree

M = TypeVar("M", bound=BaseModel)


def as_typed(model: type[M], values: Tree, texts: Mapping[str, str]) -> M:
    """Validate; what was typed as ``a.b=320`` where text is wanted is text, and ``3,4`` for a list is a list.

    Args:
        model: the class of the settings.
        values: nested.
        texts: what was typed for a value, by dotted path, where it was typed on the command line.

    Raises:
        ValidationError: pydantic's; of a value that cannot be taken so, as it is.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        taken = dict(_taken_otherwise(error, texts))
    try:
        return model.model_validate(_with(values, taken))
    except ValidationError as error:
        wrong = [_path(mistake) for mistake in error.errors()]
    fitting = {
        path: value
        for path, value in taken.items()
        if not any(f"{other}.".startswith(f"{path}.") for other in wrong)
    }
    return model.model_validate(_with(values, fitting))


def _taken_otherwise(error: ValidationError, texts: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Of what was typed and is of the wrong kind, by dotted path: the value that may have been meant."""
    for mistake in error.errors():
        path = _path(mistake)
        if path in texts and mistake["type"] == "string_type":
            yield path, texts[path]
        if path in texts and mistake["type"] in {"tuple_type", "list_type"}:
            yield path, toml.parse_value(f"[{texts[path]}]")


def _path(mistake: ErrorDetails) -> str:
    return ".".join(str(part) for part in mistake["loc"])


def _with(values: Tree, changes: Mapping[str, Any]) -> Tree:
    for path, value in changes.items():
        values = toml.merge(values, toml.nest(path.split("."), value))
    return values


def with_nones(values: Tree, known: Mapping[str, FieldInfo]) -> Tree:
    """The tree with None for ``"none"``, which is how a TOML file says it, where None is allowed.

    Args:
        values: nested.
        known: every setting by dotted path.
    """
    for path, value in list(toml.leaves(values)):
        if value == "none" and path in known and type(None) in get_args(known[path].annotation):
            values = toml.merge(values, toml.nest(path.split("."), None))
    return values


def other_kind(config: BaseModel, path: str, given: Any) -> Iterator[str]:
    """Pydantic reads True as 1 and '3' as 3; a setting of another kind than it looks is a mistake to tell.

    Args:
        config: what pydantic made of it.
        path: the setting's dotted path.
        given: what was given for it.
    """
    value: Any = config
    for part in path.split("."):
        value = getattr(value, part, None)
    names = {bool: "true or false", int: "a whole number", float: "a number"}
    if type(value) in names and type(given) in {bool, str} and type(given) is not type(value):
        yield f"{path}: expected {names[type(value)]}, got {given!r}"
    elif type(value) is bool and type(given) in {int, float}:
        yield f"{path}: expected true or false, got {given!r}"
