"""Training of variants whose best weights are chosen by mIoU is judged by mIoU, and that of others by AP."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic_runs import run_in, truth_of

from reports.analysis.models import group_models
from reports.analysis.training_fairness import training_notes

RISING, FLAT = np.linspace(0.2, 0.6, 8), np.full(8, 0.4)


def history(**columns: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"epoch": np.arange(1, 9), "loss": np.linspace(3, 1, 8), **columns})


@pytest.mark.parametrize(
    ("columns", "measure"),
    [
        ({"val_ap": FLAT, "val_miou": RISING}, "mIoU"),
        ({"val_ap": RISING, "val_miou": FLAT}, ""),
        ({"val_ap": RISING, "val_miou": np.full(8, np.nan)}, "AP"),  # without masks AP chooses
        ({"val_ap": RISING}, "AP"),
        ({"val_ap": FLAT}, ""),
    ],
)
def test_the_measure_that_chooses_the_weights_tells_whether_training_was_too_short(
    columns, measure, tmp_path
):
    run = run_in(tmp_path, truth_of(4, ("a",)), "unet", 0.5)
    run.__dict__["history"] = history(**columns)
    notes = [note for note in training_notes(group_models([run])) if note.kind == "still_rising"]
    assert [note.subject for note in notes] == ([measure] if measure else [])
    if measure:
        assert notes[0].text == f"validation {measure} was still rising when training ended: unet"
        gain = RISING[6:].max() - RISING[:6].max()  # epochs 7 and 8 are the last quarter
        assert notes[0].values["unet"] == pytest.approx(gain)
