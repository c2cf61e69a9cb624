"""Runs of ONNX files of other programs: images are placed as the convention says, and boxes come back to their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_files import onnx_file
from tiny_data import CLASSES, Picture, write_coco

from bench.pipeline.input_settings import FileInput, ImageConfig
from bench.pipeline.placement import fit_images, place
from bench.runs.context import RunContext
from bench.runs.run import run
from bench.settings.resolution import resolve_entry
from metrics.errors import InputError

pytest.importorskip("onnx", reason="onnx is absent: pip install detbench[onnx]")
pytest.importorskip("onnxruntime", reason="onnxruntime is absent: pip install detbench[onnx]")

SCALE = 64 / 96
"""Of an image of 48 x 96 in an input of 64 x 64."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Images of 48 x 96 with one object each."""
    folder = tmp_path_factory.mktemp("data")
    made = [Picture(f"img{k:02d}", (48, 96), [(k % 2, (18, 12, 42, 36))]) for k in range(24)]
    return write_coco(folder / "all.json", made)


def yolov8() -> bytes:
    array = np.zeros((6, 84), np.float32)
    array[:, 0] = [20, 36, 16, 16, 0.9, 0]
    names = {"names": str(dict(enumerate(CLASSES))), "task": "detect"}
    return onnx_file({"output0": array}, metadata=names, batch=1)


def yolox() -> bytes:
    array = np.zeros((84, 7), np.float32)
    array[2 * 8 + 2] = [0.5, 0.5, np.log(2), np.log(2), 1, 0.9, 0]
    return onnx_file({"output": array})


@pytest.mark.parametrize(
    ("make", "convention", "box"),
    [
        # The image is in the rows 16 to 48 of the input.
        (yolov8, "yolov8", [12 / SCALE, (28 - 16) / SCALE, 28 / SCALE, (44 - 16) / SCALE]),
        # In the upper left corner.
        (yolox, "yolox", [12 / SCALE, 12 / SCALE, 28 / SCALE, 28 / SCALE]),
    ],
)
def test_boxes_are_in_pixels_of_the_original_images(data, tmp_path, make, convention, box):
    (tmp_path / "model.onnx").write_bytes(make())
    config = resolve_entry(
        f"onnx/{tmp_path / 'model.onnx'}", data=str(data), sets=["device=cpu", "threads=1"]
    )
    made = run(config, tmp_path, context=RunContext(page=False))
    assert len(made.detections) == len(made.truth.catalog.image_ids)
    np.testing.assert_allclose(made.detections.boxes, np.tile(box, (len(made.detections), 1)), atol=1e-4)
    assert set(made.detections.label.tolist()) == {0}
    file = made.result.model_file
    assert (file.convention, file.run, file.threads) == (convention, "", 1)


def test_an_image_in_the_corner_is_padded_at_the_right_and_bottom():
    wide, tall = (
        FileInput(size=(64, 64), corner=True),
        FileInput(size=(64, 96), corner=True, fill=9),
    )
    assert place((48, 96), wide) == ((32, 64), (0, 0))
    assert place((48, 96), ImageConfig(size=(64, 64))) == ((32, 64), (16, 0))
    (pixels,), _ = fit_images([np.full((64, 32, 3), 200, np.uint8)], tall)
    assert pixels[:, :, :32].unique().tolist() == [pytest.approx(200 / 255)]
    assert pixels[:, :, 32:].unique().tolist() == [pytest.approx(9 / 255)]


def test_without_antialiasing_pixels_between_the_samples_do_not_count():
    """Every fourth row is white: bilinear samples at rows 1.5, 5.5, ... see none of it, a filter sees a quarter."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[3::4] = 255
    (plain,), _ = fit_images([stripes], FileInput(size=(16, 16), antialias=False))
    (smooth,), _ = fit_images([stripes], FileInput(size=(16, 16)))
    assert plain.max() == 0
    assert smooth.mean() == pytest.approx(0.25, abs=0.03)


def test_tiles_have_the_size_of_the_file(data, tmp_path):
    (tmp_path / "model.onnx").write_bytes(yolov8())
    name = f"onnx/{tmp_path / 'model.onnx'}"
    sets = ["device=cpu", "threads=1", "evaluate.tile=64,64"]
    made = run(resolve_entry(name, data=str(data), sets=sets), tmp_path, context=RunContext(page=False))
    assert len(made.detections) >= len(made.truth.catalog.image_ids)
    wrong = resolve_entry(name, data=str(data), sets=[*sets, "evaluate.tile=80,80"])
    with pytest.raises(InputError, match=r"model.onnx: its input is 64x64, got 48x80; .*evaluate.tile=64,64"):
        run(wrong, tmp_path, context=RunContext(page=False))
