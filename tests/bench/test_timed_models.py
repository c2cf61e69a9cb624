"""External models beside runs in ``bench profile``: they are evaluated first, on the images of the first run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx_files import onnx_file
from tiny_data import CLASSES, Picture, write_coco

from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings.resolution import resolve_entry
from bench.timing.timed_models import runs_to_time
from metrics.errors import InputError

pytest.importorskip("onnx", reason="onnx is absent: pip install detbench[onnx]")
pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install detbench[onnx]")

CONTEXT = RunContext(page=False)


def model(path: Path, score: float) -> Path:
    """A file that finds one box with this score in each image."""
    array = np.zeros((6, 84), np.float32)
    array[:, 0] = [20, 36, 16, 16, score, 0]
    names = {"names": str(dict(enumerate(CLASSES))), "task": "detect"}
    path.write_bytes(onnx_file({"output0": array}, metadata=names, batch=1))
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of a file on the validation images of a data set, in a folder of its own."""
    folder = tmp_path_factory.mktemp("first")
    made = [Picture(f"img{k:02d}", (48, 96), [(k % 2, (18, 12, 42, 36))]) for k in range(24)]
    data = write_coco(folder / "all.json", made)
    entry = resolve_entry(
        f"onnx/{model(folder / 'a.onnx', 0.9)}",
        data=str(data),
        sets=["device=cpu", "threads=1", "evaluate.split=val"],
    )
    return run(entry, folder / "runs", context=CONTEXT)


def test_a_model_is_evaluated_on_the_images_of_the_first_run_and_then_reused(first, tmp_path):
    other = f"onnx/{model(tmp_path / 'b.onnx', 0.8)}"
    opened = runs_to_time([other, str(first.path)], CONTEXT)
    known, beside = opened
    assert known.result.name == first.result.name
    assert beside.result.model_file.name == "b.onnx"
    assert (beside.result.data.split, beside.result.data.fingerprint) == (
        "val",
        first.result.data.fingerprint,
    )
    assert beside.path.parent == first.path.parent
    assert beside.detections.score.tolist() == pytest.approx([0.8] * len(first.detections))
    again = runs_to_time([str(first.path), other], CONTEXT)[1]
    assert again.result.finished == beside.result.finished


def test_fault_132_a_model_without_a_run_and_stored_detections_are_refused(first, tmp_path):
    file = model(tmp_path / "b.onnx", 0.8)
    with pytest.raises(InputError, match="its images are not known; give a run first"):
        runs_to_time([f"onnx/{file}"], CONTEXT)
    with pytest.raises(InputError, match="stored detections cannot be timed; leave them out"):
        runs_to_time([str(first.path), "detections/theirs.json"], CONTEXT)
    with pytest.raises(InputError, match="there is no such file"):
        runs_to_time([str(first.path), "onnx/missing.onnx"], CONTEXT)
