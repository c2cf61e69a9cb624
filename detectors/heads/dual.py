"""Two class branches for the same boxes: one assigns many priors to an object, the other a single one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from detectors.heads.dense import CorrectionBranch, HeadOutput, OwnHeads, SharedHead, TowerFeatures

Inference = Literal["one_to_one", "one_to_many"]


class DualHead(nn.Module):
    """A one-to-many head, and a one-to-one branch that corrects its class logits.

    Wang et al. 2024 (YOLOv10), section 3.1, have two complete heads. Here the one-to-one branch reads the features of the
    other head's towers, adds its output to the other head's class logits, and has the other head's boxes, so that it only
    has to learn which of neighbouring priors keeps its score. As in the paper, the one-to-many head alone trains backbone
    and neck, because its many positives are a richer signal: all inputs of the one-to-one branch are detached.

    The logits of the output are those of the head for inference, and ``auxiliary`` those of the other. The one-to-one branch
    is computed in training, and if it predicts.

    Args:
        one_to_many: trained with several positive priors per object; its detections need NMS.
        one_to_one: trained with one positive prior per object; its detections need no NMS.
        inference: which of the two predicts.
    """

    def __init__(
        self, one_to_many: SharedHead | OwnHeads, one_to_one: CorrectionBranch, inference: Inference
    ) -> None:
        super().__init__()
        self.one_to_many = one_to_many
        self.one_to_one = one_to_one
        self.inference = inference

    def forward(self, features: Sequence[Tensor]) -> HeadOutput:
        """See `HeadOutput`."""
        towers = self.one_to_many.towers(features)
        many = self.one_to_many.outputs(towers)
        if self.inference == "one_to_many" and not self.training:
            return many
        detached = [TowerFeatures(*(each.detach() for each in tower)) for tower in towers]
        one: Tensor = many.logits.detach() + self.one_to_one(detached)
        if self.inference == "one_to_many":
            return many._replace(auxiliary=one)
        return many._replace(logits=one, auxiliary=many.logits)
