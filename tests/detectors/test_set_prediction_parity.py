"""Set prediction agrees with the library transformers: matching, losses, deformable attention with copied weights."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from detectors.assigners.types import PaddedTargets
from detectors.heads.deformable_attention import DeformableAttention, memory_of
from detectors.losses.classification import FocalLoss, VarifocalLoss
from detectors.losses.set_prediction import SetLoss, SetWeights

pytest.importorskip("transformers", reason="transformers, an independent implementation, is not installed")

from transformers.loss import loss_deformable_detr, loss_rt_detr
from transformers.models.deformable_detr import modeling_deformable_detr

IMAGES, QUERIES, CLASSES = 3, 12, 4
OBJECTS = (5, 0, 2)


@pytest.fixture
def scene():
    """Predictions, padded targets, and the same targets as transformers takes them."""
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(IMAGES, QUERIES, CLASSES, generator=draw)

    def boxes(*shape):
        centre = 0.2 + 0.6 * torch.rand(*shape, 2, generator=draw)
        return torch.cat([centre, 0.05 + 0.3 * torch.rand(*shape, 2, generator=draw)], dim=-1)

    truth = PaddedTargets(
        boxes(IMAGES, max(OBJECTS)),
        torch.randint(CLASSES, (IMAGES, max(OBJECTS)), generator=draw),
        torch.arange(max(OBJECTS)) < torch.tensor(OBJECTS)[:, None],
    )
    theirs = [
        {"boxes": truth.boxes[k, :n], "class_labels": truth.labels[k, :n]} for k, n in enumerate(OBJECTS)
    ]
    return logits, boxes(IMAGES, QUERIES), truth, theirs


def pairs(objects):
    return [sorted((q, g) for q, g in enumerate(row) if g >= 0) for row in objects.tolist()]


def test_matching_and_losses_equal_deformable_detr(scene):
    logits, boxes, truth, theirs = scene
    loss = SetLoss(FocalLoss(), SetWeights())
    matcher = loss_deformable_detr.DeformableDetrHungarianMatcher(2, 5, 2)
    outputs = {"logits": logits, "pred_boxes": boxes}
    indices = matcher(outputs, theirs)
    objects = loss.match(logits, boxes, truth)
    assert pairs(objects) == [sorted(zip(q.tolist(), g.tolist(), strict=True)) for q, g in indices]

    criterion = loss_deformable_detr.DeformableDetrImageLoss(matcher, CLASSES, 0.25, ["labels", "boxes"])
    count = float(sum(OBJECTS))
    expected_class = criterion.loss_labels(outputs, theirs, indices, count)["loss_ce"]
    expected_box = criterion.loss_boxes(outputs, theirs, indices, count)
    score, box = loss(logits, boxes, objects, truth)
    torch.testing.assert_close(score.sum() / count, 2 * expected_class, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        box.sum() / count, 5 * expected_box["loss_bbox"] + 2 * expected_box["loss_giou"], rtol=1e-5, atol=1e-5
    )


def test_matching_and_losses_equal_rt_detr(scene):
    logits, boxes, truth, theirs = scene
    config = SimpleNamespace(
        matcher_class_cost=2.0,
        matcher_bbox_cost=5.0,
        matcher_giou_cost=2.0,
        use_focal_loss=True,
        matcher_alpha=0.25,
        matcher_gamma=2.0,
        num_labels=CLASSES,
        weight_loss_vfl=1.0,
        weight_loss_bbox=5.0,
        weight_loss_giou=2.0,
        eos_coefficient=1e-4,
        focal_loss_alpha=0.75,
        focal_loss_gamma=2.0,
    )
    criterion = loss_rt_detr.RTDetrLoss(config)
    outputs = {"logits": logits, "pred_boxes": boxes}
    indices = criterion.matcher(outputs, theirs)
    expected = criterion.loss_labels_vfl(outputs, theirs, indices, 1.0)["loss_vfl"]

    loss = SetLoss(VarifocalLoss(), SetWeights())
    objects = loss.match(logits, boxes, truth)
    assert pairs(objects) == [sorted(zip(q.tolist(), g.tolist(), strict=True)) for q, g in indices]
    torch.testing.assert_close(
        loss(logits, boxes, objects, truth).score.sum(), 2 * expected, rtol=1e-5, atol=1e-5
    )


def test_deformable_attention_equals_that_of_deformable_detr_with_its_weights():
    config = SimpleNamespace(d_model=16, num_feature_levels=3, disable_custom_kernels=True)
    theirs = modeling_deformable_detr.DeformableDetrMultiscaleDeformableAttention(
        config, num_heads=4, n_points=2
    )
    ours = DeformableAttention(16, levels=3, heads=4, points=2)
    draw = torch.Generator().manual_seed(3)
    names = {
        "value": "value_proj",
        "offsets": "sampling_offsets",
        "weights": "attention_weights",
        "out": "output_proj",
    }
    with torch.no_grad():
        for own, other in names.items():
            for part in ("weight", "bias"):
                value = torch.randn(getattr(theirs, other).get_parameter(part).shape, generator=draw)
                ours.get_submodule(own).get_parameter(part).copy_(value)
                theirs.get_submodule(other).get_parameter(part).copy_(value)
    queries = torch.randn(2, 5, 16, generator=draw)
    references = torch.rand(2, 5, 4, generator=draw)  # some points lie outside the image
    grids = [(8, 12), (4, 6), (2, 3)]
    features = [torch.randn(2, 16, *grid, generator=draw) for grid in grids]
    memory = memory_of(features, (8, 16, 32), (64, 96))
    expected, _ = theirs(
        queries,
        encoder_hidden_states=memory.cells,
        reference_points=references[:, :, None].expand(-1, -1, 3, -1),
        spatial_shapes=torch.tensor(grids),
        spatial_shapes_list=grids,
        level_start_index=torch.tensor([0, 96, 120]),
    )
    torch.testing.assert_close(ours(queries, references, memory), expected, rtol=1e-5, atol=1e-5)
