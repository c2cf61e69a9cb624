"""Normalisation of batches, including the smallest."""

from __future__ import annotations

import torch
from torch import nn

from detectors.norm import BatchNorm


def test_a_single_cell_is_normalised_by_running_statistics():
    layer = BatchNorm(3).train()
    layer.running_mean.fill_(2.0)
    layer.running_var.fill_(4.0)
    found = layer(torch.full((1, 3, 1, 1), 6.0))
    torch.testing.assert_close(found, torch.full((1, 3, 1, 1), 2.0))
    assert layer.num_batches_tracked == 0


def test_any_other_batch_is_normalised_as_torch_does():
    torch.manual_seed(0)
    x = torch.randn(2, 3, 1, 1)
    ours, theirs = BatchNorm(3).train(), nn.BatchNorm2d(3).train()
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
