"""YAML as text: every scalar is a string as written, so that class names ``no``, ``007`` and ``1e3`` stay what they are."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.untrusted import read_text
from metrics.plurals import plural


def read_yaml_text(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; its scalars are strings.

    Raises:
        InputError: no mapping, a tag, a repeated key, or a merge of keys (``<<``) that is no mapping.
    """
    document = _read(path)
    if not isinstance(document, dict):
        raise InputError(f"{path}: expected train, val and names, got {type(document).__name__}")
    return document


def read_yaml_list(path: Path, what: str) -> list[Any]:
    """The list in a YAML file; its scalars are strings.

    Args:
        path: the file.
        what: its members, for messages.

    Raises:
        InputError: as of `read_yaml_text`; or no list.
    """
    document = _read(path)
    if not isinstance(document, list):
        raise InputError(f"{path}: expected a list of {what}, got {type(document).__name__}")
    return document


def _read(path: Path) -> Any:
    import yaml

    try:
        return yaml.load(read_text(path), Loader=_text_loader())
    except yaml.constructor.ConstructorError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise InputError(f"{path}{line}: {error.problem}; only plain values are allowed") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: is not YAML: {' '.join(str(error).split())}{_advice(error)}") from error
    except (RecursionError, ValueError, TypeError) as error:
        kind = "is nested too deeply" if isinstance(error, RecursionError) else f"is not YAML: {error}"
        raise InputError(f"{path}: {kind}") from error


def _advice(error: Exception) -> str:
    """How to correct two frequent mistakes."""
    if "unknown escape character" in str(error):
        return "; write paths in single quotes, or with / instead of \\"
    return "; replace tabs by spaces" if "\\t" in str(error) else ""


@cache
def _text_loader() -> Any:
    import yaml

    class TextLoader(yaml.SafeLoader):
        """Loads plain scalars as strings and refuses repeated keys."""

        yaml_implicit_resolvers: dict[str, Any] = {  # noqa: RUF012  # as in the base class
            "<": [
                entry for entry in yaml.SafeLoader.yaml_implicit_resolvers["<"] if entry[0].endswith("merge")
            ]
        }

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = Counter(
                key.value for key, _ in node.value if isinstance(key.value, str) and key.value != "<<"
            )
            for key, count in keys.items():
                if count > 1:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} occurs {plural(count, 'time')}", node.start_mark
                    )
            mapping: dict[Any, Any] = super().construct_mapping(node, deep)
            return mapping

    return TextLoader
