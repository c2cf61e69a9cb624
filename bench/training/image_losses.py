"""Latest loss of each training image, by which hard images are used more often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from bench.pipeline.loader import Batch, Loader
from bench.pipeline.sampling import SamplingConfig, hard_uses
from metrics.errors import InputError


class ImageLosses:
    """Losses of images in the epochs so far, equal in all processes; they decide how often each is used in the next epoch.

    Losses of an epoch change nothing before its end, so that its order is a function of the state at its start.

    Args:
        loader: of the training images.
        config: settings of sampling, with the rule ``hard``.
        accelerator: of the run.
        variant: named in an error.
    """

    def __init__(
        self, loader: Loader, config: SamplingConfig, accelerator: Accelerator, variant: str
    ) -> None:
        self._loader = loader
        self._config = config
        self._accelerator = accelerator
        self._variant = variant
        self._uses = loader.uses
        self._empty = np.array(loader.objects) == 0
        self._latest: NDArray[np.float64] = np.full(len(self._empty), np.nan)
        self._at_start = self._latest.copy()
        self._pending: list[tuple[Tensor, Tensor]] = []

    def start_epoch(self, batch: int) -> None:
        """Set how often each image is used in the epoch whose next batch is number `batch`."""
        self._take_over()
        if not batch:
            self._at_start = self._latest.copy()
        self._loader.uses = hard_uses(self._uses, self._at_start, self._empty, self._config)

    def add(self, batches: Sequence[Batch], losses: Tensor | None) -> None:
        """Note the losses (N,) of the images of an update in this process; the device is not waited for.

        Raises:
            InputError: there are none.
        """
        if losses is None:
            raise InputError(
                f"train.sampling.rule=hard: {self._variant} has no losses of single images; use another rule, or another variant"
            )
        index = torch.cat([batch.index for batch in batches])
        if self._accelerator.num_processes > 1:
            index, losses = self._of_all(index, losses, sum(map(len, batches)))
        self._pending.append((index, losses))

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps."""
        self._take_over()
        return {"latest": torch.from_numpy(self._latest), "at_start": torch.from_numpy(self._at_start)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        self._latest, self._at_start = (state[name].numpy().copy() for name in ("latest", "at_start"))

    def _of_all(self, index: Tensor, losses: Tensor, images: int) -> tuple[Tensor, Tensor]:
        """Indices and losses of all processes; one of them can have an image more than another."""
        device = self._accelerator.device
        most = int(self._accelerator.gather(torch.tensor([images], device=device)).max())
        own = torch.full((most, 2), -1.0, dtype=torch.float64, device=device)
        own[:images, 0], own[:images, 1] = index.to(device).double(), losses.double()
        index, losses = self._accelerator.gather(own).unbind(dim=1)
        return index[index >= 0].long(), losses[index >= 0]

    def _take_over(self) -> None:
        for index, losses in self._pending:
            values = losses.double().cpu().numpy()
            finite = np.isfinite(values)
            self._latest[index.cpu().numpy()[finite]] = values[finite]
        self._pending = []
