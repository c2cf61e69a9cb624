"""Micro-batches: the choice by measured memory, how memory is counted, what is recorded, and that a continued run keeps it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_runs import tiny_config
from torch import nn

from bench.cli import main
from bench.data.types import Dataset
from bench.process import memory
from bench.process.interrupts import Stopped, StopRequest
from bench.runs import naming
from bench.runs.context import RunContext
from bench.runs.detector import build_detector
from bench.runs.naming import run_name
from bench.runs.run import run
from bench.settings.resolution import open_run_data
from bench.training import micro_batch
from bench.training.allocation import AllocationPeak
from bench.training.micro_batch import measure, pass_bytes, sizes_of
from bench.training.trial_pass import trial_batch
from reports.analysis.report_data import ReportData
from reports.records.run import RunFolder
from reports.sections.budget import section

pytestmark = pytest.mark.usefixtures("no_pages")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return open_run_data(tiny_config(workers=0))


@pytest.mark.parametrize(
    ("batch", "sizes"), [(16, [2, 4, 8, 16]), (12, [2, 3, 6, 12]), (10, [2, 3, 5, 10]), (2, [2]), (1, [1])]
)
def test_the_sizes_of_parts_are_a_batch_halved_again_and_again(batch: int, sizes: list[int]) -> None:
    assert sizes_of(batch) == sizes


@given(st.integers(1, 200), st.integers(0, 1000), st.integers(1, 50), st.integers(1, 5000))
def test_the_largest_size_that_fits_is_found_and_at_most_one_that_does_not_is_tried(
    batch: int, fixed: int, each: int, limit: int
) -> None:
    measured = measure(batch, limit, lambda size: fixed + each * size)
    fitting = [size for size in sizes_of(batch) if fixed + each * size <= limit]
    assert [size for size, peak in measured.items() if peak <= limit] == fitting
    assert len(measured) <= max(len(fitting), 1) + (len(fitting) == 1)


def test_a_pass_that_runs_out_of_memory_ends_the_measurement() -> None:
    assert measure(16, 1e9, lambda size: 10 * size if size <= 4 else None) == {2: 20, 4: 40}


def test_allocated_bytes_in_closed_form() -> None:
    """Blocks of 1000 float32 numbers: at most three exist at a time; views and changes in place make none."""
    weight = torch.zeros(1000)
    with AllocationPeak([weight]) as counted:
        one = weight + 1
        two = one * 2
        two.add_(1).view(10, 100).t()
        three = two + 1
        assert counted.peak == 12_000
        del one, two
        four = three + 1
        del three, four
        torch.zeros(2000)
    assert counted.peak == 12_000
    with counted:
        torch.zeros(3001)
    assert counted.peak == 12_004


def test_what_is_kept_for_the_backward_pass_counts() -> None:
    """A square keeps its input: n squares of 1000 numbers are n blocks, and the gradient needs at least one more."""

    def peak(squares: int) -> int:
        value = torch.full((1000,), 0.5, requires_grad=True)
        with AllocationPeak([value]) as counted:
            result = value
            for _ in range(squares):
                result = result * result
            result.sum().backward()
        return counted.peak

    assert peak(30) - peak(20) == 40_000


def test_a_pass_takes_memory_in_proportion_to_its_images_and_leaves_the_detector_unchanged(
    dataset: Dataset,
) -> None:
    config = tiny_config(workers=0)
    detector = build_detector(config, len(dataset.classes))
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    mode, state = detector.training, torch.random.get_rng_state()
    accelerator = Accelerator(cpu=True)

    def measured(images: int) -> int:
        return pass_bytes(detector, trial_batch(dataset.splits["train"], config, images), accelerator) or 0

    four, eight, twelve = (measured(images) for images in (4, 8, 12))
    assert twelve - eight == pytest.approx(eight - four, rel=0.1)
    assert eight - four > 4 * 3 * 64 * 64 * 4  # more than the images themselves
    assert measured(4) == four
    assert all(tensor.equal(before[name]) for name, tensor in detector.state_dict().items())
    assert all(parameter.grad is None for parameter in detector.parameters())
    assert detector.training is mode
    assert torch.random.get_rng_state().equal(state)


def test_a_pass_without_memory_is_told(dataset: Dataset) -> None:
    class Large(nn.Module):
        def forward(self, images: torch.Tensor) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory (played)")

    batch = trial_batch(dataset.splits["train"], tiny_config(workers=0), 2)
    assert pass_bytes(Large(), batch, Accelerator(cpu=True)) is None


def same_weights(one: RunFolder, other: RunFolder) -> bool:
    first, second = (load_file(made.path / RunFolder.WEIGHTS) for made in (one, other))
    return all(first[name].equal(second[name]) for name in first)


def test_the_choice_trains_as_if_it_were_set_and_is_kept_when_continued(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four images fit."""
    monkeypatch.setattr(micro_batch, "memory_limit", lambda device: 10**9)
    monkeypatch.setattr(micro_batch, "pass_bytes", lambda network, batch, of: 4 * 10**8 * len(batch))
    config = tiny_config(train__micro_batch="auto", workers=0)
    named = run(tiny_config(train__micro_batch=2, workers=0), tmp_path, dataset, RunContext(page=False))
    stop = StopRequest()
    stop.signum = 15  # stops after the first step
    with pytest.raises(Stopped):
        run(config, tmp_path, dataset, RunContext(stop=stop, page=False))
    monkeypatch.setattr(micro_batch, "pass_bytes", lambda *args: pytest.fail("measured again"))
    made = run(config, tmp_path, dataset, RunContext(page=False))
    assert made.result.name != named.result.name
    assert same_weights(made, named)
    assert made.result.micro_batch is not None
    assert made.result.micro_batch.model_dump() == {
        "images": 2,
        "batch": 4,
        "bytes": {"2": 8 * 10**8, "4": 16 * 10**8},
    }
    assert named.result.micro_batch is not None
    assert (named.result.micro_batch.images, named.result.micro_batch.bytes) == (2, {})
    method = " ".join(map(str, section(ReportData.from_runs([made])).method))
    assert "2 of 4 images at once" in method


