"""Pruning of networks: which channels go, that what is left computes the same, and rebuilding by shapes."""

from __future__ import annotations

import pytest
import torch
from rectangles import with_label_maps
from torch import nn

from detectors.compression.pruning import MULTIPLE, prune_channels, prune_weights
from detectors.compression.shapes import changed_shapes, set_shapes
from detectors.registry import VARIANTS
from detectors.types import Targets
from metrics.errors import InputError

pytest.importorskip("torch_pruning", reason="torch-pruning is absent: pip install detbench[compress]")

SIZE = (64, 64)


def build(name: str, **settings) -> nn.Module:
    torch.manual_seed(0)
    variant = VARIANTS[name]
    return variant.build(variant.config.model_validate(settings), 3).eval()


def parameters(network: nn.Module) -> int:
    return sum(each.numel() for each in network.parameters())


def layers(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(each.shape) for name, each in network.state_dict().items()}


@pytest.fixture(params=VARIANTS.names())
def pruned(request):
    """Name of a variant, its network, and the same network with half of its channels."""
    network = build(request.param)
    prune_channels(network, 0.5, SIZE)
    return request.param, build(request.param), network


def test_every_variant_is_pruned_trains_and_is_rebuilt_by_its_shapes(pruned):
    name, original, network = pruned
    assert parameters(network) < 0.55 * parameters(original)
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    shapes = changed_shapes(network, original)
    widths = {each[0] for path, each in shapes.items() if path.endswith("conv.weight") and len(each) == 4}
    assert all(width % MULTIPLE == 0 for width in widths)
    again = build(name)
    set_shapes(again, shapes)
    again.load_state_dict(network.state_dict())
    with torch.inference_mode():
        found, wanted = again.eval().predict(images), network.eval().predict(images)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.boxes, other.boxes)
        torch.testing.assert_close(one.scores, other.scores)
    assert {type(each): vars_of(each) for each in again.modules()} == {
        type(each): vars_of(each) for each in network.modules()
    }
    target = Targets(torch.tensor([[8.0, 8, 40, 44]]), torch.tensor([1]))
    terms = again.train().losses(again(images), with_label_maps([target, target], SIZE))
    sum(terms.values()).backward()
    assert all(
        each.grad is not None and each.grad.isfinite().all()
        for each in again.parameters()
        if each.requires_grad
    )


def vars_of(layer: nn.Module) -> dict[str, object]:
    """Numbers of a layer, such as its channels."""
    return {name: value for name, value in vars(layer).items() if isinstance(value, int)}


def test_outputs_of_the_last_layers_keep_their_channels():
    network = build("fcos", head={"channels": 32})
    before = network(torch.zeros(1, 3, *SIZE))
    prune_channels(network, 0.5, SIZE)
    after = network(torch.zeros(1, 3, *SIZE))
    assert (after.logits.shape, after.codes.shape) == (before.logits.shape, before.codes.shape)


def test_channels_without_weights_go_first():
    """Every second channel in the middle of a block of SSD's neck is zero in all layers that share it."""
    network = build("ssd", neck_channels=(32,), levels=5)
    first, norm, _, last, *_ = network.neck.extras[0]
    dead = torch.arange(16) % 2 == 0
    scales = torch.arange(16.0) + 1
    scales[dead] = 0
    with torch.no_grad():
        norm.weight.copy_(scales)
        first.weight[dead] = norm.bias[dead] = 0
        last.weight[:, dead] = 0
    prune_channels(network, 0.5, SIZE)
    assert network.neck.extras[0][1].weight.tolist() == scales[~dead].tolist()


def test_layers_whose_output_is_not_read_are_adapted_too():
    network = build("ssd", levels=2)  # of the four that the backbone computes
    prune_channels(network, 0.5, SIZE)
    network(torch.zeros(1, 3, *SIZE))


def test_frozen_layers_are_pruned_and_stay_frozen():
    network = build("fcos", backbone={"name": "squeezenet1_1", "frozen_stages": 2}, head={"channels": 16})
    frozen = {name for name, each in network.named_parameters() if not each.requires_grad}
    prune_channels(network, 0.5, SIZE)
    assert frozen
    assert {name for name, each in network.named_parameters() if not each.requires_grad} == frozen
    network(torch.zeros(1, 3, *SIZE))


def test_what_cannot_be_pruned_says_why():
    network = build("ssd", neck_channels=(8,), backbone={"base_channel": 4}, levels=2)
    with pytest.raises(
        InputError, match="no group of layers has channels to remove; at least 8 are left of each"
    ):
        prune_channels(network, 0.01, SIZE)
    with pytest.raises(InputError, match="Linear: this kind of detector cannot be pruned"):
        prune_channels(nn.Linear(3, 3), 0.5, SIZE)


def test_shapes_of_another_network_are_refused():
    with pytest.raises(
        InputError, match=r"pruned: gone\.weight with shape \(8,\) is not a tensor of this network"
    ):
        set_shapes(build("ssd"), {"gone.weight": (8,)})


def test_the_smallest_weights_of_all_layers_are_zero_and_stay_zero_in_training():
    network = build("ssd", neck_channels=(8,), backbone={"base_channel": 4}, levels=2)
    weights = [layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    flat = torch.cat([weight.detach().abs().flatten() for weight in weights])
    count = prune_weights(network, 0.75)
    assert count == int(0.75 * len(flat))
    threshold = flat.sort().values[count]  # the smallest that is left
    now = torch.cat([weight.detach().abs().flatten() for weight in weights])
    assert ((now == 0) == (flat < threshold)).all()
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    images = torch.rand(2, 3, *SIZE)
    target = Targets(torch.tensor([[8.0, 8, 40, 44]]), torch.tensor([1]))
    for _ in range(2):
        sum(network.train().losses(network(images), [target, target]).values()).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = torch.cat([weight.detach().abs().flatten() for weight in weights])
    assert ((after == 0) == (now == 0)).all()
    assert (after != now).any()
