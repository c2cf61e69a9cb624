"""Metadata of weights: readable by safetensors, and without effect on digests."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from detectors.safetensors_metadata import content_digest, make_metadata, read_metadata, sort_metadata

TENSORS = {
    "layer.weight": torch.arange(6.0).reshape(2, 3),
    "layer.bias": torch.zeros(2),
    "größe": torch.ones(1, dtype=torch.int64),
}


@pytest.mark.parametrize("run", ["", "ssd-0-1234"])
def test_metadata_are_read_by_safetensors_and_do_not_change_the_digest(tmp_path, run):
    plain, named = tmp_path / "plain.safetensors", tmp_path / "named.safetensors"
    save_file(TENSORS, plain)
    save_file(TENSORS, named, make_metadata("ssd", ["dog", "Käse"], run))
    with safe_open(named, "pt") as file:
        metadata = file.metadata()
    assert metadata == read_metadata(named)
    assert json.loads(metadata["classes"]) == ["dog", "Käse"]
    assert (metadata["variant"], metadata.get("run", "")) == ("ssd", run)
    assert content_digest(named) == content_digest(plain) == hashlib.sha256(plain.read_bytes()).hexdigest()
    assert named.read_bytes() != plain.read_bytes()
    assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in load_file(named).items())


def test_other_tensors_have_another_digest(tmp_path):
    for name, value in (("a", 0.0), ("b", 1.0)):
        save_file({"x": torch.full((3,), value)}, tmp_path / name, make_metadata("ssd", ["dog"]))
    assert content_digest(tmp_path / "a") != content_digest(tmp_path / "b")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"abc", b"\x02" + b"\0" * 7 + b"{}", b"\x02" + b"\0" * 7 + b"{x",
        b"\xff" * 20, b"\x02" + b"\0" * 7 + b"[]",
    ],
)  # fmt: skip
def test_other_files_have_no_metadata_and_the_digest_of_their_bytes(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert read_metadata(tmp_path / "file") == {}
    assert content_digest(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_foreign_metadata_are_part_of_the_digest(tmp_path):
    save_file(TENSORS, tmp_path / "w", {"format": "pt"})
    assert content_digest(tmp_path / "w") == hashlib.sha256((tmp_path / "w").read_bytes()).hexdigest()


MANY = {f"name {number}": f'"Käse"\n\t\x01\x7f\\{number}' for number in range(20)}


def test_fault_76_equal_weights_and_metadata_are_equal_bytes(tmp_path):
    written = set()
    for number in range(8):
        file = tmp_path / f"{number}.safetensors"
        save_file(TENSORS, file, dict(sorted(MANY.items(), reverse=bool(number % 2))))
        digest = content_digest(file), load_file(file)
        sort_metadata(file)
        assert read_metadata(file) == MANY
        assert list(read_metadata(file)) == sorted(MANY)
        assert all(torch.equal(tensor, digest[1][name]) for name, tensor in load_file(file).items())
        written.add(file.read_bytes())
    assert len(written) == 1


def test_files_without_metadata_stay_as_they_are(tmp_path):
    save_file(TENSORS, tmp_path / "w")
    (tmp_path / "x").write_bytes(b"something else")
    for name in ("w", "x"):
        before = (tmp_path / name).read_bytes()
        sort_metadata(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
