"""COCOeval has the interface and numbers of pycocotools, without its errors."""

from __future__ import annotations

import contextlib
import copy
import io
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from oracles import assert_same_evaluation, assert_same_images, coco_dicts, coco_objects
from pycocotools.cocoeval import COCOeval as Reference
from pycocotools.cocoeval import Params as ReferenceParams
from strategies import Scene, random_scene, scenes

from metrics.cocoeval import COCOeval, Params
from metrics.errors import InputError


def run(kind: type, scene: Scene, **settings: object) -> tuple[object, str]:
    """Evaluate with either class; return it and its last output."""
    truth, found = coco_objects(scene.truth, scene.detections)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = kind(truth, found, "bbox")
        for name, value in settings.items():
            setattr(evaluation.params, name, value)
        evaluation.evaluate()
        evaluation.accumulate()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        evaluation.summarize()
    return evaluation, printed.getvalue()


SETTINGS: tuple[dict[str, object], ...] = (
    {},
    {"useCats": 0},
    {"maxDets": [100, 1, 10]},
    {"maxDets": [1, 10, 500]},
    {"iouThrs": np.array([0.75, 0.5])},
    {"recThrs": np.linspace(0, 1, 11)},
    {"areaRng": [[0, 1e10], [100, 2000]], "areaRngLbl": ["all", "middling"]},
)


@given(scenes(), st.sampled_from(SETTINGS))
def test_all_results_equal_the_reference(scene: Scene, settings: dict[str, object]) -> None:
    assume(len(scene.detections) > 0)
    (theirs, their_lines), (ours, our_lines) = (
        run(kind, scene, **settings) for kind in (Reference, COCOeval)
    )
    assert our_lines == their_lines
    assert_same_evaluation(ours, theirs)
    recomputed = COCOeval(ours.cocoGt, ours.cocoDt)
    recomputed.params, recomputed._paramsEval = ours.params, ours.params
    recomputed.evalImgs = ours.evalImgs
    recomputed.accumulate()
    for name in ("precision", "recall", "scores"):
        assert_array_equal(recomputed.eval[name], theirs.eval[name])


def test_images_and_classes_can_be_chosen() -> None:
    scene = random_scene(4)
    chosen: dict[str, object] = {"imgIds": [10, 16, 13, 10], "catIds": [2, 0]}
    (theirs, _), (ours, _) = (run(kind, scene, **chosen) for kind in (Reference, COCOeval))
    assert_array_equal(ours.stats, theirs.stats)
    assert ours.params.imgIds == [10, 13, 16]
    assert_array_equal(ours.eval["precision"], theirs.eval["precision"])


@given(scenes(), st.data())
def test_accumulate_chooses_among_evaluated_settings(scene: Scene, data: st.DataObject) -> None:
    """The numbers are those of an evaluation under the chosen settings."""
    assume(len(scene.detections) > 0)
    ours, _ = run(COCOeval, scene)
    params = ours.params
    areas = data.draw(st.lists(st.sampled_from(range(4)), min_size=1, unique=True))
    chosen = {
        "imgIds": data.draw(st.lists(st.sampled_from(params.imgIds), min_size=1, unique=True)),
        "catIds": sorted(data.draw(st.lists(st.sampled_from(params.catIds), min_size=1, unique=True))),
        "iouThrs": np.array(data.draw(st.lists(st.sampled_from(params.iouThrs), min_size=1, unique=True))),
        "maxDets": sorted(data.draw(st.sets(st.integers(1, 100), min_size=3, max_size=3))),
        "areaRng": [params.areaRng[index] for index in areas],
        "areaRngLbl": [params.areaRngLbl[index] for index in areas],
    }
    # matching at a lower limit is the same, so the reference evaluates at the largest
    theirs, _ = run(Reference, scene, **{**chosen, "maxDets": [*chosen["maxDets"][:2], 100]})
    for as_argument in (True, False):
        other = copy.copy(params) if as_argument else params
        for name, value in chosen.items():
            setattr(other, name, value)
        ours.accumulate(other if as_argument else None)
        for name in ("precision", "recall", "scores"):
            assert_array_equal(ours.eval[name][..., :2], theirs.eval[name][..., :2])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iouThrs", np.array([0.3])),
        ("catIds", [0, 77]),
        ("imgIds", [10, 11]),
        ("areaRng", [[0, 50]]),
        ("useCats", 0),
        ("maxDets", [1, 10, 101]),
    ],
)
@pytest.mark.parametrize("read_images", [False, True])
def test_accumulate_refuses_settings_that_were_not_evaluated(
    name: str, value: object, read_images: bool
) -> None:
    ours, _ = run(COCOeval, random_scene(4))
    assert not read_images or ours.evalImgs
    setattr(ours.params, name, value)
    with pytest.raises(InputError, match=rf"params.{name}: .* call evaluate again"):
        ours.accumulate()
    ours.evaluate()
    ours.accumulate()
    assert ours.eval["precision"].max() > 0


