"""External models by name: torchvision's, and those of other packages."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from agreement import assert_same_detections
from torchvision import models
from torchvision.models import detection, get_model_weights

from detectors.config import Config
from detectors.external import registry
from detectors.external.class_names import are_placeholders
from detectors.external.registry import ExternalModel, external_model, external_model_names
from detectors.external.torchvision_models import MODELS
from detectors.types import Detections
from metrics.errors import InputError, InputWarning, MachineError

LITE = "torchvision/ssdlite320_mobilenet_v3_large"
COCO = get_model_weights("ssdlite320_mobilenet_v3_large").DEFAULT.meta["categories"]


def make(name, known_classes, **settings):
    known = external_model(name)
    return known.build(known.config.model_validate(settings), known_classes)


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
    with pytest.warns(
        InputWarning, match="know 2 of 3 classes and cannot detect unicorn; .* classes.person=unicorn"
    ):
        predictor = make(LITE, classes, weights=published)
    for found, theirs in zip(predictor.predict(images), expected, strict=True):
        known = [k for k, label in enumerate(theirs["labels"].tolist()) if label in wanted]
        labels = torch.tensor([wanted[label] for label in theirs["labels"][known].tolist()])
        assert_same_detections(found, Detections(theirs["boxes"][known], theirs["scores"][known], labels))


def test_weights_of_ones_own_classes_keep_their_order(tmp_path):
    torch.save(model(4).state_dict(), tmp_path / "own.pth")
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        (theirs,) = model(4)(list(images))
    (found,) = make(LITE, ["a", "b", "c"], weights=str(tmp_path / "own.pth")).predict(images)
    assert_same_detections(found, Detections(theirs["boxes"], theirs["scores"], theirs["labels"] - 1))
    with pytest.raises(InputError, match="classes: these weights were trained on as many classes"):
        make(LITE, ["a", "b", "c"], weights=str(tmp_path / "own.pth"), classes={"person": "a"})


def test_fault_38_weights_of_another_class_count_are_refused(tmp_path):
    torch.save(model(4).state_dict(), tmp_path / "own.pth")
    with pytest.raises(InputError, match=r"do not fit: .* of another shape"):
        make(LITE, ["a", "b"], weights=str(tmp_path / "own.pth"))


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
    ours = make("torchvision/retinanet_resnet50_fpn", ["person"], weights=str(tmp_path / "old.pth")).model
    assert all(a.equal(b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert {layer.eps for layer in ours.modules() if isinstance(layer, torch.nn.BatchNorm2d)} == {0.0}


def test_several_of_the_weights_classes_can_be_one_of_the_data_sets(published):
    images = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        (theirs,) = model(91)(list(images))
    predictor = make(
        LITE, ["vehicle", "dog"], weights=published, classes={"car": "vehicle", "truck": "vehicle"}
    )
    (found,) = predictor.predict(images)
    wanted = {COCO.index("car"): 0, COCO.index("truck"): 0, COCO.index("dog"): 1}
    known = [k for k, n in enumerate(theirs["labels"].tolist()) if n in wanted]
    labels = torch.tensor([wanted[n] for n in theirs["labels"][known].tolist()])
    assert_same_detections(found, Detections(theirs["boxes"][known], theirs["scores"][known], labels))


def test_no_matching_class_is_an_error_with_the_known_classes(published):
    with pytest.raises(
        InputError, match=r"none of the data set's classes \(unicorn, rbc\).* know person, bicycle"
    ):
        make(LITE, ["unicorn", "rbc"], weights=published)


@pytest.mark.parametrize("void", ["__background__", "N/A"])
def test_placeholder_categories_of_the_weights_match_no_class(published, void):
    with pytest.raises(InputError, match="know none of the data set's classes"):
        make(LITE, [void], weights=published)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"persn": "dog"}, "classes.persn: .* knows no such class; did you mean 'person'"),
        ({"person": "dgo"}, "classes.person: the data set has no class 'dgo'; did you mean 'dog'"),
        ({"N/A": "dog"}, "classes.N/A: .* knows no such class"),
    ],
)
def test_a_mapping_of_classes_is_checked_at_both_ends(published, classes, message):
    with pytest.raises(InputError, match=message):
        make(LITE, ["dog"], weights=published, classes=classes)


@pytest.mark.parametrize(
    ("name", "own", "kept"),
    [
        ("torchvision/fasterrcnn_mobilenet_v3_large_320_fpn", 0.05, 0.01),
        (LITE, 0.001, 0.001),
    ],
)
def test_no_floor_under_scores_cuts_the_curve_off(name, own, kept, tmp_path):
    theirs = detection.__dict__[name.partition("/")[2]](weights=None, weights_backbone=None, num_classes=3)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    whole = make(name, ["a", "b"], weights=str(tmp_path / "w.pth")).model
    limits = getattr(whole, "roi_heads", whole)
    assert getattr(theirs, "roi_heads", theirs).score_thresh == own
    assert limits.score_thresh == kept
    nms = {"score": 0.3, "iou": 0.7, "max_dets": 7}
    whole = make(name, ["a", "b"], weights=str(tmp_path / "w.pth"), nms=nms).model
    limits = getattr(whole, "roi_heads", whole)
    assert (limits.score_thresh, limits.nms_thresh, limits.detections_per_img) == (0.3, 0.7, 7)


def test_without_network_the_mend_is_a_file(monkeypatch):
    def refused(*args, **settings):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refused)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refused)
    with pytest.raises(
        MachineError,
        match=r"download https://\S+\.pth on another machine and give the file: --set weights=FILE",
    ):
        make(LITE, ["person"])


@pytest.mark.parametrize("name", ["torchvision/ssd300_vg16", "ssd300_vgg16", "torchvsion/ssd300_vgg16"])
def test_an_unknown_name_has_the_nearest(name):
    with pytest.raises(InputError, match="did you mean 'torchvision/ssd300_vgg16'"):
        external_model(name)


def test_an_unknown_name_of_weights_lists_the_known():
    with pytest.raises(InputError, match=r"no weights named 'COCO_V7', and no such file; known: COCO_V1"):
        make(LITE, ["person"], weights="COCO_V7")


def test_the_models_of_issue_and_paper_are_there():
    assert {
        f"torchvision/{name}"
        for name in ("ssd300_vgg16", "retinanet_resnet50_fpn", "fasterrcnn_resnet50_fpn")
    } <= {*external_model_names()}


class Entry:
    """An entry point of another package."""

    dist = SimpleNamespace(name="acme", version="1.2")

    def __init__(self, name, thing) -> None:
        self.name = name
        self.thing = thing

    def load(self):
        if isinstance(self.thing, Exception):
            raise self.thing
        return self.thing


class Blind:
    """A predictor that finds nothing."""

    def __init__(self, classes) -> None:
        self.classes = classes

    def predict(self, images):
        return [
            Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)) for _ in images
        ]


class AcmeConfig(Config):
    """Settings of another package's predictor."""

    depth: int = 3


