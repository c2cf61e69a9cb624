"""Set prediction: matching and losses against brute force and closed forms, attention, denoising, and the detector."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from detectors.assigners.types import BACKGROUND, IGNORE, PaddedTargets
from detectors.denoising import DenoisingConfig, denoising_queries
from detectors.heads.decoder import Decoder, DecoderConfig
from detectors.heads.deformable_attention import DeformableAttention, memory_of
from detectors.heads.queries import fractions
from detectors.losses.classification import FocalLoss, VarifocalLoss
from detectors.losses.set_prediction import SetLoss, SetWeights, focal_cost, match
from detectors.nms import NMS, NMSConfig
from detectors.registry import VARIANTS
from detectors.types import Targets
from metrics.errors import InputError


def test_matching_has_the_smallest_cost_of_all_permutations():
    draw = torch.Generator().manual_seed(0)
    costs = torch.randn(20, 3, 5, generator=draw)
    valid = torch.ones(20, 3, dtype=torch.bool)
    valid[::2, 1] = False
    for cost, real, objects in zip(costs, valid, match(costs, valid), strict=True):
        own = real.nonzero().flatten().tolist()
        best = min(
            sum(cost[g, q].item() for g, q in zip(own, chosen, strict=True))
            for chosen in itertools.permutations(range(5), len(own))
        )
        found = [(g, q) for q, g in enumerate(objects.tolist()) if g != BACKGROUND]
        assert sorted(g for g, _ in found) == own
        assert sum(cost[g, q].item() for g, q in found) == pytest.approx(best)


def test_with_more_objects_than_queries_each_query_has_its_own_object():
    (objects,) = match(torch.tensor([[[3.0, 9], [1, 5], [8, 2]]]), torch.ones(1, 3, dtype=torch.bool))
    assert objects.tolist() == [1, 2]


def test_costs_that_are_not_finite_are_matched_last():
    costs = torch.tensor([[[math.nan, 7.0, math.inf], [2.0, math.nan, 3.0]]])
    (objects,) = match(costs, torch.ones(1, 2, dtype=torch.bool))
    assert objects.tolist() == [1, 0, BACKGROUND]


def test_focal_cost_is_the_difference_of_two_focal_losses():
    for score in (0.1, 0.5, 0.9):
        positive = -0.25 * (1 - score) ** 2 * math.log(score)
        negative = -0.75 * score**2 * math.log(1 - score)
        logit = torch.logit(torch.tensor(score))
        assert focal_cost(logit).item() == pytest.approx(positive - negative, abs=1e-6)


def padded(boxes, labels, valid=None):
    labels = torch.tensor(labels)
    return PaddedTargets(
        torch.tensor(boxes),
        labels,
        torch.ones_like(labels, dtype=torch.bool) if valid is None else torch.tensor(valid),
    )


def test_cost_and_losses_of_one_query_in_closed_form():
    """Box and object have the same size, and are half a side apart: IoU 1/3, and the enclosing box has no empty area."""
    truth = padded([[[0.4, 0.5, 0.2, 0.2]]], [[1]])
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2]]])
    logits = torch.zeros(1, 1, 2)
    loss = SetLoss(VarifocalLoss(), SetWeights(3.0, 7.0, 11.0))
    half = (0.25 - 0.75) * 0.25 * math.log(2)
    assert loss.costs(logits, boxes, truth).item() == pytest.approx(3 * half + 7 * 0.1 - 11 / 3, rel=1e-5)
    score, box = loss(logits, boxes, torch.tensor([[0]]), truth)
    assert box.item() == pytest.approx(7 * 0.1 + 11 * (1 - 1 / 3), rel=1e-5)
    # q (q ln p + (1 - q) ln(1 - p)) with p = 1/2 for the object's class; 0.75 p^2 ln(1 - p) for the other
    assert score.item() == pytest.approx(3 * (math.log(2) / 3 + 0.75 * 0.25 * math.log(2)), rel=1e-5)


def test_background_has_only_a_class_loss_and_ignored_queries_none():
    truth = padded([[[0.5, 0.5, 0.2, 0.2]]], [[0]])
    boxes = torch.full((1, 2, 4), 0.3)
    score, box = SetLoss(FocalLoss(), SetWeights())(
        torch.zeros(1, 2, 3), boxes, torch.tensor([[BACKGROUND, IGNORE]]), truth
    )
    assert box.item() == 0
    assert score.item() == pytest.approx(2 * 3 * 0.75 * 0.25 * math.log(2), rel=1e-5)


def test_varifocal_loss_weighs_by_class_and_leaves_ignored_priors_out():
    logits = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(4)).double()
    labels = torch.tensor([[0, -1, 2, -2, 1], [-1, -1, -2, 0, -1]])
    quality = torch.tensor([[0.7, 0, 0.2, 0, 1.0], [0, 0, 0, 0.4, 0]]).double()
    loss = VarifocalLoss(alpha=0.6, gamma=1.5)
    loss.weights = torch.tensor([2.0, 1.0, 0.5])
    expected = []
    for image in range(2):
        total = 0.0
        for prior, label in enumerate(labels[image].tolist()):
            weight = 1.0 if label < 0 else loss.weights[label].item()
            for channel in range(3 if label != -2 else 0):
                p = logits[image, prior, channel].sigmoid().item()
                q = quality[image, prior].item()
                if channel == label:
                    total -= weight * q * (q * math.log(p) + (1 - q) * math.log(1 - p))
                else:
                    total -= weight * 0.6 * p**1.5 * math.log(1 - p)
        expected.append(total)
    assert loss(logits, labels, quality).tolist() == pytest.approx(expected)


def attend(attention, queries, references, features, strides, size):
    """The sum over heads, levels and points, read pixel by pixel."""
    channels = attention.heads
    height, width = size
    result = torch.zeros(len(queries), queries.shape[1])
    per_head = queries.shape[1] // channels
    for q, query in enumerate(queries):
        offsets = attention.offsets(query).view(attention.heads, attention.levels, attention.points, 2)
        weights = attention.weights(query).view(attention.heads, -1).softmax(-1)
        weights = weights.view(attention.heads, attention.levels, attention.points)
        cx, cy, w, h = references[q].tolist()
        for head, level, point in itertools.product(*map(range, offsets.shape[:3])):
            dx, dy = offsets[head, level, point].tolist()
            x = (cx + dx / attention.points * w / 2) * width / strides[level] - 0.5
            y = (cy + dy / attention.points * h / 2) * height / strides[level] - 0.5
            values = attention.value(features[level].permute(1, 2, 0))
            own = slice(head * per_head, (head + 1) * per_head)
            for column, row in itertools.product(
                (math.floor(x), math.floor(x) + 1), (math.floor(y), math.floor(y) + 1)
            ):
                if 0 <= row < values.shape[0] and 0 <= column < values.shape[1]:
                    near = (1 - abs(x - column)) * (1 - abs(y - row))
                    result[q, own] += near * weights[head, level, point] * values[row, column, own]
    return attention.out(result)


@pytest.mark.parametrize("size", [(32, 48), (27, 41)])
@torch.no_grad()
def test_attention_reads_between_cells_at_places_in_pixels(size):
    """Also where the last cells extend beyond an image whose sides are not multiples of the stride."""
    draw = torch.Generator().manual_seed(5)
    attention = DeformableAttention(8, levels=2, heads=2, points=3)
    for parameter in attention.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=draw))
    strides = (8, 16)
    features = [torch.randn(1, 8, -(-size[0] // s), -(-size[1] // s), generator=draw) for s in strides]
    queries = torch.randn(1, 4, 8, generator=draw)
    references = torch.rand(1, 4, 4, generator=draw)
    actual = attention(queries, references, memory_of(features, strides, size))
    expected = attend(attention, queries[0], references[0], [f[0] for f in features], strides, size)
    torch.testing.assert_close(actual[0], expected, rtol=1e-4, atol=1e-4)


def test_channels_that_heads_cannot_share_are_an_error():
    with pytest.raises(
        InputError, match="heads: 10 channels cannot be divided among 4 heads; give a divisor of 10"
    ):
        DeformableAttention(10, levels=1, heads=4)


def test_a_new_decoder_predicts_its_references_and_a_layer_does_not_train_the_boxes_before():
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(channels=8, layers=3, heads=2, points=2, hidden=16), (8,), 2, 0.0)
    references = 0.2 + 0.6 * torch.rand(1, 5, 4)
    output = decoder(torch.randn(1, 5, 8), references, [torch.randn(1, 8, 4, 4)], (32, 32))
    for layer in range(3):
        torch.testing.assert_close(output.boxes[:, layer], references)
    output.boxes[:, 2].sum().backward()
    moved = [bool(out[-1].bias.grad.any()) for out in decoder.box_outs]
    assert moved == [False, False, True]


def test_fractions_are_clipped_to_the_image():
    boxes = torch.tensor([[-10.0, 10, 30, 90]])
    assert fractions(boxes, (40, 60)).flatten().tolist() == pytest.approx([0.25, 0.625, 0.5, 0.75])


TRUTH = padded(
    [[[0.4, 0.5, 0.2, 0.2], [0.6, 0.5, 0.3, 0.4]], [[0.5, 0.5, 0.2, 0.4], [0.0, 0.0, 0.0, 0.0]]],
    [[1, 2], [0, 0]],
    [[True, True], [True, False]],
)


def test_denoising_shifts_the_sides_of_positives_less_than_those_of_negatives():
    torch.manual_seed(0)
    config = DenoisingConfig(groups=50, box_noise=0.4, label_noise=0.0)
    drawn = denoising_queries(TRUTH, 3, config)
    assert drawn.boxes.shape == (2, 50 * 2 * 2, 4)
    for image, (box, objects) in enumerate(zip(drawn.boxes, drawn.objects, strict=True)):
        places = torch.arange(200).view(50, 2, 2)
        for number in range(2):
            positive, negative = places[:, 0, number].flatten(), places[:, 1, number].flatten()
            if not TRUTH.valid[image, number]:
                assert (objects[torch.cat([positive, negative])] == IGNORE).all()
                continue
            assert (objects[positive] == number).all()
            assert (objects[negative] == BACKGROUND).all()
            own = TRUTH.boxes[image, number]
            half = own[2:].repeat(2) / 2

            def sides(b):
                return torch.cat([b[..., :2] - b[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2], dim=-1)

            shift = (sides(box) - sides(own)).abs() / half
            assert shift[positive].max() <= 0.4 + 1e-5
            assert shift[positive].max() > 0.3
            assert shift[negative].min() >= 0.4 - 1e-5
            assert shift[negative].max() <= 0.8 + 1e-5


def test_denoising_draws_labels_with_the_given_probability():
    torch.manual_seed(0)
    truth = padded([[[0.5, 0.5, 0.2, 0.2]] * 40], [[1] * 40])
    labels = denoising_queries(truth, 4, DenoisingConfig(groups=50, label_noise=0.4)).labels
    # a label that is drawn is the right one in a quarter of the cases; standard error .007
    assert (labels != 1).float().mean().item() == pytest.approx(0.4 * 3 / 4, abs=0.03)
    assert set(labels.flatten().tolist()) == {0, 1, 2, 3}
    assert (denoising_queries(truth, 4, DenoisingConfig(label_noise=0.0)).labels == 1).all()


def test_denoising_does_not_depend_on_the_division_of_a_batch():
    config = DenoisingConfig(groups=2)
    torch.manual_seed(3)
    whole = denoising_queries(TRUTH, 3, config)
    torch.manual_seed(3)
    for image in range(2):
        most = 2 - image  # without the padding of the whole batch
        part = PaddedTargets(
            *(None if column is None else column[image : image + 1, :most] for column in TRUTH)
        )
        alone = denoising_queries(part, 3, config)
        kept = torch.arange(8).view(2, 2, 2)[:, :, :most].flatten()
        assert alone.boxes[0].equal(whole.boxes[image, kept])
        assert alone.labels[0].equal(whole.labels[image, kept])
        assert alone.mask[0].equal(whole.mask[image][kept][:, kept])


@torch.no_grad()
def test_denoising_queries_see_their_group_only():
    torch.manual_seed(1)
    drawn = denoising_queries(TRUTH, 3, DenoisingConfig(groups=2))
    decoder = Decoder(DecoderConfig(channels=8, layers=2, heads=2, points=2, hidden=16), (8,), 3, 0.0)
    features = [torch.randn(2, 8, 4, 4)]
    queries = torch.randn(2, 8, 8)
    before = decoder(queries, drawn.boxes, features, (32, 32), drawn.mask).logits
    changed = queries.clone()
    changed[:, 0] += 10 * torch.randn(8)
    changes = (decoder(changed, drawn.boxes, features, (32, 32), drawn.mask).logits - before).abs()
    changes = changes.amax(dim=(1, 3))
    assert (changes[0, :4] > 1e-3).all()
    assert (changes[:, 4:] == 0).all()
    padding = queries.clone()
    padding[1, 1] += 10  # the second image has one object
    changes = (decoder(padding, drawn.boxes, features, (32, 32), drawn.mask).logits - before).abs()
    assert (changes.amax(dim=(1, 3))[1] > 0).tolist() == [False, True, *[False] * 6]


@pytest.fixture
def detector():
    torch.manual_seed(0)
    config = VARIANTS["detr"].config.model_validate(
        {"backbone": {"base_channel": 4}, "layers": 2, "num_queries": 12}
    )
    return VARIANTS["detr"].build(config, 3)


TARGETS = [
    Targets(torch.tensor([[12.0, 16, 60, 52], [20, 30, 50, 62]]), torch.tensor([0, 2])),
    Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)),
    Targets(torch.tensor([[4.0, 4, 40, 40]]), torch.tensor([1])),
]


def test_only_training_has_denoising_queries(detector):
    images = torch.rand(3, 3, 64, 64)
    trained = detector.train().losses(detector(images), TARGETS)
    assert list(trained) == ["class", "box", "auxiliary", "proposals", "denoising"]
    output = detector.eval()(images)
    assert list(detector.losses(output, TARGETS)) == ["class", "box", "auxiliary", "proposals"]
    once, again = (detector.losses(output, TARGETS) for _ in range(2))
    assert once == again


def test_noise_is_determined_by_the_state_of_the_generator(detector):
    """Training seeds the generators for each batch, so a training that is resumed draws the same noise."""
    output = detector.train()(torch.rand(3, 3, 64, 64))
    drawn = []
    for seed in (4, 4, 5):
        torch.manual_seed(seed)
        drawn.append(detector.losses(output, TARGETS)["denoising"].item())
    assert drawn[0] == drawn[1] != drawn[2]


def test_in_mixed_precision_the_losses_are_computed_in_float32(detector):
    with torch.autocast("cpu", torch.bfloat16):
        output = detector.train()(torch.rand(3, 3, 64, 64))
    assert output.features[0].dtype == torch.bfloat16
    terms = detector.losses(output, TARGETS)
    assert {term.dtype for term in terms.values()} == {torch.float32}
    assert sum(terms.values()).isfinite()


def test_every_term_is_divided_by_the_objects_or_by_the_scores_of_proposals(detector):
    images = torch.rand(3, 3, 64, 64)
    sums = detector.train().loss_sums(detector(images), TARGETS)
    assert {name: each.normalizer.item() for name, each in sums.items() if name != "proposals"} == {
        "class": 3,
        "box": 3,
        "auxiliary": 3,
        "denoising": 3 * detector.denoising.groups,
    }
    normalizers = detector.normalizers(images, TARGETS)
    assert list(normalizers) == list(sums)
    for name, value in normalizers.items():
        torch.testing.assert_close(value, sums[name].normalizer)


def test_sums_of_parts_of_a_batch_are_those_of_the_batch(detector):
    images = torch.rand(3, 3, 64, 64)
    detector.train()
    for layer in detector.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
    torch.manual_seed(7)
    whole = detector.loss_sums(detector(images), TARGETS)
    torch.manual_seed(7)
    parts = [detector.loss_sums(detector(images[own]), TARGETS[own]) for own in (slice(0, 1), slice(1, 3))]
    for name, expected in whole.items():
        for field in ("total", "normalizer"):
            torch.testing.assert_close(
                sum(getattr(part[name], field) for part in parts),
                getattr(expected, field),
                rtol=1e-4,
                atol=1e-5,
            )


def test_decoding_takes_the_last_layer_and_clips_to_the_image(detector):
    output = detector.eval()(torch.rand(1, 3, 40, 60))
    logits = torch.full_like(output.logits, -20.0)
    boxes = torch.full_like(output.boxes, 0.5)
    logits[0, :-1, 0, 1] = 9.0  # earlier layers do not count
    logits[0, -1, 3] = torch.tensor([2.0, -20.0, 1.0])
    boxes[0, -1, 3] = torch.tensor([0.9, 0.5, 0.4, 0.5])
    (found,) = detector.decode(output._replace(logits=logits, boxes=boxes))
    assert found.labels.tolist() == [0, 2]
    assert found.scores.tolist() == pytest.approx([1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-1))])
    assert found.boxes.tolist() == [pytest.approx([42.0, 10, 60, 30])] * 2


def test_learned_queries_have_no_dense_head():
    config = VARIANTS["detr"].config.model_validate(
        {"backbone": {"base_channel": 4}, "queries": "learned", "num_queries": 7, "denoising": {"groups": 0}}
    )
    detector = VARIANTS["detr"].build(config, 3).train()
    output = detector(torch.rand(3, 3, 64, 64))
    assert output.dense is None
    assert output.logits.shape == (3, 3, 7, 3)
    terms = detector.losses(output, TARGETS)
    assert list(terms) == ["class", "box", "auxiliary"]
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())


def test_candidates_follow_a_lower_score_threshold_of_the_nms():
    """Tuning replaces the NMS by one that keeps every candidate."""
    torch.manual_seed(0)
    variant = VARIANTS["detr"]
    config = variant.config.model_validate({"candidates": {"score": 0.9}, "nms": {"score": 0.9}})
    detector = variant.build(config, 3).eval()
    with torch.no_grad():
        output = detector(torch.rand(1, 3, 64, 64))
        assert not len(detector.decode(output)[0].scores)
        detector.nms = NMS(NMSConfig(method="none", score=0.0))
        assert len(detector.decode(output)[0].scores) == 3 * config.num_queries
