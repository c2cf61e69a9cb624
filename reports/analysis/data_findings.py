"""Findings of a data check in words: what was found, what it means, and what helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from metrics.plurals import agree
from reports.elements.formatting import count, join_words, plural, printable, three_digits
from reports.records.data_check import Example, Finding, ImageRef

MAX_NAMES = 6
"""Number of names in a sentence; the others are counted."""


@dataclass(frozen=True, slots=True)
class FindingText:
    """Words for one kind of finding.

    Attributes:
        title: a few words.
        sentence: what was found, from the numbers of a finding, without a full stop.
        fix: what helps; empty where nothing has to be done.
    """

    title: str
    sentence: Callable[[Finding], str]
    fix: str = ""


def finding_text(finding: Finding) -> FindingText:
    """Words for a finding; of a kind that is not known here, its numbers."""
    return FINDING_TEXTS.get(finding.kind) or FindingText(
        finding.kind.replace("_", " "), lambda found: f"{where(found)}{count(found.count)}"
    )


def where(finding: Finding) -> str:
    """The subject as the beginning of a sentence: ``train: ``; empty for the whole data set."""
    return f"{printable(finding.subject)}: " if finding.subject else ""


def example_text(example: Example) -> str:
    """An example in one line: images, objects with their box, and numbers."""
    parts = []
    if example.images:
        parts.append(" and ".join(image_name(image) for image in example.images))
    if example.objects:
        more = f" and {len(example.objects) - 4} more" if len(example.objects) > 4 else ""
        ids = ", ".join(map(str, example.objects[:4])) + more
        parts.append(f"object {ids}" if len(example.objects) == 1 else f"objects {ids}")
    if example.names:
        parts.append(", ".join(printable(name) for name in example.names))
    if {"x", "y", "w", "h"} <= set(example.values):
        x, y, w, h = (example.values[side] for side in "xywh")
        parts.append(f"box {x:g},{y:g} {w:g}x{h:g}")
    if "distance" in example.values:
        parts.append(f"{example.values['distance']:g} of 256 bits differ")
    if example.problem:
        parts.append(printable(example.problem))
    return "; ".join(parts)


def image_name(image: ImageRef) -> str:
    """The image as a person finds it: its file, or else its id."""
    return printable(image.file or str(image.id))


def _images(finding: Finding, one: str, many: str) -> str:
    return f"{where(finding)}{plural(finding.count, f'image {one}', f'images {many}')}"


def _boxes(finding: Finding, one: str, many: str) -> str:
    return f"{where(finding)}{plural(finding.count, f'box {one}', f'boxes {many}')}"


def _classes(finding: Finding) -> str:
    """The classes of the examples by name."""
    names = [repr(printable(name)) for example in finding.examples for name in example.names]
    shown = names[:MAX_NAMES]
    more = max(finding.count, len(names)) - len(shown)
    return f"{', '.join(shown)} and {more} more" if more > 0 else join_words(shown)


def _splits(finding: Finding) -> tuple[str, str]:
    one, other = finding.subject.split(", ")
    return one, other


def _leakage(finding: Finding) -> str:
    one, other = _splits(finding)
    return f"{plural(finding.count, 'image')} of {other} {_is(finding)} byte for byte also in {one}: results on {other} are too optimistic"


def _similar_leakage(finding: Finding) -> str:
    one, other = _splits(finding)
    verb = agree(finding.count, "looks", "look")
    return f"{plural(finding.count, 'image')} of {other} {verb} like an image of {one}: results on {other} may be too optimistic"


def _source_leakage(finding: Finding) -> str:
    one, other = _splits(finding)
    verb = agree(finding.count, "was", "were")
    return (
        f"{plural(finding.count, 'image')} of {other} {verb} made from an original of which {one} has another version: "
        f"results on {other} are too optimistic"
    )


def _is(finding: Finding) -> str:
    return agree(finding.count, "is", "are")


def _modes(finding: Finding) -> str:
    modes = join_words([f"{count(number)} {printable(mode)}" for mode, number in finding.values.items()])
    return f"{_images(finding, 'is', 'are')} converted to 8-bit RGB: {modes}"


def _imbalance(finding: Finding) -> str:
    rare, frequent = (repr(printable(name)) for name in finding.examples[0].names)
    ratio = three_digits(finding.values["ratio"])
    return (
        f"{where(finding)}{frequent} has {plural(int(finding.values['most']), 'object')}, {rare} "
        f"{count(finding.values['least'])}: a ratio of {ratio} to 1"
    )


FINDING_TEXTS: Mapping[str, FindingText] = {
    "leakage": FindingText(
        "Leakage",
        _leakage,
        "divide the images again with --set data.splits=drawn, which keeps copies in one split, leave them out of training with "
        "--set data.leaks=dropped, or remove the copies with --fix OUT",
    ),
    "source_leakage": FindingText(
        "Versions of one original in two splits",
        _source_leakage,
        "split the originals before augmenting them, or export without augmentation",
    ),
    "similar_leakage": FindingText(
        "Similar images in two splits",
        _similar_leakage,
        "look at the pairs; keep copies, crops and frames of one video in one split",
    ),
    "repeated_images": FindingText(
        "Repeated images",
        lambda found: (
            f"{_images(found, 'is', 'are')} byte for byte {agree(found.count, 'a copy', 'copies')} of another one"
        ),
        "remove the copies with --fix OUT; they count several times in training and evaluation",
    ),
    "similar_images": FindingText(
        "Similar images", lambda found: _images(found, "looks like another one", "look like another one")
    ),
    "unreadable_images": FindingText(
        "Unreadable images",
        lambda found: _images(found, "cannot be read", "cannot be read"),
        "replace them, remove them with --fix OUT, or leave them out with --set data.allow_missing=true data.check=whole",
    ),
    "other_size": FindingText(
        "Size differs from annotations",
        lambda found: _images(
            found, "differs in size from its annotation", "differ in size from their annotations"
        ),
        "export the annotations again from these images; boxes may be misplaced",
    ),
    "blank_images": FindingText(
        "Images of one colour",
        lambda found: _images(found, "is almost a single colour", "are almost a single colour"),
        "look at them; the camera or the export may have failed",
    ),
    "rotated_images": FindingText(
        "EXIF rotation",
        lambda found: _images(found, "has an EXIF rotation", "have an EXIF rotation"),
        "nothing if the boxes on the page fit; --fix OUT writes upright files for other programs",
    ),
    "converted_images": FindingText("Colours other than 8-bit RGB", _modes),
    "empty_images": FindingText(
        "Images without objects",
        lambda found: _images(found, "has no objects", "have no objects"),
        "nothing if they are backgrounds; otherwise annotate them",
    ),
    "crowd_objects": FindingText(
        "Crowd regions",
        lambda found: (
            f"{where(found)}{plural(found.count, 'object is a crowd region', 'objects are crowd regions')} and not trained on"
        ),
    ),
    "ignored_objects": FindingText(
        "Ignored objects",
        lambda found: (
            f"{where(found)}{plural(found.count, 'object is', 'objects are')} ignored in training and evaluation"
        ),
    ),
    "degenerate_boxes": FindingText(
        "Boxes without width or height",
        lambda found: _boxes(found, "has no width or no height", "have no width or no height"),
        "correct them, or remove them with --fix OUT; they are not trained on, and evaluation counts them as missed",
    ),
    "outside_boxes": FindingText(
        "Boxes outside their image",
        lambda found: _boxes(found, "lies outside its image", "lie outside their image"),
        "correct them, or remove them with --fix OUT; they are not trained on, and evaluation counts them as missed",
    ),
    "boxes_beyond_image": FindingText(
        "Boxes beyond the edge",
        lambda found: (
            f"{_boxes(found, 'extends', 'extend')} more than {found.values['limit']:g} px beyond the edge of the image"
        ),
        "if many do, first check that corners were not written as sizes; otherwise clip them with --fix OUT; training does, "
        "evaluation uses them as they are",
    ),
    "dropped_boxes": FindingText(
        "Boxes too small to train on",
        lambda found: (
            f"{_boxes(found, 'has', 'have')} a side below {found.values['min_side']:g} px in the network's input and {agree(found.count, 'is', 'are')} not trained on"
        ),
        "raise image.size, or evaluate and predict in tiles",
    ),
    "tiny_boxes": FindingText(
        "Tiny boxes",
        lambda found: (
            f"{_boxes(found, 'has', 'have')} both sides below the network's finest stride of {found.values['stride']:g} px"
        ),
        "raise image.size, or choose a backbone with a finer stride",
    ),
    "duplicate_boxes": FindingText(
        "Objects annotated twice",
        lambda found: (
            f"{where(found)}{plural(found.count, 'object repeats', 'objects repeat')} class and box of another object of its image"
        ),
        "remove the copies with --fix OUT; each counts as an object of its own, so that one is always missed",
    ),
    "contradictory_boxes": FindingText(
        "One box, several classes",
        lambda found: (
            f"{where(found)}{plural(found.count, 'object shares its', 'objects share their')} box with an object of another class"
        ),
        "choose one class",
    ),
    "similar_classes": FindingText(
        "Class names that look alike",
        lambda found: f"the classes {_classes(found)} look alike but are distinct",
        "give them one id if they are one class",
    ),
    "invisible_in_class_names": FindingText(
        "Invisible characters in class names",
        lambda found: (
            f"{plural(found.count, 'class name begins or ends', 'class names begin or end')} with a space or {agree(found.count, 'has', 'have')} invisible characters: {_classes(found)}"
        ),
        "rename the classes, or let --fix OUT do it",
    ),
    "unused_classes": FindingText(
        "Classes without objects",
        lambda found: (
            f"{plural(found.count, 'class has', 'classes have')} no object in any split: {_classes(found)}"
        ),
        "remove the classes, or annotate them",
    ),
    "one_object_classes": FindingText(
        "Classes with one object",
        lambda found: (
            f"{plural(found.count, 'class has', 'classes have')} a single object: {_classes(found)}"
        ),
        "annotate more, or leave the classes out: one object cannot be in training and in test",
    ),
    "absent_classes": FindingText(
        "Classes absent from a split",
        lambda found: (
            f"{where(found)}{plural(found.count, 'class that other splits have is', 'classes that other splits have are')} absent: {_classes(found)}"
        ),
        "split the data again so that each class is in each split",
    ),
    "class_imbalance": FindingText(
        "Class imbalance", _imbalance, "read AP per class; frequent classes dominate the mean loss"
    ),
}
"""Words for each kind of finding that `bench data` makes."""
