"""Fault row 38: untrusted weights execute no code, and are loaded completely or not at all."""

from __future__ import annotations

import pickle
import struct
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from detectors.backbones import BackboneConfig, make_backbone
from detectors.pretrained import load_detector
from detectors.registry import VARIANTS
from detectors.weights import difference, load_weights, read_weights
from metrics.errors import InputError, MachineError


@pytest.fixture
def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.fixture
def state(network):
    return {
        key: torch.rand_like(tensor) if tensor.is_floating_point() else tensor.clone()
        for key, tensor in network.state_dict().items()
    }


def unchanged(network, before):
    return all(tensor.equal(before[key]) for key, tensor in network.state_dict().items())


def copy_of(network):
    return {key: tensor.clone() for key, tensor in network.state_dict().items()}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_come_back(tmp_path, network, state, suffix):
    path = tmp_path / f"w.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    load_weights(network, path)
    assert unchanged(network, state)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict"])
def test_weights_within_a_checkpoint_are_found(tmp_path, network, state, wrapper):
    torch.save(
        {wrapper: {f"module.{key}": tensor for key, tensor in state.items()}, "epoch": 3}, tmp_path / "w.pt"
    )
    load_weights(network, tmp_path / "w.pt")
    assert unchanged(network, state)


def test_weights_without_num_batches_tracked_load(tmp_path, network, state):
    del state["1.num_batches_tracked"]
    torch.save(state, tmp_path / "w.pt")
    load_weights(network, tmp_path / "w.pt")


class Payload:
    """A hostile pickle: calls a function of its choice when it is read."""

    def __init__(self, trace) -> None:
        self.trace = trace

    def __reduce__(self):
        return (exec, (f"open({str(self.trace)!r}, 'w').close()",))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_fault_38_a_pickle_payload_is_refused_and_not_run(tmp_path, network, state, how):
    trace, path = tmp_path / "trace", tmp_path / "w.pth"
    hostile = {**state, "0.weight": Payload(trace)}
    if how == "torch":
        torch.save(hostile, path)
    else:
        path.write_bytes(pickle.dumps(hostile))
    before = copy_of(network)
    with pytest.raises(InputError, match=r"w\.pth"):
        load_weights(network, path)
    assert not trace.exists()
    assert unchanged(network, before)


def test_fault_38_a_pickled_module_is_refused(tmp_path, network):
    torch.save(network, tmp_path / "w.pt")
    with pytest.raises(InputError, match="would run its code") as refused:
        read_weights(tmp_path / "w.pt")
    assert "torch.nn.modules.container.Sequential" in str(refused.value)
    assert "weights_only" not in str(refused.value)  # torch's advice would run the code


def test_fault_38_wrong_keys_are_listed_by_kind(tmp_path, network, state):
    state["2.weight"] = state.pop("0.weight")
    state["1.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "w.pt")
    before = copy_of(network)
    with pytest.raises(InputError) as error:
        load_weights(network, tmp_path / "w.pt")
    text = str(error.value)
    assert "1 missing: 0.weight" in text
    assert "1 unexpected: 2.weight" in text
    assert "1 of another shape: 1.bias: (7,) for (4,)" in text
    assert unchanged(network, before)


def test_fault_38_another_class_count_is_an_error_and_loads_no_tensor(tmp_path):
    ssd = VARIANTS["ssd"]
    three, five = ssd.build(ssd.config(), 3), ssd.build(ssd.config(), 5)
    save_file(
        {key: tensor.contiguous() for key, tensor in five.state_dict().items()}, tmp_path / "w.safetensors"
    )
    before = copy_of(three)
    with pytest.raises(InputError, match=r"of another shape: head\.class_outs.* class count"):
        load_weights(three, tmp_path / "w.safetensors")
    assert unchanged(three, before)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_fault_38_a_truncated_file_is_an_error(tmp_path, state, suffix, share):
    path = tmp_path / f"w.{suffix}"
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match="damaged"):
        read_weights(path)


def test_fault_38_a_git_lfs_pointer_is_called_that(tmp_path):
    path = tmp_path / "w.pth"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 46830571\n")
    with pytest.raises(InputError, match=r"Git-LFS pointer.*git lfs pull"):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_safetensors_are_read_whatever_the_length_of_their_header(tmp_path, suffix):
    """The first two bytes are the length of the header, and take the values that begin a pickle and an archive, too."""
    tensors = {"x": torch.arange(3.0)}
    path = tmp_path / f"w{suffix}"
    lengths = set()
    least = 128
    for target in [*range(least, least + 256, 8), 0x4B50]:  # all multiples of 8 modulo 256, and "PK"
        save_file(tensors, path, {"pad": ""})
        have = struct.unpack("<Q", path.read_bytes()[:8])[0]
        save_file(tensors, path, {"pad": "x" * (target - have)})
        lengths.add(struct.unpack("<Q", path.read_bytes()[:8])[0])
        assert read_weights(path)["x"].equal(tensors["x"])
    assert {length % 256 for length in lengths} == set(range(0, 256, 8))
    assert 0x4B50 in lengths


