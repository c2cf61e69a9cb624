"""A class head and a box head of fully connected layers, on one vector per image."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from detectors.coders import BoxCoder
from detectors.heads.dense import HeadOutput


class MLPHead(nn.Module):
    """Class logits and a box code from a vector, whose last four channels are a box that the code corrects.

    Args:
        channels_in: of the vector.
        hidden: width of the hidden layer of each branch.
        class_channels: of the logits.
        coder: of the box, relative to the whole image.
        class_bias: initial bias of the logits.
    """

    def __init__(
        self, channels_in: int, hidden: int, class_channels: int, coder: BoxCoder, class_bias: float = 0.0
    ) -> None:
        super().__init__()
        self.coder = coder
        self.class_branch = _branch(channels_in, hidden, class_channels, class_bias)
        self.box_branch = _branch(channels_in, hidden, coder.channels, 0.0)

    def forward(self, features: Sequence[Tensor]) -> HeadOutput:
        """Output for one prior from a single level (B, C, 1, 1)."""
        (vector,) = (level.flatten(1) for level in features)
        box = vector[:, -4:]
        codes = self.coder.encode(box, box.new_tensor([0.0, 0.0, 1.0, 1.0])) + self.box_branch(vector)
        return HeadOutput(self.class_branch(vector)[:, None], codes[:, None], None)


def _branch(channels_in: int, hidden: int, channels_out: int, bias: float) -> nn.Sequential:
    out = nn.Linear(hidden, channels_out)
    nn.init.normal_(out.weight, std=0.01)
    nn.init.constant_(out.bias, bias)
    return nn.Sequential(nn.Linear(channels_in, hidden), nn.ReLU(inplace=True), out)