def test_the_row_of_another_threshold_is_not_returned() -> None:
    ours, _ = run(COCOeval, random_scene(4))
    ap75 = ours.eval["precision"][5]
    ours.params.iouThrs = np.array([0.75])
    ours.accumulate()
    assert_array_equal(ours.eval["precision"], ap75[None])


def test_accumulate_without_classes_takes_the_ids_that_the_reference_leaves() -> None:
    ours, _ = run(COCOeval, random_scene(4), useCats=0)
    first = ours.eval["precision"]
    ours.params.catIds = [-1]
    ours.accumulate()
    assert_array_equal(ours.eval["precision"], first)
    ours.params.catIds = [0]
    with pytest.raises(InputError, match=r"params.catIds: \[0\] was not evaluated"):
        ours.accumulate()


def test_images_are_listed_once_and_can_be_modified() -> None:
    ours, _ = run(COCOeval, random_scene(4))
    assert ours.evalImgs is ours.evalImgs
    for entry in ours.evalImgs:
        if entry is not None:
            entry["dtMatches"][:] = 0
    ours.accumulate()
    assert ours.eval["recall"].max() == 0
    ours.evaluate()
    ours.accumulate()
    assert ours.eval["recall"].max() > 0


def test_settings_after_evaluation_do_not_change_what_was_evaluated() -> None:
    scene = random_scene(4)
    (theirs, _), (ours, _) = (run(kind, scene) for kind in (Reference, COCOeval))
    ours.params.maxDets, ours.params.catIds, ours.cocoDt = [1], [2], []
    assert_same_images(ours.evalImgs, theirs.evalImgs)
    assert ours.ious.keys() == theirs.ious.keys()
    for cell, overlaps in theirs.ious.items():
        assert_array_equal(ours.ious[cell], overlaps)


@given(scenes(), st.integers(0, 2**32 - 1))
def test_areas_of_detections_that_are_not_those_of_boxes_count(scene: Scene, seed: int) -> None:
    """As torchmetrics sets them for masks."""
    assume(len(scene.detections) > 0)
    rng = np.random.default_rng(seed)
    truth, found = coco_objects(scene.truth, scene.detections)
    for item in found.dataset["annotations"]:
        item["area"] = float(rng.choice([item["area"], 1024.0, 9216.0, 9217.0]))
    both = []
    for kind in (Reference, COCOeval):
        evaluation = kind(truth, found, "bbox")
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        both.append(evaluation)
    assert_same_evaluation(both[1], both[0])


@given(scenes(), st.randoms())
def test_without_classes_the_order_of_ids_breaks_ties_as_in_the_reference(
    scene: Scene, random: Random
) -> None:
    assume(len(scene.detections) > 0)
    categories = list(scene.truth.catalog.class_ids)
    random.shuffle(categories)
    (theirs, _), (ours, _) = (
        run(kind, scene, useCats=0, catIds=list(categories)) for kind in (Reference, COCOeval)
    )
    assert_same_evaluation(ours, theirs)


def perfect(object_ids: list[int], **fields: object) -> tuple[SimpleNamespace, list[dict[str, object]]]:
    """Objects of one class, each on a separate image, and detections equal to them."""
    boxes = [[10.0 * i, 10.0, 100.0, 100.0] for i in range(len(object_ids))]
    annotations = [
        {"id": identity, "image_id": i + 1, "category_id": 1, "bbox": box, "area": 1e4, "iscrowd": 0}
        for i, (identity, box) in enumerate(zip(object_ids, boxes, strict=True))
    ]
    for annotation in annotations:
        annotation.update(fields)
    images = [{"id": i + 1} for i in range(len(object_ids))]
    truth = {"images": images, "categories": [{"id": 1}], "annotations": annotations}
    found = [
        {"image_id": i + 1, "category_id": 1, "bbox": box, "score": 0.9 - i / 10}
        for i, box in enumerate(boxes)
    ]
    return SimpleNamespace(dataset=truth), found


@pytest.mark.parametrize("object_ids", [[0], [0, 1, 2], [5, 5], [-5, 2**60]])
def test_an_object_with_any_id_can_be_matched(object_ids: list[int]) -> None:
    evaluation = COCOeval(*perfect(object_ids))
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[[0, 8]].tolist() == pytest.approx([1.0, 1.0])


