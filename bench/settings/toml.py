"""Read and write settings as TOML and as `name=value` of the command line."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

from metrics.errors import InputError, of_system
from metrics.formats.untrusted import open_input
from metrics.plurals import plural

Tree = dict[str, Any]
"""Settings as nested dicts: ``{"nms": {"iou": 0.5}}``."""

_NAME_PART = re.compile(r"""\s*(?:("(?:[^"\\]|\\.)*"|'[^']*')\s*(?=[.=]|$)|([^.=]*))""")
"""A part of a setting's name, in quotes or not, up to the next dot or ``=``."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def read(path: Path) -> Tree:
    """The settings in a TOML file.

    Raises:
        InputError: the file is absent, unreadable, not UTF-8 or not TOML; the text has the place.
    """
    try:
        with open_input(path, _MAX_BYTES) as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise InputError(f"{path}: more than {_MAX_BYTES:,} bytes, which is too long for settings")
        return _parse(content.decode("utf-8-sig").replace("\r\n", "\n"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder; a TOML file was expected") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read by this user") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except InputError:
        raise
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    except OSError as error:
        raise of_system(error, path) or InputError(f"{path}: cannot be read: {error.strerror}") from None


_MAX_BYTES = 2**20
_MAX_LEVELS = 20
"""Largest file of settings, and number of names in a dotted path or of brackets within brackets; ours need far less."""

_LONG_PATH = re.compile(
    r"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){%d}""" % _MAX_LEVELS  # noqa: UP031
)


def _parse(text: str) -> Tree:
    """The settings in a TOML document of limited depth, with integers of 64 bits, as TOML has them.

    Raises:
        ValueError: it is not TOML, or exceeds these limits.
    """
    too_deep = f"more than {_MAX_LEVELS} levels of names or brackets, which is too deep for settings"
    if _LONG_PATH.search(text):  # tomllib needs quadratic time for them
        raise ValueError(too_deep)
    try:
        tree = tomllib.loads(text)
    except RecursionError:
        raise ValueError(too_deep) from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python refuses decimal numbers of more than 4300 digits
        raise ValueError(_TOO_LARGE) from None
    level: list[Any] = [tree]
    for _ in range(_MAX_LEVELS + 1):
        if any(isinstance(value, int) and not -(2**63) <= value < 2**63 for value in level):
            raise ValueError(_TOO_LARGE)
        if any(isinstance(value, (date, time)) for value in level):
            raise ValueError("a date or time, which no setting takes")
        level = [
            inner
            for value in level
            if isinstance(value, (dict, list))
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise ValueError(too_deep)
    return tree


_TOO_LARGE = "a whole number of more than 64 bits, which no setting takes"


def parse_set(text: str) -> tuple[tuple[str, ...], str]:
    """Path and text of the value of one ``a.b=value``, as `--set` takes it.

    A part of the name that has dots, spaces at its ends or ``=`` is in quotes, as in TOML: ``data.classes."a.b"=c``.

    Raises:
        InputError: no ``=``, an empty path or an empty value.
    """
    path, end = _name_parts(text)
    name, equals, value = text[:end], text[end : end + 1], text[end + 1 :]
    if not equals:
        raise InputError(f"--set {text}: expected name=value, for example --set train.epochs=5")
    if len(path) > _MAX_LEVELS:
        raise InputError(
            f"--set {text[:40]}...: {plural(len(path), 'name')}; settings have at most {_MAX_LEVELS}"
        )
    if not all(path):
        raise InputError(f"--set {text}: expected a dotted name before '=', for example train.epochs")
    if not value.strip():
        raise InputError(
            f"{name.strip()}: empty value; for an empty text write '{name.strip()}=\"\"', with both kinds of quotes"
        )
    return path, value.strip()


def _name_parts(text: str) -> tuple[tuple[str, ...], int]:
    """The parts of the dotted name that a text starts with, and where it ends."""
    parts: list[str] = []
    end = -1
    while end < 0 or text[end : end + 1] == ".":
        match = _NAME_PART.match(text, end + 1)
        assert match is not None  # it also matches nothing
        quoted, plain = match.groups()
        try:
            parts.append(read_value(quoted) if quoted else plain.strip())
        except ValueError:  # an escape that TOML does not have
            parts.append(quoted)
        end = match.end()
    return tuple(parts), end


def read_value(text: str) -> Any:
    """The value that a line ``name = text`` of a TOML file has.

    Raises:
        ValueError: `text` is not one TOML value, or it has a date or time, which no setting takes.
    """
    document = _parse(f"value = {text}")
    if set(document) != {"value"}:
        raise ValueError(f"{text!r}: not a TOML value")
    return document["value"]


def nest(path: Sequence[str], value: Any) -> Tree:
    """``nest(("a", "b"), 1)`` is ``{"a": {"b": 1}}``."""
    for part in reversed(path):
        value = {part: value}
    tree: Tree = value
    return tree


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Both trees in one; where both set a leaf, that of `above`."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of every leaf; an empty section is a leaf."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def write(
    tree: Mapping[str, Any],
    descriptions: Mapping[str, str] | None = None,
    origins: Mapping[str, str] | None = None,
) -> str:
    """The tree as TOML, plain values first, then each section under its dotted name.

    TOML has no null: None is written as ``"none"``, which `detectors.config.Config` reads as None.

    Args:
        tree: values are None, bool, int, float, str, or lists and mappings of these.
        descriptions: comments above a setting or the header of a section, by dotted path.
        origins: comments after a value, by dotted path.
    """
    return "\n".join(_section(tree, (), descriptions or {}, origins or {})).strip() + "\n"


def _section(
    tree: Mapping[str, Any],
    path: tuple[str, ...],
    descriptions: Mapping[str, str],
    origins: Mapping[str, str],
) -> Iterator[str]:
    plain = {key: value for key, value in tree.items() if not isinstance(value, Mapping) or not value}
    if path and plain:
        yield ""
        yield from comment(descriptions.get(".".join(path), ""))
        yield f"[{'.'.join(_key(part) for part in path)}]"
    for key, value in plain.items():
        dotted = ".".join((*path, key))
        yield from comment(descriptions.get(dotted, ""))
        yield f"{_key(key)} = {_value(value)}" + (f"  # {origins[dotted]}" if dotted in origins else "")
    for key, value in tree.items():
        if key not in plain:
            yield from _section(value, (*path, key), descriptions, origins)


def comment(text: str) -> list[str]:
    """Lines of a comment, at most 80 columns wide; none for an empty text."""
    return textwrap.wrap(text, 80, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which only TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(_value(item) for item in value) + "]"
