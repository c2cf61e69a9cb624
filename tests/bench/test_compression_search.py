"""Search for a compression: what trials measure, what they read, which is chosen, and how a study is continued."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_runs import finished_run

from bench.cli import main
from bench.compression import quantized_candidates, search
from bench.compression.choice import Scored, choose_by_cost
from bench.compression.search import CompressionSearch, SearchSettings
from bench.compression.search_record import record_search
from bench.compression.source_run import open_source
from bench.runs.context import RunContext
from detectors.external.onnx_models.graph_file import read_graph_file
from reports.records.study import StudyFolder
from reports.sections.compression_search_text import COSTS
from reports.sections.tuning_text import finding

for package in ("onnx", "onnxscript", "onnxruntime", "torch_pruning"):
    pytest.importorskip(package, reason=f"{package} is absent: pip install detbench[onnx,compress]")

pytestmark = pytest.mark.usefixtures("no_pages")

SETTINGS = SearchSettings(trials=5, epochs=0, cost="size", images=4, max_drop=1.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("search")


@pytest.fixture(scope="module")
def source(folder):
    return finished_run(folder / "runs", backbone__base_channel=8, neck_channels=16)


@pytest.fixture(scope="module")
def found(source, folder):
    """The finished search, the test images that were read before the choice, and the choice."""
    dataset, config = open_source(source)
    read = []
    test = dataset.splits["test"]
    watched = replace(test, load=lambda index: read.append(index) or test.load(index))
    watched_set = replace(dataset, splits={**dataset.splits, "test": watched})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "SHARES", (0.0, 0.5))
        patch.setattr(
            quantized_candidates, "median_latencies", lambda models, *rest: dict.fromkeys(models, 2.0)
        )
        made = CompressionSearch(
            source, watched_set, config, SETTINGS, folder / "runs", folder / "exports", RunContext(page=False)
        )
        made.run()
        before_choice = list(read)
        return made, before_choice, made.choose()


def values_of(made):
    """(AP, size) by share and operators."""
    return {
        (trial.params[search.SHARE], trial.params[search.OPERATORS]): trial.values
        for trial in made.study.complete()
    }


def test_the_first_trial_is_the_original_and_pruned_networks_have_their_own_ap(found, source):
    made = found[0]
    values = values_of(made)
    assert (0.0, "none") in values
    assert len(values) >= 3
    for (share, operators), (ap, size) in values.items():
        network = made._network(share)
        file = made._file(network, operators)
        assert size == file.stat().st_size / 1e6
        assert read_graph_file(file).precision == ("float32" if operators == "none" else "int8")
        if share and operators == "none":
            assert ap == pytest.approx(network.result.headline["ap"], abs=5e-4)
        if share:
            assert network.result.data.split == "val"
            assert network.result.config["compression"]["prune"] == share
    sizes = {key: size for key, (_, size) in values.items()}
    assert all(size < sizes[0.0, "none"] for key, size in sizes.items() if key != (0.0, "none"))


def test_no_test_image_is_read_before_the_choice(found):
    assert found[1] == []


def test_the_choice_is_that_of_the_rule_and_is_evaluated_on_test_images(found, source):
    made, _, chosen = found
    trials = [trial for trial in made.study.complete() if trial.params != made.study.space.defaults]
    cheapest = min(trial.values[1] for trial in trials)
    best = max(
        (trial for trial in trials if trial.values[1] <= 1.1 * cheapest),
        key=lambda t: (t.values[0], -t.values[1]),
    )
    assert chosen.trial.values == best.values
    assert chosen.file.is_file()
    assert chosen.network.result.data.split == source.result.data.split == "test"
    if chosen.trial.params[search.SHARE]:
        assert chosen.network.result.parent == source.result.name


def test_the_study_is_recorded_with_the_difference_on_test_images(found, source, monkeypatch):
    monkeypatch.setattr("bench.compression.search_record.write_study_page", lambda folder: None)
    made, _, chosen = found
    # In place of the file's run, so that the difference is 0.
    record_search(made, chosen, source, RunContext(command="bench compress"))
    result = StudyFolder.open(made.study.folder).result
    assert result.stage == "compression"
    assert [each.text for each in result.objectives] == ["ap", "size_mb"]
    assert result.final_evaluation.chosen == chosen.trial.number
    assert result.final_evaluation.gain.delta == 0
    assert result.final_evaluation.gain.interval == (0, 0)
    assert len(result.test_looks) == 1
    assert all(trial.measured["latency_ms"] == 2.0 for trial in result.complete)
    ap, size = chosen.trial.values
    original = made.study.default().values
    tested = source.result.headline["ap"]
    text = finding(result)
    assert f"ap {ap:.3f} and file size in MB {size:.3f} on the validation split" in text
    assert f"the original has ap {original[0]:.3f} and file size in MB {original[1]:.3f}." in text
    assert f"and {tested:.3f} for the original, a difference of 0.000" in text
    assert set(search.COSTS.values()) == set(COSTS)


def test_the_same_search_is_not_repeated(found, source, folder, monkeypatch):
    def refuse(*args, **settings):
        raise AssertionError("repeated")

    monkeypatch.setattr(search, "SHARES", (0.0, 0.5))
    monkeypatch.setattr(search, "file_ap", refuse)
    dataset, config = open_source(source)
    again = CompressionSearch(
        source, dataset, config, SETTINGS, folder / "runs", folder / "exports", RunContext(page=False)
    )
    again.run()
    assert values_of(again) == values_of(found[0])
    assert again.choose().trial.number == found[2].trial.number


def test_fault_144_a_search_is_refused_beside_a_method(source, capsys):
    for words, option in [
        (["--quantize", "int8"], "quantize"),
        (["--prune", "0.5"], "prune"),
        (["--finetune", "2"], "finetune"),
        (["--runtime", "openvino"], "runtime"),
    ]:
        assert main(["compress", str(source.path), "--search", "4", *words]) == 2
        assert f"--{option}: cannot be combined with --search" in capsys.readouterr().err


def test_the_cost_decides_only_among_candidates_that_lose_little():
    slow, fast, broken = Scored("slow", 0.5, 2.0), Scored("fast", 0.49, 1.0), Scored("broken", 0.1, 0.2)
    assert choose_by_cost([slow, fast, broken], 0.5, 0.1, 0.02) is fast
    assert choose_by_cost([slow, fast, broken], 0.5, 0.1, 0.005) is slow
    assert choose_by_cost([slow, fast, broken], 0.5, 1.0, 0.02) is slow
