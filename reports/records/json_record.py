"""Records in JSON files: validated when read, with a schema version; the same record gives the same bytes.

Reading executes no code from files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from metrics.errors import InputError
from metrics.messages import reason
from metrics.plurals import plural

Document = dict[str, Any]
Migration = Callable[[Document], Document]


def _nan_to_none(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """Convert settings to JSON types: tuples to lists, paths to text, non-finite numbers to null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Path):
        return value.as_posix()
    return _nan_to_none(value)


FiniteOrNone = Annotated[float | None, BeforeValidator(_nan_to_none)]
"""A number, or None if not defined or not known; NaN and infinities become None."""

Settings = Annotated[dict[str, Any], BeforeValidator(_plain), PlainSerializer(_plain)]


class FrozenModel(BaseModel):
    """A frozen model without unknown keys and non-finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Record(FrozenModel):
    """A model that is stored as a file; subclasses have a field ``schema_version`` whose default is the current version."""

    KIND: ClassVar[str]
    """Its name in errors: ``run's result``."""
    REMEDY: ClassVar[str]
    """What to do about a damaged file: ``run again``."""
    MIGRATIONS: ClassVar[Mapping[int, Migration]] = {}
    """Conversions from each older version to the next: ``MIGRATIONS[1]`` converts version 1 to 2."""

    def to_json(self) -> str:
        """Serialise as sorted, indented JSON with a final newline."""
        document = self.model_dump(mode="json")
        return json.dumps(document, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """Parse the JSON of this version or an older one.

        Args:
            text: the document.
            where: its name in errors.

        Raises:
            InputError: invalid JSON, of a newer version, or not valid.
        """
        document = _parse(text, where, cls.KIND, cls.REMEDY)
        version = cls.model_fields["schema_version"].default
        try:
            return cls.model_validate(migrate(document, cls.MIGRATIONS, version, where, cls.REMEDY))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(step) for step in first["loc"])
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            message = (
                f"{where}: {place}: {first['msg']}{more}; the file is damaged or was edited: {cls.REMEDY}"
            )
            raise InputError(message) from error

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a file.

        Raises:
            InputError: as in `from_json`, or the file is too large.
        """
        # Records have a few kilobytes; a far larger file is something else and would exhaust memory.
        limit = 64 * 2**20
        size = file.stat().st_size
        if size > limit:
            raise InputError(
                f"{file}: {plural(size, 'byte')} is too large for a {cls.KIND} (at most {limit}); give another folder"
            )
        return cls.from_json(file.read_bytes(), str(file))


def migrate(
    document: Document,
    migrations: Mapping[int, Migration],
    to: int,
    where: str,
    remedy: str = "make it again",
) -> Document:
    """Convert a document of an older schema to version `to`; `document` is not changed.

    Raises:
        InputError: its version is missing, newer than `to`, or older than all migrations.
    """
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise InputError(
            f"{where}: schema_version: expected a whole number, got {version!r}; was it made by detbench?"
        )
    if version > to:
        raise InputError(
            f"{where}: has schema version {version}, and this detbench reads up to version {to}; "
            f"upgrade detbench, or {remedy} with this one"
        )
    oldest = to
    while oldest - 1 in migrations:
        oldest -= 1
    if version < oldest:
        known = f"versions {oldest} to {to}" if oldest < to else f"version {to} only"
        raise InputError(f"{where}: has schema version {version}, and this detbench reads {known}; {remedy}")
    current = dict(document)
    for step in range(version, to):
        current = {**migrations[step](dict(current)), "schema_version": step + 1}
    return current


def _parse(text: str | bytes, where: str, kind: str, remedy: str) -> Document:
    try:
        document = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise InputError(f"{where}: nested too deeply for a {kind}") from None
    except ValueError as error:
        raise InputError(f"{where}: invalid JSON ({reason(error)}); the file is damaged: {remedy}") from error
    if not isinstance(document, dict):
        raise InputError(
            f"{where}: expected an object, got {type(document).__name__}; was it made by detbench?"
        )
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number; undefined values are null")


def find_folder(path: str | Path, name: str, what: str, absent: str) -> Path:
    """Return the folder of a record.

    Args:
        path: the folder, or the record's file in it.
        name: name of the file.
        what: what the folder is of, for errors: ``a run``.
        absent: end of the error if the folder has no such file.

    Raises:
        InputError: there is no such folder, or no such file in it.
    """
    path = Path(path)
    folder = path.parent if path.name == name else path
    if not folder.is_dir():
        raise InputError(f"{path}: no such folder; give the folder of {what}")
    if not (folder / name).is_file():
        raise InputError(f"{folder}: holds no {name}{absent}")
    return folder
