"""Models of transformers as external models: detections equal those of transformers' own pipeline."""

from __future__ import annotations

import functools
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectors.external.registry import external_model
from detectors.types import Detections
from metrics.errors import InputError, InputNote, InputWarning, MachineError

transformers = pytest.importorskip("transformers")

CLASSES = ("cat", "dog", "bird")


@functools.cache
def rt_detr() -> tuple[torch.nn.Module, object]:
    torch.manual_seed(0)
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = transformers.RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=16,
        encoder_in_channels=[8, 16, 16],
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        feat_channels=[16, 16, 16],
        d_model=16,
        num_queries=20,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        num_denoising=0,
        id2label=dict(enumerate(CLASSES)),
    )
    processor = transformers.RTDetrImageProcessor(size={"height": 64, "width": 64})
    return transformers.RTDetrForObjectDetection(config).eval(), processor


@functools.cache
def yolos() -> tuple[torch.nn.Module, object]:
    torch.manual_seed(1)
    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 64],
        patch_size=16,
        num_detection_tokens=12,
        id2label=dict(enumerate(CLASSES)),
    )
    processor = transformers.YolosImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return transformers.YolosForObjectDetection(config).eval(), processor


def save(made, folder: Path) -> Path:
    model, processor = made
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def predictor(folder: Path, known_classes=CLASSES, **settings):
    known = external_model(f"hf/{folder}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputNote)
        return known.build(known.config.model_validate(settings), known_classes)


def picture(height: int = 50, width: int = 70) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def their_own(made, image: Image.Image, threshold: float) -> Detections:
    model, processor = made
    with torch.no_grad():
        outputs = model(**processor(images=image, return_tensors="pt"))
    (found,) = processor.post_process_object_detection(
        outputs, threshold=threshold, target_sizes=[(image.height, image.width)]
    )
    order = found["scores"].argsort(descending=True, stable=True)
    return Detections(found["boxes"][order], found["scores"][order], found["labels"][order])


@pytest.mark.parametrize("make", [rt_detr, yolos])
def test_detections_equal_those_of_transformers(tmp_path, make):
    image = picture()
    (found,) = predictor(save(make(), tmp_path)).predict(as_tensor(image))
    expected = their_own(make(), image, 0.001)
    assert len(expected.scores) >= 12
    torch.testing.assert_close(found.scores, expected.scores)
    torch.testing.assert_close(found.boxes, expected.boxes)
    assert torch.equal(found.labels, expected.labels)


def test_labels_are_those_of_the_data_set_and_unknown_classes_are_dropped(tmp_path):
    folder = save(rt_detr(), tmp_path)
    expected = their_own(rt_detr(), picture(), 0.001)
    (only,) = set(expected.labels.tolist())  # an untrained model detects a single class
    name = CLASSES[only]
    with pytest.warns(InputWarning, match="know 1 of 2 classes and cannot detect fish"):
        (found,) = predictor(folder, ["fish", name.upper()]).predict(as_tensor(picture()))
    assert found.labels.tolist() == [1] * len(expected.labels)
    with pytest.warns(InputWarning, match="cannot detect fish"):
        (found,) = predictor(folder, ["kitten", "fish"], classes={name: "kitten"}).predict(
            as_tensor(picture())
        )
    assert found.labels.tolist() == [0] * len(expected.labels)
    (found,) = predictor(folder, [other for other in CLASSES if other != name]).predict(as_tensor(picture()))
    assert len(found.labels) == 0


def test_limits_of_score_and_number(tmp_path):
    folder = save(rt_detr(), tmp_path)
    (whole,) = predictor(folder).predict(as_tensor(picture()))
    (fewer,) = predictor(folder, max_dets=5).predict(as_tensor(picture()))
    assert torch.equal(fewer.boxes, whole.boxes[:5])
    least = float(whole.scores[7])
    (higher,) = predictor(folder, score=least).predict(as_tensor(picture()))
    assert len(higher.scores) == int((whole.scores > least).sum())


def test_classes_without_names_are_those_of_the_data_set_in_order(tmp_path):
    folder = save(rt_detr(), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(label): f"LABEL_{label}" for label in range(3)}
    config["label2id"] = {name: int(label) for label, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    known = external_model(f"hf/{folder}")
    with pytest.warns(InputNote) as notes:
        model = known.build(known.config(), ["x", "y", "z"])
    assert any("in the order of the data set's" in str(note.message) for note in notes)
    (found,) = model.predict(as_tensor(picture()))
    assert torch.equal(found.labels, their_own(rt_detr(), picture(), 0.001).labels)
    with pytest.raises(InputError, match="know none of the data set's classes"):
        predictor(folder, ["x", "y"])


def test_the_source_depends_on_the_contents_of_the_folder(tmp_path):
    folder = save(rt_detr(), tmp_path / "a")
    shutil.copytree(folder, tmp_path / "b")
    first, copy = (external_model(f"hf/{tmp_path / name}").source for name in "ab")
    assert first == copy
    assert "transformers" in first
    (tmp_path / "b" / "preprocessor_config.json").write_text("{}")
    assert external_model(f"hf/{tmp_path / 'b'}").source != first


def test_a_folder_that_is_no_detector_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"hf/.*: cannot be loaded as an object detector .* config.json"):
        predictor(tmp_path)
    save(rt_detr(), tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"preprocessor_config.json"):
        predictor(tmp_path)


def test_a_missing_folder_that_cannot_be_downloaded_says_so(monkeypatch):
    from transformers import AutoModelForObjectDetection

    def offline(*_, **__):
        raise OSError("couldn't connect")

    monkeypatch.setattr(AutoModelForObjectDetection, "from_pretrained", offline)
    with pytest.raises(
        MachineError,
        match=r"hf/nobody/nothing: no such folder, and it cannot be downloaded .*save_pretrained",
    ):
        predictor(Path("nobody/nothing"))
