"""The public face detector of the mb_tiny family gives the same detections here as in its own program."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from detectors.registry import VARIANTS

PRESET = Path(__file__).resolve().parents[2] / "bench" / "presets" / "ssd-face-320.toml"


@pytest.fixture(scope="module")
def face_detector(shared_data):
    tree = tomllib.loads(PRESET.read_text())
    ssd = VARIANTS[tree["variant"]]
    settings = {key: value for key, value in tree.items() if key in ssd.config.model_fields}
    settings["weights"] = str(shared_data / "weights" / "face-slim-320.pth")
    return ssd.build(ssd.config.model_validate(settings), 1).eval()


def test_there_are_4420_priors(face_detector):
    output = face_detector(torch.zeros(1, 3, 240, 320))
    assert output.levels == (3600, 600, 160, 60)
    assert len(output.priors) == 4420


def test_faces_are_found_where_the_reference_finds_them(face_detector, shared_data):
    reference = json.loads((shared_data / "faces" / "expected-slim-320.json").read_text())
    for name, expected in reference.items():
        with Image.open(shared_data / "faces" / name) as image:
            assert list(image.size) == expected["size"]
            small = image.convert("RGB").resize((320, 240), Image.Resampling.BILINEAR)
        (found,) = face_detector.predict(pil_to_tensor(small)[None] / 255)
        boxes = (found.boxes / torch.tensor([320.0, 240, 320, 240])).tolist()
        assert len(boxes) == len(expected["boxes"]), name
        rest = list(zip(expected["boxes"], expected["scores"], strict=True))
        for box, score in zip(boxes, found.scores.tolist(), strict=True):
            nearest = min(rest, key=lambda other: max(abs(a - b) for a, b in zip(box, other[0], strict=True)))
            assert box == pytest.approx([min(max(side, 0), 1) for side in nearest[0]], abs=1e-3), name
            assert score == pytest.approx(nearest[1], abs=1e-3), name
            rest.remove(nearest)
