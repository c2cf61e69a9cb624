"""Names of run folders, which identify what a run depends on."""

from __future__ import annotations

from typing import Any

from bench.data.types import Dataset
from bench.runs.folders import digest, slug
from bench.runs.provenance import package_versions, settings_by_content
from bench.settings.config import EntryConfig, RunConfig, find_model
from reports.records.run import SCHEMA_VERSION

_WITHOUT_EFFECT = ("workers", "train.log_every", "train.checkpoint_minutes", "train.keep_checkpoint")
"""Settings that do not change a result."""

_WITHOUT_EFFECT_ON_EXTERNAL = ("evaluate.batch", "evaluate.save_candidates", "evaluate.candidates")
"""The same for external models."""


def run_name(config: EntryConfig, dataset: Dataset) -> str:
    """``<variant>-<data>-<seed>-<digest>``: equal settings, data and versions give the same name on every machine.

    An external model has no seed; its version is part of the digest.
    """
    tree = config.tree()
    del tree["data"]  # the fingerprint stands for it
    if not any(tree.get("tuned", {}).values()):
        tree.pop("tuned", None)
    for path in _WITHOUT_EFFECT if isinstance(config, RunConfig) else _WITHOUT_EFFECT_ON_EXTERNAL:
        *sections, last = path.split(".")
        section: Any = tree
        for part in sections:
            section = section[part]
        del section[last]
    cause = {
        "schema": SCHEMA_VERSION,
        "version": package_versions().get("detbench"),
        "data": dataset.fingerprint,
        "settings": settings_by_content(tree),
    }
    name = f"{slug(config.variant)}-{slug(dataset.name)}"
    if isinstance(config, RunConfig):
        return f"{name}-{config.seed}-{digest(cause)}"
    return f"{name}-{digest(cause | {'source': find_model(config.variant).source})}"
