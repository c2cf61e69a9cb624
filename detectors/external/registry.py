"""Registry of external models: torchvision's, ONNX files, and those of other packages. Importing it does not import torch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detectors.config import Config
from detectors.external.file_hash import content_sha256, file_sha256
from detectors.external.huggingface_settings import HuggingFaceConfig
from detectors.external.onnx_models.settings import OnnxConfig
from detectors.external.stored_detections import StoredDetectionsConfig
from detectors.external.torchvision_models import MODELS, VERSION, TorchvisionConfig, summary
from metrics.entry_points import entry_points
from metrics.errors import InputError
from metrics.messages import reason
from metrics.registry import UnknownName

if TYPE_CHECKING:
    from detectors.types import Predictor

GROUP = "detbench.external_models"
"""Entry points of this group name an `ExternalModel`, or a function that takes the names of the data set's classes and
returns a `Predictor`."""

ONNX = "onnx/"
"""Names of external models that are ONNX files start with it; the rest is the path."""

HUGGING_FACE = "hf/"
"""Names of external models of transformers start with it; the rest is a folder, or a name at Hugging Face."""

DETECTIONS = "detections/"
"""Names of stored detections start with it; the rest is the path of a file or folder."""

PATH_PREFIXES = (ONNX, HUGGING_FACE, DETECTIONS)
"""What names with a path start with."""


@dataclass(frozen=True, slots=True)
class ExternalModel:
    """A model that was not trained here, and how to build it for a data set.

    Attributes:
        config: class of its settings; their dotted paths are the names for `--set`.
        build: makes a `Predictor` in evaluation mode from settings and the names of the data set's classes. The label of
            a class is its index in this list, counted from 0; there is no label for background. If the model does not
            know some of the classes, it issues an `InputWarning`.
        source: origin and version, which are part of the cause of a result.
        summary: one line for `bench list`.
    """

    config: type[Config]
    build: Callable[[Any, Sequence[str]], Predictor]
    source: str
    summary: str = ""


def external_model_names() -> list[str]:
    """All names that `external_model` accepts besides files, in alphabetical order; no model is imported."""
    return sorted([*(f"torchvision/{name}" for name in MODELS), *_entry_points()])


def is_external_model(name: str) -> bool:
    """Whether this is the name of an external model, or of a file that would be one."""
    return name.startswith(PATH_PREFIXES) or name in external_model_names()


def external_model(name: str) -> ExternalModel:
    """The external model of that name.

    Args:
        name: ``torchvision/`` and the name of a model, ``onnx/`` and the path of a file, ``hf/`` and a folder or a name at
            Hugging Face, ``detections/`` and the path of stored detections, or the name of another package's entry point.

    Raises:
        InputError: an unknown name, a missing file, or an entry point that cannot be loaded.
    """
    if name.startswith(ONNX):
        return _onnx(Path(name.removeprefix(ONNX)))
    if name.startswith(HUGGING_FACE):
        return _hugging_face(name.removeprefix(HUGGING_FACE))
    if name.startswith(DETECTIONS):
        return _stored_detections(Path(name.removeprefix(DETECTIONS)))
    others = _entry_points()
    if name in others:
        return _load(name, others[name])
    kind, _, model = name.partition("/")
    if kind != "torchvision" or model not in MODELS:
        raise UnknownName("external model", name, external_model_names())
    return ExternalModel(TorchvisionConfig, partial(_build_torchvision, model), VERSION, summary(model))


def _build_torchvision(name: str, config: TorchvisionConfig, classes: Sequence[str]) -> Predictor:
    from detectors.external.torchvision import torchvision_predictor

    return torchvision_predictor(name, config, classes)


def _onnx(path: Path) -> ExternalModel:
    if not path.is_file():
        raise InputError(f"{ONNX}{path}: there is no such file; give the path of an ONNX file after {ONNX}")
    parts = [f"sha256 {file_sha256(path)}"]
    for package in ("onnxruntime", "openvino"):
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ExternalModel(OnnxConfig, partial(_build_onnx, path), "; ".join(parts), f"ONNX file {path.name}")


def _build_onnx(path: Path, config: OnnxConfig, classes: Sequence[str]) -> Predictor:
    from detectors.external.onnx_models.predictor import onnx_predictor

    return onnx_predictor(path, config, classes)


def _hugging_face(name: str) -> ExternalModel:
    folder, parts = Path(name), []
    if folder.is_dir():
        parts.append(f"sha256 {content_sha256(folder, ('*.json', '*.safetensors', '*.bin'))}")
    with contextlib.suppress(PackageNotFoundError):
        parts.append(f"transformers {version('transformers')}")
    summary = f"model of transformers in {folder.name}"
    return ExternalModel(HuggingFaceConfig, partial(_build_hugging_face, name), "; ".join(parts), summary)


def _build_hugging_face(name: str, config: HuggingFaceConfig, classes: Sequence[str]) -> Predictor:
    from detectors.external.huggingface import huggingface_predictor

    return huggingface_predictor(name, config, classes)


def _stored_detections(path: Path) -> ExternalModel:
    if not path.exists():
        raise InputError(
            f"{DETECTIONS}{path}: there is no such file or folder; give the path of stored detections after {DETECTIONS}"
        )
    source = f"sha256 {content_sha256(path)}; detections of another program"
    return ExternalModel(StoredDetectionsConfig, partial(_refuse, path), source, f"detections in {path.name}")


def _refuse(path: Path, config: Config, classes: Sequence[str]) -> Predictor:
    raise InputError(
        f"{DETECTIONS}{path}: stored detections cannot predict; give a model or a run that was trained here"
    )


def _entry_points() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(GROUP)}


def _load(name: str, entry: EntryPoint) -> ExternalModel:
    try:
        target = entry.load()
    except Exception as error:  # importing another package can raise anything
        raise InputError(f"{name}: cannot be loaded ({type(error).__name__}: {reason(error)})") from error
    package = "" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    if isinstance(target, ExternalModel):
        source = f"{package}; {target.source}" if package and target.source else package or target.source
        return ExternalModel(target.config, partial(_build, name, target.build), source, target.summary)
    if not callable(target):
        raise InputError(f"{name}: expected an ExternalModel or a function of class names, got {target!r}")
    first_line = (target.__doc__ or "").strip().split("\n")[0].rstrip(".")

    def build(_: Config, classes: Sequence[str]) -> Predictor:
        predictor: Predictor = target(list(classes))
        return predictor

    return ExternalModel(Config, partial(_build, name, build), package, first_line)


def _build(
    name: str, build: Callable[[Any, Sequence[str]], Predictor], config: Config, classes: Sequence[str]
) -> Predictor:
    predictor = build(config, classes)
    if not callable(getattr(predictor, "predict", None)):
        raise InputError(f"{name}: returned a {type(predictor).__name__}, which has no method `predict`")
    return predictor