def test_a_part_has_the_given_number_of_images_or_fewer(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.training.setup import set_up_training

    detector = build_detector(tiny_config(), len(dataset.classes))
    for images, parts in ((1, 4), (2, 2), (3, 2), (4, 1), (100, 1)):
        config = tiny_config(train__micro_batch=images, workers=0)
        assert set_up_training(detector, dataset.splits["train"], config).stepper.parts == parts


def test_the_memory_of_the_machine_is_in_the_name_only_where_it_decides(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, set[str]] = {}
    for gigabytes in (8, 16):
        monkeypatch.setattr(naming, "device_memory", lambda device, known=gigabytes: known * 2**30)
        for setting in ("auto", "4", "none"):
            config = tiny_config(train__micro_batch=setting)
            names.setdefault(setting, set()).add(run_name(config, dataset))
    assert {setting: len(found) for setting, found in names.items()} == {"auto": 2, "4": 1, "none": 1}
    assert names["none"] == {run_name(tiny_config(), dataset)}


def test_a_container_has_the_memory_of_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CONTROL_GROUP", (limit, tmp_path / "absent"))
    limit.write_text(f"{2**30 + 5_000_000}\n")
    assert memory.device_memory(torch.device("cpu")) == 2**30
    limit.write_text("max\n")
    assert abs(memory.device_memory(torch.device("cpu")) - psutil.virtual_memory().total) <= 2**27


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", "at least 1 or 'auto', got 0"),
        ("atuo", "a whole number or 'auto', got 'atuo'; did you mean 'auto'?"),
        ("1.5", "a whole number or 'auto', got 1.5"),
    ],
)
def test_fault_137_a_micro_batch_that_is_no_number_of_images_is_refused(
    value: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--variant", "ssd", "--show-config", "--set"]
    assert main([*words, f"train.micro_batch={value}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"error: train.micro_batch: expected {expected}"
    assert main([*words, "train.micro_batch=auto"]) == 0
