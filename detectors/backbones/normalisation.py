"""Normalisation of images as in the training of a backbone's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

Input = Literal["imagenet", "unit", "minus-one-one", "face", "caffe-bgr", "caffe-rgb", "bgr-unit"]
"""Names of normalisations; `BackboneConfig.input` describes them."""


class Normalisation(NamedTuple):
    """A network's input is (x - mean) / deviation for x in 0..255.

    Attributes:
        mean: of three channels, in the network's order.
        deviation: of three channels, in the network's order.
        bgr: whether the network's order of channels is BGR.
    """

    mean: Sequence[float]
    deviation: Sequence[float]
    bgr: bool = False


NORMALISATIONS: dict[Input, Normalisation] = {
    "imagenet": Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "unit": Normalisation((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "minus-one-one": Normalisation((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "face": Normalisation((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "caffe-bgr": Normalisation((104.0, 117.0, 123.0), (1.0, 1.0, 1.0), bgr=True),
    "caffe-rgb": Normalisation((0.48235 * 255, 0.45882 * 255, 0.40784 * 255), (1.0, 1.0, 1.0)),
    "bgr-unit": Normalisation((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), bgr=True),
}
