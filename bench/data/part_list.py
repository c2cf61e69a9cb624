"""Data sets of several parts as a user names them: paths joined by ``+``, or a TOML file that lists them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from bench.settings import toml
from bench.settings.errors import settings_error
from detectors.config import Config
from metrics.errors import InputError
from metrics.real_path import real_path


class PartConfig(Config):
    """A part of a data set; further keys are options of its format."""

    model_config = ConfigDict(extra="allow")

    path: str = Field(min_length=1)
    """Its folder or file, relative to the file that lists it."""
    format: str = "auto"
    """Its format; auto detects it."""
    name: str | None = Field(default=None, min_length=1)
    """Put before the names of its images; by default from its path."""
    take: Literal["train", "val", "test"] | None = None
    """Use only the images of this split of the part."""
    split: Literal["train", "val", "test"] | None = None
    """Use all images of the part for this split."""

    @property
    def options(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


@dataclass(frozen=True, slots=True)
class PartList:
    """Parts of a data set.

    Attributes:
        parts: at least one; their paths are relative to the working folder.
        folder: to which the paths in the options are relative.
        options: of the whole data set, as they are in the file.
        file: that lists the parts; None if they were joined by ``+``.
    """

    parts: tuple[PartConfig, ...]
    folder: Path = Path()
    options: Mapping[str, Any] = field(default_factory=dict)
    file: Path | None = None


def split_paths(text: str) -> list[str] | None:
    """The paths of ``a+b``, each of which exists; None if the text is one path, or no path of its pieces exists.

    A folder whose own name has a ``+`` is one piece.

    Raises:
        InputError: one of the paths does not exist, or the text can be divided in two ways.
    """
    pieces = text.split("+")
    if len(pieces) < 2 or Path(text).exists():
        return None
    ways = _ways(pieces)
    if len(ways) > 1:
        both = " or ".join(" and ".join(way) for way in ways[:2])
        raise InputError(
            f"{text}: may be {both}; list the parts in a TOML file: {_example(ways[0])}, saved as data.toml, and --data data.toml"
        )
    if ways:
        return ways[0]
    exist = [piece for piece in pieces if piece and Path(piece).exists()]
    if not exist:
        return None
    missing = next(piece for piece in pieces if piece not in exist)
    raise InputError(
        f"{text}: {missing or 'an empty name'}: no such folder or file; + joins several folders or files to one data set"
    )


def _ways(pieces: Sequence[str]) -> list[list[str]]:
    """The ways in which adjacent pieces, joined again, are paths that exist; at most two."""
    if not pieces:
        return [[]]
    ways = []
    for end in range(1, len(pieces) + 1):
        path = "+".join(pieces[:end])
        if path and Path(path).exists():
            ways += [[path, *rest] for rest in _ways(pieces[end:])]
            if len(ways) > 1:
                break
    return ways[:2]


def _example(paths: Sequence[str]) -> str:
    parts = ", ".join(f'{{path = "{path}"}}' for path in paths)
    return f"parts = [{parts}]"


def read_part_list(file: Path) -> PartList:
    """The parts that a TOML file lists, and its options of the whole data set.

    Raises:
        InputError: not TOML, no parts, or a part without a path or with an invalid value.
    """
    values = toml.read(file)
    listed = values.pop("parts", None)
    example = _example(["photos", "more/annotations.json"])
    if not isinstance(listed, list) or not listed or not all(isinstance(part, dict) for part in listed):
        raise InputError(f"{file}: expected the parts of a data set, as in {example}")
    parts = []
    for number, part in enumerate(listed):
        fields = {f"parts[{number}].{name}": field for name, field in PartConfig.model_fields.items()}
        section = f"parts[{number}]"
        try:
            config = PartConfig.model_validate(part)
        except ValidationError as error:
            raise settings_error(
                error, {section: part}, fields, dict.fromkeys(fields, str(file)), section=section
            ) from None
        if not (file.parent / config.path).exists():
            raise InputError(f"{file}: {section}: {config.path}: no such folder or file in {file.parent}")
        parts.append(config.model_copy(update={"path": str(file.parent / config.path)}))
    return PartList(tuple(parts), file.parent, values, file)


def distinct_part_names(
    paths: Sequence[Path], names: Sequence[str | None], default: Callable[[Path], str]
) -> list[str]:
    """Name of each part; of defaults that are equal those of files get the file's name, then all the names of folders above."""
    chosen = [name or default(path) for path, name in zip(paths, names, strict=True)]
    repeated = {name for name in chosen if chosen.count(name) > 1}
    for k, path in enumerate(paths):
        if names[k] is None and chosen[k] in repeated and path.is_file():
            chosen[k] = f"{chosen[k]}-{path.stem}"
    above = [list(real_path(path).parents) for path in paths]
    for _ in range(max(map(len, above))):
        repeated = {name for name in chosen if chosen.count(name) > 1}
        if not repeated:
            break
        for k, name in enumerate(chosen):
            if name in repeated and names[k] is None and above[k]:
                chosen[k] = f"{above[k].pop(0).name}-{name}".strip("-")
    return chosen
