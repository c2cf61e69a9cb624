"""Runs that a run was made of: the one whose network was compressed, and the teacher of distillation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from reports.records.run import RunResult


class OtherRun(NamedTuple):
    """A run that another run was made of.

    Attributes:
        section, setting: of the settings that give it.
        field: of the result, with its name; ``<field>_model`` has the digest of its model.
    """

    section: str
    setting: str
    field: str

    @property
    def path(self) -> str:
        """Dotted path of the setting."""
        return f"{self.section}.{self.setting}"

    def given(self, config: Mapping[str, Any]) -> str | None:
        """The run as the settings give it; None without one, also in settings of older runs, which have no such section."""
        run: str | None = (config.get(self.section) or {}).get(self.setting)
        return run

    def name(self, result: RunResult) -> str | None:
        """The name of the run; None if it was not recorded."""
        name: str | None = getattr(result, self.field)
        return name

    def model(self, result: RunResult) -> str:
        """Digest of the model of the run; empty if it was not recorded."""
        digest: str = getattr(result, f"{self.field}_model")
        return digest


PARENT = OtherRun("compression", "run", "parent")
TEACHER = OtherRun("distill", "teacher", "teacher")
OTHER_RUNS = (PARENT, TEACHER)
