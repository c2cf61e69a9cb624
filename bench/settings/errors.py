"""A wrong setting told in one line: its dotted path, what was expected, what was given, the nearest right name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from metrics.registry import did_you_mean

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list, as in [1, 2]",
    "list_type": "a list, as in [1, 2]",
    "dict_type": "a table, as in {{name = 1}}",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "a number below {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} values",
    "too_long": "at most {max_length} values",
    "string_too_short": "text of at least {min_length} letters",
    "literal_error": "one of {expected}",
}


def explain(
    error: ValidationError,
    given: Mapping[str, Any],
    known: Sequence[str],
    origins: Mapping[str, str],
    owner: str = "",
) -> list[str]:
    """One line for each mistake, in the order of the settings.

    Args:
        error: what pydantic found.
        given: the settings that it checked, nested.
        known: the dotted path of every setting.
        origins: where a setting came from, by dotted path; a file is named before the path.
        owner: said after "no such setting": `` of variant 'ssd'``.
    """
    lines: dict[str, None] = {}
    for mistake in error.errors():
        path, depth = _place(mistake, known)
        origin = _origin(path, origins)
        where = "" if origin.startswith("--") or origin in {"", "default"} else f"{origin}: "
        lines[where + _line(mistake, path, depth, given, known, owner)] = None
    return list(lines)


def unknown_setting(path: str, known: Sequence[str], depth: int, owner: str = "") -> str:
    """``nms.iuo: no such setting; did you mean 'iou'?``

    Args:
        path: what was asked for.
        known: the dotted path of every setting.
        depth: how many parts of `path` are right.
        owner: said after "no such setting".
    """
    parts = path.split(".")
    wrong = parts[min(depth, len(parts) - 1)]
    inside = ".".join(parts[:depth])
    siblings = _siblings(inside, known)
    elsewhere = {name.rpartition(".")[2]: name for name in reversed(known)}
    hint = did_you_mean(wrong, siblings)
    if not hint and wrong in elsewhere and elsewhere[wrong] != path:
        hint = f"; did you mean {elsewhere[wrong]!r}?"
    if not hint:
        near = did_you_mean(wrong, elsewhere)
        hint = f"; did you mean {elsewhere[near.split(chr(39))[1]]!r}?" if near else ""
    if not hint:
        hint = f"; known{f' in {inside}' if inside else ''}: {', '.join(siblings)}"
    return f"{path}: no such setting{owner}{hint}"


def _place(mistake: ErrorDetails, known: Sequence[str]) -> tuple[str, int]:
    """The setting's path, without the parts that name a list's item or a union's member; and its depth."""
    parts = [str(part) for part in mistake["loc"]]
    if mistake["type"] == "extra_forbidden":
        return ".".join(parts), len(parts) - 1
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in known:
            return ".".join(parts[:end]), end
    return ".".join(parts), len(parts)


def _line(
    mistake: ErrorDetails,
    path: str,
    depth: int,
    given: Mapping[str, Any],
    known: Sequence[str],
    owner: str,
) -> str:
    kind = mistake["type"]
    if kind == "extra_forbidden":
        return unknown_setting(path, known, depth, owner)
    if kind in {"value_error", "assertion_error"}:
        return f"{path}: {mistake['ctx']['error']}" if path else str(mistake["ctx"]["error"])
    if kind in {"model_type", "model_attributes_type"}:
        inner = _siblings(path, known)
        return (
            f"{path}: a section, not a value; set what is in it, as in {path}.{inner[0]}={mistake['input']}"
        )
    value = _value(path, given, mistake["input"])
    if kind == "missing":
        return f"{path}: must be given, as in --set {path}=..."
    if kind in _EXPECTED:
        expected = _EXPECTED[kind].format(**mistake.get("ctx", {}))
        near = ""
        if kind == "literal_error" and isinstance(value, str):
            options = expected.replace("one of ", "").replace(" or ", ", ").split(", ")
            near = did_you_mean(value, [option.strip("'") for option in options])
        return f"{path}: expected {expected}, got {value!r}{near}"
    return f"{path}: {mistake['msg'][:1].lower()}{mistake['msg'][1:]}, got {value!r}"


def _value(path: str, given: Mapping[str, Any], otherwise: Any) -> Any:
    value: Any = given
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return otherwise
        value = value[part]
    return value


def _siblings(inside: str, known: Sequence[str]) -> list[str]:
    prefix = f"{inside}." if inside else ""
    names = [path[len(prefix) :].split(".")[0] for path in known if path.startswith(prefix)]
    return list(dict.fromkeys(names))


def _origin(path: str, origins: Mapping[str, str]) -> str:
    if path in origins:
        return origins[path]
    return next((origin for known, origin in origins.items() if known.startswith(f"{path}.")), "")