@pytest.fixture
def others(monkeypatch):
    def build(config, classes):
        return Blind([*classes, config.depth])

    entries = [
        Entry("acme/blind", Blind),
        Entry("acme/set", ExternalModel(AcmeConfig, build, "Acme 2020", "Finds nothing, deeply")),
        Entry("acme/broken", lambda classes: 7),
        Entry("acme/absent", ImportError("no module named acme_cuda")),
        Entry("acme/odd", 7),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == registry.GROUP else [])


@pytest.mark.usefixtures("others")
def test_another_packages_predictor_is_entered_by_its_entry_point():
    found = make("acme/blind", ("cat", "dog"))
    assert found.classes == ["cat", "dog"]
    assert len(found.predict(torch.rand(2, 3, 8, 8))) == 2
    assert "acme/blind" in external_model_names()
    known = external_model("acme/blind")
    assert (known.source, known.summary) == ("acme 1.2", "A predictor that finds nothing")


@pytest.mark.usefixtures("others")
def test_another_packages_predictor_can_have_settings():
    assert make("acme/set", ["cat"], depth=5).classes == ["cat", 5]
    known = external_model("acme/set")
    assert (known.source, known.summary) == ("acme 1.2; Acme 2020", "Finds nothing, deeply")


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("acme/broken", "acme/broken: returned a int, which has no method `predict`"),
        ("acme/absent", "acme/absent: cannot be loaded .ImportError: no module named acme_cuda"),
        ("acme/odd", "acme/odd: expected an ExternalModel or a function of class names, got 7"),
    ],
)
def test_errors_in_another_package_name_it(name, message):
    with pytest.raises(InputError, match=message):
        make(name, ["cat"])


def test_the_static_table_is_what_torchvision_publishes():
    names = models.list_models(module=models.detection)
    assert sorted(MODELS) == sorted(names), "update detectors/external/torchvision_models.py"
    for name in names:
        known = models.get_model_weights(name).DEFAULT.meta
        assert MODELS[name] == (known["_metrics"]["COCO-val2017"]["box_map"], known["num_params"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["LABEL_0", "LABEL_1"], True),
        (["0", "1", "2"], True),
        (["class0", "Class 1"], True),
        (["class", "0"], False),
        (["route 66"], False),
        (["0", "person"], False),
    ],
)
def test_names_that_are_only_numbers_are_placeholders(names, expected):
    assert are_placeholders(names) == expected
