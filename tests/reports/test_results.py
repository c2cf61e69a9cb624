"""A result carries its cause, survives the disk, and is never half there."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import html5lib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.atomic_files import atomic_write, atomic_write_by
from metrics.errors import InputError, MachineError
from reports.records.json_record import migrate
from reports.records.run import SCHEMA_VERSION, DataFacts, RunFolder, RunResult, save_result


def result(**changes: object) -> RunResult:
    data = DataFacts(name="d", format="coco", split="test", fingerprint="ab", images=2, objects=3, classes=1)
    return RunResult.model_validate({"name": "ssd-d-0", "variant": "ssd", "data": data, "seed": 0, **changes})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    config=st.dictionaries(st.text(), json_values, max_size=4),
    headline=st.dictionaries(st.text(), st.floats(), max_size=4),
    name=st.text(min_size=1),
)
def test_a_result_survives_writing_and_reading(config, headline, name):
    before = result(config=config, headline=headline, variant=name)
    text = before.to_json()
    assert RunResult.from_json(text, "here") == before
    assert RunResult.from_json(text, "here").to_json() == text


def test_nan_is_null_in_json_and_none_in_python():
    before = result(headline={"ap": 0.5, "ap_small": math.nan})
    assert json.loads(before.to_json())["headline"] == {"ap": 0.5, "ap_small": None}
    assert RunResult.from_json(before.to_json(), "here").headline["ap_small"] is None


def test_tuples_and_paths_in_settings_become_json_types():
    before = result(config={"image": {"size": (3, 4)}, "weights": Path("a") / "b.pth"})
    assert before.config == {"image": {"size": [3, 4]}, "weights": "a/b.pth"}
    assert RunResult.from_json(before.to_json(), "here") == before


def test_times_keep_their_zone():
    when = datetime(2026, 3, 1, 14, 5, tzinfo=UTC)
    assert RunResult.from_json(result(finished=when).to_json(), "here").finished == when
    with pytest.raises(ValueError, match="timezone"):
        result(finished=when.replace(tzinfo=None))


def test_a_result_is_frozen_and_closed():
    with pytest.raises(ValueError, match="frozen"):
        result().name = "x"
    with pytest.raises(ValueError, match="colour"):
        result(colour="red")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid JSON"),
        ("[]", "expected an object, got list"),
        ("{}", "schema_version: expected a whole number, got None"),
        ('{"schema_version": 1}', "name: Field required"),
        ('{"schema_version": true}', "expected a whole number, got True"),
        ('{"schema_version": 1, "a": NaN}', "NaN is not a JSON number"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_damaged_result_is_one_line_with_its_location(text, message):
    with pytest.raises(InputError, match=r"runs/a/result\.json: ") as error:
        RunResult.from_json(text, where="runs/a/result.json")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_fault_56_a_newer_schema_is_refused_naming_both_versions():
    document = json.loads(result().to_json()) | {"schema_version": 7, "unheard_of": 1}
    with pytest.raises(
        InputError, match=f"schema version 7, and this detbench reads up to version {SCHEMA_VERSION}"
    ):
        RunResult.from_json(json.dumps(document), "here")


def test_fault_56_an_older_schema_is_migrated_step_by_step():
    steps = {
        1: lambda old: {**old, "headline": {"ap": old["ap"]}},
        2: lambda old: {key: value for key, value in old.items() if key != "ap"},
    }
    old = {"schema_version": 1, "ap": 0.5}
    assert migrate(old, steps, to=3, where="here") == {"schema_version": 3, "headline": {"ap": 0.5}}
    assert old == {"schema_version": 1, "ap": 0.5}
    assert migrate({"schema_version": 2, "ap": 1}, steps, to=3, where="here") == {"schema_version": 3}


def test_fault_56_a_schema_too_old_for_any_migration_is_refused_naming_the_versions():
    with pytest.raises(InputError, match="schema version 1, and this detbench reads versions 2 to 3"):
        migrate({"schema_version": 1}, {2: dict}, to=3, where="here")


def test_a_saved_run_opens_by_its_folder_or_its_file(tmp_path):
    saved = save_result(tmp_path / "runs" / "a", result())
    assert saved.result == result()
    assert RunFolder.open(saved.path / "result.json").path == saved.path
    assert saved.history.empty


def test_runs_are_shown_briefly_and_as_a_table_in_notebooks():
    run = RunFolder(Path("runs/<a>"), result(name="<a>", headline={"ap": 0.3414, "ap_small": None}))
    assert repr(run.result) == "RunResult('<a>', AP 34.1, d test, 2 images)"
    assert run._repr_html_() == (
        "<table><tr><th>run</th><th>ap</th><th>ap_small</th></tr>"
        "<tr><td>&lt;a&gt;</td><td>34.1</td><td>–</td></tr></table>"
    )
    html5lib.HTMLParser(strict=True).parseFragment(run._repr_html_())


def test_a_folder_without_a_finished_run_is_reported_with_a_fix(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        RunFolder.open(tmp_path / "absent")
    with pytest.raises(InputError, match=r"holds no result\.json.*run the same command again"):
        RunFolder.open(tmp_path)
    with pytest.raises(InputError, match=r"holds no truth\.parquet"):
        _ = save_result(tmp_path / "a", result()).truth


def test_fault_43_an_interrupted_write_keeps_the_previous_file(tmp_path):
    file = atomic_write(tmp_path / "a.txt", "good")

    def breaks_off(path: Path) -> None:
        path.write_text("ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomic_write_by(file, breaks_off)
    assert file.read_text() == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_fault_45_a_full_disk_is_a_machine_error_and_keeps_the_previous_file(tmp_path):
    file = atomic_write(tmp_path / "a.txt", "good")

    def full(path: Path) -> None:
        path.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(MachineError, match=r"a\.txt: cannot be written \(No space left on device\)") as error:
        atomic_write_by(file, full)
    assert error.value.exit_code == 3
    assert file.read_text() == "good"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_text_is_written_with_unix_line_ends(tmp_path):
    assert atomic_write(tmp_path / "a", "ä\nb\n").read_bytes() == b"\xc3\xa4\nb\n"
