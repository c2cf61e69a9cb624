"""``python -m metrics``: what it prints, what it writes, and the exit codes that a CI job can gate on."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import typer
from hypothesis import HealthCheck, given, settings
from strategies import Scene, scenes

from metrics import evaluate
from metrics.command_line import main, parse_areas, parse_thresholds, run_command
from metrics.errors import InputError, InputWarning, MachineError, PartialError, RegressionError, exit_code
from metrics.evaluated_files import score_files
from metrics.evaluation import TABLE_COLUMNS
from metrics.formats import coco
from metrics.match_rule import COCO_AREAS, COCO_THRESHOLDS, MatchRule
from metrics.reference.verify import verify
from metrics.tables import AnnotationTable, Catalog, DetectionTable

CATALOG = Catalog.of([1, 2], ["cat", "dog"], sizes=[(400, 600)] * 2, class_ids=[3, 7])
TRUTH = AnnotationTable.of(CATALOG, [0, 0, 1], [0, 1, 0], [[0, 0, 90, 90], [100, 10, 50, 50], [5, 5, 20, 30]])
FOUND = DetectionTable(
    CATALOG, [0, 0, 1], [0, 1, 0], [[0, 0, 90, 80], [300, 10, 50, 50], [5, 5, 20, 30]], [0.9, 0.8, 0.7]
)  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    coco.write_truth(TRUTH, tmp_path / "gt.json")
    coco.write_detections(FOUND, tmp_path / "dt.json")
    return [str(tmp_path / "gt.json"), str(tmp_path / "dt.json")]


def test_the_published_twelve_numbers_of_cocos_sample_are_printed(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "coco" / "fakebbox100"
    truth, found = (
        folder / "instances_val2014_100.json",
        folder / "instances_val2014_fakebbox100_results.json",
    )
    assert main([str(truth), str(found)]) == 0
    printed = capsys.readouterr().out.splitlines()[:12]
    published = [0.505, 0.697, 0.573, 0.586, 0.519, 0.501, 0.387, 0.594, 0.595, 0.640, 0.566, 0.564]
    assert [float(line.split("=")[-1]) for line in printed] == published
    everything = (folder / "val2014_fake_eval_res.txt").read_text().splitlines()
    reference = [line for line in everything[everything.index("type=bbox") :] if "Average" in line][:12]
    assert [line.split() for line in printed] == [line.split() for line in reference]


def test_verify_runs_the_reference_and_reports_agreement(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "coco" / "fakebbox100"
    truth, found = (
        folder / "instances_val2014_100.json",
        folder / "instances_val2014_fakebbox100_results.json",
    )
    for options in ([], ["--no-classes", "--iou", "0.3,0.6", "--max-dets", "2,5", "--areas", "mid=100:5000"]):
        assert main([str(truth), str(found), "--verify", *options]) == 0
        assert (
            "largest difference 0 (precision 0, recall 0, score 0): the same numbers"
            in capsys.readouterr().out
        )


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40)
@given(scenes(ignored=True))
def test_our_tables_given_to_the_reference_give_the_same_numbers(scene: Scene) -> None:
    """Also with objects that are ignored without being crowds, as difficult ones are."""
    if len(scene.detections):
        verdict = verify(evaluate(scene.truth, scene.detections))
        assert verdict.agrees, verdict


def test_verify_reports_a_difference_with_a_possible_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = AnnotationTable.of(Catalog.of([1], ["a"]), [0], [0], [[0, 0, 9, 9]], object_id=[0])
    coco.write_truth(truth, tmp_path / "gt.json")
    coco.write_detections(
        DetectionTable(truth.catalog, [0], [0], [[0, 0, 9, 9]], [1.0]),
        tmp_path / "dt.json",  # type: ignore[arg-type]
    )
    assert main([str(tmp_path / "gt.json"), str(tmp_path / "dt.json"), "--verify"]) == 1
    printed = capsys.readouterr().out
    assert "NOT the same numbers" in printed
    assert "an object with id 0, which pycocotools can never match" in printed


def test_verify_reports_that_the_reference_fails(
    files: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty.json").write_text("[]")
    assert main([files[0], str(tmp_path / "empty.json"), "--verify"]) == PartialError.exit_code
    assert "pycocotools fails on this input" in capsys.readouterr().err


def test_a_measure_below_its_limit_fails(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--fail-below", "ap=0.1", "--fail-below", "ap50=0.5"]) == 0
    assert main([*files, "--fail-below", "ap=0.1", "--fail-below", "ap50=0.6"]) == 1
    assert "ap50 is 0.5, the limit is 0.6" in capsys.readouterr().err
    assert main([*files, "--fail-below", "ap_medium=0", "--iou", "0.5", "--areas", "tiny=0:1"]) == 2
    assert main([*files, "--fail-below", "app50=0"]) == 2
    assert "error: --fail-below: no measure 'app50'; did you mean 'ap50'?" in capsys.readouterr().err
    assert main(["absent.json", "absent.json", "--fail-below", "app50=0"]) == 2  # before any file is read
    assert "error: --fail-below: no measure 'app50'; did you mean 'ap50'?" in capsys.readouterr().err
    assert main([*files, "--fail-below", "ap"]) == 2
    message = "error: --fail-below 'ap': expected a measure and a number, such as ap=0.40, ap=40pt"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["absent.json", "absent.csv", "absent.parquet", "absent"])
@pytest.mark.parametrize("position", [0, 1])
def test_a_missing_file_is_reported_as_missing(
    name: str, position: int, files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    files[position] = name
    assert main(files) == 2
    assert f"{name}: no such file" in capsys.readouterr().err


def test_an_undefined_measure_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coco.write_truth(AnnotationTable.of(CATALOG, [], [], []), tmp_path / "gt.json")
    (tmp_path / "dt.json").write_text("[]")
    assert main([str(tmp_path / "gt.json"), str(tmp_path / "dt.json"), "--fail-below", "ap=0"]) == 1
    assert "ap is undefined, the limit is 0" in capsys.readouterr().err


def test_all_values_are_written_to_files(files: list[str], tmp_path: Path) -> None:
    assert main([*files, "--csv", str(tmp_path / "a.csv"), "--json", str(tmp_path / "a.json")]) == 0
    frame = pandas.read_csv(tmp_path / "a.csv")
    evaluation = evaluate(TRUTH, FOUND)
    overall = frame[frame["class_name"].isna() & (frame["metric"] == "ap50")]
    assert overall["value"].tolist() == [evaluation.headline["ap50"]]
    assert tuple(frame.columns) == TABLE_COLUMNS
    assert frame[["n_img", "n_gt", "n_det"]].drop_duplicates().values.tolist() == [
        [2, 3, 3],
        [2, 2, 2],
        [2, 1, 1],
    ]
    assert json.loads((tmp_path / "a.json").read_bytes())["headline"]["ap"] == evaluation.headline["ap"]


def test_json_without_a_file_is_one_object_on_standard_output(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*files, "--json", "--verify", "--fail-below", "ap:dog=1pt"]) == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document["headline"]["ap50"] == 0.5
    assert document["equal_to_pycocotools"] is True
    assert document["failures"] == ["ap on dog is 0, the limit is 0.01"]
    assert printed.err == "ap on dog is 0, the limit is 0.01\n"
    assert main([*files, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["equal_to_pycocotools"] is None


def test_limits_are_fractions_or_points_of_all_classes_or_of_one(files: list[str]) -> None:
    met = ["ap50=0.5", "ap50=50pt", "ap50:cat=1", "ap50:cat=100pt", "ap50:dog=0"]
    assert main([*files, *(word for text in met for word in ("--fail-below", text))]) == 0
    for text in ("ap50=0.51", "ap50=51pt", "ap50:dog=0.1"):
        assert main([*files, "--fail-below", text]) == 1


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("detbench ")


def test_further_measures_are_selected_by_name(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--measures", "average_precision,operating_point"]) == 0
    assert "precision" in capsys.readouterr().out
    assert main([*files, "--measures", "average_precisions"]) == 2
    assert (
        "unknown measure 'average_precisions'; did you mean 'average_precision'?" in capsys.readouterr().err
    )


def test_options_define_the_rule(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*files, "--no-classes", "--iou", "0.5:0.6:0.05", "--max-dets", "1,7"]) == 0
    assert "maxDets=  7" in capsys.readouterr().out
    assert main([*files, "--max-dets", "ten"]) == 2
    assert main([*files, "--iou", "half"]) == 2
    assert main([*files, "--areas", "small"]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in printed] == ["error"] * 3


def test_thresholds_and_areas_are_parsed() -> None:
    assert parse_thresholds("0.5:0.95:0.05") == COCO_THRESHOLDS
    assert parse_thresholds("0.5,0.75") == (0.5, 0.75)
    assert parse_areas("small=0:1024,medium=1024:9216,large=9216:inf") == COCO_AREAS


def test_class_ids_are_mapped_from_the_command_line(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads(Path(files[1]).read_bytes())
    for result in results:
        result["category_id"] = {3: 0, 7: 1}[result["category_id"]]
    Path(files[1]).write_text(json.dumps(results))
    assert main(files) == 2
    assert "pass --class-map from-0" in capsys.readouterr().err
    assert main([*files, "--class-map", "from-0", "--verify"]) == 0
    (tmp_path / "map.json").write_text('{"0": 3, "1": 7}')
    assert main([*files, "--class-map", str(tmp_path / "map.json"), "--fail-below", "ap50=0.5"]) == 0
    (tmp_path / "map.json").write_text("[]")
    capsys.readouterr()
    assert main([*files, "--class-map", str(tmp_path / "map.json")]) == 2
    assert main([*files, "--class-map", "from-2"]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert 'expected pairs of class ids such as {"0": 1, "1": 2}' in printed[0]
    assert "expected from-0, from-1, coco-91, drop, or the name of a .json file" in printed[1]


def test_warnings_are_printed_and_strict_makes_them_errors(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads(Path(files[1]).read_bytes())
    results[0]["score"] = 1.5
    Path(files[1]).write_text(json.dumps(results))
    assert main(files) == 0
    assert capsys.readouterr().err.startswith(
        f"warning: {files[1]}: 1 of 3 detections have a score outside [0, 1]"
    )
    assert main([*files, "--strict"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {files[1]}: 1 of 3")


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("gt.json: wrong"), 2, "error: gt.json: wrong"),
        (MachineError("no device"), 3, "error: no device"),
        (PartialError("half"), 4, "error: half"),
        (
            MemoryError(),
            3,
            "error: out of memory; use smaller batches (train.batch, evaluate.batch), smaller images or less input",
        ),
        (
            ZeroDivisionError("x"),
            1,
            "error: internal error: ZeroDivisionError: x; --debug prints the traceback",
        ),
        (KeyboardInterrupt(), 130, "error: stopped"),
    ],
)
def test_each_kind_of_error_has_its_code_and_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> int:
        raise error

    assert run_command(work) == code
    assert capsys.readouterr().err == f"{line}\n"
    assert run_command(work, debug=True) == code
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RegressionError("worse"), 5),
        (InputWarning("--strict"), 2),
        (OSError(errno.ENOSPC, "no space left on device"), 3),
        (OSError(errno.ENOENT, "no such file"), 1),
        (BrokenPipeError(), 141),
        (SystemExit(7), 7),
        (SystemExit("text"), 1),
        (SystemExit(), 0),
        (typer.BadParameter("no such option"), 2),
    ],
)
def test_an_error_of_any_origin_has_an_exit_code(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_filters_of_warnings_are_restored(files: list[str]) -> None:
    import warnings

    before = warnings.filters[:], warnings.showwarning
    main(files)
    assert (warnings.filters[:], warnings.showwarning) == before
    with pytest.raises(InputWarning):
        warnings.warn("x", InputWarning, stacklevel=1)


def test_score_files_takes_a_rule_and_any_kind_of_truth(tmp_path: Path) -> None:
    TRUTH.save(tmp_path / "gt.parquet")
    FOUND.save(tmp_path / "dt.parquet")
    evaluation = score_files(
        tmp_path / "gt.parquet",
        tmp_path / "dt.parquet",
        rule=MatchRule(iou_thresholds=(0.5,)),
        measures=["average_recall"],
    )
    assert {row.measure for row in evaluation.rows} == {"average_recall"}
    np.testing.assert_array_equal(evaluation.matches.rule.iou_thresholds, [0.5])


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_unused_libraries_are_not_imported(files: list[str]) -> None:
    code = (
        "import sys; from metrics.command_line import main; code = main(sys.argv[1:]); "
        "heavy = {'torch', 'pandas', 'pyarrow', 'scipy', 'rich', 'matplotlib', 'PIL', 'yaml', 'pycocotools'}; "
        "print(heavy & set(sys.modules), file=sys.stderr); sys.exit(code)"
    )
    python(
        "-m", "metrics", *files
    )  # where the kernels are not compiled yet, Numba comes in, and with it others
    done = python("-c", code, *files)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "set()"


def test_the_module_runs_and_explains_itself(files: list[str]) -> None:
    done = python("-m", "metrics", *files, "--fail-below", "ap=0.99")
    assert done.returncode == 1
    assert done.stdout.startswith(
        " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = "
    )
    help_text = " ".join(python("-m", "metrics", "--help").stdout.split())
    assert "COCO's twelve numbers, equal to pycocotools" in help_text
    missing = python("-m", "metrics", "absent.json", files[1])
    assert (missing.returncode, missing.stderr) == (2, "error: absent.json: no such file or folder\n")


def test_importing_the_package_loads_no_library_and_every_name_exists() -> None:
    code = (
        "import metrics, sys; assert not {'numpy', 'numba'} & set(sys.modules); "
        "import metrics.evaluator; from metrics import evaluate, Evaluator; assert callable(evaluate); "
        "assert all(hasattr(metrics, name) for name in metrics.__all__)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def names(module: Any) -> set[str]:
    return {name for name in dir(module) if not name.startswith("_")}


def test_a_name_that_the_package_lacks_is_an_attribute_error() -> None:
    import metrics

    assert set(metrics.__all__) <= names(metrics)
    with pytest.raises(AttributeError, match=r"module 'metrics' has no attribute 'evaluat'"):
        metrics.evaluat  # noqa: B018
