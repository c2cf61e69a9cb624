"""Assignment of the most prominent object of an image, for detectors that report one object per image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.assigners.types import BACKGROUND, Assignment, PaddedTargets, Prediction


class LargestAssigner:
    """All priors are assigned to the object with the largest area; of equal ones, to the first.

    In an image without objects all priors are background.
    """

    needs_prediction = False

    def __call__(
        self,
        truth: PaddedTargets,
        priors: Tensor,
        levels: Sequence[int],
        prediction: Prediction | None = None,
    ) -> Assignment:
        """See `Assigner`."""
        sides = truth.boxes[..., 2:] - truth.boxes[..., :2]
        area = torch.where(truth.valid, sides.prod(dim=-1), -1.0)
        largest = torch.where(truth.valid.any(dim=1), area.argmax(dim=1), BACKGROUND)
        return Assignment(largest[:, None].expand(-1, len(priors)))
