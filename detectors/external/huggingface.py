"""Object detectors of Hugging Face's transformers, unchanged, as predictors."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detectors.external.class_names import are_placeholders, match_classes
from detectors.external.huggingface_settings import HuggingFaceConfig
from detectors.types import Detections
from metrics.errors import InputError, InputNote, MachineError
from metrics.messages import reason
from metrics.plurals import plural


class HuggingFacePredictor(nn.Module):
    """A model of transformers with its own image processor and post-processing, and the labels of the data set.

    Args:
        model: of ``AutoModelForObjectDetection``.
        processor: its image processor, which resizes and normalises images and turns raw outputs into boxes.
        labels: label of the data set for each label of the model; detections with another label are dropped.
        config: settings.
    """

    _labels: Tensor

    def __init__(
        self, model: nn.Module, processor: Any, labels: Mapping[int, int], config: HuggingFaceConfig
    ) -> None:
        super().__init__()
        self.model = model
        self.processor = processor
        self.config = config
        table = torch.full((max(labels) + 1,), -1)
        for model_label, label in labels.items():
            table[model_label] = label
        self.register_buffer("_labels", table, persistent=False)
        self.eval()

    @torch.inference_mode()
    def predict(self, images: Tensor) -> list[Detections]:
        """Detections in each of (B, 3, H, W) RGB images, float32 in [0, 1], by decreasing score."""
        pixels = (images * 255).round().to(torch.uint8)
        inputs = self.processor(images=list(pixels.cpu()), return_tensors="pt").to(images.device)
        outputs = self.model(**inputs)
        sizes = [tuple(images.shape[2:])] * len(images)
        found = self.processor.post_process_object_detection(
            outputs, threshold=self.config.score, target_sizes=sizes
        )
        return [self._translate(each) for each in found]

    def _translate(self, found: Mapping[str, Tensor]) -> Detections:
        known = found["labels"] < len(self._labels)
        labels = torch.where(known, self._labels[found["labels"].clamp(max=len(self._labels) - 1)], -1)
        scores, order = found["scores"].float().sort(descending=True, stable=True)
        kept = labels[order] >= 0
        order, scores = order[kept][: self.config.max_dets], scores[kept][: self.config.max_dets]
        return Detections(found["boxes"][order].float(), scores, labels[order])


def huggingface_predictor(
    name: str, config: HuggingFaceConfig, classes: Sequence[str]
) -> HuggingFacePredictor:
    """Prepare a model of transformers for a data set with these classes.

    Classes are matched by name. A model with as many classes as the data set and without names for them (``LABEL_0``, ...) is
    taken to have the data set's classes in their order, which is reported. Code in a model's folder is never executed.

    Args:
        name: folder of a saved model, or its name at Hugging Face, which is downloaded once.
        config: settings.
        classes: names of the data set's classes, in the order of their labels.

    Raises:
        InputError: the folder holds no object detector of transformers, or its classes match none of the data set.
        MachineError: transformers is not installed, or the model cannot be downloaded.
    """
    origin = f"hf/{name}"
    try:
        import transformers
        from transformers.utils import logging
    except ImportError as error:
        raise MachineError(
            f"{origin}: needs the package transformers ({reason(error)}); pip install 'detbench[transformers]'"
        ) from None
    options: dict[str, Any] = {"trust_remote_code": False}
    if Path(name).is_dir():
        options["local_files_only"] = True
    else:
        options["revision"] = config.revision
    library: Any = transformers  # not typed
    silence: Any = logging
    silence.disable_progress_bar()
    silence.set_verbosity_error()
    try:
        model = library.AutoModelForObjectDetection.from_pretrained(name, **options)
        processor = library.AutoImageProcessor.from_pretrained(name, **options)
    except (
        Exception
    ) as error:  # transformers raises any type, for missing files, networks and unknown models alike
        raise _failure(origin, name, error) from None
    if not hasattr(processor, "post_process_object_detection"):
        raise InputError(
            f"{origin}: its image processor {type(processor).__name__} does not make boxes of the outputs; "
            "use a model for object detection"
        )
    text = f"{origin}: {type(model).__name__} of transformers {version('transformers')}, in {_dtype(model)}"
    warnings.warn(InputNote(text), stacklevel=2)
    return HuggingFacePredictor(
        model.float(), processor, _labels(origin, model.config.id2label, classes, config.classes), config
    )


def _labels(
    origin: str, names: Mapping[int, str], classes: Sequence[str], renamed: Mapping[str, str]
) -> dict[int, int]:
    """Label of the data set for each label of the model."""
    if are_placeholders(names.values()) and len(names) == len(classes) and not renamed:
        text = f"{origin}: has no names of classes; its {plural(len(names), 'class is', 'classes are')} taken in the order of the data set's"
        warnings.warn(InputNote(text), stacklevel=3)
        return {label: label for label in range(len(classes))}
    indices = {name: int(label) for label, name in names.items() if name not in ("N/A", "no-object")}
    return match_classes(origin, indices, classes, renamed)


def _dtype(model: nn.Module) -> str:
    return str(next(model.parameters()).dtype).removeprefix("torch.")


def _failure(origin: str, name: str, error: Exception) -> InputError | MachineError:
    text = " ".join(str(error).split())[:300]
    if Path(name).is_dir():
        return InputError(
            f"{origin}: cannot be loaded as an object detector of transformers ({type(error).__name__}: {text}); the folder needs "
            "config.json, preprocessor_config.json and model.safetensors, as `save_pretrained` writes them"
        )
    return MachineError(
        f"{origin}: no such folder, and it cannot be downloaded ({type(error).__name__}: {text}); without a network "
        "connection, save the model on another machine (`save_pretrained`) and give its folder"
    )
