"""Names of run folders: the same cause has the same name on every machine."""

from __future__ import annotations

from typing import Any

from bench.data.types import Dataset
from bench.runs.folders import digest, slug
from bench.runs.provenance import package_versions, settings_by_content
from bench.settings.config import EntryConfig, RunConfig, find_model
from reports.records.run import SCHEMA_VERSION

_WITHOUT_EFFECT = ("workers", "train.log_every", "train.checkpoint_minutes", "train.keep_checkpoint")
"""Settings that change no number of a result."""

_WITHOUT_EFFECT_ON_EXTERNAL = ("evaluate.batch", "evaluate.save_candidates", "evaluate.candidates")


def run_name(config: EntryConfig, dataset: Dataset) -> str:
    """``<variant>-<data>-<seed>-<digest of the cause>``: the same cause has the same name on every machine.

    A predictor that was trained elsewhere has no seed; its version is part of the cause.
    """
    tree = config.tree()
    del tree["data"]  # its fingerprint says all
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
