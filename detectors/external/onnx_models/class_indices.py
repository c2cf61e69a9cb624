"""Classes of files that do not name them: COCO's, or those of the data set."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from detectors.external.class_names import are_placeholders
from metrics.errors import InputError, InputNote
from metrics.plurals import plural


class ClassIndices(NamedTuple):
    """Classes of a file.

    Attributes:
        indices: index of each class by name.
        number: of indices, including those without a name.
    """

    indices: dict[str, int]
    number: int


def class_indices(
    origin: str,
    names: Mapping[int, str] | None,
    count: int | None,
    background: bool,
    classes: Sequence[str],
    renamed: Mapping[str, str],
) -> ClassIndices:
    """Names for the indices of a file's classes; what is assumed is reported as a note.

    Args:
        origin: name of the file in messages.
        names: in the file, by index; None without any.
        count: number of classes in the file's outputs; None if they do not tell.
        background: whether index 0 is background, so that COCO's classes have the indices 1 to 90.
        classes: names of the data set's classes, in the order of their labels.
        renamed: of the settings, ``classes.*``; where the file has no names, keys are indices.

    Raises:
        InputError: nothing is known of the classes.
    """
    if names and not are_placeholders(names.values()):
        return ClassIndices({name: index for index, name in names.items()}, max(names) + 1)
    if renamed and all(key.isdigit() for key in renamed):
        highest = max(map(int, renamed)) + 1
        return ClassIndices({key: int(key) for key in renamed}, max(count or 0, highest))
    all_of_coco = {name.casefold() for name in classes} <= {name.casefold() for name in _coco(False)}
    if count == len(classes) or (count is None and not all_of_coco):
        first = int(background)
        _assume(origin, "its classes are those of the data set, in the same order")
        return ClassIndices({name: first + k for k, name in enumerate(classes)}, first + len(classes))
    if count in (None, 80, 91):
        with_gaps = background or count == 91
        _assume(origin, f"its classes are COCO's, with {'90 ids' if with_gaps else '80 indices'}")
        return ClassIndices(_coco(with_gaps), 91 if with_gaps else 80)
    raise InputError(
        f"{origin}: has {plural(count, 'class')} without names, and the data set has {len(classes)}; name the index of each of yours, as in "
        f"--set classes.0={classes[0]}"
    )


def _assume(origin: str, what: str) -> None:
    text = f"{origin}: it does not name its classes; {what} (else set classes.<index>=<your name>)"
    warnings.warn(InputNote(text), stacklevel=3)


def _coco(with_gaps: bool) -> dict[str, int]:
    """Index of COCO's 80 classes: their ids, 1 to 90 with gaps, or 0 to 79."""
    from torchvision.models import get_model_weights

    categories = get_model_weights("retinanet_resnet50_fpn")["DEFAULT"].meta["categories"]
    ids = {name: k for k, name in enumerate(categories) if name not in ("__background__", "N/A")}
    return ids if with_gaps else {name: k for k, name in enumerate(ids)}
