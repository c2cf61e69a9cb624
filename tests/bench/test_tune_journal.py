"""The journal of a study after another program, a kill or a full disk damaged it."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest

from bench.tune.storage import open_storage
from metrics.errors import InputError

optuna.logging.set_verbosity(optuna.logging.WARNING)


def study_in(folder: Path) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(folder), load_if_exists=True)


def tried(folder: Path, trials: int) -> list[float]:
    study = study_in(folder)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    return [trial.params["x"] for trial in study.trials]


GARBAGE = {
    "text": b"garbage\n",
    "bytes": b"\xff\xfe\x00\n",
    "a JSON text": b'"text"\n',
    "a JSON number": b"3\n",
    "an empty line": b"\n",
    "without what Optuna reads": b'{"op_code": 0}\n',
    "a bit of another line": b'tudy_name":"s","directions":[1]}\n',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_fault_74_a_garbage_line_is_refused_by_its_number_and_can_be_removed(tmp_path, garbage):
    before = tried(tmp_path, 2)
    file = tmp_path / "journal.log"
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:3], garbage, *lines[3:]]))
    with pytest.raises(
        InputError, match=r"journal\.log:4: is not a line of Optuna's journal; remove it"
    ) as caught:
        study_in(tmp_path)
    number = int(str(caught.value).partition("journal.log:")[2].partition(":")[0])
    whole = file.read_bytes().splitlines(keepends=True)
    del whole[number - 1]
    file.write_bytes(b"".join(whole))
    assert tried(tmp_path, 1)[:2] == before


def test_fault_74_a_line_with_other_values_is_damaged(tmp_path):
    tried(tmp_path, 1)
    file = tmp_path / "journal.log"
    with file.open("ab") as journal:
        journal.write(json.dumps({"op_code": 4, "worker_id": "w"}).encode() + b"\n")
    with pytest.raises(
        InputError, match=r"journal\.log: a line lacks what Optuna wrote there; .* --study NAME"
    ):
        study_in(tmp_path)


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_fault_74_a_line_that_was_cut_off_is_replaced_by_the_next(tmp_path, cut):
    before = tried(tmp_path, 2)
    file = tmp_path / "journal.log"
    complete = file.read_bytes()
    last = complete.splitlines(keepends=True)[-1]
    file.write_bytes(complete + last[:-cut])
    assert tried(tmp_path, 1)[:2] == before
    assert all(json.loads(line) for line in file.read_bytes().splitlines())
    assert file.read_bytes().startswith(complete)
