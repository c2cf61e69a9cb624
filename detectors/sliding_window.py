"""The sliding-window detector: a localizer that is applied to windows of an image at many places and scales."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from detectors.backbones import Backbone
from detectors.dense import DenseDetector
from detectors.input_checks import require_images, require_targets
from detectors.types import DenseOutput, Detections, LossSum, Suppression, Targets, divide_sums
from detectors.windows import DrawnWindows, WindowsConfig, cut_windows, draw_windows, window_grid
from metrics.plurals import plural


class WindowOutput(NamedTuple):
    """Raw output for a batch of B images.

    Attributes:
        images: (B, 3, H, W), from which training cuts its own windows.
        grid: output for all windows of the grid, as priors; None in training, which does not need it.
    """

    images: Tensor
    grid: DenseOutput | None


class SlidingWindow(nn.Module):
    """A detector that classifies windows of an image one by one; a `detectors.types.Detector`.

    In training, windows around objects and over background are drawn from each image; see `draw_windows`. In prediction,
    the windows of a grid are classified and each box is refined, in batches of limited size.

    The random numbers depend on torch's seed, which the training loop sets before each step.

    Args:
        localizer: is applied to windows, each resized to a square image.
        windows: settings.
    """

    def __init__(self, localizer: DenseDetector, windows: WindowsConfig) -> None:
        super().__init__()
        self.localizer = localizer
        self.windows = windows

    @property
    def nms(self) -> Suppression:
        """Suppression of the candidates from all windows."""
        return self.localizer.nms

    @nms.setter
    def nms(self, suppression: Suppression) -> None:
        self.localizer.nms = suppression

    @property
    def backbone(self) -> Backbone:
        """The localizer's."""
        return self.localizer.backbone

    def weigh_classes(self, counts: Sequence[int], names: Sequence[str]) -> None:
        """See `DenseDetector.weigh_classes`."""
        self.localizer.weigh_classes(counts, names)

    def prepare(self, batches: Iterable[Tensor]) -> bool:
        """See `DenseDetector.prepare`; the network sees windows of the images."""
        return self.localizer.prepare(self._some_windows(batches))

    def forward(self, images: Tensor) -> WindowOutput:
        """Raw output for (B, 3, H, W) RGB images, float32 in [0, 1]; any H, W."""
        require_images(images)
        return WindowOutput(images, None if self.training else self.classify_grid(images))

    @torch.no_grad()
    def classify_grid(self, images: Tensor) -> DenseOutput:
        """Output of the localizer for all windows of the grid, in batches of ``windows.batch``."""
        image_size = (images.shape[2], images.shape[3])
        levels = [level.to(images.device) for level in window_grid(self.windows, image_size)]
        grid = torch.cat(levels)
        logits, codes = [], []
        for image in torch.split(images, 1):
            for part in torch.split(grid, self.windows.batch):
                output = self.localizer(cut_windows(image, [part], self.windows.pixels))
                logits.append(output.logits.squeeze(1))
                codes.append(output.codes.squeeze(1))
        shape = (len(images), len(grid), -1)
        return DenseOutput(
            torch.cat(logits).view(shape),
            torch.cat(codes).view(shape),
            None,
            grid,
            image_size,
            tuple(len(level) for level in levels),
        )

    def losses(self, output: WindowOutput, targets: list[Targets]) -> dict[str, Tensor]:
        """Scalar losses ``class`` and ``box``: the divided terms of `loss_sums`."""
        return divide_sums(self.loss_sums(output, targets))

    def loss_sums(self, output: WindowOutput, targets: list[Targets]) -> dict[str, LossSum]:
        """Sums of the localizer's losses ``class`` and ``box`` on drawn windows, and the number of windows of each.

        Raises:
            InputError: the number of `Targets` is not that of the images, or a label is outside [0, num_classes).
        """
        images = output.images
        drawn = self._draw(images, targets)
        crops = cut_windows(images, drawn.windows, self.windows.pixels)
        sums = self.localizer.loss_sums(
            self.localizer(crops), [target.to(images.device) for target in drawn.targets]
        )
        sizes = [len(windows) for windows in drawn.windows]
        return {
            name: term if term.each is None else term._replace(each=partial(_image_means, term.each, sizes))
            for name, term in sums.items()
        }

    @torch.no_grad()
    def normalizers(self, images: Tensor, targets: list[Targets]) -> dict[str, Tensor]:
        """Normalizer of each term of `loss_sums` for (B, 3, H, W) images and their targets: the number of windows.

        Raises:
            InputError: as `loss_sums`.
        """
        drawn = self._draw(images, targets)
        count = torch.tensor(float(len(drawn.targets)), device=images.device)
        return {"class": count, "box": count}

    def decode(self, output: WindowOutput) -> list[Detections]:
        """Candidates of each image by decreasing score; see `DenseDetector.decode`."""
        return self.localizer.decode(output.grid or self.classify_grid(output.images))

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1]; call `eval` first."""
        return [self.nms(candidates) for candidates in self.decode(self(images))]

    def training_notes(self, objects: Sequence[int], image_size: tuple[int, int]) -> list[str]:
        """What the user should know about the cost of this detector; see `Localizer.training_notes`."""
        height, width = image_size
        windows = sum(map(len, window_grid(self.windows, image_size)))
        pixels = windows * self.windows.pixels**2
        return [
            f"prediction classifies {plural(windows, 'window')} of each image of {height}x{width}, with {pixels / (height * width):.0f} "
            "times as many pixels as the image"
        ]

    def _draw(self, images: Tensor, targets: list[Targets]) -> DrawnWindows:
        """Training windows of a batch, the same whenever torch's seed is the same."""
        require_targets(targets, len(images), self.localizer.num_classes)
        return draw_windows(self.windows, targets, (images.shape[2], images.shape[3]), torch.initial_seed())

    def _some_windows(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        for images in batches:
            grid = torch.cat(window_grid(self.windows, (images.shape[2], images.shape[3])))
            some = grid[:: max(len(grid) // self.windows.per_image, 1)]
            yield cut_windows(images, [some] * len(images), self.windows.pixels)


def _image_means(each: Callable[[], Tensor], sizes: Sequence[int]) -> Tensor:
    """(B,) means over the windows of each image, from a function that computes the values of the windows."""
    parts = torch.split(each(), list(sizes))
    return torch.stack([part.mean() if len(part) else part.sum() for part in parts])