def test_no_detections_are_zero_and_not_an_error() -> None:
    # fault 1
    truth, _ = perfect([1, 2])
    evaluation = COCOeval(truth, [])
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats.tolist() == [0, 0, 0, -1, -1, 0, 0, 0, 0, -1, -1, 0]


def test_one_max_dets_is_enough() -> None:
    evaluation = COCOeval(*perfect([1, 2]))
    evaluation.params.maxDets = [100]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats.tolist() == pytest.approx([1, 1, 1, -1, -1, 1, 1, 1, 1, -1, -1, 1])


def test_missing_fields_of_an_annotation_have_defaults() -> None:
    truth, found = perfect([1])
    del truth.dataset["annotations"][0]["iscrowd"], truth.dataset["annotations"][0]["area"]
    evaluation = COCOeval(truth, found)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[5] == pytest.approx(1.0)  # 100 x 100 is large


def test_misuse_is_reported() -> None:
    truth, found = perfect([1])
    with pytest.raises(InputError, match="expected pycocotools' COCO"):
        COCOeval(42, found)
    evaluation = COCOeval(truth, found)
    with pytest.raises(InputError, match="call evaluate first"):
        evaluation.accumulate()
    with pytest.raises(InputError, match="call accumulate first"):
        evaluation.summarize()
    evaluation.evaluate()
    evaluation.params.recThrs = np.array([1.0, 0.0])
    for _ in range(2):  # from matches, then from results of images
        with pytest.raises(InputError, match="rising recall levels"):
            evaluation.accumulate()
        assert len(evaluation.evalImgs) == 4


@pytest.mark.parametrize("missing", ["cocoGt", "cocoDt"])
def test_annotations_can_be_set_later_but_not_omitted(missing: str) -> None:
    truth, found = perfect([1])
    given_first = {"cocoGt": truth, "cocoDt": found, missing: None}
    evaluation = COCOeval(**given_first, iouType="bbox")
    assert evaluation.evalImgs == []
    with pytest.raises(InputError, match=f"{missing} is None; set it first"):
        evaluation.evaluate()
    setattr(evaluation, missing, {"cocoGt": truth, "cocoDt": found}[missing])
    evaluation.params.imgIds, evaluation.params.catIds = [1], [1]
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval["recall"].max() == 1


@pytest.mark.parametrize("kind", ["segm", "keypoints"])
def test_masks_and_keypoints_are_refused_by_name(kind: str) -> None:
    truth, found = perfect([1])
    for refused in (lambda: COCOeval(truth, found, kind), lambda: Params(iouType=kind)):
        with pytest.raises(InputError, match=f"only 'bbox' is supported, got '{kind}'"):
            refused()
    evaluation = COCOeval(truth, found)
    evaluation.params.iouType = kind
    with pytest.raises(InputError, match=f"got '{kind}'"):
        evaluation.evaluate()


def test_methods_for_keypoints_and_the_deprecated_flag_are_refused() -> None:
    evaluation = COCOeval(*perfect([1]))
    with pytest.raises(InputError, match="got 'keypoints'"):
        evaluation.params.setKpParams()
    with pytest.raises(InputError, match="got 'keypoints'"):
        evaluation.computeOks(1, 1)
    evaluation.params.useSegm = 0
    evaluation.evaluate()
    evaluation.params.useSegm = 1
    with pytest.raises(InputError, match="got 'segm'"):
        evaluation.evaluate()


def test_defaults_of_settings_are_those_of_the_reference() -> None:
    ours, theirs = Params(iouType="bbox"), ReferenceParams(iouType="bbox")
    for _ in range(2):
        assert vars(ours).keys() == vars(theirs).keys()
        for name, value in vars(theirs).items():
            assert_array_equal(getattr(ours, name), value, err_msg=name)
        ours.maxDets, ours.catIds, ours.useCats = [5], [3], 0
        ours.setDetParams()


def test_a_box_of_another_shape_is_refused_with_its_image() -> None:
    truth, found = perfect([1, 2])
    found[1]["bbox"] = [10.0, 10.0, 100.0, 100.0, 45.0]
    with pytest.raises(InputError, match="image 2 has a bbox of 5 numbers, expected 4"):
        COCOeval(truth, found).evaluate()


def test_dicts_in_the_format_of_coco_are_accepted() -> None:
    scene = random_scene(4)
    document, results = coco_dicts(scene.truth, scene.detections)
    evaluation = COCOeval(document, results)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    theirs, _ = run(Reference, scene)
    assert_array_equal(evaluation.stats, theirs.stats)
