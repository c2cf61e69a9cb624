"""Semantic segmentation as a detector: label maps of the image, and boxes of their connected components."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from detectors.backbones import Backbone
from detectors.components import ComponentsConfig, find_components
from detectors.config import Config
from detectors.detector_config import DetectorConfig
from detectors.input_checks import require_images, require_targets
from detectors.losses.segmentation import (
    Over,
    class_areas,
    cross_entropy_map,
    dice_losses,
    jaccard_losses,
    pixel_targets,
)
from detectors.network import DetectorNetwork
from detectors.nms import NMSConfig
from detectors.search_range import Choice, OnlyIf, Range
from detectors.types import Detections, LossSum, Targets, image_terms
from metrics.errors import InputError
from metrics.pixel_labels import IGNORED
from metrics.plurals import plural


class SegmentationLossConfig(Config):
    """Weights of the losses, which are added; 0 leaves one out."""

    cross_entropy: Annotated[float, Field(ge=0), Range(0, 2)] = 1.0
    """Weight of the cross-entropy, averaged over pixels."""
    dice: Annotated[float, Field(ge=0), Range(0, 2)] = 1.0
    """Weight of the soft Dice loss, averaged over classes."""
    jaccard: Annotated[float, Field(ge=0), Range(0, 2)] = 0.0
    """Weight of the soft Jaccard (IoU) loss, averaged over classes."""
    smooth: Annotated[float, Field(ge=0), Range(0, 10), OnlyIf("loss.dice", "loss.jaccard", above=0)] = 0.0
    """Pixels added to numerator and denominator of Dice and Jaccard."""
    over: Annotated[Over, Choice("image", "batch"), OnlyIf("loss.dice", "loss.jaccard", above=0)] = "image"
    """Pixels over which the areas in Dice and Jaccard are summed: those of an `image`, whose losses are averaged, or of
    the `batch`. With `batch`, the loss depends on how a step is divided into parts and processes."""

    @model_validator(mode="after")
    def _any_loss(self) -> Self:
        if not (self.cross_entropy or self.dice or self.jaccard):
            raise ValueError("cross_entropy, dice and jaccard are all 0; at least one loss needs a weight")
        return self


class SegmentationConfig(DetectorConfig):
    """Settings of detectors by segmentation."""

    loss: SegmentationLossConfig = SegmentationLossConfig()
    components: ComponentsConfig = ComponentsConfig()
    nms: NMSConfig = NMSConfig(method="none")


class SegmentationOutput(NamedTuple):
    """Raw output of a detector by segmentation.

    Attributes:
        logits: (B, 1 + C, H, W) of background and each class, for every pixel of the network's input.
    """

    logits: Tensor


class SegmentationDetector(DetectorNetwork):
    """A network for semantic segmentation; a `detectors.types.Segmenter`.

    Args:
        config: settings of losses, components, NMS and weights; a file of weights is loaded.
        num_classes: C, without background.
        backbone: computes features from images.
        skips: computes finer features from images.
        neck: computes one map from the features of both, finest first.
        head: computes logits of background and each class from the map.
        stride: of the map; coarser logits than the image are interpolated.
    """

    def __init__(
        self,
        config: SegmentationConfig,
        num_classes: int,
        *,
        backbone: Backbone,
        skips: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        stride: int,
    ) -> None:
        super().__init__(config, num_classes)
        self.stride = stride
        self.backbone = backbone
        self.skips = skips
        self.neck = neck
        self.head = head
        self.components = config.components
        self.loss = config.loss
        self.weights: Tensor | None = None
        self._complete(config)

    def weigh_classes(self, counts: Sequence[int], names: Sequence[str]) -> None:
        """Set the weights of the classes in all losses before training; background has weight 1.

        Args:
            counts: number of training objects of each of the C classes.
            names: of the classes.

        Raises:
            InputError: the settings have a weight for a class that is not in `names`.
        """
        weights = self._weights_of_classes(counts, names)
        self.weights = None if weights is None else F.pad(weights, (1, 0), value=1.0)

    def forward(self, images: Tensor) -> SegmentationOutput:
        """Raw output for (B, 3, H, W) RGB images, float32 in [0, 1]; any H, W."""
        require_images(images)
        images = images.contiguous(memory_format=torch.channels_last)
        logits = self.head(self.neck([*self.skips(images), *self.backbone(images)]))
        height, width = images.shape[2:]
        if self.stride > 1:  # to complete cells first, so that each logit stays at the centre of its cell
            size = (logits.shape[2] * self.stride, logits.shape[3] * self.stride)
            logits = F.interpolate(logits, size=size, mode="bilinear")
        return SegmentationOutput(logits[:, :, :height, :width])

    def loss_sums(self, output: SegmentationOutput, targets: list[Targets]) -> dict[str, LossSum]:
        """Sums of the losses ``cross_entropy``, over the labelled pixels, and ``dice`` and ``jaccard``, over the images.

        The boxes of the targets are not used. The loss of a batch without objects, or without labelled pixels, is finite.

        Raises:
            InputError: the number of `Targets` is not that of the images, a target has no label map of their size, or a
                label is unknown.
        """
        logits = output.logits.float()
        truth = pixel_targets(self._label_maps(targets, logits))
        images = logits.new_tensor(float(len(logits)))
        sums: dict[str, LossSum] = {}
        if self.loss.cross_entropy:
            cost = cross_entropy_map(logits, truth, self.weights)
            by_image = self.loss.cross_entropy * cost.sum(dim=(1, 2))
            each = image_terms(by_image, truth.labelled.sum(dim=(1, 2)))
            sums["cross_entropy"] = LossSum(self.loss.cross_entropy * cost.sum(), truth.labelled.sum(), each)
        if self.loss.dice or self.loss.jaccard:
            areas = class_areas(logits.softmax(dim=1), truth, self.loss.over)
            for name, loss in (("dice", dice_losses), ("jaccard", jaccard_losses)):
                if weight := getattr(self.loss, name):
                    losses = loss(areas, self.loss.smooth, self.weights)
                    known = image_terms(weight * losses, torch.ones_like(losses))
                    of_images = known if self.loss.over == "image" else None
                    sums[name] = LossSum(weight * losses.mean() * images, images, of_images)
        return sums

    @torch.no_grad()
    def normalizers(self, images: Tensor, targets: list[Targets]) -> dict[str, Tensor]:
        """Normalizer of each term of `loss_sums`, which depends on the label maps alone.

        Raises:
            InputError: as `loss_sums`.
        """
        truth = pixel_targets(self._label_maps(targets, images))
        count = images.new_tensor(float(len(images)))
        terms = {"cross_entropy": truth.labelled.sum(), "dice": count, "jaccard": count}
        return {name: term for name, term in terms.items() if getattr(self.loss, name)}

    def class_probabilities(self, output: SegmentationOutput) -> Tensor:
        """(B, 1 + C, H, W) probabilities of background and each class, which sum to 1 in each pixel."""
        return output.logits.float().softmax(dim=1)

    @torch.no_grad()
    def decode(self, output: SegmentationOutput) -> list[Detections]:
        """Candidates of each image by decreasing score: the connected components of its label map; see `ComponentsConfig`."""
        return [find_components(each, self.components) for each in self.class_probabilities(output)]

    def _label_maps(self, targets: list[Targets], images: Tensor) -> Tensor:
        """(B, H, W) uint8 label maps of the targets, for `images` (B, ..., H, W)."""
        require_targets(targets, len(images), self.num_classes)
        size = tuple(images.shape[2:])
        maps = []
        for number, target in enumerate(targets):
            label_map = target.label_map
            if label_map is None:
                raise InputError(
                    f"targets[{number}].label_map: there is none, and a detector by segmentation learns from masks; choose "
                    "data with masks (docs/data.md) or another variant"
                )
            if tuple(label_map.shape) != size:
                raise InputError(
                    f"targets[{number}].label_map: expected shape {size}, that of the image, got {tuple(label_map.shape)}"
                )
            if label_map.device.type == "cpu":  # on other devices, looking would wait for them
                unknown = label_map[(label_map > self.num_classes) & (label_map != IGNORED)]
                if len(unknown):
                    raise InputError(
                        f"targets[{number}].label_map: label {int(unknown[0])} with {plural(self.num_classes, 'class')}; expected 0 to "
                        f"{self.num_classes}, or {IGNORED} for ignored pixels"
                    )
            maps.append(label_map)
        return torch.stack(maps)
