"""Protocols of other evaluators, against these evaluators where they are installed, and against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import Scene, random_scene, scenes

from metrics import evaluate
from metrics.command_line import EVALUATOR_NAMES, main
from metrics.errors import InputError
from metrics.evaluator_rules import EvaluatorRules, rounded_steps, rule_steps
from metrics.protocols import PROTOCOLS

THRESHOLDS = np.linspace(0.5, 0.95, 10)
ULTRALYTICS = ("ultralytics_8_0", "ultralytics_8_4_37", "ultralytics")


def distinct(seed: int) -> Scene:
    """A scene without equal scores, whose rank the evaluators do not define."""
    scene = random_scene(seed, images=12, objects=90, detections=400)
    found = scene.detections
    scores = np.random.default_rng(seed).permutation(len(found)) / len(found)
    return replace(scene, detections=replace(found, score=scores))


def by_score(scene: Scene, image: int) -> np.ndarray:
    rows = np.flatnonzero(scene.detections.image == image)
    return rows[np.argsort(-scene.detections.score[rows], kind="stable")]


def xyxy(xywh: np.ndarray) -> np.ndarray:
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def value(scene: Scene, protocol: str, name: str) -> float:
    return PROTOCOLS[protocol](scene.truth, scene.detections).value(name)


def pair_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    return inner / (a[2] * a[3] + b[2] * b[3] - inner)


def plain_map(
    scene: Scene, best_only: bool, ends: int, enveloped: bool, empty: bool, low: float, most: int
) -> np.ndarray:
    """Mean AP at each threshold, by loops over detections and objects.

    Args:
        scene: truth and detections.
        best_only: compare a detection with its best object alone.
        ends: points at precision 0 after the curve, which is then integrated; 0: mean at 101 levels.
        enveloped: whether precision is the highest at that recall or beyond.
        empty: count detections in images without objects.
        low: least score, exclusive.
        most: detections of an image.
    """
    truth, found = scene.truth, scene.detections
    real = ~(truth.crowd | truth.ignored)
    result = []
    for threshold in THRESHOLDS:
        ranked: dict[int, list[tuple[float, bool]]] = {}
        for image in range(len(truth.catalog.image_ids)):
            objects = np.flatnonzero((truth.image == image) & real)
            if not empty and not len(objects):
                continue
            taken = set()
            rows = [row for row in by_score(scene, image) if found.score[row] > low][:most]
            for row in rows:
                own = [
                    (pair_iou(found.xywh[row], truth.xywh[o]), -o)
                    for o in objects
                    if truth.label[o] == found.label[row] and (best_only or o not in taken)
                ]
                own = [pair for pair in own if pair[0] >= threshold - 1e-12]
                hit = bool(own) and -max(own)[1] not in taken
                if hit:
                    taken.add(-max(own)[1])
                ranked.setdefault(int(found.label[row]), []).append((float(found.score[row]), hit))
        aps = []
        for label in np.unique(truth.label[real]):
            total = int((truth.label[real] == label).sum())
            hits = [hit for _, hit in sorted(ranked.get(int(label), []), key=lambda pair: -pair[0])]
            if not hits:
                aps.append(0.0)
                continue
            tp = np.cumsum(hits)
            recall, precision = tp / total, tp / np.arange(1, len(tp) + 1)
            if not ends:
                levels = np.linspace(0, 1, 101)
                reached = [np.flatnonzero(recall >= level) for level in levels]
                aps.append(np.mean([precision[at[0]] if len(at) else 0.0 for at in reached]))
                continue
            tail = [recall[-1], 1.0][-ends:]
            x, y = [0.0, *recall, *tail], [1.0, *precision, *[0.0] * ends]
            if enveloped:
                y = [max(y[at:]) for at in range(len(y))]
            points = np.linspace(0, 1, 101)
            on_line = np.interp(points, x, y)
            aps.append(sum((on_line[1:] + on_line[:-1]) / 2 * 0.01))
        result.append(np.mean(aps) if aps else np.nan)
    return np.array(result)


PLAIN = {
    "ultralytics": (False, 2, True, True, 0.001, 300),
    "ultralytics_8_4_37": (True, 2, True, True, 0.001, 300),
    "ultralytics_8_0": (True, 1, True, True, 0.001, 300),
    "supervision_0_25": (True, 0, False, False, -1.0, 10**6),
}


@pytest.mark.parametrize("name", sorted(PLAIN))
@pytest.mark.parametrize("seed", range(3))
def test_values_equal_those_of_plain_loops(name, seed):
    scene = distinct(seed)
    expected = plain_map(scene, *PLAIN[name])
    prefix = name.split("_")[0]
    assert value(scene, name, f"{prefix}_map50_95") == pytest.approx(expected.mean(), abs=1e-12)
    assert value(scene, name, f"{prefix}_map50") == pytest.approx(expected[0], abs=1e-12)
    assert value(scene, name, f"{prefix}_map75") == pytest.approx(expected[5], abs=1e-12)


def test_the_limit_of_an_image_is_over_all_classes():
    scene = random_scene(5, images=2, objects=40, detections=1500)
    scores = np.random.default_rng(0).permutation(1500) / 1500
    scene = replace(scene, detections=replace(scene.detections, score=scores))
    expected = plain_map(scene, *PLAIN["ultralytics"]).mean()
    unlimited = plain_map(scene, *PLAIN["ultralytics"][:-1], 10**6).mean()
    assert expected != pytest.approx(unlimited, abs=1e-6)
    assert value(scene, "ultralytics", "ultralytics_map50_95") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_those_of_ultralytics(seed):
    """Installed by hand: it is AGPL, and not among the requirements."""
    metrics = pytest.importorskip("ultralytics.utils.metrics")
    torch = pytest.importorskip("torch")
    validator = pytest.importorskip("ultralytics.engine.validator")
    scene = distinct(seed)
    truth, found = scene.truth, scene.detections
    real = ~truth.crowd
    matcher = validator.BaseValidator.__new__(validator.BaseValidator)
    matcher.iouv = torch.linspace(0.5, 0.95, 10)
    tp, conf, labels = [], [], []
    for image in range(len(truth.catalog.image_ids)):
        rows = [row for row in by_score(scene, image) if found.score[row] > 0.001][:300]
        objects = np.flatnonzero((truth.image == image) & real)
        own = torch.tensor(found.label[rows])
        iou = metrics.box_iou(torch.tensor(xyxy(truth.xywh[objects])), torch.tensor(xyxy(found.xywh[rows])))
        tp.append(matcher.match_predictions(own, torch.tensor(truth.label[objects]), iou).numpy())
        conf.append(found.score[rows])
        labels.append(found.label[rows])
    results = metrics.ap_per_class(
        np.concatenate(tp), np.concatenate(conf), np.concatenate(labels), truth.label[real]
    )
    aps = results[5]
    names = [f"ultralytics_{name}" for name in ("map50_95", "map50", "map75")]
    found_values = [PROTOCOLS["ultralytics"](truth, found).value(name) for name in names]
    np.testing.assert_allclose(found_values, [aps.mean(), aps[:, 0].mean(), aps[:, 5].mean()], atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_those_of_torchmetrics(seed):
    torch = pytest.importorskip("torch")
    detection = pytest.importorskip("torchmetrics.detection")
    if rounded_steps(0, 1, 101).tolist() != torch.linspace(0, 1, 101).tolist():
        pytest.skip("torch.linspace rounds in another way on this processor")
    scene = distinct(seed)
    truth, found = scene.truth, scene.detections
    metric = detection.MeanAveragePrecision(box_format="xywh")
    for image in range(len(truth.catalog.image_ids)):
        rows, objects = np.flatnonzero(found.image == image), np.flatnonzero(truth.image == image)
        metric.update(
            [
                {
                    "boxes": torch.tensor(found.xywh[rows]),
                    "scores": torch.tensor(found.score[rows]),
                    "labels": torch.tensor(found.label[rows]),
                }
            ],
            [
                {
                    "boxes": torch.tensor(truth.xywh[objects]),
                    "labels": torch.tensor(truth.label[objects]),
                    "iscrowd": torch.tensor(truth.crowd[objects].astype(np.int64)),
                }
            ],
        )
    expected = metric.compute()
    for name in ("map", "map_50", "map_75", "map_small", "map_medium", "map_large"):
        # torchmetrics keeps boxes and results in float32
        own = np.nan_to_num(value(scene, "torchmetrics", name), nan=-1)
        assert own == pytest.approx(float(expected[name]), abs=2e-6), name


@pytest.mark.parametrize("seed", range(3))
def test_values_equal_those_of_supervision(seed):
    supervision = pytest.importorskip("supervision")
    metrics = pytest.importorskip("supervision.metrics")
    scene = distinct(seed)
    truth, found = scene.truth, scene.detections
    metric = metrics.MeanAveragePrecision()
    for image in range(len(truth.catalog.image_ids)):
        rows, objects = np.flatnonzero(found.image == image), np.flatnonzero(truth.image == image)
        metric.update(
            supervision.Detections(
                xyxy=xyxy(found.xywh[rows]), confidence=found.score[rows], class_id=found.label[rows]
            ),
            supervision.Detections(
                xyxy=xyxy(truth.xywh[objects]),
                class_id=truth.label[objects],
                data={"iscrowd": truth.crowd[objects].astype(np.int64)},
            ),
        )
    expected = metric.compute()
    pairs = {
        "map50_95": expected.map50_95,
        "map50": expected.map50,
        "map75": expected.map75,
        "map50_95_small": expected.small_objects.map50_95,
        "map50_95_medium": expected.medium_objects.map50_95,
        "map50_95_large": expected.large_objects.map50_95,
    }
    for name, number in pairs.items():
        own = value(scene, "supervision", f"supervision_{name}")
        assert np.nan_to_num(own, nan=-1) == pytest.approx(number, abs=1e-6), name


@settings(max_examples=60, deadline=None)
@given(scenes(ignored=True))
def test_the_first_step_is_coco_and_the_last_the_evaluator(scene):
    coco = evaluate(scene.truth, scene.detections)
    for name, of in PROTOCOLS.items():
        if of.rules is None:
            continue
        evaluation = of(scene.truth, scene.detections, steps=True)
        first, last = evaluation.steps[0], evaluation.steps[-1]
        expected = [
            coco.value(f"ap_{key}" if key.islower() and not key[-1].isdigit() and key != "ap" else key)
            for key in ("ap", "ap50", "ap75", "small", "medium", "large")
        ]
        np.testing.assert_allclose(first.values, expected, atol=1e-12)
        own = [row.value for row in evaluation.rows if not row.class_name]
        np.testing.assert_allclose(last.values[: len(own)], own, atol=1e-12, err_msg=name)


def test_each_step_changes_one_rule_and_says_which():
    scene = distinct(0)
    steps = rule_steps(scene.truth, scene.detections, PROTOCOLS["ultralytics_8_0"].rules)
    assert len(steps) == 6
    assert len({step.rule for step in steps}) == 6
    assert [step.rule for step in rule_steps(scene.truth, scene.detections, EvaluatorRules())] == [
        "COCO's rules"
    ]


def test_a_straight_line_to_recall_1_adds_half_of_the_missing_recall():
    """One of two objects is found at precision 1: AP is 1/2, and a triangle of 1/2 times 1/2 is added."""
    scene = distinct(0)
    truth = scene.truth.take(np.flatnonzero(~scene.truth.crowd)[:2])
    truth = replace(
        truth,
        image=np.zeros(2, np.int32),
        label=np.zeros(2, np.int32),
        xywh=np.array([[0, 0, 9, 9], [50, 50, 9, 9.0]]),
    )
    found = scene.detections.take(np.arange(1))
    found = replace(
        found, image=np.zeros(1, np.int32), label=np.zeros(1, np.int32), xywh=truth.xywh[:1], score=np.ones(1)
    )
    small = replace(scene, truth=truth, detections=found)
    assert value(small, "ultralytics_8_0", "ultralytics_map50") == pytest.approx(0.75, abs=1e-12)
    assert value(small, "ultralytics", "ultralytics_map50") == pytest.approx(0.5, abs=0.01)


def test_the_help_names_all_evaluators():
    assert EVALUATOR_NAMES.split(", ") == [name for name, of in PROTOCOLS.items() if of.rules is not None]


def test_a_protocol_without_replaceable_rules_has_no_steps():
    scene = distinct(0)
    with pytest.raises(
        InputError, match=r"protocol 'kitti': .*; use supervision, supervision_0_25, torchmetrics"
    ):
        PROTOCOLS["kitti"](scene.truth, scene.detections, steps=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--as", "ultralytics", "--protocol", "coco"], "--as: is a protocol"),
        (["--as", "ultralytics", "--max-dets", "10"], "--as ultralytics: decides what --max-dets would"),
        (["--as", "ultralytic"], "did you mean 'ultralytics'"),
        (["--as", "ultralytics", "--masks"], "--masks: --as is for boxes"),
    ],
)
def test_the_option_is_refused_with_others_that_decide_the_same(tmp_path, capsys, options, message):
    (tmp_path / "truth.json").write_text(
        '{"images": [{"id": 1}], "annotations": [], "categories": [{"id": 1, "name": "a"}]}'
    )
    (tmp_path / "found.json").write_text("[]")
    assert main([str(tmp_path / "truth.json"), str(tmp_path / "found.json"), *options]) == 2
    assert message in capsys.readouterr().err
