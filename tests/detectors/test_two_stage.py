"""Two-stage detectors: samples, pooling, losses of both stages, and the cascade."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import MultiScaleRoIAlign

from detectors.assigners.overlap import OverlapAssigner
from detectors.assigners.sampling import BalancedSampler
from detectors.assigners.types import pad_targets
from detectors.coders import DeltaCoder
from detectors.heads.roi import PyramidRoIAlign
from detectors.losses.classification import BinaryCrossEntropyLoss, CrossEntropyLoss
from detectors.registry import VARIANTS
from detectors.types import Targets
from metrics.errors import InputError
from metrics.iou import box_iou

SMALL = {"levels": 3, "backbone": {"base_channel": 4}, "regions": {"hidden": 16}, "head": {"channels": 16}}
TARGETS = [
    Targets(torch.tensor([[4.0, 6, 40, 50], [20, 30, 60, 60]]), torch.tensor([0, 1])),
    Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
]


def build(name: str, **settings) -> nn.Module:
    variant = VARIANTS[name]
    return variant.build(variant.config.model_validate({**SMALL, **settings}), 3)


def boxes_of(count: int, side: float, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=draw) * side
    return torch.cat([corner, corner + side * torch.rand(count, 2, generator=draw) ** 2 + 1], dim=1)


@pytest.mark.parametrize(
    ("positives", "background", "drawn"),
    [(3, 100, (3, 13)), (9, 100, (4, 12)), (9, 5, (4, 5)), (0, 100, (0, 16)), (2, 3, (2, 3)), (0, 0, (0, 0))],
)
def test_a_sample_has_at_most_its_share_of_positives_and_is_filled_with_background(
    positives, background, drawn
):
    labels = torch.tensor([[1] * positives + [-1] * background + [-2] * 7])[
        :, torch.randperm(positives + background + 7)
    ]
    sampler = BalancedSampler(16, 0.25)
    mask = sampler(labels)
    assert ((mask & (labels >= 0)).sum(), (mask & (labels == -1)).sum()) == drawn
    assert not (mask & (labels == -2)).any()
    assert tuple(int(count) for count in sampler.counts(labels)) == drawn


def test_each_member_is_drawn_equally_often():
    labels = torch.tensor([[2, 2, 2, 2, -1, -1, -1, -1, -1, -1]]).repeat(4000, 1)
    share = BalancedSampler(5, 0.4)(labels).float().mean(dim=0)
    expected = torch.tensor([2 / 4] * 4 + [3 / 6] * 6)
    assert (share - expected).abs().max() < 0.04  # five standard errors


def test_the_seed_decides_what_is_drawn():
    labels = torch.full((2, 100), -1)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(BalancedSampler(10, 0.5)(labels))
    assert draws[0].equal(draws[1])
    assert not draws[0].equal(draws[2])


@pytest.mark.parametrize("sampling", [1, 2])
def test_regions_are_pooled_as_by_torchvision(sampling):
    features = [torch.rand(2, 3, 64 // 2**k, 48 // 2**k) for k in range(3)]
    boxes = [boxes_of(40, 400, seed) for seed in range(2)]
    theirs = MultiScaleRoIAlign(["0", "1", "2"], 7, sampling, canonical_scale=160, canonical_level=4)
    named = OrderedDict((str(k), feature) for k, feature in enumerate(features))
    expected = theirs(named, boxes, [(256, 192)] * 2)
    pool = PyramidRoIAlign([4, 8, 16], 7, sampling, scale=10.0, aligned=False)
    assert set(pool.levels(torch.cat(boxes)).tolist()) == {0, 1, 2}
    actual = pool(features, torch.arange(2).repeat_interleave(40), torch.cat(boxes))
    torch.testing.assert_close(actual, expected)


def test_a_linear_map_is_pooled_to_its_values_at_the_centres_of_bins():
    """Cell (i, j) is at (8 j + 4, 8 i + 4) pixels; `aligned` keeps this half cell."""
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    feature = torch.stack([8 * columns + 4, 8 * rows + 4])[None]
    boxes = torch.tensor([[20.0, 30, 90, 72]])
    pooled = PyramidRoIAlign([8], size=7, sampling=2)([feature], torch.tensor([0]), boxes)
    bins = (torch.arange(7) + 0.5) / 7
    torch.testing.assert_close(pooled[0, 0], (20 + 70 * bins).expand(7, 7))
    torch.testing.assert_close(pooled[0, 1], (30 + 42 * bins)[:, None].expand(7, 7))


def test_no_regions_are_pooled_to_no_features():
    pool = PyramidRoIAlign([8, 16])
    features = [torch.rand(1, 3, 8, 8), torch.rand(1, 3, 4, 4)]
    assert pool(features, torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4)).shape == (0, 3, 7, 7)


def test_a_region_is_assigned_in_its_own_image():
    truth = pad_targets(TARGETS)
    regions = torch.stack([boxes_of(30, 40, seed=1), boxes_of(30, 40, seed=2)])
    objects = OverlapAssigner(0.3, 0.3, "none")(truth, regions, (30,)).objects
    best, owner = box_iou(TARGETS[0].boxes, regions[0]).max(dim=0)
    assert objects[0].equal(torch.where(best >= 0.3, owner, -1))
    assert (objects[0] >= 0).any()
    assert (objects[1] == -1).all()


def test_class_losses_of_all_members_are_those_of_torch():
    labels = torch.randint(-1, 3, (2, 50))
    logits = torch.randn(2, 50, 4)
    expected = F.cross_entropy(logits.flatten(0, 1), labels.flatten() + 1, reduction="none").view(2, 50)
    torch.testing.assert_close(CrossEntropyLoss(negatives=None)(logits, labels), expected.sum(dim=1))
    labels = labels.clamp(max=0)
    logits = torch.randn(2, 50, 1)
    expected = F.binary_cross_entropy_with_logits(logits[..., 0], (labels == 0).float(), reduction="none")
    torch.testing.assert_close(BinaryCrossEntropyLoss()(logits, labels), expected.sum(dim=1))
    expected[0, :10] = 0
    labels[0, :10] = -2
    torch.testing.assert_close(BinaryCrossEntropyLoss()(logits, labels), expected.sum(dim=1))


@pytest.mark.parametrize("name", ["faster_rcnn", "cascade_rcnn"])
def test_normalizers_do_not_depend_on_the_draw(name):
    detector = build(name).eval()
    images = torch.rand(2, 3, 64, 64)
    known = detector.normalizers(images, TARGETS)
    for _ in range(3):
        sums = detector.loss_sums(detector(images), TARGETS)
        assert {key: int(each.normalizer) for key, each in sums.items()} == {
            key: int(value) for key, value in known.items()
        }
    assert int(known["class"]) == 2 * detector.sampler.size


def test_an_untrained_cascade_finds_the_proposals_with_the_mean_of_the_scores():
    """Codes of 0 leave each region where it is, so all heads see the same features."""
    detector = build("cascade_rcnn", nms={"method": "none", "score": 0.0}, candidates={"score": 0.0}).eval()
    images = torch.rand(1, 3, 64, 64)
    logits = torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0]])
    with torch.no_grad():
        for head, own in zip(detector.heads, logits, strict=True):
            head.box_out.weight.zero_(), head.class_out.weight.zero_()
            head.class_out.bias.copy_(own)
        output = detector(images)
        (found,) = detector.decode(output)
    regions = detector.proposals.select(output.proposals, detector.proposals.config.prediction)
    expected = logits.softmax(dim=1).mean(dim=0)[1:]
    for label in range(3):
        scores = found.scores[found.labels == label]
        torch.testing.assert_close(scores, expected[label].expand(len(scores)))
        torch.testing.assert_close(found.boxes[found.labels == label], regions.boxes[regions.valid])


def test_later_heads_of_a_cascade_see_the_boxes_of_the_one_before():
    detector = build("cascade_rcnn").eval()
    seen = []
    pool = detector.pool

    class Watched:
        strides = pool.strides

        def __call__(self, features, image, boxes):
            seen.append(boxes)
            return pool(features, image, boxes)

    detector.pool = Watched()
    with torch.no_grad():
        for head in detector.heads:
            head.box_out.weight.zero_()
            head.box_out.bias.copy_(
                torch.tensor([1.0, 0.0, 0.0, 0.0])
            )  # to the right by a tenth of the width
        detector.decode(detector(torch.rand(1, 3, 64, 64)))
    for before, after, share in zip(seen[:-1], seen[1:], (1 / 10, 1 / 20), strict=True):
        width = before[:, 2] - before[:, 0]
        torch.testing.assert_close(after[:, 0], (before[:, 0] + share * width).clamp(max=64))
        torch.testing.assert_close(after[:, 1], before[:, 1])


def test_the_box_of_a_detection_is_that_of_its_class():
    detector = build("faster_rcnn", nms={"method": "none", "score": 0.0}, candidates={"score": 0.0}).eval()
    with torch.no_grad():
        head = detector.heads[0]
        head.box_out.weight.zero_()
        codes = torch.tensor(
            [[0.0, 0, 0, 0], [0.0, 0, -1, 0], [0.0, 0, 0, -2]]
        )  # narrower for 1, lower for 2
        head.box_out.bias.copy_(codes.flatten())
        output = detector(torch.rand(1, 3, 64, 64))
        (found,) = detector.decode(output)
    regions = detector.proposals.select(output.proposals, detector.proposals.config.prediction)
    boxes = regions.boxes[regions.valid]
    for label in range(3):
        expected = DeltaCoder(0.1, 0.2).decode(codes[label].expand(len(boxes), 4), boxes).clamp(0, 64)
        actual = found.boxes[found.labels == label]
        distance = (actual[:, None] - expected).abs().amax(dim=-1)
        assert distance.shape[0] == distance.shape[1]
        assert distance.amin(dim=0).max() < 1e-3
        assert distance.amin(dim=1).max() < 1e-3


@torch.no_grad()
def test_classes_are_weighed_in_the_heads_and_not_in_the_proposals():
    detector = build("faster_rcnn", class_weights={"each": {"a": 5.0}}).eval()
    images = torch.rand(2, 3, 64, 64)
    terms = []
    for counts in (None, [1, 1, 1]):
        if counts is not None:
            detector.weigh_classes(counts, ["a", "b", "c"])
        torch.manual_seed(0)
        terms.append({key: float(term) for key, term in detector.losses(detector(images), TARGETS).items()})
    assert terms[1]["class"] > terms[0]["class"]
    assert {**terms[0], "class": 0} == {**terms[1], "class": 0}


def test_settings_that_do_not_fit_each_other_are_errors():
    with pytest.raises(ValueError, match="stage_weights: 1 given for 2 stages; give as many as in positive"):
        VARIANTS["cascade_rcnn"].config(positive=(0.5, 0.6), stage_weights=(1.0,))
    with pytest.raises(ValueError, match=r"negative: 0\.8 is above positive 0\.7; expected at most that"):
        VARIANTS["faster_rcnn"].config.model_validate({"proposals": {"negative": 0.8}})
    with pytest.raises(
        InputError, match="shapes: 2, 1, 1 anchors per cell at the levels, which share a head"
    ):
        build("faster_rcnn", shapes=[[[8, 8], [9, 9]], [[16, 16]], [[32, 32]]])
