"""Candidates of each kind of detector as a graph: scores and boxes of all priors, regions or queries."""

from __future__ import annotations

from functools import singledispatch
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from detectors.candidates import CandidatesConfig
from detectors.coders import BoxCoder
from detectors.deformable_conv import DeformableConv
from detectors.dense import DenseDetector
from detectors.graph.operators import nms_mask, pool_regions
from detectors.graph.selection import GraphCandidates
from detectors.heads.roi import PyramidRoIAlign
from detectors.proposals import MIN_SIDE
from detectors.segmentation import SegmentationDetector
from detectors.set_prediction import SetDetector
from detectors.sliding_window import SlidingWindow
from detectors.two_stage import TwoStageDetector
from detectors.types import DenseOutput
from detectors.windows import window_grid
from metrics.boxes import convert
from metrics.errors import InputError


class GraphSource(NamedTuple):
    """What a detector's graph is made of.

    Attributes:
        module: computes `GraphCandidates` from (B, 3, H, W) images, or (B, 1 + C, H, W) probabilities.
        candidates: settings that select among the candidates; None for probabilities.
        any_size: whether the graph can be made for images of any size.
    """

    module: nn.Module
    candidates: CandidatesConfig | None
    any_size: bool = False


@singledispatch
def graph_source(detector: Any, size: tuple[int, int] | None) -> GraphSource:
    """The graph of a detector's candidates.

    Args:
        detector: in evaluation mode, on the CPU.
        size: (height, width) of the images; None for any size.

    Raises:
        InputError: this kind of detector cannot be exported.
    """
    raise InputError(
        f"{type(detector).__name__}: this kind of detector cannot be exported; register a function for it with "
        "`detectors.graph.candidates.graph_source`"
    )


@graph_source.register
def _(detector: DenseDetector, size: tuple[int, int] | None) -> GraphSource:
    _refuse_deformable(detector)
    return GraphSource(DenseGraph(detector, size), detector.candidates, True)


@graph_source.register
def _(detector: SetDetector, size: tuple[int, int] | None) -> GraphSource:
    _refuse_deformable(detector)
    return GraphSource(SetGraph(detector), detector.candidates)


@graph_source.register
def _(detector: TwoStageDetector, size: tuple[int, int] | None) -> GraphSource:
    return GraphSource(TwoStageGraph(detector, size), detector.candidates)


@graph_source.register
def _(detector: SegmentationDetector, size: tuple[int, int] | None) -> GraphSource:
    return GraphSource(ProbabilityGraph(detector), None)


@graph_source.register
def _(detector: SlidingWindow, size: tuple[int, int] | None) -> GraphSource:
    if size is None:
        raise InputError("sliding_window: its windows depend on the image size; export without --any-size")
    return GraphSource(WindowGraph(detector, size), detector.localizer.candidates)


def _refuse_deformable(detector: nn.Module) -> None:
    if any(isinstance(layer, DeformableConv) for layer in detector.modules()):
        raise InputError(
            "head.conv=deformable and backbone.deformable_from: cannot be exported, because the exporter has no deformable "
            "convolution; train with head.conv=standard and backbone.deformable_from=none"
        )


class DenseGraph(nn.Module):
    """Decoded boxes and scores of all priors of a dense detector.

    Args:
        detector: in evaluation mode.
        size: (height, width) of the images, for which the priors are stored; None to compute them in the graph.
    """

    _priors: Tensor | None

    def __init__(self, detector: DenseDetector, size: tuple[int, int] | None) -> None:
        super().__init__()
        self.detector = detector
        self.register_buffer("_priors", None if size is None else _output_for(detector, size).priors)

    def forward(self, images: Tensor) -> GraphCandidates:
        """Candidates of (B, 3, H, W) images."""
        output: DenseOutput = self.detector(images)
        priors = output.priors if self._priors is None else self._priors
        boxes = _decoded(self.detector.coder, output.codes, priors, images)
        return GraphCandidates(boxes, self.detector.scores(output), output.levels)


