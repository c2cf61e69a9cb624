"""Synthetic runs on several numbers of training images, whose skill follows a power law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from synthetic_runs import run_in, truth_of

from reports.records.run import DataFacts, RunFolder


def sized_runs(
    folder: Path,
    laws: Mapping[str, tuple[float, float, float]],
    sizes: Sequence[int] = (50, 100, 200, 400),
    seeds: int = 2,
    images: int = 60,
) -> list[RunFolder]:
    """Runs of variants whose skill is ``a - b * n**-c``, under `seeds` seeds; the largest size is all images."""
    truth = truth_of(images, ("round", "long"), most=5)
    facts = DataFacts(
        name="cells", format="coco", split="test", fingerprint=truth.fingerprint, images=images, objects=len(truth), classes=2
    )  # fmt: skip
    runs = []
    for variant, (a, b, c) in laws.items():
        for size in sizes:
            for seed in range(seeds):
                noise = np.random.default_rng([size, seed, len(variant)]).normal(0, 0.01)
                limit = None if size == max(sizes) else size
                settings = {
                    "seed": seed,
                    "data": {"path": "cells", "train_images": limit},
                    "variant": variant,
                }
                runs.append(
                    run_in(
                        folder, truth, variant, float(np.clip(a - b * size**-c + noise, 0, 1)), seed,
                        name=f"{variant}-cells-{seed}-{size}", config=settings,
                        data=facts.model_copy(update={"train_images": size}),
                    )
                )  # fmt: skip
    return runs
