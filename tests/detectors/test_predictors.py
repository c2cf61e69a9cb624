"""Other people's detectors, entered by name."""

from __future__ import annotations

import functools

import pytest
import torch
from torchvision.models import detection, get_model_weights

from detectors import predictors
from detectors.predictors import make_predictor, predictor_names
from detectors.types import Detections
from metrics.errors import InputError

LITE = "torchvision/ssdlite320_mobilenet_v3_large"
COCO = get_model_weights("ssdlite320_mobilenet_v3_large").DEFAULT.meta["categories"]


@functools.cache
def model(classes: int) -> torch.nn.Module:
    torch.manual_seed(0)
    return detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=classes
    ).eval()


@pytest.fixture
def published(tmp_path):
    torch.save(model(91).state_dict(), tmp_path / "coco.pth")
    return str(tmp_path / "coco.pth")


def test_it_finds_what_torchvision_finds_under_our_labels(published):
    classes = ["Dog", "unicorn", "person"]
    images = torch.rand(2, 3, 96, 128)
    with torch.no_grad():
        expected = model(91)(list(images))
    wanted = {COCO.index("dog"): 0, COCO.index("person"): 2}
    for found, reference in zip(
        make_predictor(LITE, classes, published).predict(images), expected, strict=True
    ):
        known = [k for k, label in enumerate(reference["labels"].tolist()) if label in wanted]
        assert found.scores.tolist() == reference["scores"][known].tolist()
        assert found.labels.tolist() == [wanted[label] for label in reference["labels"][known].tolist()]
        assert found.boxes.equal(reference["boxes"][known])


def test_weights_of_ones_own_classes_keep_their_order(tmp_path):
    torch.save(model(4).state_dict(), tmp_path / "own.pth")
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        (reference,) = model(4)(list(images))
    (found,) = make_predictor(LITE, ["a", "b", "c"], str(tmp_path / "own.pth")).predict(images)
    assert found.labels.tolist() == (reference["labels"] - 1).tolist()
    assert found.scores.equal(reference["scores"])


def test_fault_row_38_weights_of_another_class_count_are_refused(tmp_path):
    torch.save(model(4).state_dict(), tmp_path / "own.pth")
    with pytest.raises(InputError, match=r"do not fit: .* of another shape"):
        make_predictor(LITE, ["a", "b"], str(tmp_path / "own.pth"))


def test_the_oldest_published_file_loads_as_torchvision_loads_it(tmp_path):
    """RetinaNet's file of 2020: older names, no counts of batches, and no epsilon in its frozen BatchNorm."""
    torch.manual_seed(0)
    theirs = detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None, num_classes=91)
    old = {}
    for key, tensor in theirs.state_dict().items():
        if "_head.conv." in key:
            head, _, rest = key.partition(".conv.")
            number, _, kind = rest.split(".")
            key = f"{head}.conv.{2 * int(number)}.{kind}"
        if not key.endswith("num_batches_tracked"):
            old[key] = tensor
    torch.save(old, tmp_path / "old.pth")
    ours = make_predictor("torchvision/retinanet_resnet50_fpn", ["person"], str(tmp_path / "old.pth")).model
    assert all(a.equal(b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert {layer.eps for layer in ours.modules() if isinstance(layer, torch.nn.BatchNorm2d)} == {0.0}


def test_classes_that_coco_does_not_know_are_told(published):
    with pytest.raises(InputError, match="COCO knows none of these classes: unicorn, rbc"):
        make_predictor(LITE, ["unicorn", "rbc"], published)


@pytest.mark.parametrize("name", ["torchvision/ssd300_vg16", "ssd300_vgg16", "torchvsion/ssd300_vgg16"])
def test_an_unknown_name_has_the_nearest(name):
    with pytest.raises(InputError, match="did you mean 'torchvision/ssd300_vgg16'"):
        make_predictor(name, ["person"])


def test_an_unknown_name_of_weights_lists_the_known():
    with pytest.raises(InputError, match=r"no weights named 'COCO_V7', and no such file; known: COCO_V1"):
        make_predictor(LITE, ["person"], "COCO_V7")


def test_the_models_of_issue_and_paper_are_there():
    assert {
        f"torchvision/{name}"
        for name in ("ssd300_vgg16", "retinanet_resnet50_fpn", "fasterrcnn_resnet50_fpn")
    } <= {*predictor_names()}


class Entry:
    """An entry point of another package."""

    def __init__(self, name, thing) -> None:
        self.name = name
        self.thing = thing

    def load(self):
        return self.thing


class Blind:
    """A predictor that finds nothing."""

    def __init__(self, classes) -> None:
        self.classes = classes

    def predict(self, images):
        return [
            Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)) for _ in images
        ]


def test_another_packages_predictor_is_entered_by_its_entry_point(monkeypatch):
    entries = [Entry("acme/blind", Blind), Entry("acme/broken", lambda classes: 7)]
    monkeypatch.setattr(
        predictors, "entry_points", lambda group: entries if group == predictors.GROUP else []
    )
    found = make_predictor("acme/blind", ("cat", "dog"))
    assert found.classes == ["cat", "dog"]
    assert len(found.predict(torch.rand(2, 3, 8, 8))) == 2
    assert "acme/blind" in predictor_names()
    with pytest.raises(InputError, match="acme/broken: gave a int, which has no method `predict`"):
        make_predictor("acme/broken", ["cat"])
    with pytest.raises(InputError, match="acme/blind: takes no weights"):
        make_predictor("acme/blind", ["cat"], "file.pth")
