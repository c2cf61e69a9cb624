"""Two heads for the same priors: one assigns many priors to an object, the other a single one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from detectors.heads.dense import HeadOutput

Inference = Literal["one_to_one", "one_to_many"]


class DualHead(nn.Module):
    """A one-to-many and a one-to-one head on the same features.

    Wang et al. 2024 (YOLOv10), section 3.1. The features of the one-to-one head are detached: the one-to-many head alone
    trains backbone and neck, because its many positives are a richer signal.

    In training, the output is that of the head for inference, and its ``auxiliary`` is that of the other head. In
    evaluation mode the other head is not computed.

    Args:
        one_to_many: trained with several positive priors per object; its detections need NMS.
        one_to_one: trained with one positive prior per object; its detections need no NMS.
        inference: which of the two predicts.
    """

    def __init__(self, one_to_many: nn.Module, one_to_one: nn.Module, inference: Inference) -> None:
        super().__init__()
        self.one_to_many = one_to_many
        self.one_to_one = one_to_one
        self.inference = inference

    def forward(self, features: Sequence[Tensor]) -> HeadOutput:
        """See `HeadOutput`."""
        if not self.training:
            used = self.one_to_one if self.inference == "one_to_one" else self.one_to_many
            alone: HeadOutput = used(features)
            return alone
        many: HeadOutput = self.one_to_many(features)
        one: HeadOutput = self.one_to_one([feature.detach() for feature in features])
        if self.inference == "one_to_one":
            return one._replace(auxiliary=many)
        return many._replace(auxiliary=one)