@pytest.mark.parametrize("claim", [2**62, 10**9, 0])
def test_fault_38_a_safetensors_header_with_a_wrong_size_is_an_error(tmp_path, state, claim):
    path = tmp_path / "w.safetensors"
    save_file(state, path)
    path.write_bytes(struct.pack("<Q", claim) + path.read_bytes()[8:])
    with pytest.raises(InputError, match="damaged safetensors"):
        read_weights(path)


def test_fault_38_a_safetensors_tensor_beyond_the_file_is_an_error(tmp_path):
    header = b'{"x":{"dtype":"F32","shape":[4000000],"data_offsets":[0,16000000]}}'
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 64)
    with pytest.raises(InputError, match="damaged safetensors"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_fault_38_weights_that_are_not_finite_are_an_error(tmp_path, network, state, bad):
    state["0.bias"][2] = bad
    torch.save(state, tmp_path / "w.pt")
    before = copy_of(network)
    with pytest.raises(InputError, match=r"1 tensor holds NaN or infinity: 0\.bias"):
        load_weights(network, tmp_path / "w.pt")
    assert unchanged(network, before)


def test_fault_38_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot read the weights: No such file"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(InputError, match="cannot read the weights"):
        read_weights(tmp_path)


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 1}, 7])
def test_fault_38_a_file_without_tensors_is_an_error(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InputError, match="expected"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(("named", "written"), [("w.pth", "safetensors"), ("w.safetensors", "torch")])
def test_the_format_of_a_file_is_decided_by_its_content(tmp_path, network, state, named, written):
    save_file(state, tmp_path / named) if written == "safetensors" else torch.save(state, tmp_path / named)
    load_weights(network, tmp_path / named)
    assert unchanged(network, state)


def test_files_of_older_torch_and_of_half_precision_load(tmp_path, network, state):
    half = {key: t.half() if t.is_floating_point() else t for key, t in state.items()}
    torch.save(half, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    load_weights(network, tmp_path / "w.pth")
    for key, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, state[key], rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("content", [b"<html>404 not found</html>", b"\x08\x07\x12\x07pytorch" * 9, b"{}"])
def test_fault_38_a_file_of_another_format_is_an_error_with_its_first_bytes(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match="not a file of weights: it begins with b") as error:
        read_weights(tmp_path / "w.pth")
    assert "run its code" not in str(error.value)


@pytest.mark.parametrize("change", [torch.Tensor.to_sparse, lambda t: t.to("meta")])
def test_fault_38_tensors_that_are_not_plain_are_an_error(tmp_path, network, state, change):
    state["0.weight"] = change(state["0.weight"])
    torch.save(state, tmp_path / "w.pth")
    before = copy_of(network)
    with pytest.raises(InputError, match=r"expected only plain tensors, got something else under: 0\.weight"):
        load_weights(network, tmp_path / "w.pth")
    assert unchanged(network, before)


def test_fault_38_integers_instead_of_floats_are_an_error(tmp_path, network, state):
    state["0.weight"] = (state["0.weight"] * 100).to(torch.int8)
    torch.save(state, tmp_path / "w.pth")
    before = copy_of(network)
    with pytest.raises(InputError, match=r"1 of another type: 0\.weight: int8 for float32"):
        load_weights(network, tmp_path / "w.pth")
    assert unchanged(network, before)


@pytest.mark.parametrize("name", VARIANTS.names())
def test_fault_38_no_variant_is_built_with_weights_of_another(tmp_path, name):
    """The difference of keys is reported, for another variant and for another number of classes."""
    other = VARIANTS["ssd" if name != "ssd" else "fcos"]
    own = VARIANTS[name]
    for number, (variant, classes, text) in enumerate([(other, 3, "missing"), (own, 5, "of another shape")]):
        path = tmp_path / f"{number}.safetensors"
        weights = variant.build(variant.config(), classes).state_dict()
        save_file({key: tensor.contiguous() for key, tensor in weights.items()}, path)
        with pytest.raises(
            InputError, match=rf"weights: .*{number}.safetensors: these weights do not fit: .*{text}"
        ):
            own.build(own.config(weights=str(path)), 3)


def test_weights_that_cannot_be_downloaded_name_their_url(monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(
        MachineError,
        match=r"weights: SSD300.*: cannot be downloaded .*; without a network connection, download https://",
    ):
        load_detector(nn.Identity(), "SSD300_VGG16_Weights.COCO_V1")
    with pytest.raises(
        MachineError, match=r"backbone.weights: IMAGENET1K_V1 of resnet18: .*download https://"
    ):
        make_backbone(BackboneConfig(name="resnet18", weights="IMAGENET1K_V1"))


def test_a_difference_is_false_when_all_fits(network):
    assert not difference(network.state_dict(), network.state_dict())
