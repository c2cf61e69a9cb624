"""Post-training quantisation of exported detectors to 8-bit integers for OpenVINO, by NNCF."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from metrics.errors import InputError

Array = NDArray[np.float32]


def quantize_by_nncf(content: bytes, batches: Iterable[Array], count: int) -> bytes:
    """An ONNX file with operators in 8 bits, placed as OpenVINO's kernels need them; metadata are those of the given file.

    Activations are quantised asymmetrically where they have both signs, weights symmetrically per channel, and the biases are
    corrected for the mean error (fast bias correction).

    Args:
        content: of an ONNX file with one input, ``images``.
        batches: (B, 3, H, W) images in [0, 1]; read several times.
        count: number of batches.

    Raises:
        InputError: there are no images, or NNCF cannot quantise the graph.
    """
    import nncf
    import onnx

    if not count:
        raise InputError("calibration: no images; give at least one training image")
    model = onnx.load_from_string(content)
    nncf.set_log_level(logging.ERROR)
    dataset = nncf.Dataset(batches, lambda images: {"images": images})
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            made = nncf.quantize(model, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=count)
    except (nncf.ValidationError, nncf.UnsupportedModelError, nncf.InternalError) as error:
        raise InputError(f"NNCF cannot quantise this graph: {error}") from None
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    onnx.checker.check_model(made)
    written: bytes = made.SerializeToString()
    return written
