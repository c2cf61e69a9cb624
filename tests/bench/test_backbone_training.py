"""Frozen backbones, and backbones that compute their activations twice."""

from __future__ import annotations

import pytest
import torch
from killing_log import Killed, KillingLog
from tiny_runs import tiny_config

from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.training.loop import train
from detectors.backbones import BackboneConfig, make_backbone


def trained(folder, log=None, **settings):
    """Initial and final weights."""
    config = tiny_config(
        **({"data__train": 8, "train__average": 0, "train__checkpoint_minutes": 1e-9} | settings)
    )
    dataset = open_run_data(config)
    detector = build_detector(config, len(dataset.classes))
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    train(detector, dataset.splits["train"], dataset.splits["val"], config, folder, log=log)
    assert all(parameter.requires_grad for parameter in detector.parameters())
    return before, detector.state_dict()


def changed(before, after, part):
    """Names of trained weights that changed; statistics of BatchNorm are no weights."""
    return {
        name
        for name, tensor in before.items()
        if name.startswith(part) and "running" not in name and "num_batches" not in name
        if not torch.equal(tensor, after[name])
    }


def test_a_frozen_backbone_keeps_its_weights_for_that_many_epochs(tmp_path):
    before, after = trained(tmp_path / "all", train__freeze_epochs=2)
    assert not changed(before, after, "backbone.")
    assert changed(before, after, "head.")
    before, after = trained(tmp_path / "first", train__freeze_epochs=1)
    assert changed(before, after, "backbone.")


@pytest.mark.parametrize("at", [(0, 1), (1, 0), (1, 1)])
def test_an_interrupted_training_freezes_and_thaws_as_an_uninterrupted_one(tmp_path, at):
    _, whole = trained(tmp_path / "whole", train__freeze_epochs=1)
    with pytest.raises(Killed):
        trained(
            tmp_path / "killed",
            KillingLog(when=lambda facts: (facts["epoch"], facts["batch"]) == at),
            train__freeze_epochs=1,
        )
    _, resumed = trained(tmp_path / "killed", train__freeze_epochs=1)
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())


def test_activations_that_are_computed_again_change_no_weight_and_no_statistic(tmp_path):
    _, kept = trained(tmp_path / "kept")
    _, again = trained(tmp_path / "again", train__checkpoint_activations=True)
    for name, tensor in kept.items():
        assert torch.equal(tensor, again[name]), name


def test_activations_of_the_backbone_are_not_kept():
    backbone = make_backbone(BackboneConfig(base_channel=4))
    images = torch.rand(1, 3, 64, 64)

    def kept_bytes() -> int:
        sizes = {}

        def pack(tensor):
            sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            features = backbone(images)
        assert features[0].requires_grad
        return sum(sizes.values())

    usual = kept_bytes()
    backbone.checkpoint = True
    assert kept_bytes() < usual / 5
