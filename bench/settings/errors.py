"""Invalid settings as data: path, what was expected and given, and the nearest valid name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from metrics.errors import InputError
from metrics.messages import MAX_LINES
from metrics.registry import nearest_name

_EXPECTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of at most 64 bits",
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
    "string_too_short": "text of at least {min_length} characters",
    "literal_error": "one of {expected}",
}
_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingMistake:
    """One invalid setting; `str` makes the sentence.

    Attributes:
        path: dotted path; empty for a mistake that concerns several settings.
        expected: what the setting takes, as a phrase; empty for an unknown setting.
        given: the value that was given.
        nearest: the valid name or value that is spelled most similarly, or None.
        known: valid names where `path` goes wrong, for an unknown setting.
        message: a sentence from a validator, which stands in place of `expected` and `given`.
        origin: the file or preset that the value came from; empty for the command line.
        owner: whose setting it is, after "no such setting": ``of variant 'ssd'``.
    """

    path: str
    expected: str = ""
    given: Any = None
    nearest: str | None = None
    known: tuple[str, ...] = ()
    message: str = ""
    origin: str = ""
    owner: str = ""

    def __str__(self) -> str:
        hint = f"; did you mean {self.nearest!r}?" if self.nearest else ""
        if self.message:
            text = self.message
        elif self.expected:
            text = f"expected {self.expected}, got {_shown(self.given)}{hint}"
        else:
            section = self.path.rpartition(".")[0]
            known = f"; known{f' in {section}' if section else ''}: {', '.join(self.known)}"
            text = f"no such setting{f' {self.owner}' if self.owner else ''}{hint or known}"
        return ": ".join(part for part in (self.origin, self.path, text) if part)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


_LONGEST_VALUE = 200


class SettingsError(InputError):
    """Invalid settings, one line each.

    Attributes:
        mistakes: in the order of the settings, each once.
    """

    def __init__(self, mistakes: Sequence[SettingMistake]) -> None:
        lines = {str(mistake): mistake for mistake in mistakes}
        self.mistakes = tuple(lines.values())
        super().__init__("\n".join(lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """One line per mistake."""
        return tuple(map(str, self.mistakes))


def settings_error(
    error: ValidationError,
    given: Mapping[str, Any],
    fields: Mapping[str, FieldInfo],
    files: Mapping[str, str] | None = None,
    owner: str = "",
    section: str = "",
) -> SettingsError:
    """The mistakes that pydantic found.

    Args:
        error: raised by pydantic.
        given: the settings that were validated, nested.
        fields: every setting by dotted path.
        files: name of the file or preset of each setting that came from one, by dotted path.
        owner: see `SettingMistake.owner`.
        section: dotted path of the section that was validated, if it is not the whole tree.
    """
    mistakes: list[SettingMistake] = []
    for details in error.errors():
        parts = [*([section] if section else []), *(str(part) for part in details["loc"])]
        path = _setting_path(parts, fields)
        origin = _origin(path, files or {})
        if details["type"] == "extra_forbidden" and len(mistakes) >= MAX_LINES:
            mistakes.append(SettingMistake(path=path, origin=origin, owner=owner))  # counted, and not listed
        elif details["type"] == "extra_forbidden":
            mistakes.append(unknown_setting(".".join(parts), len(parts) - 1, fields, origin, owner))
        else:
            mistakes.append(_invalid_setting(details, path, given, fields, origin))
    return SettingsError(_by_setting(mistakes))


def _by_setting(mistakes: Sequence[SettingMistake]) -> list[SettingMistake]:
    """The mistakes with one for each value that fits no member of a union, of which pydantic reports every member."""
    merged: list[SettingMistake] = []
    for mistake in mistakes:
        last = merged[-1] if merged else None
        if last is not None and last.path == mistake.path and last.expected and mistake.expected:
            expected = f"{last.expected} or {mistake.expected}"
            merged[-1] = replace(last, expected=expected, nearest=last.nearest or mistake.nearest)
        else:
            merged.append(mistake)
    return merged


def unknown_setting(
    path: str, depth: int, fields: Mapping[str, FieldInfo], origin: str = "", owner: str = ""
) -> SettingMistake:
    """A setting that does not exist, with the nearest name: in its section, or else anywhere.

    Args:
        path: the unknown setting's path.
        depth: number of leading parts of `path` that exist.
        fields: every setting by dotted path.
        origin: see `SettingMistake.origin`.
        owner: see `SettingMistake.owner`.
    """
    parts = path.split(".")
    wrong = parts[min(depth, len(parts) - 1)]
    siblings = _names_in(".".join(parts[:depth]), fields)
    nearest = nearest_name(wrong, siblings)
    if nearest is None:
        elsewhere = {name.rpartition(".")[2]: name for name in reversed(list(fields))}
        similar = wrong if wrong in elsewhere and elsewhere[wrong] != path else nearest_name(wrong, elsewhere)
        nearest = elsewhere[similar] if similar else None
    return SettingMistake(path=path, nearest=nearest, known=tuple(siblings), origin=origin, owner=owner)


def find_type_mismatches(
    config: BaseModel, given: Mapping[str, Any], files: Mapping[str, str]
) -> Iterator[SettingMistake]:
    """Values that pydantic converts but that look like another type: true for 1, '3' for 3, 1 for true.

    Args:
        config: the validated settings.
        given: the values that were given, by dotted path.
        files: as for `settings_error`.
    """
    for path, raw in given.items():
        value: Any = config
        for part in path.split("."):
            value = getattr(value, part, None)
        expected = type(value)
        if expected not in _TYPE_NAMES or type(raw) is expected:
            continue
        if type(raw) in (bool, str) or (expected is bool and type(raw) in (int, float)):
            origin = _origin(path, files)
            yield SettingMistake(path=path, expected=_TYPE_NAMES[expected], given=raw, origin=origin)


def _setting_path(parts: Sequence[str], fields: Mapping[str, FieldInfo]) -> str:
    """Path of the setting, without the parts that name an item of a list or a member of a union."""
    paths = [".".join(parts[:end]) for end in range(len(parts), 0, -1)]
    return next((path for path in paths if path in fields), ".".join(parts))


def _invalid_setting(
    details: ErrorDetails, path: str, given: Mapping[str, Any], fields: Mapping[str, FieldInfo], origin: str
) -> SettingMistake:
    kind = details["type"]
    if kind in {"value_error", "assertion_error"}:
        return SettingMistake(path=path, message=str(details["ctx"]["error"]), origin=origin)
    if kind in {"model_type", "model_attributes_type"}:
        example = f"{path}.{_names_in(path, fields)[0]}={details['input']}"
        message = f"a section, not a value; set what is in it, as in {example}"
        return SettingMistake(path=path, message=message, origin=origin)
    if kind == "missing":
        return SettingMistake(path=path, message=f"must be given, as in --set {path}=...", origin=origin)
    value = _value_at(path, given, details["input"])
    if kind not in _EXPECTED:
        message = f"{details['msg'][:1].lower()}{details['msg'][1:]}, got {_shown(value)}"
        return SettingMistake(path=path, message=message, given=value, origin=origin)
    expected = _EXPECTED[kind].format(**details.get("ctx", {}))
    if kind == "literal_error":
        expected = expected if " or " in expected else expected.removeprefix("one of ")
    options = _literals(fields[path].annotation) if kind == "literal_error" and path in fields else []
    nearest = nearest_name(value, options) if isinstance(value, str) else None
    return SettingMistake(path=path, expected=expected, given=value, nearest=nearest, origin=origin)


def _literals(annotation: Any) -> list[str]:
    """Texts of the `Literal` in a type, also within a union or a list."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return [option for option in arguments if isinstance(option, str)]
    return [option for argument in arguments for option in _literals(argument)]


def _value_at(path: str, given: Mapping[str, Any], default: Any) -> Any:
    value: Any = given
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def _names_in(section: str, fields: Mapping[str, FieldInfo]) -> list[str]:
    prefix = f"{section}." if section else ""
    names = [path[len(prefix) :].split(".")[0] for path in fields if path.startswith(prefix)]
    return list(dict.fromkeys(names))


def _origin(path: str, files: Mapping[str, str]) -> str:
    """The file that a setting, or a setting in that section, came from; empty if it came from no file."""
    inside = (origin for known, origin in files.items() if known.startswith(f"{path}."))
    return files.get(path) or next(inside, "")
