"""The section on compression: its numbers are those of the runs, and it is there only where runs share a network."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from pages import cells, every, parsed, part, words
from synthetic_runs import found_in, run_in, truth_of
from synthetic_timings import timing_in

from reports.analysis.comparison_options import ComparisonOptions
from reports.analysis.models import model_digest
from reports.elements import formatting
from reports.pages import write_report
from reports.records.run import ModelFileFacts, RunFolder

TRUTH = truth_of(12, ("round", "long"))


def file_facts(source: str, name: str, size: int, **more) -> ModelFileFacts:
    return ModelFileFacts(
        name=name, sha256="0" * 64, size_bytes=size, convention="detbench", runtime="onnxruntime 1", provider="CPU",
        precision="float32", threads=1, parameters=10, run=source, **more,
    )  # fmt: skip


def file_run(folder, name: str, skill: float, facts: ModelFileFacts) -> RunFolder:
    return run_in(
        folder, TRUTH, f"onnx/{name}", skill, found=found_in(TRUTH, skill, 3), name=f"run-of-{name}",
        config={}, model_file=facts,
    )  # fmt: skip


@pytest.fixture(scope="module")
def related(tmp_path_factory) -> list[RunFolder]:
    """A network, its export, and its file in 8 bits; only the first was timed, and has weights."""
    folder = tmp_path_factory.mktemp("related")
    original = run_in(folder, TRUTH, "ssd", 0.7)
    (original.path / RunFolder.WEIGHTS).write_bytes(b"0" * 4_000_000)
    timing_in(original, 12.5)
    name = original.result.name
    small = file_facts(
        name,
        "a-int8.onnx",
        1_000_000,
        compression="int8 (network)",
        compression_images=200,
        compression_seconds=1.5,
    )
    exported = file_facts(name, "a.onnx", 4_100_000)
    return [original, file_run(folder, "a.onnx", 0.7, exported), file_run(folder, "a-int8.onnx", 0.6, small)]


@pytest.fixture(scope="module")
def drawn() -> dict[str, tuple]:
    """Points, and the marked AP, of each figure by its slug."""
    return {}


@pytest.fixture(scope="module")
def written(related, drawn, tmp_path_factory):
    from undrawn import undrawn

    from reports.sections import compression

    pareto = compression.pareto

    def recorded(slug, title, finding, points, axis, level=None, names_above=False):
        drawn[slug] = (points, level)
        return pareto(slug, title, finding, points, axis, level, names_above)

    with undrawn(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(compression, "pareto", recorded)
        return write_report(related, tmp_path_factory.mktemp("page"), options=ComparisonOptions(resamples=60))


def test_rows_have_the_facts_of_the_runs(related, written):
    rows = {row[0]: row[1:] for row in cells(parsed(written), "compression-table")}
    assert next(iter(rows)) == "ssd"
    assert set(rows) == {"ssd", "onnx/a.onnx", "onnx/a-int8.onnx"}
    for run in related:
        assert rows[run.result.variant][1] == formatting.points(run.result.headline["ap"])
    assert [rows[name][0] for name in ("ssd", "onnx/a.onnx", "onnx/a-int8.onnx")] == [
        "none (PyTorch)", "none (float32 file)", "int8 (network)",
    ]  # fmt: skip
    assert [rows[name][4] for name in ("ssd", "onnx/a.onnx", "onnx/a-int8.onnx")] == [
        "4.00 MB",
        "4.10 MB",
        "1.00 MB",
    ]
    assert rows["onnx/a-int8.onnx"][6] == "1.5 s, 200 images"
    assert rows["onnx/a.onnx"][6] == rows["ssd"][6] == formatting.MISSING
    assert float(rows["ssd"][3]) == pytest.approx(12.5, rel=0.05)
    assert rows["onnx/a.onnx"][3] == formatting.MISSING


def test_the_difference_is_that_of_the_pair_from_compressed_to_original(written):
    """pairwise.csv has the better model first; here the compressed one is worse, so that signs are exchanged."""
    with (written.parent / "pairwise.csv").open() as file:
        pair = next(
            row
            for row in csv.DictReader(file)
            if {row["model_a"], row["model_b"]} == {"ssd", "onnx/a-int8.onnx"}
            and (row["metric"], row["test"]) == ("ap", "bootstrap")
        )
    assert (pair["model_a"], float(pair["delta"]) > 0) == ("ssd", True)
    value, low, high = (-float(pair[name]) for name in ("delta", "ci_high", "ci_low"))
    shown = f"{formatting.signed_points(value)}", formatting.points_interval(low, high)
    row = next(row for row in cells(parsed(written), "compression-table") if row[0] == "onnx/a-int8.onnx")
    assert row[3].startswith(shown[0])
    assert shown[1] in row[3]
    text = words(part(parsed(written), "compression"))
    assert (
        f"onnx/a-int8.onnx (int8 (network)) has 25% of the size of its original, and differs by {shown[0]} percentage points of AP "
        f"{shown[1]}." in text
    )


def test_the_figure_has_ap_over_size_with_the_paired_intervals_and_the_front(related, written, drawn):
    """Only one model was timed, so there is no figure over latency. The export and its original have the same detections."""
    assert set(drawn) == {"compression-size"}
    points, level = drawn["compression-size"]
    by_name = {point.label: point for point in points}
    assert set(by_name) == {"original", "float32 file", "int8 (network)"}
    assert level == pytest.approx(related[0].result.headline["ap"])
    assert [by_name[name].cost for name in ("original", "float32 file", "int8 (network)")] == [4.0, 4.1, 1.0]
    assert not np.isfinite(by_name["original"].qualities).any()
    with (written.parent / "pairwise.csv").open() as file:
        pair = next(
            row
            for row in csv.DictReader(file)
            if {row["model_a"], row["model_b"]} == {"ssd", "onnx/a-int8.onnx"}
            and (row["metric"], row["test"]) == ("ap", "bootstrap")
        )
    ends = [level - float(pair["ci_high"]), level - float(pair["ci_low"])]
    assert by_name["int8 (network)"].qualities == pytest.approx(ends, abs=1e-9)
    worse = by_name["float32 file"].quality < level  # its detections are of another seed
    front = {"original", "int8 (network)"} if worse else {"original", "int8 (network)", "float32 file"}
    assert {point.label for point in points if point.on_front} == front


def test_a_figure_over_latency_needs_two_timed_models(related, tmp_path, no_drawing):
    timing_in(related[2], 3.5)
    try:
        page = write_report(related, tmp_path, options=ComparisonOptions(resamples=0))
    finally:
        for name in ("latency.json", "latency.csv"):
            (related[2].path / name).unlink()
    assert "compression-latency" in page.read_text()
    assert (tmp_path / "figures" / "compression-latency.svg").is_file()


def test_runs_that_share_no_network_have_no_such_section(related, tmp_path, no_drawing):
    page = write_report(related[:1], tmp_path / "one", options=ComparisonOptions(resamples=0))
    other = run_in(tmp_path, TRUTH, "fcos", 0.7)
    unrelated = write_report([other, related[2]], tmp_path / "two", options=ComparisonOptions(resamples=0))
    for each in (page, unrelated):
        assert "compression" not in {section.get("id") for section in every(parsed(each), "section")}


def test_files_without_their_original_have_no_difference(related, tmp_path, no_drawing):
    page = write_report(related[1:], tmp_path, options=ComparisonOptions(resamples=0))
    rows = cells(parsed(page), "compression-table")
    assert [row[3] for row in rows] == [formatting.MISSING] * 2
    assert "Differences are shown only where the original is part" in words(part(parsed(page), "compression"))


def test_without_resamples_a_difference_has_no_interval(related, tmp_path, no_drawing):
    page = write_report(related, tmp_path, options=ComparisonOptions(resamples=0))
    gap = related[2].result.headline["ap"] - related[0].result.headline["ap"]
    row = next(row for row in cells(parsed(page), "compression-table") if row[0] == "onnx/a-int8.onnx")
    assert row[3] == formatting.signed_points(gap)


def test_networks_that_were_trained_further_are_grouped_with_their_first_original(
    related, tmp_path, no_drawing
):
    """A pruned network, a sparse one that was made of it, and a file of that one."""
    original = related[0]

    def child(name: str, parent: RunFolder, teacher: str | None = None, **settings: float) -> RunFolder:
        config = {
            "compression": {"prune": 0.0, "sparsity": 0.0, **settings},
            "distill": {"teacher": teacher},
        }
        return run_in(tmp_path, TRUTH, "ssd", 0.6, name=name, config=config, parent=parent.result.name)

    pruned = child("pruned", original, prune=0.5)
    taught = child("taught", original, original.result.name, prune=0.5)
    sparse = child("sparse", pruned, sparsity=0.25)
    facts = file_facts("sparse", "b-int8.onnx", 500_000, compression="int8 (conv)")
    file = file_run(tmp_path, "b-int8.onnx", 0.6, facts)
    page = write_report(
        [original, pruned, taught, sparse, file], tmp_path / "page", options=ComparisonOptions(resamples=0)
    )
    rows = {row[1]: row for row in cells(parsed(page), "compression-table")}
    assert set(rows) == {
        "none (PyTorch)",
        "50% of channels pruned (PyTorch)",
        "50% of channels pruned and distilled (PyTorch)",
        "50% of channels pruned, 25% of weights zero (PyTorch)",
        "50% of channels pruned, 25% of weights zero, int8 (conv)",
    }
    row = rows["50% of channels pruned (PyTorch)"]
    gap = pruned.result.headline["ap"] - original.result.headline["ap"]
    assert row[3] == formatting.signed_points(gap)
    budget = pruned.result.budget
    epochs = formatting.plural(int(budget.epochs), "epoch")
    assert row[7] == f"{budget.train_seconds:.1f} s, {epochs} of training"


@pytest.mark.parametrize("whole", [True, False])
def test_networks_of_several_seeds_are_compared_only_with_the_same_seeds(whole, tmp_path, no_drawing):
    """Two seeds of a network are pruned; without one of the originals, the means are of different networks."""
    originals = [run_in(tmp_path, TRUTH, "ssd", 0.8, seed) for seed in (0, 1)]
    children = [
        run_in(
            tmp_path, TRUTH, "ssd", 0.5, seed, name=f"pruned-{seed}",
            config={**original.result.config, "compression": {"prune": 0.5, "run": original.result.name}},
            parent=original.result.name, parent_model=model_digest(original.result),
        )
        for seed, original in enumerate(originals)
    ]  # fmt: skip
    runs = [*(originals if whole else originals[:1]), *children]
    page = write_report(runs, tmp_path / "page", options=ComparisonOptions(resamples=0))
    rows = {row[1]: row for row in cells(parsed(page), "compression-table")}
    mean = {
        made: np.mean([run.result.headline["ap"] for run in each])
        for made, each in ((0, originals), (1, children))
    }
    assert rows["50% of channels pruned (PyTorch)"][2] == formatting.points(mean[1])
    if whole:
        assert set(rows) == {"none (PyTorch)", "50% of channels pruned (PyTorch)"}
        assert rows["50% of channels pruned (PyTorch)"][3] == formatting.signed_points(mean[1] - mean[0])
    else:
        assert set(rows) == {"50% of channels pruned (PyTorch)"}
        assert "with the seeds of the runs that were made of it" in words(part(parsed(page), "compression"))
