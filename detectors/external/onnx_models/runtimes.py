"""Runtimes of ONNX files: ONNX Runtime and OpenVINO, with the facts that a result must record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from detectors.external.onnx_models.graph_file import GraphFile
from detectors.external.onnx_models.settings import OnnxConfig, Precision
from metrics.errors import InputError, MachineError
from metrics.messages import reason
from metrics.registry import did_you_mean

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class RuntimeFacts:
    """How a file is computed.

    Attributes:
        runtime: name and version.
        provider: execution provider or device.
        precision: of the computation.
        threads: CPU threads.
    """

    runtime: str
    provider: str
    precision: str
    threads: int


class Session(Protocol):
    """A file that is ready to be computed."""

    facts: RuntimeFacts

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, for inputs by name."""
        ...


def open_session(graph: GraphFile, config: OnnxConfig) -> Session:
    """Prepare a file for computation with torch's current number of CPU threads.

    Raises:
        InputError: the runtime has no such provider or precision, or cannot compute the file.
        MachineError: the runtime is not installed.
    """
    if find_spec(config.runtime) is None:
        extra = {"onnxruntime": "onnx", "openvino": "openvino"}[config.runtime]
        raise MachineError(
            f"runtime: {config.runtime} is not installed; install it with `pip install detbench[{extra}]`"
        )
    if config.runtime == "openvino":
        return OpenVINOSession(graph, config.provider, config.precision, torch.get_num_threads())
    if config.precision != "auto":
        raise InputError(
            f"precision: {config.precision}: ONNX Runtime computes in the precision of the file ({graph.precision}); remove the "
            "setting, or set runtime=openvino"
        )
    return OnnxRuntimeSession(graph, config.provider, torch.get_num_threads())


class OnnxRuntimeSession:
    """A file in ONNX Runtime.

    Args:
        graph: the file.
        provider: execution provider, without ``ExecutionProvider`` and in any case.
        threads: CPU threads.
    """

    def __init__(self, graph: GraphFile, provider: str, threads: int) -> None:
        import onnxruntime

        available = onnxruntime.get_available_providers()
        by_name = {name.removesuffix("ExecutionProvider").lower(): name for name in available}
        asked = provider.lower().removesuffix("executionprovider")
        if asked not in by_name:
            hint = did_you_mean(asked, by_name) or f"; it has {', '.join(by_name)}"
            raise InputError(f"provider: this ONNX Runtime has no provider {provider!r}{hint}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        try:
            self._session = onnxruntime.InferenceSession(str(graph.path), options, providers=[by_name[asked]])
        except Exception as error:  # its own exceptions have no common base
            raise InputError(f"{graph.path}: ONNX Runtime cannot compute it ({reason(error)})") from None
        self._names = [each.name for each in graph.outputs]
        version = f"onnxruntime {onnxruntime.__version__}"
        self.facts = RuntimeFacts(version, self._session.get_providers()[0], graph.precision, threads)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, for inputs by name."""
        return dict(zip(self._names, self._session.run(self._names, dict(feeds)), strict=True))


class OpenVINOSession:
    """A file in OpenVINO.

    Args:
        graph: the file.
        provider: device.
        precision: of the computation; auto is the choice of the device, which is bfloat16 on processors that have it, or float32 if
            the device cannot compute the file with its own choice, as some of 8-bit integers beside bfloat16.
        threads: CPU threads.
    """

    def __init__(self, graph: GraphFile, provider: str, precision: Precision, threads: int) -> None:
        import openvino

        core = _openvino_core()
        device = provider.upper()
        known = {name.partition(".")[0] for name in core.available_devices}
        if device.partition(".")[0] not in known:
            raise InputError(
                f"provider: OpenVINO has no device {provider!r}; it has {', '.join(sorted(known)).lower()}"
            )
        hints: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
        if device == "CPU":
            hints["INFERENCE_NUM_THREADS"] = threads
        if precision != "auto":
            hints["INFERENCE_PRECISION_HINT"] = precision
        choices = [hints, *([{**hints, "INFERENCE_PRECISION_HINT": "f32"}] if precision == "auto" else [])]
        for chosen in choices:
            try:
                self._compiled = core.compile_model(core.read_model(str(graph.path)), device, chosen)
                break
            except RuntimeError as error:
                why = reason(error)
        else:
            fix = "" if precision in ("auto", "f32") else "; try precision=f32"
            raise InputError(f"{graph.path}: OpenVINO cannot compute it ({why}){fix}")
        self._names = [each.name for each in graph.outputs]
        used = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if graph.precision == "int8":
            used = f"int8 and {used}"
        version = f"openvino {openvino.__version__.partition('-')[0]}"
        self.facts = RuntimeFacts(version, device, used, threads)

    def __call__(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, for inputs by name."""
        results = self._compiled(dict(feeds))
        return {name: np.asarray(results[name]) for name in self._names}


@cache
def _openvino_core() -> Any:
    """OpenVINO's Core, one for the life of the process.

    Its CPU plugin replaces the alternative signal stack of the thread, where there is one (that of faulthandler), and frees the
    new one when it is unloaded with its last Core: the next signal would end the process.
    """
    import openvino

    return openvino.Core()
