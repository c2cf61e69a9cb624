"""Pascal VOC's protocols against a plain implementation of the development kit's VOCevaldet.m and VOCap.m."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Scene, scenes

from metrics import AnnotationTable, Catalog, DetectionTable, evaluate
from metrics.command_line import PROTOCOL_NAMES, main
from metrics.errors import InputError, InputNote, InputWarning
from metrics.evaluated_files import score_files
from metrics.protocols import PROTOCOLS

CLASSES = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]


@dataclass
class KitImage:
    """The objects of one class in an image: inclusive pixels from 1, as in the XML file."""

    boxes: list[list[float]] = field(default_factory=list)
    difficult: list[bool] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)


def kit_overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes in inclusive pixels."""
    width = min(box[2], other[2]) - max(box[0], other[0]) + 1
    height = min(box[3], other[3]) - max(box[1], other[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    first = (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
    second = (other[2] - other[0] + 1) * (other[3] - other[1] + 1)
    return width * height / (first + second - width * height)


def kit_ap(
    images: dict[str, KitImage], lines: list[tuple[str, float, list[float]]], iou: float, year: int
) -> float:
    """Average precision of one class; NaN without objects."""
    positives = sum(not hard for image in images.values() for hard in image.difficult)
    if positives == 0:
        return np.nan
    for image in images.values():
        image.found = [False] * len(image.boxes)
    recall, precision, tp, fp = [], [], 0, 0
    for identity, _, box in sorted(lines, key=lambda line: -line[1]):  # stable, as MATLAB's sort
        image = images.get(identity, KitImage())
        best, chosen = -np.inf, -1
        for index, other in enumerate(image.boxes):
            overlap = kit_overlap(box, other)
            if overlap > best:
                best, chosen = overlap, index
        if best < iou:
            fp += 1
        elif not image.difficult[chosen]:
            if image.found[chosen]:
                fp += 1
            else:
                image.found[chosen] = True
                tp += 1
        recall.append(tp / positives)
        precision.append(tp / (tp + fp) if tp + fp else 0.0)
    if year < 2010:
        # 0:0.1:1 of MATLAB, whose 0.6 and 0.7 are the nearest numbers
        levels = [0, 0.1, 0.2, 3 * 0.1, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]
        best_beyond = [
            max((p for r, p in zip(recall, precision, strict=True) if r >= level), default=0.0)
            for level in levels
        ]
        return sum(best_beyond) / 11
    edges, heights = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for index in range(len(heights) - 2, -1, -1):
        heights[index] = max(heights[index], heights[index + 1])
    return sum((edges[i + 1] - edges[i]) * heights[i + 1] for i in range(len(edges) - 1))


def kit_scores(scene: Scene, iou: float, year: int) -> list[float]:
    """The kit's average precision of each class of a scene of whole pixels."""
    truth, found = scene.truth, scene.detections
    values = []
    for label in range(len(truth.catalog.classes)):
        images: dict[str, KitImage] = {}
        for row in np.flatnonzero(truth.label == label):
            x, y, w, h = truth.xywh[row]
            image = images.setdefault(str(truth.image[row]), KitImage())
            # the reader gives an object of coinciding corners no width
            image.boxes.append([x + 1, y + 1, x + max(w, w == 0), y + max(h, h == 0)])
            image.difficult.append(bool(truth.ignored[row] | truth.crowd[row]))
        lines = [
            (str(found.image[row]), float(found.score[row]), [x + 1, y + 1, x + w, y + h])
            for row in np.flatnonzero(found.label == label)
            for x, y, w, h in [found.xywh[row]]
        ]
        values.append(kit_ap(images, lines, iou, year))
    return values


def in_pixels(scene: Scene) -> Scene:
    """The scene with whole pixels, so that overlaps are exact."""
    truth = replace(scene.truth, xywh=np.round(scene.truth.xywh))
    return Scene(truth, replace(scene.detections, xywh=np.round(scene.detections.xywh)))


@settings(max_examples=50)
@given(scenes(ignored=True), st.sampled_from([0.5, 0.75, 1 / 3]), st.sampled_from([2007, 2012]))
def test_the_numbers_are_those_of_the_development_kit(scene: Scene, iou: float, year: int) -> None:
    scene = in_pixels(scene)
    evaluation = PROTOCOLS[f"voc{year}"](scene.truth, scene.detections, (iou,))
    expected = kit_scores(scene, iou, year)
    name = "voc07_ap" if year == 2007 else "voc10_ap"
    ours = [evaluation.value(name, each) for each in scene.truth.catalog.classes]
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    defined = [value for value in expected if not np.isnan(value)]
    overall = evaluation.value(name)
    assert overall == pytest.approx(np.mean(defined), abs=1e-12) if defined else np.isnan(overall)


@pytest.mark.parametrize("found", [3, 6, 7])
def test_a_recall_of_a_tenth_reaches_the_level_that_matlab_has(found: int) -> None:
    # 3 / 10 < 0.30000000000000004 in MATLAB too, but 7 / 10 >= 0.7, which NumPy's 7 * 0.1 exceeds
    catalog = Catalog.of(range(10), ["thing"])
    boxes = np.tile([0.0, 0, 10, 10], (10, 1))
    truth = AnnotationTable.of(catalog, np.arange(10), np.zeros(10, int), boxes)
    rows = np.arange(found)
    detections = DetectionTable(catalog, rows, np.zeros(found, int), boxes[:found], 1 - rows / 10)
    value = evaluate(truth, detections, protocol="voc2007").value("voc07_ap")
    assert value == pytest.approx({3: 3, 6: 7, 7: 8}[found] / 11, abs=1e-12)


def test_a_detection_whose_best_object_is_taken_gets_no_second_choice() -> None:
    catalog = Catalog.of([1], ["thing"])
    truth = AnnotationTable.of(catalog, [0, 0], [0, 0], [[0, 0, 10, 10], [3, 0, 10, 10]])
    detections = DetectionTable.from_images(
        catalog, [[[0, 0, 10, 10], [1, 0, 11, 10]]], [[0.9, 0.8]], [[0, 0]]
    )
    assert evaluate(truth, detections).value("ap50") == pytest.approx(1)
    assert evaluate(truth, detections, protocol="voc2012").value("voc10_ap") == pytest.approx(0.5)


def one_class(objects: list[list[float]], difficult: list[bool]) -> AnnotationTable:
    """Objects of one class on the first of two images."""
    catalog = Catalog.of([1, 2], ["thing"])
    image = np.zeros(len(objects), int)
    return AnnotationTable.of(catalog, image, image, objects, ignored=np.array(difficult))


@pytest.mark.parametrize("difficult", [True, False])
def test_of_objects_of_equal_overlap_the_first_is_compared(difficult: bool) -> None:
    truth = one_class([[0, 0, 10, 10], [4, 0, 10, 10], [50, 50, 9, 9]], [difficult, not difficult, False])
    detections = DetectionTable.from_images(truth.catalog, [[[2, 0, 12, 10]], []], [[0.9], []], [[0], []])
    value = evaluate(truth, detections, protocol="voc2012").value("voc10_ap")
    assert value == (0 if difficult else 0.5)


def test_detections_of_equal_score_are_ranked_as_given() -> None:
    truth = one_class([[0, 0, 10, 10]], [False])
    for images, expected in (([1, 0], 0.5), ([0, 1], 1.0)):
        boxes = np.array([[0.0, 0, 10, 10]] * 2)
        detections = DetectionTable(
            truth.catalog, np.array(images, np.int32), np.zeros(2, np.int32), boxes, np.full(2, 0.5)
        )
        assert evaluate(truth, detections, protocol="voc2012").value("voc10_ap") == expected


def test_an_object_whose_corners_coincide_is_one_pixel(kit: Path) -> None:
    xml = kit / "VOCdevkit" / "VOC2007" / "Annotations" / "000001.xml"
    box = "<bndbox><xmin>7</xmin><ymin>9</ymin><xmax>7</xmax><ymax>9</ymax></bndbox>"
    name = "<name>pixel</name><difficult>0</difficult>"
    xml.write_text(xml.read_text().replace("</annotation>", f"<object>{name}{box}</object></annotation>"))
    results = kit / "VOCdevkit" / "results" / "VOC2007" / "Main" / "comp4_det_test_pixel.txt"
    results.write_text("000001 0.9 7 9 7 9\n")
    with pytest.warns(InputWarning, match="no width or no height"):
        evaluation = score_files(kit / "VOCdevkit", kit / "VOCdevkit" / "results", protocol="voc2007")
    assert evaluation.value("voc07_ap", "pixel") == pytest.approx(1)


def write_kit(scene: Scene, folder: Path, lines_by_class: dict[str, list[str]], split: str) -> None:
    """A development kit with one data set of these images, and result files beside it."""
    truth = scene.truth
    data = folder / "VOCdevkit" / "VOC2007"
    (data / "Annotations").mkdir(parents=True)
    (data / "ImageSets" / "Main").mkdir(parents=True)
    for index, identity in enumerate(truth.catalog.image_ids):
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = f"{identity}.jpg"
        for row in np.flatnonzero(truth.image == index):
            element = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(element, "name").text = truth.catalog.classes[truth.label[row]]
            ElementTree.SubElement(element, "difficult").text = str(int(truth.ignored[row]))
            box = ElementTree.SubElement(element, "bndbox")
            x, y, w, h = truth.xywh[row]
            for tag, value in zip(
                ("xmin", "ymin", "xmax", "ymax"), (x + 1, y + 1, x + w, y + h), strict=True
            ):
                ElementTree.SubElement(box, tag).text = f"{value:g}"
        ElementTree.ElementTree(root).write(data / "Annotations" / f"{identity}.xml")
    names = "\n".join(map(str, truth.catalog.image_ids[:-1]))
    (data / "ImageSets" / "Main" / f"{split}.txt").write_text(names + "\n")
    results = folder / "VOCdevkit" / "results" / "VOC2007" / "Main"
    results.mkdir(parents=True)
    for name, lines in lines_by_class.items():
        (results / f"comp4_det_{split}_{name}.txt").write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    """Two classes on four images, of which the list ``test`` has three."""
    catalog = Catalog.of([f"00000{k}" for k in range(1, 5)], ["cat", "dog"])
    rng = np.random.default_rng(5)
    boxes = np.c_[rng.integers(0, 50, (12, 2)), rng.integers(10, 60, (12, 2))]
    truth = AnnotationTable.of(
        catalog, rng.integers(0, 4, 12), np.arange(12) % 2, boxes, ignored=np.arange(12) % 5 == 0
    )
    lines: dict[str, list[str]] = {"cat": [], "dog": []}
    for row in rng.permutation(12):
        x, y, w, h = boxes[row] + rng.integers(-3, 4, 4)
        if truth.image[row] < 3:
            line = f"{catalog.image_ids[truth.image[row]]} {rng.integers(1, 9) / 10:.3f} {x + 1} {y + 1} {x + w} {y + h}"
            lines[catalog.classes[truth.label[row]]].append(line)
    write_kit(Scene(truth, DetectionTable.from_images(catalog, *[[[]] * 4] * 3)), tmp_path, lines, "test")
    return tmp_path


def kit_mean(folder: Path, year: int, iou: float = 0.5) -> float:
    """The kit's mean average precision from its files."""
    data = folder / "VOCdevkit" / "VOC2007"
    ids = (data / "ImageSets" / "Main" / "test.txt").read_text().split()
    values = []
    for file in sorted((folder / "VOCdevkit" / "results" / "VOC2007" / "Main").glob("*.txt")):
        name = file.stem.removeprefix("comp4_det_test_")
        images: dict[str, KitImage] = {}
        for identity in ids:
            root = ElementTree.parse(data / "Annotations" / f"{identity}.xml").getroot()
            for element in root.iter("object"):
                if element.findtext("name") == name:
                    image = images.setdefault(identity, KitImage())
                    image.boxes.append(
                        [
                            float(element.findtext(f"bndbox/{tag}") or 0)
                            for tag in ("xmin", "ymin", "xmax", "ymax")
                        ]
                    )
                    image.difficult.append(element.findtext("difficult") == "1")
        lines = [
            (words[0], float(words[1]), list(map(float, words[2:])))
            for words in map(str.split, file.read_text().splitlines())
        ]
        values.append(kit_ap(images, lines, iou, year))
    return float(np.nanmean(values))


@pytest.mark.parametrize("protocol", ["voc2007", "voc2012"])
def test_the_command_prints_the_kits_mean_to_six_digits(
    kit: Path, protocol: str, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [str(kit / "VOCdevkit"), str(kit / "VOCdevkit" / "results")]
    assert main([*paths, "--protocol", protocol]) == 0
    printed = capsys.readouterr()
    value = f"{kit_mean(kit, int(protocol[3:])):.6f}"
    assert value in printed.out.splitlines()[3].split()
    assert "result files are of split 'test'" in printed.err
    assert main([*paths, "--protocol", protocol, "--iou", "0.5,0.7", "--json"]) == 0
    rows = {
        row["name"]: row["value"] for row in json.loads(capsys.readouterr().out)["rows"] if not row["class"]
    }
    name = "voc07_ap" if protocol == "voc2007" else "voc10_ap"
    assert rows[f"{name}70"] == pytest.approx(kit_mean(kit, int(protocol[3:]), 0.7), abs=1e-12)
    assert rows[name] == pytest.approx((rows[f"{name}50"] + rows[f"{name}70"]) / 2)


def test_the_year_chooses_between_the_data_sets_of_a_kit(kit: Path) -> None:
    other = kit / "VOCdevkit" / "VOC2012" / "Annotations"
    other.mkdir(parents=True)
    (other / "x.xml").write_text("<annotation/>")
    value = score_files(kit / "VOCdevkit", kit / "VOCdevkit" / "results", protocol="voc2007").value(
        "voc07_ap"
    )
    assert value == pytest.approx(kit_mean(kit, 2007), abs=1e-12)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("000001 0.9 1 2 3", ":3: expected six values, image_id score xmin ymin xmax ymax, got 5"),
        ("000001 high 1 2 3 4", ":3: score 'high': expected a number"),
        ("000001 nan 1 2 3 4", ":3: score 'nan': expected a finite number"),
        ("000009 0.9 1 2 3 4", "000009"),
    ],
)
def test_fault_90_an_invalid_line_of_a_result_file_is_named(kit: Path, line: str, problem: str) -> None:
    file = kit / "VOCdevkit" / "results" / "VOC2007" / "Main" / "comp4_det_test_cat.txt"
    lines = file.read_text().splitlines()[:2]
    file.write_text("\n".join([*lines, line]) + "\n")
    with pytest.raises(InputError, match=problem.replace("(", r"\(")) as error:
        score_files(kit / "VOCdevkit", kit / "VOCdevkit" / "results", protocol="voc2007")
    assert str(error.value).startswith(str(kit))


def test_fault_91_result_files_that_do_not_fit_the_ground_truth(kit: Path) -> None:
    folder = kit / "VOCdevkit" / "results" / "VOC2007" / "Main"
    (folder / "comp4_det_test_dog.txt").rename(folder / "comp4_det_test_dgo.txt")
    with pytest.raises(
        InputError, match=r"dgo.txt:1: class 'dgo': no class of the ground truth; did you mean 'dog'"
    ):
        score_files(kit / "VOCdevkit", folder, protocol="voc2007")
    (folder / "comp4_det_test_dgo.txt").rename(folder / "comp4_det_test_dog.txt")
    (folder / "comp4_det_val_dog.txt").write_text("")
    with pytest.raises(InputError, match="several splits: test, val; choose one by --split"):
        score_files(kit / "VOCdevkit", folder, protocol="voc2007")
    expected = kit_mean_without(kit, "comp4_det_val_dog.txt")
    chosen = score_files(kit / "VOCdevkit", folder, protocol="voc2007", split="test")
    assert chosen.value("voc07_ap") == pytest.approx(expected, abs=1e-12)
    (folder / "comp4_det_val_dog.txt").unlink()
    (folder / "comp4_det_test_dog.txt").unlink()
    with pytest.warns(InputNote, match="1 class has no result file, and so no detections: dog"):
        evaluation = score_files(kit / "VOCdevkit", folder, protocol="voc2007")
    assert evaluation.value("voc07_ap", "dog") == 0


def kit_mean_without(kit: Path, name: str) -> float:
    file = kit / "VOCdevkit" / "results" / "VOC2007" / "Main" / name
    text = file.read_text()
    file.unlink()
    value = kit_mean(kit, 2007)
    file.write_text(text)
    return value


def test_options_that_a_protocol_decides_are_refused(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(kit / "VOCdevkit"), str(kit / "VOCdevkit" / "results"), "--protocol", "voc2007"]
    assert main([*paths, "--max-dets", "100"]) == 2
    assert "decides what --max-dets would" in capsys.readouterr().err
    assert main([*paths, "--verify"]) == 2
    assert "--verify compares with pycocotools" in capsys.readouterr().err
    assert main([*paths[:3], "voc2008"]) == 2
    assert "unknown protocol 'voc2008'; did you mean 'voc2007'?" in capsys.readouterr().err
    with pytest.raises(InputError, match="has its own measures, rule and settings"):
        evaluate(None, None, ["calibration"], protocol="voc2007")  # type: ignore[arg-type]


def test_real_photographs_and_detections_give_the_kits_numbers(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats100"
    lines: dict[str, list[str]] = {}
    for file in sorted((folder / "detections" / "abs_xyx2y2").glob("*.txt")):
        for words in map(str.split, file.read_text().splitlines()):
            line = " ".join([file.stem, words[1], *(f"{float(word):g}" for word in words[2:])])
            lines.setdefault(CLASSES[int(words[0])], []).append(line)
    for name, rows in lines.items():
        (tmp_path / f"comp4_det_test_{name}.txt").write_text("\n".join(rows))
    boxes: dict[str, dict[str, KitImage]] = {}
    for file in (folder / "pascalvoc_format").glob("*.xml"):
        for element in ElementTree.parse(file).getroot().iter("object"):
            image = boxes.setdefault(element.findtext("name") or "", {}).setdefault(file.stem, KitImage())
            image.boxes.append(
                [float(element.findtext(f"bndbox/{tag}") or 0) for tag in ("xmin", "ymin", "xmax", "ymax")]
            )
            image.difficult.append(element.findtext("difficult") == "1")
    for year, name in ((2007, "voc07_ap"), (2012, "voc10_ap")):
        ours = score_files(folder / "pascalvoc_format", tmp_path, protocol=f"voc{year}", class_map="drop")
        for label, images in boxes.items():
            parsed = [
                (w[0], float(w[1]), [float(v) for v in w[2:]]) for w in map(str.split, lines.get(label, []))
            ]
            assert ours.value(name, label) == pytest.approx(kit_ap(images, parsed, 0.5, year), abs=1e-12)


def test_limits_are_on_the_numbers_of_the_protocol(kit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        str(kit / "VOCdevkit"),
        str(kit / "VOCdevkit" / "results"),
        "--protocol",
        "voc2007",
        "--fail-below",
    ]
    value = kit_mean(kit, 2007)
    assert main([*words, f"voc07_ap={value - 0.001}"]) == 0
    assert main([*words, f"voc07_ap={value + 0.001}"]) == 1
    assert main([*words, "ap=0.1"]) == 2
    assert "no measure 'ap'" in capsys.readouterr().err


def test_thresholds_of_a_protocol_that_fixes_them_are_refused(kit: Path) -> None:
    files = kit / "VOCdevkit", kit / "VOCdevkit" / "results"
    with pytest.raises(
        InputError, match="protocol 'crowdhuman': its IoU thresholds are fixed; leave them out"
    ):
        score_files(*files, protocol="crowdhuman", iou_thresholds=(0.7,))
    assert score_files(*files, protocol="voc2012", iou_thresholds=(0.7,)).value("voc10_ap") >= 0  # the advice


def test_the_help_names_all_protocols() -> None:
    assert PROTOCOL_NAMES.split(", ") == [name for name, of in PROTOCOLS.items() if of.rules is None]
    assert all(PROTOCOLS[name].source and PROTOCOLS[name].summary for name in PROTOCOLS.names())
