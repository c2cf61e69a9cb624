"""Classes of a model that was trained elsewhere, matched to those of a data set."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence

from metrics.errors import InputError, InputWarning
from metrics.plurals import plural
from metrics.registry import did_you_mean


def are_placeholders(names: Iterable[str]) -> bool:
    """Whether the names of all classes are only numbers, as libraries write them for a model without names: ``LABEL_0``,
    ``class0``, ``0``.
    """
    return all(re.fullmatch(r"(label|class)?[ _-]?\d+", name, re.IGNORECASE) for name in names)


def match_classes(
    origin: str, indices: Mapping[str, int], classes: Sequence[str], renamed: Mapping[str, str]
) -> dict[int, int]:
    """Label of the data set for the index of each class of a model; several of them can be one class of the data set.

    Args:
        origin: name of the model in messages.
        indices: of the model's classes, by name.
        classes: names of the data set's classes, in the order of their labels.
        renamed: data set's name for a name of the model; the others are matched by name, ignoring case.

    Raises:
        InputError: an unknown name, or no class matches. An `InputWarning` lists the classes that the model does not know.
    """
    for category, class_name in renamed.items():
        if category not in indices:
            hint = did_you_mean(category, indices) or f"; they are {', '.join(indices)}"
            raise InputError(f"classes.{category}: {origin} knows no such class{hint}")
        if class_name not in classes:
            hint = did_you_mean(class_name, classes) or f"; its classes are {', '.join(classes)}"
            raise InputError(f"classes.{category}: the data set has no class {class_name!r}{hint}")
    labels = {known.casefold(): label for label, known in enumerate(classes)}
    matched = {
        index: classes.index(renamed[category]) if category in renamed else labels[category.casefold()]
        for category, index in indices.items()
        if category in renamed or category.casefold() in labels
    }
    if not matched:
        raise InputError(
            f"{origin}: its weights know none of the data set's classes ({', '.join(classes)}); name the "
            f"matching classes, as in --set classes.{next(iter(indices))}={shlex.quote(classes[0])}, or use weights that were "
            f"trained on them; they know {', '.join(indices)}"
        )
    if missed := [known for label, known in enumerate(classes) if label not in matched.values()]:
        warnings.warn(
            InputWarning(
                f"{origin}: its weights know {len(classes) - len(missed)} of {plural(len(classes), 'class')} and "
                f"cannot detect {', '.join(missed)}; if the weights use another name, set it: "
                f"--set classes.{next(iter(indices))}={shlex.quote(missed[0])}"
            ),
            stacklevel=2,
        )
    return matched
