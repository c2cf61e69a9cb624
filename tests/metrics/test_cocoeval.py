"""COCOeval has the interface and numbers of pycocotools, without its errors."""

from __future__ import annotations

import contextlib
import io
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from oracles import coco_dicts, coco_objects
from pycocotools.cocoeval import COCOeval as Reference
from strategies import Scene, random_scene, scenes

from metrics.cocoeval import COCOeval
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
    for name in ("precision", "recall", "scores", "counts"):
        assert_array_equal(ours.eval[name], theirs.eval[name])
    assert_array_equal(ours.stats, theirs.stats)
    assert our_lines == their_lines
    assert len(ours.evalImgs) == len(theirs.evalImgs)
    for our_image, their_image in zip(ours.evalImgs, theirs.evalImgs, strict=True):
        assert (our_image is None) == (their_image is None)
        if our_image is not None:
            assert our_image.keys() == their_image.keys()
            for name, value in their_image.items():
                assert_array_equal(our_image[name], value, err_msg=name)


def test_images_and_classes_can_be_chosen() -> None:
    scene = random_scene(4)
    chosen: dict[str, object] = {"imgIds": [10, 16, 13, 10], "catIds": [2, 0]}
    (theirs, _), (ours, _) = (run(kind, scene, **chosen) for kind in (Reference, COCOeval))
    assert_array_equal(ours.stats, theirs.stats)
    assert ours.params.imgIds == [10, 13, 16]
    assert_array_equal(ours.eval["precision"], theirs.eval["precision"])


def test_accumulate_takes_other_settings() -> None:
    ours, _ = run(COCOeval, random_scene(4))
    few = COCOeval(ours.cocoGt, ours.cocoDt).params
    few.maxDets, few.imgIds, few.catIds = [10], ours.params.imgIds, [1]
    ours.accumulate(few)
    assert ours.eval["counts"] == [10, 101, 1, 4, 1]


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
    with pytest.raises(InputError, match="only 'bbox'"):
        COCOeval(truth, found, "segm")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected pycocotools' COCO"):
        COCOeval(42, found)
    evaluation = COCOeval(truth, found)
    with pytest.raises(InputError, match="call evaluate first"):
        evaluation.accumulate()
    with pytest.raises(InputError, match="call accumulate first"):
        evaluation.summarize()
    evaluation.evaluate()
    evaluation.params.recThrs = np.array([1.0, 0.0])
    with pytest.raises(InputError, match="rising recall levels"):
        evaluation.accumulate()


def test_dicts_in_the_format_of_coco_are_accepted() -> None:
    scene = random_scene(4)
    document, results = coco_dicts(scene.truth, scene.detections)
    evaluation = COCOeval(document, results)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    theirs, _ = run(Reference, scene)
    assert_array_equal(evaluation.stats, theirs.stats)