class SetGraph(nn.Module):
    """Boxes and scores of all queries of the last decoder layer."""

    def __init__(self, detector: SetDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> GraphCandidates:
        """Candidates of (B, 3, H, W) images."""
        output = self.detector(images)
        scores = self.detector.loss.class_loss.scores(output.logits[:, -1])
        height, width = images.shape[2:]
        sides = output.boxes.new_tensor([width, height, width, height])
        boxes = _clipped(convert(output.boxes[:, -1], "cxcywh", "xyxy") * sides, images)
        return GraphCandidates(boxes, scores, (scores.shape[1],))


class ProbabilityGraph(nn.Module):
    """Probabilities of background and each class in every pixel; their connected components are found outside the graph."""

    def __init__(self, detector: SegmentationDetector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> Tensor:
        """(B, 1 + C, H, W) for (B, 3, H, W) images."""
        return self.detector.class_probabilities(self.detector(images))


class WindowGraph(nn.Module):
    """Boxes and scores of all windows of a sliding-window detector, all of which are classified together.

    Args:
        detector: in evaluation mode.
        size: (height, width) of the images.
    """

    _grid: Tensor

    def __init__(self, detector: SlidingWindow, size: tuple[int, int]) -> None:
        super().__init__()
        self.localizer = detector.localizer
        self.pixels = detector.windows.pixels
        levels = window_grid(detector.windows, size)
        self.levels = tuple(len(level) for level in levels)
        self.register_buffer("_grid", torch.cat(levels))

    def forward(self, images: Tensor) -> GraphCandidates:
        """Candidates of (B, 3, H, W) images."""
        windows = self._grid.expand(images.shape[0], -1, -1)
        image = _image_of(windows)
        everywhere = image >= 0
        rows = windows.flatten(0, 1)
        cut = pool_regions(images, rows, image, everywhere, self.pixels, 1.0, 0, True)
        output: DenseOutput = self.localizer(cut)
        scores = self.localizer.scores(output)
        shape = (-1, len(self._grid))  # (B, A) of its single prior in each window
        boxes = _decoded(
            self.localizer.coder, output.codes.reshape(*shape, output.codes.shape[2]), self._grid, images
        )
        return GraphCandidates(boxes, scores.reshape(*shape, scores.shape[2]), self.levels)


class TwoStageGraph(nn.Module):
    """Boxes and scores of all regions of a two-stage detector; an image with fewer proposals has regions of score 0.

    Args:
        detector: in evaluation mode.
        size: (height, width) of the images, for which the anchors are stored; None to compute them in the graph.
    """

    _priors: Tensor | None

    def __init__(self, detector: TwoStageDetector, size: tuple[int, int] | None) -> None:
        super().__init__()
        self.detector = detector
        priors = None if size is None else _output_for(detector, size).proposals.priors
        self.register_buffer("_priors", priors)

    def forward(self, images: Tensor) -> GraphCandidates:
        """Candidates of (B, 3, H, W) images."""
        detector = self.detector
        output = detector(images)
        regions, valid = self._proposals(output.proposals, images)
        image = _image_of(regions)
        total: Tensor | None = None
        codes = regions
        for number, stage in enumerate(detector.stages):
            rows = regions.flatten(0, 1)
            pooled = _pooled(detector.pool, output.features, rows, image)
            logits, codes = detector.heads[number](pooled)
            scores = detector.class_loss.scores(logits) / len(detector.stages)
            total = scores if total is None else total + scores
            if number + 1 < len(detector.stages):
                refined = _clipped(stage.coder.decode(codes[:, 0], rows), images)
                regions = refined.view_as(regions)
        assert total is not None
        count = regions.shape[1]
        decoded = detector.stages[-1].coder.decode(codes, regions.flatten(0, 1).unsqueeze(1))
        boxes = _clipped(decoded, images).reshape(-1, count, *decoded.shape[1:])
        scores = total.reshape(-1, count, total.shape[1]) * valid[..., None]
        return GraphCandidates(boxes.squeeze(2) if codes.shape[1] == 1 else boxes, scores, (count,))

    def _proposals(self, output: DenseOutput, images: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (B, R, 4) of proposals, and whether each is one (B, R); see `ProposalNetwork.select`."""
        network = self.detector.proposals
        top = network.config.prediction
        scores = network.class_loss.scores(output.logits).squeeze(2)
        priors = output.priors if self._priors is None else self._priors
        boxes, kept, first = [], [], 0
        for level in output.levels:
            own = slice(first, first + level)
            best, place = scores[:, own].topk(min(top, level), dim=1)
            codes = output.codes[:, own].gather(1, place[..., None].expand(-1, -1, network.coder.channels))
            found = _clipped(network.coder.decode(codes, priors[own][place]), images)
            sized = (found[..., 2:] - found[..., :2] >= MIN_SIDE).all(dim=-1)
            best = torch.where(sized, best, 0.0)
            mask = nms_mask(found, best.unsqueeze(1), top, network.config.iou, 0.0).squeeze(1)
            boxes.append(found)
            kept.append(best * mask)
            first += level
        all_boxes, all_scores = torch.cat(boxes, dim=1), torch.cat(kept, dim=1)
        best, place = all_scores.topk(min(top, all_scores.shape[1]), dim=1)
        return all_boxes.gather(1, place[..., None].expand(-1, -1, 4)), best > 0


def _pooled(pool: PyramidRoIAlign, features: tuple[Tensor, ...], boxes: Tensor, image: Tensor) -> Tensor:
    """Features (K, channels, size, size) of boxes (K, 4), each from its level; see `PyramidRoIAlign`."""
    level = pool.levels(boxes)
    parts = [
        pool_regions(
            feature, boxes, image, level == number, pool.size, 1 / stride, pool.sampling, pool.aligned
        )
        for number, (feature, stride) in enumerate(zip(features, pool.strides, strict=True))
    ]
    return torch.stack(parts).sum(dim=0)  # all but one of them are 0


def _image_of(rows: Tensor) -> Tensor:
    """(B * N,) index of the image of each row of (B, N, ...)."""
    index = torch.arange(rows.shape[0])
    return index[:, None].expand(-1, rows.shape[1]).flatten()


def _decoded(coder: BoxCoder, codes: Tensor, priors: Tensor, images: Tensor) -> Tensor:
    return _clipped(coder.decode(codes, priors), images)


def _clipped(boxes: Tensor, images: Tensor) -> Tensor:
    """(..., 4) xyxy, clipped to the images, whose sides may be symbols: unlike in `metrics.boxes.clip`, limits are tensors."""
    width, height = torch.full((1,), images.shape[3]), torch.full((1,), images.shape[2])
    limit = torch.cat([width, height, width, height]).to(boxes)
    return boxes.clamp(min=0).minimum(limit)


@torch.no_grad()
def _output_for(detector: nn.Module, size: tuple[int, int]) -> Any:
    return detector(torch.zeros(1, 3, *size))
