"""Provenance of a result, without the user's name and folders."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
import torch

from bench.runs.provenance import (
    checkout,
    command_line,
    cpu_name,
    environment,
    file_digest,
    settings_by_content,
    shorten_path,
    shorten_paths,
)
from metrics.errors import InputError


def test_the_environment_has_versions_device_and_threads():
    found = environment("cpu")
    assert found.python == platform.python_version()
    assert found.packages["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert (found.device, found.threads) == ("cpu", torch.get_num_threads())
    assert found.cpu == cpu_name() != ""


def test_detections_of_another_program_have_no_device():
    found = environment()
    assert (found.device, found.threads) == ("", None)


def test_a_checkout_is_clean_until_a_file_changes(tmp_path: Path):
    def git(*words: str) -> str:
        identity = ["-c", "user.name=n", "-c", "user.email=e@x"]
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert checkout(tmp_path) == (None, None)
    git("init", "-q")
    assert checkout(tmp_path) == (None, None)
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "first")
    assert checkout(tmp_path) == (git("rev-parse", "HEAD"), False)
    (tmp_path / "a").write_text("2")
    assert checkout(tmp_path)[1] is True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ssd", "ssd"),
        ("data/mine", "data/mine"),
        ("/home/ada/project/data", "data"),
        ("/home/ada/secret/images", "images"),
        ("~/images", "images"),
        ("backbone.weights=/home/ada/resnet.pth", "backbone.weights=resnet.pth"),
        ("nms.iou=0.5", "nms.iou=0.5"),
        ("data/mine+/home/ada/secret/more+~/third", "data/mine+more+third"),
        ("data.path=/home/ada/project/a+/home/ada/project/b", "data.path=a+b"),
        ("cats+dogs", "cats+dogs"),
        ("--out=/home/ada/runs", "--out=runs"),
    ],
)
def test_absolute_paths_are_shortened(text, shown):
    assert shorten_path(text, Path("/home/ada/project")) == shown


def test_the_command_is_a_valid_shell_line():
    words = ["run", "--variant", "ssd", "--set", "a.b=x y"]
    assert command_line(words) == "python -m bench run --variant ssd --set 'a.b=x y'"
    assert command_line(["/abs/x"], show_paths=True) == "python -m bench /abs/x"


def test_settings_keep_their_structure_when_paths_are_shortened():
    tree = {"a": {"weights": "/home/ada/w.pth"}, "b": [1, "/x/y"], "c": None, "d": "plain"}
    assert shorten_paths(["a+/home/ada/b"]) == ["a+b"]
    assert shorten_paths(tree) == {"a": {"weights": "w.pth"}, "b": [1, "y"], "c": None, "d": "plain"}
    assert shorten_paths(["a+/home/ada/b"]) == ["a+b"]


def test_a_file_in_the_settings_is_replaced_by_its_digest(tmp_path: Path):
    one, same, other = (tmp_path / name for name in ("one.pth", "same.pth", "other.pth"))
    one.write_bytes(b"abc")
    same.write_bytes(b"abc")
    other.write_bytes(b"abd")
    assert settings_by_content({"w": str(one)}) == settings_by_content({"w": str(same)})
    assert settings_by_content({"w": str(one)}) != settings_by_content({"w": str(other)})
    # The digest of "abc" is published in FIPS 180-2, appendix B.1.
    assert file_digest(one) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert settings_by_content({"w": "IMAGENET1K_V1", "n": 3}) == {"w": "IMAGENET1K_V1", "n": 3}


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"gone\.pth: cannot be read"):
        file_digest(tmp_path / "gone.pth")
