"""Layouts of other tools: one file per tool, which writes a scene as the tool does."""

from __future__ import annotations

import importlib
import pkgutil

from layouts.registry import DETECTIONS, TRUTH

for module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"layouts.{module.name}")

__all__ = ["DETECTIONS", "TRUTH"]
