"""Names of run folders, which identify what a run depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bench.data.types import Dataset
from bench.process import distributed
from bench.process.memory import device_memory
from bench.runs.finished_run import without_pretrained
from bench.runs.folders import digest, slug
from bench.runs.provenance import file_digest, package_versions, settings_by_content
from bench.settings.config import EntryConfig, RunConfig, find_model
from bench.training.device import pick_device
from detectors.external.registry import PATH_PREFIXES
from detectors.registry import VARIANTS
from reports.analysis.other_runs import OTHER_RUNS
from reports.records.run import SCHEMA_VERSION, RunFolder

_WITHOUT_EFFECT = (
    "workers",
    "train.cache",
    "train.cache_gb",
    "train.log_every",
    "train.checkpoint_minutes",
    "train.keep_checkpoint",
)
"""Settings that do not change a result."""

_ADDED: dict[str, Any] = {
    "train.validations": 0,
    "train.micro_batch": None,
    "train.sampling.pressure": 4.0,
    "train.decoding": "full",
}
"""Settings that earlier versions did not have, with the values by which runs are as in those: the names of such runs stay."""

_WITHOUT_EFFECT_ON_EXTERNAL = ("evaluate.batch", "evaluate.save_candidates", "evaluate.candidates")
"""The same for external models."""


def run_name(config: EntryConfig, dataset: Dataset, trained: RunFolder | None = None) -> str:
    """``<variant>-<data>-<seed>-<digest>``: equal settings, data and versions give the same name.

    An external model has no seed; its version is part of the digest. The number of threads on the CPU, and the device that
    ``auto`` chooses, change numbers and therefore the name, too: machines that differ in them agree on names only where
    ``threads`` and ``device`` are set. With ``train.micro_batch=auto`` the memory of the device counts, too.

    Args:
        config: all settings.
        dataset: data set of `config`.
        trained: finished run whose weights predict; its weights count, and not the files of pretrained weights.

    Raises:
        MachineError: this machine lacks the device.
    """
    tree = config.tree() | _computation(config)
    del tree["data"]  # the fingerprint stands for it
    tree["variant"] = _file_name(config.variant)
    if not any(tree.get("tuned", {}).values()):
        tree.pop("tuned", None)
    tree = _with_length(_with_weights(tree))
    added = [
        path for path, value in _ADDED.items() if isinstance(config, RunConfig) and config.get(path) == value
    ]
    for path in (*_WITHOUT_EFFECT, *added) if isinstance(config, RunConfig) else _WITHOUT_EFFECT_ON_EXTERNAL:
        *sections, last = path.split(".")
        section: Any = tree
        for part in sections:
            section = section[part]
        del section[last]
    if trained is not None:
        tree = without_pretrained(tree) | {"trained": file_digest(trained.path / RunFolder.WEIGHTS)}
        tree = {
            name: value for name, value in tree.items() if name not in {other.section for other in OTHER_RUNS}
        }  # the weights stand for them
    cause = {
        "schema": SCHEMA_VERSION,
        "version": package_versions().get("detbench"),
        "data": dataset.fingerprint,
        "settings": settings_by_content(tree),
    } | used_masks(config, dataset)
    name = f"{slug(_file_name(config.variant))}-{slug(dataset.name)}"
    if isinstance(config, RunConfig):
        return f"{name}-{config.seed}-{digest(cause)}"
    return f"{name}-{digest(cause | {'source': find_model(config.variant).source})}"


def _with_weights(tree: dict[str, Any]) -> dict[str, Any]:
    """The settings with the weights of the compressed run and of the teacher instead of their paths; without these sections if
    there are none.
    """
    tree = dict(tree)
    for other in OTHER_RUNS:
        path = other.given(tree)
        if path is None:
            tree.pop(other.section, None)
            continue
        weights = Path(path) / RunFolder.WEIGHTS
        content = file_digest(weights) if weights.is_file() else path
        tree[other.section] = {**tree[other.section], other.setting: content}
    return without_pretrained(tree) if "compression" in tree else tree


def _with_length(tree: dict[str, Any]) -> dict[str, Any]:
    """The settings without the number of epochs if a budget ends training, otherwise without the budget."""
    if "train" not in tree:
        return tree
    has_budget = any(amount is not None for amount in tree["train"]["budget"].values())
    unused = "epochs" if has_budget else "budget"
    return {**tree, "train": {name: value for name, value in tree["train"].items() if name != unused}}


def _file_name(variant: str) -> str:
    """Name of a variant or external model; that of a file without folders, because its contents are part of its source."""
    kind, slash, path = variant.partition("/")
    return kind + slash + Path(path).name if variant.startswith(PATH_PREFIXES) else variant


def used_masks(config: EntryConfig, dataset: Dataset) -> dict[str, Any]:
    """The fingerprint of the data set's masks for a run that reads them: its variant learns from them, or objects are pasted."""
    if not isinstance(config, RunConfig):
        return {}
    if not VARIANTS[config.variant].label_maps and not config.augment.copy_paste:
        return {}
    return {} if dataset.mask_fingerprint is None else {"masks": dataset.mask_fingerprint()}


def _computation(config: EntryConfig) -> dict[str, Any]:
    """What decides, besides settings, how batches are divided and in which order sums are computed, and so how they are rounded."""
    device = pick_device(config.device)
    cause: dict[str, Any] = {
        "device": device.type if config.device == "auto" else config.device,
        "threads": (config.threads or torch.get_num_threads()) if device.type == "cpu" else None,
    }
    if isinstance(config, RunConfig) and config.train.micro_batch == "auto":
        cause["memory"] = device_memory(device)
    if distributed.num_processes() > 1:
        cause["processes"] = distributed.num_processes()
    return cause
