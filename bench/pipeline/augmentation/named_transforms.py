"""Transforms of the package albumentations (MIT licence, version 2.0.8), which settings name."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from bench.pipeline.augmentation.labelled_image import LabelledImage, stretch
from metrics.errors import InputError
from metrics.pixel_labels import IGNORED
from metrics.registry import UnknownName

_GIVEN = {"image", "mask", "masks", "bboxes", "keypoints"}
"""What a transform can be given; others need a second image or further data."""


class NamedTransforms:
    """Transforms in sequence, which move boxes and label maps with the image.

    Args:
        tables: each a `name` and the arguments of the class. Where an image is moved, `fill` is that of the network's input
            and `fill_mask` is ignored by default.
        fill: grey value outside of a moved image.
        min_visible: share of its area that a box must keep; others are removed.

    Raises:
        InputError: the package is not installed, there is no transform of a name, or it does not take an argument.
    """

    def __init__(self, tables: Sequence[Mapping[str, Any]], fill: int, min_visible: float) -> None:
        self.tables = tables
        self.fill = fill
        self.min_visible = min_visible
        if find_spec("albumentations") is None:
            raise InputError(
                "augment.albumentations: needs the package albumentations 2.0.8: pip install 'detbench[albumentations]'"
            )
        assert self._compose is not None

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_compose"}

    def __call__(self, image: LabelledImage) -> LabelledImage:
        """Apply the transforms, with random numbers from torch's global generator; the size of the image stays.

        Raises:
            InputError: a transform fails, or returns something else than an image of bytes.
        """
        self._compose.set_random_seed(int(torch.randint(2**31, ())))
        inputs: dict[str, Any] = {
            "image": np.ascontiguousarray(image.image.permute(1, 2, 0).numpy()),
            "bboxes": image.boxes.numpy().astype(np.float64),
            "rows": np.arange(len(image.labels)),
        }
        if image.label_map is not None:
            inputs["mask"] = image.label_map.numpy()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                changed = self._compose(**inputs)
        except Exception as error:
            names = ", ".join(str(table["name"]) for table in self.tables)
            raise InputError(f"augment.albumentations: {names}: {_first_line(error)}") from error
        pixels = changed["image"]
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
            found = f"{pixels.dtype} of shape {tuple(pixels.shape)}"
            raise InputError(
                f"augment.albumentations: the transforms return {found}, not an RGB image of bytes; leave out those that "
                "normalize or convert"
            )
        boxes = torch.from_numpy(np.asarray(changed["bboxes"], np.float32).reshape(-1, 4))
        rows = torch.from_numpy(np.asarray(changed["rows"]).astype(np.int64).reshape(-1))
        kept = (boxes[:, 2:] > boxes[:, :2]).all(1).nonzero().squeeze(1)
        result = LabelledImage(
            torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1),
            boxes[kept],
            image.labels[rows[kept]],
            None if image.label_map is None else torch.from_numpy(np.ascontiguousarray(changed["mask"])),
        )
        return stretch(result, image.size)

    @cached_property
    def _compose(self) -> Any:
        os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask a server for its latest version
        import albumentations

        boxes = albumentations.BboxParams(
            "pascal_voc",
            label_fields=["rows"],
            min_visibility=self.min_visible,
            clip=True,
            filter_invalid_bboxes=True,
        )
        transforms = [self._transform(k, table) for k, table in enumerate(self.tables)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of transforms that leave boxes as they are
            return albumentations.Compose(transforms, bbox_params=boxes)

    def _transform(self, number: int, table: Mapping[str, Any]) -> Any:
        import albumentations

        place = f"augment.albumentations[{number}]"
        bases = (albumentations.ImageOnlyTransform, albumentations.DualTransform)
        classes = {
            name: found
            for name, found in vars(albumentations).items()
            if isinstance(found, type) and issubclass(found, bases) and found not in bases
        }
        name = table.get("name")
        if not isinstance(name, str):
            raise InputError(f'{place}: expected a table with a name, as in {{name = "CLAHE", p = 0.3}}')
        if name not in classes:
            raise InputError(f"{place}: {UnknownName('transform of albumentations', name, classes)}")
        arguments = {key: value for key, value in table.items() if key != "name"}
        known = inspect.signature(classes[name]).parameters
        unknown = next((key for key in arguments if key not in known), None)
        if unknown is not None:
            raise InputError(f"{place}: {UnknownName(f'argument of {name}', unknown, known)}")
        if {"fill", "fill_mask"} <= known.keys():
            arguments = {"fill": self.fill, "fill_mask": IGNORED} | arguments
        try:
            transform = classes[name](**arguments)
        except Exception as error:
            raise InputError(f"{place}: {name}: {_first_line(error)}") from error
        needed = set(transform.targets_as_params) - _GIVEN
        if needed:
            raise InputError(
                f"{place}: {name} needs {', '.join(sorted(needed))}, which images of a data set do not have"
            )
        return transform


def _first_line(error: Exception) -> str:
    """The text of an error without line breaks, at most 200 characters; its class where it has none."""
    return " ".join(str(error).split())[:200] or type(error).__name__
