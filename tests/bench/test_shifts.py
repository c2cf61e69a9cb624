"""Shifts of size and brightness: boxes against painted images, and the values of a finished run."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import tiny_config

from bench.cli import main
from bench.data import shifts
from bench.data.shifts import SHIFTS, shift, shifted_split
from bench.data.types import Split
from bench.runs.context import RunContext
from bench.runs.run import run
from metrics.tables import AnnotationTable, Catalog
from reports.records.robustness import load_robustness


def painted(size: tuple[int, int], boxes: np.ndarray, known_size: bool = True) -> Split:
    """One black image with a white rectangle in each of the boxes, (N, 4) integer xywh."""
    pixels = np.zeros((*size, 3), np.uint8)
    for x, y, w, h in boxes:
        pixels[y : y + h, x : x + w] = 255
    catalog = Catalog.of(["a"], ["box"], sizes=[size] if known_size else None)
    truth = AnnotationTable.of(catalog, [0] * len(boxes), [0] * len(boxes), boxes)
    return Split("test", truth, lambda _: pixels, "content")


@given(
    size=st.tuples(st.integers(40, 90), st.integers(40, 90)),
    corner=st.tuples(st.floats(0, 0.6), st.floats(0, 0.6)),
    factor=st.sampled_from([*SHIFTS["size"], 0.9, 1.2, 3.0]),
    known=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_boxes_are_moved_as_their_pixels_are(size, corner, factor, known):
    height, width = size
    box = np.array([[int(corner[0] * width), int(corner[1] * height), width // 3, height // 3]])
    split = painted(size, box, known)
    made = shifted_split(split, "size", factor)
    pixels = made.load(0)
    assert pixels.shape == (height, width, 3)
    # Beyond half of white: above the grey around a smaller image.
    rows, columns = np.nonzero(pixels[..., 0] > 127)
    if len(made.truth) == 0:
        assert len(rows) == 0 or min(np.ptp(rows), np.ptp(columns)) < 1
        return
    x, y, w, h = made.truth.xywh[0]
    if min(w, h) > 2:
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(np.array(seen) - [x, y, x + w, y + h]).max() <= 1.01
    whole = factor**2 * box[0, 2] * box[0, 3]
    if factor > 1:
        assert made.truth.area[0] == pytest.approx(w * h)
        assert made.truth.ignored[0] == (w * h / whole < 0.5)
    else:
        assert not made.truth.ignored[0]


def test_what_leaves_an_enlarged_image_is_cut_ignored_or_gone():
    boxes = np.array([[40, 40, 20, 20], [10, 40, 20, 20], [20, 40, 20, 20], [0, 0, 10, 10]])
    split = painted((100, 100), boxes)
    split = replace(split, truth=replace(split.truth, crowd=np.array([False, False, True, False])))
    made = shifted_split(split, "size", 2.0).truth
    # The part from 25 to 75 is left.
    assert made.xywh.tolist() == [[30, 30, 40, 40], [0, 30, 10, 40], [0, 30, 30, 40]]
    assert made.ignored.tolist() == [False, True, False]
    assert made.crowd.tolist() == [False, False, True]
    assert made.object_id.tolist() == [1, 2, 3]
    assert made.area.tolist() == [1600, 400, 1200]


@pytest.mark.parametrize("factor", SHIFTS["brightness"])
def test_brightness_multiplies_up_to_the_largest_value(factor):
    image = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, -1)
    made = shift(image, "brightness", factor)
    expected = [min(255, round(factor * value)) for value in range(256)]
    assert made[..., 1].ravel().tolist() == expected
    split = painted((16, 16), np.array([[1, 1, 4, 4]]))
    assert shifted_split(split, "brightness", factor).truth is split.truth


@pytest.mark.parametrize("name", SHIFTS)
def test_a_shifted_split_loads_shifted_images(name):
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    made = [shift(image, name, factor) for factor in SHIFTS[name]]
    assert len({one.tobytes() for one in made}) == len(made)
    split = replace(painted((30, 40), np.zeros((0, 4), int)), load=_Constant(image))
    moved = shifted_split(split, name, 0.5)
    assert moved.fingerprint != split.fingerprint != shifted_split(split, name, 2.0).fingerprint
    assert np.array_equal(pickle.loads(pickle.dumps(moved.load))(0), shift(image, name, 0.5))


class _Constant:
    def __init__(self, image: np.ndarray) -> None:
        self.image = image

    def __call__(self, _: int) -> np.ndarray:
        return self.image


def test_shifts_of_a_run_are_measured_once(tmp_path, monkeypatch, capsys):
    finished = run(tiny_config(train__epochs=1), tmp_path, context=RunContext(page=False))
    words = ["robustness", str(finished.path), "--quiet", "--workers", "0", "--device", "cpu"]
    # A factor that changes nothing gives the value of the run.
    monkeypatch.setattr(shifts, "SHIFTS", {"size": (1.0,), "brightness": (1.0,)})
    monkeypatch.setattr("bench.designs.robustness.SHIFTS", shifts.SHIFTS)
    assert main([*words, "--shifts", "size", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["runs"]
    assert row["cells"] == []
    (value,) = row["shifts"]
    assert (value["shift"], value["factor"]) == ("size", 1.0)
    assert value["ap"] == pytest.approx(finished.result.headline["ap"])
    record = load_robustness(finished.path)
    assert record.shifts[0].replicates == record.clean.replicates
    monkeypatch.setattr("bench.designs.robustness.predict", None)  # nothing is predicted again
    assert main([*words, "--shifts", "size"]) == 0
    assert "size" in capsys.readouterr().out
    assert main([*words, "--shifts", "siz"]) == 2
    assert "--shifts: no shift 'siz'; did you mean 'size'?" in capsys.readouterr().err
