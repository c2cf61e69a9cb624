"""Registries of variants, measures and data sets by name; the file of an entry has its name, and is imported lazily."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from metrics.entry_points import entry_points
from metrics.errors import InputError

T = TypeVar("T")


class UnknownName(InputError, KeyError):
    """A name that is not registered.

    Attributes:
        name: the unknown name.
        known: the registered names, sorted.
        nearest: the registered name that is spelled most similarly, or None.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        self.nearest = nearest_name(name, self.known)
        hint = did_you_mean(name, self.known) or "; known: " + ", ".join(self.known)
        self.message = f"unknown {kind} {name!r}{hint}"
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that is spelled most similarly to `name`, in the same case if possible; None where none is similar."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if not close:
        folded = {one.casefold(): one for one in reversed(known)}
        close = [folded[one] for one in difflib.get_close_matches(name.casefold(), folded, n=1)]
    return next(iter(close), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'retinanet'?"``, or an empty string where no known name is similar."""
    nearest = nearest_name(name, known)
    return f"; did you mean {nearest!r}?" if nearest else ""


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to entries; a module registers its entry when it is imported.

    Modules are those of `package`, and those that other distributions name by entry points of the group
    ``detbench.<kind>s``. A module is imported when its name is first looked up.

    Args:
        kind: of entries, for error messages: ``variant``, ``measure``, ``dataset``.
        package: dotted name of the package whose modules have the names of their entries.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._entries: dict[str, T] = {}

    def register(self, name: str, entry: T) -> T:
        """Register an entry; a name that is already registered is an error."""
        if name in self._entries:
            raise InputError(f"{self.kind} {name!r} is registered twice; rename one of them")
        self._entries[name] = entry
        return entry

    def names(self) -> list[str]:
        """All names in alphabetical order, without importing their modules."""
        return sorted({*self.modules(), *self._entries})

    def modules(self) -> dict[str, str]:
        """Dotted name of the module of each name, without importing it."""
        return self._entry_points() | self._own_modules()

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            module = self._own_modules().get(name) or self._entry_points().get(name)
            if module is not None:
                importlib.import_module(module)
        if name not in self._entries:
            raise UnknownName(self.kind, name, self.names())
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        # Entry points come last: finding them reads a file of every installed distribution.
        return name in self._entries or name in self._own_modules() or name in self._entry_points()

    def _own_modules(self) -> dict[str, str]:
        folder = importlib.import_module(self.package)
        return {
            module.name: f"{self.package}.{module.name}"
            for module in pkgutil.iter_modules(folder.__path__)
            if not module.name.startswith("_")
        }

    def _entry_points(self) -> dict[str, str]:
        return {entry.name: entry.value for entry in entry_points(f"detbench.{self.kind}s")}
