"""Prediction and validation when memory is short: batches are halved, and the results stay the same."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from tiny_runs import tiny_config

from bench.pipeline.batch_memory import BatchMemory
from bench.pipeline.candidates import Candidates
from bench.pipeline.predict import predict
from bench.runs.detector import build_detector
from bench.settings.resolution import open_run_data
from bench.training.loop import train
from metrics.errors import InputNote, MachineError, exit_code, is_out_of_memory
from metrics.notes import note_of

ON_CPU = (
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "400000000000 bytes. Error code 12 (Cannot allocate memory)"
)
ON_WINDOWS = "[enforce fail at alloc_cpu.cpp:75] data. DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."

ERRORS = [
    MemoryError(),
    np._core._exceptions._ArrayMemoryError((10**15,), np.dtype("u1")),  # type: ignore[attr-defined]
    torch.OutOfMemoryError("CUDA out of memory (played)"),
    RuntimeError(ON_CPU),
    RuntimeError(ON_WINDOWS),
    RuntimeError("std::bad_alloc"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:40])
def test_fault_70_errors_of_insufficient_memory_are_the_machines(error):
    assert is_out_of_memory(error)
    assert exit_code(error) == 3


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("shape mismatch"),
        ValueError("allocate memory"),
        MachineError("out of memory on cpu, even with 8 parts of a batch of 12"),  # has its own message
        OSError(28, "No space left on device"),
    ],
)
def test_other_errors_are_not_treated_as_insufficient_memory(error):
    assert not is_out_of_memory(error)


def test_fault_70_torch_itself_raises_such_an_error():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50)
    assert is_out_of_memory(caught.value)


def limited(detector, most, error):
    """`detector`, whose network has memory for `most` images; the sizes that were tried."""
    forward, tried = detector.forward, []

    def run(images):
        if not detector.training:
            tried.append(len(images))
            if len(images) > most:
                raise error
        return forward(images)

    detector.forward = run
    return tried


@pytest.mark.parametrize("error", ERRORS[2:4], ids=["accelerator", "cpu"])
@pytest.mark.parametrize("most", [1, 2, 3, 5])
def test_fault_70_prediction_with_halved_batches_finds_the_same(tmp_path, most, error):
    config = tiny_config("fcos")
    data = open_run_data(config).splits["test"]
    whole = predict(
        build_detector(config, 5).eval(), data, config.image, batch=6, candidates=tmp_path / "whole.parquet"
    )
    detector = build_detector(config, 5).eval()
    tried = limited(detector, most, error)
    with pytest.warns(InputNote, match="out of memory with 6 images at once; continued with 3") as notes:
        parts = predict(detector, data, config.image, batch=6, candidates=tmp_path / "parts.parquet")
    assert tried == {1: [6, 3, 2, 1, 1, 1, 1, 1, 1], 2: [6, 3, 2, 2, 2], 3: [6, 3, 3], 5: [6, 3, 3]}[most]
    assert [note_of(each.message).kind for each in notes] == ["halved_batch"] * (
        len(tried) - -(-6 // min(most, 3))
    )
    assert np.array_equal(parts.image, whole.image)
    assert np.array_equal(parts.label, whole.label)
    # Kernels may round differently for another batch size.
    np.testing.assert_allclose(parts.xywh, whole.xywh, atol=1e-3)
    np.testing.assert_allclose(parts.score, whole.score, rtol=1e-5)
    before, after = (Candidates.load(tmp_path / f"{name}.parquet") for name in ("whole", "parts"))
    np.testing.assert_allclose(after.score, before.score, rtol=1e-5)


def test_results_are_equal_to_the_bit_where_the_function_does_not_round():
    images = torch.arange(7 * 12, dtype=torch.float32).reshape(7, 3, 2, 2)

    def sums(part):
        if len(part) > 2:
            raise MemoryError
        return list(part.sum(dim=(1, 2, 3)))

    memory = BatchMemory()
    with warnings.catch_warnings(action="ignore"):
        assert torch.equal(torch.stack(memory(images, sums)), images.sum(dim=(1, 2, 3)))
    assert memory.most == 2


def test_fault_70_one_image_that_does_not_fit_is_the_machines_fault():
    config = tiny_config()
    data = open_run_data(config).splits["test"]
    detector = build_detector(config, 5).eval()
    limited(detector, 0, RuntimeError(ON_CPU))
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(
            MachineError, match=r"out of memory for a single image of 64 x 64 pixels; lower image\.size"
        ),
    ):
        predict(detector, data, config.image, batch=4)


def test_fault_70_other_errors_of_prediction_are_not_retried():
    config = tiny_config()
    data = open_run_data(config).splits["test"]
    detector = build_detector(config, 5).eval()
    tried = limited(detector, 0, RuntimeError("shape mismatch"))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        predict(detector, data, config.image, batch=4)
    assert tried == [4]


def test_fault_70_validation_remembers_the_batch_that_fits(tmp_path):
    config = tiny_config(evaluate__batch=4, train__validate_every=1)
    splits = open_run_data(config).splits
    detector = build_detector(config, 5)
    # Of the average, which is validated, a copy is made before: only without one is this network validated.
    config = config.model_copy(update={"train": config.train.model_copy(update={"average": 0.0})})
    tried = limited(detector, 2, torch.OutOfMemoryError("CUDA out of memory (played)"))
    with pytest.warns(InputNote, match="out of memory with 4 images at once; continued with 2"):
        result = train(detector, splits["train"], splits["val"], config, tmp_path)
    assert tried == [1, 4, 2, 2, 2, 2]  # first one image, to check the size of the input
    plain = train(build_detector(config, 5), splits["train"], splits["val"], config, tmp_path / "plain")
    assert [row["val_ap"] for row in result.history] == pytest.approx(
        [row["val_ap"] for row in plain.history]
    )


def test_fault_70_training_is_divided_after_an_error_of_the_cpu_too(tmp_path):
    config = tiny_config(train__average=0.0, train__epochs=1)
    splits = open_run_data(config).splits
    detector = build_detector(config, 5)
    forward, tried = detector.forward, []

    def run(images):
        tried.append(len(images))
        if torch.is_grad_enabled() and len(images) > 2:
            raise RuntimeError(ON_CPU)
        return forward(images)

    detector.forward = run
    assert train(detector, splits["train"], splits["val"], config, tmp_path).images_seen == 12
    assert tried.count(4) == 1 + 1  # one step of training, and the validation
