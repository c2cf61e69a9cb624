"""An ensemble of finished runs: their detections fused image by image, kept as a run."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_runs import tiny_config

from bench.cli import main
from bench.runs.context import RunContext
from bench.runs.ensemble import fuse_runs
from bench.runs.ensemble_weights import search_weights
from bench.runs.run import run
from metrics.errors import InputError
from metrics.evaluator import evaluate
from metrics.tables import DetectionTable
from reports.records.run import RunFolder


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two untrained detectors with many detections, on the same images."""
    out, context = tmp_path_factory.mktemp("runs"), RunContext(page=False)
    sets = ["nms.score=0", "nms.max_dets=20"]
    return [run(tiny_config(name, sets, train__epochs=0), out, context=context) for name in ("ssd", "fcos")]


def test_a_run_fused_with_itself_keeps_its_detections(runs):
    """Each cluster contains both copies of a box, so scores stay; NMS at IoU 0.45 left no two boxes to fuse at 0.55."""
    fused, alone = fuse_runs([runs[0], runs[0]]), runs[0].detections
    assert len(fused) == len(alone)
    for image in range(len(alone.catalog.image_ids)):
        ours, theirs = fused.image == image, alone.image == image
        np.testing.assert_allclose(np.sort(fused.score[ours]), np.sort(alone.score[theirs]))
        np.testing.assert_allclose(
            np.sort(fused.xywh[ours], axis=0), np.sort(alone.xywh[theirs], axis=0), atol=1e-9
        )


def test_fused_detections_are_fewer_than_all_and_score_no_higher(runs):
    fused = fuse_runs(runs)
    assert 0 < len(fused) <= sum(len(each.detections) for each in runs)
    assert fused.catalog == runs[0].truth.catalog
    assert fused.score.max() <= max(each.detections.score.max() for each in runs)


def test_the_command_writes_a_run_that_can_be_compared(runs, tmp_path, capsys):
    folders = [str(each.path) for each in runs]
    assert main(["ensemble", *folders, "--out", str(tmp_path)]) == 0
    assert "report:" in capsys.readouterr().out
    (made,) = [RunFolder.open(path) for path in tmp_path.iterdir()]
    assert made.result.variant == "ensemble-ssd-fcos"
    assert made.result.variant_source.startswith("weighted boxes fusion at IoU 0.55 of ssd-shapes-0-")
    assert len(made.detections) == len(fuse_runs(runs))
    page = tmp_path / "page"
    assert main(["compare", *folders, str(made.path), "--out", str(page), "--resamples", "20"]) == 0
    assert "ensemble-ssd-fcos" in (page / "leaderboard.csv").read_text()


def test_a_single_run_is_refused(runs, capsys):
    with pytest.raises(InputError, match="ensemble: got 1 run; give two or more"):
        fuse_runs(runs[:1])
    assert main(["ensemble", str(runs[0].path)]) == 2
    assert "error: ensemble: got 1 run" in capsys.readouterr().err


def test_runs_on_other_images_are_refused(runs, tmp_path):
    other = run(tiny_config(train__epochs=0, data__test=3), tmp_path, context=RunContext(page=False))
    with pytest.raises(InputError, match="evaluated on other ground truth than"):
        fuse_runs([runs[0], other])


def test_weights_are_chosen_on_validation_images_alone(runs, tmp_path):
    """The second run of the validation images is the truth itself: it gets all the weight that helps."""
    out, context = tmp_path / "val", RunContext(page=False)
    sets = ["nms.score=0", "nms.max_dets=20", "evaluate.split=val"]
    validation = [
        run(tiny_config(name, sets, train__epochs=0), out, context=context) for name in ("ssd", "fcos")
    ]
    truth = validation[1].truth
    low = np.full(len(truth), 1e-4)  # below those of the other run, so that equal weights rank them last
    perfect = DetectionTable(truth.catalog, truth.image, truth.label, truth.xywh, low)
    result, path = validation[1].result, validation[1].path
    validation[1] = RunFolder(path, result, truth=truth, detections=perfect)
    weights, ap = search_weights(runs, validation)
    assert ap == pytest.approx(1, abs=1e-9)
    assert weights[1] > weights[0]
    equal = evaluate(truth, fuse_runs(validation)).value("ap")
    assert ap >= equal


def test_runs_for_the_weights_are_on_other_images_and_in_order(runs, tmp_path):
    with pytest.raises(InputError, match=r"--validation: .* same images .* reevaluate"):
        search_weights(runs, runs)
    with pytest.raises(InputError, match="is of fcos, seed 0, where ssd, seed 0 is expected"):
        search_weights(runs, runs[::-1])
    with pytest.raises(InputError, match="expected 2 runs"):
        search_weights(runs, runs[:1])


def test_weights_of_the_command_are_recorded(runs, tmp_path, capsys):
    folders = [str(each.path) for each in runs]
    assert main(["ensemble", *folders, "--weights", "1", "0", "--out", str(tmp_path)]) == 0
    (made,) = [RunFolder.open(path) for path in tmp_path.iterdir()]
    assert "(weight 1)" in made.result.variant_source
    assert "(weight 0)" in made.result.variant_source
    alone = runs[0].detections
    np.testing.assert_allclose(np.sort(made.detections.score), np.sort(alone.score))
    assert main(["ensemble", *folders, "--weights", "1", "--out", str(tmp_path)]) == 2
    assert "--weights: expected 2 numbers" in capsys.readouterr().err
