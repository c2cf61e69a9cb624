"""Names that a user can type: variants, measures and data sets, found lazily by the name of their file."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

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
    """The known name that is spelled most similarly to `name`; None where none is similar."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'retinanet'?"``, or an empty string where no known name is similar."""
    nearest = nearest_name(name, known)
    return f"; did you mean {nearest!r}?" if nearest else ""


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from a name to a thing that a module of that name registers when it is imported.

    The modules of `package` are ours; other distributions add theirs by an entry point of the group
    ``detbench.<kind>s``, which names a module. A module is imported when its name is first asked for.

    Args:
        kind: what a user calls such a thing: ``variant``, ``measure``, ``dataset``.
        package: dotted name of the folder whose files are named by the things in them.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self._things: dict[str, T] = {}

    def register(self, name: str, thing: T) -> T:
        """Called by a module for each thing it defines; the same name twice is an error."""
        if name in self._things:
            raise InputError(f"{self.kind} {name!r} is registered twice; rename one of them")
        self._things[name] = thing
        return thing

    def names(self) -> list[str]:
        """All names in alphabetical order, without importing a module."""
        return sorted({*self.modules(), *self._things})

    def modules(self) -> dict[str, str]:
        """Dotted name of the module of each name, without importing it."""
        return self._theirs() | self._ours()

    def __getitem__(self, name: str) -> T:
        if name not in self._things:
            module = self._ours().get(name) or self._theirs().get(name)
            if module is not None:
                importlib.import_module(module)
        if name not in self._things:
            raise UnknownName(self.kind, name, self.names())
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def _ours(self) -> dict[str, str]:
        folder = importlib.import_module(self.package)
        return {
            module.name: f"{self.package}.{module.name}"
            for module in pkgutil.iter_modules(folder.__path__)
            if not module.name.startswith("_")
        }

    def _theirs(self) -> dict[str, str]:
        # Reading what is installed takes as long as evaluating a small data set: only where it is needed.
        from importlib.metadata import entry_points

        return {entry.name: entry.value for entry in entry_points(group=f"detbench.{self.kind}s")}
