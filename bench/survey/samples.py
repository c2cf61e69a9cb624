"""Images to show on the page of a data check: suspicious ones first, then some of each class, and the network's input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bench.data.types import MAX_MASK_CLASSES
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.augmentation.augment import make_augment
from bench.pipeline.input_settings import ImageConfig
from bench.pipeline.loader import SplitSamples
from bench.pipeline.objects import IGNORED_REGION
from bench.pipeline.order import Use
from bench.survey.subject import SplitSubject
from metrics.errors import InputError
from metrics.pixel_labels import IGNORED
from reports.analysis.data_findings import finding_text, image_name
from reports.analysis.sample_images import SampleBox, SampleImage, SampleView
from reports.elements.palette import PHOTO
from reports.records.data_check import DataCheck, Example, Finding

MAX_SUSPICIOUS = 24
"""Number of suspicious images."""

MAX_CLASSES = 12
"""Number of classes, the most frequent first, of which images are shown."""

IMAGES_PER_CLASS = 2

INPUT_IMAGES = 4
"""Number of training images that are shown as the network gets them."""

AUGMENTED = 3
"""Number of epochs for which their augmentation is shown."""

_NOT_SHOWN = {"empty_images", "crowd_objects", "ignored_objects", "converted_images", "unreadable_images"}
"""Kinds of findings that no picture is needed for, or that have none."""


def choose_samples(
    check: DataCheck,
    subjects: Sequence[SplitSubject],
    image: ImageConfig,
    augment: AugmentConfig,
    seed: int = 0,
) -> Iterator[SampleImage]:
    """Load the images to show, the most important first; those that cannot be read are passed over.

    Args:
        check: the findings.
        subjects: the splits.
        image: settings of the network's input.
        augment: settings of augmentation.
        seed: of the augmentation, as the seed of a run.
    """
    by_name = {subject.name: subject for subject in subjects}
    shown: set[tuple[str, int | str]] = set()
    yield from _suspicious(check, by_name, shown)
    yield from _input_views(subjects[0], image, augment, seed)
    yield from _of_classes(check, subjects, shown)


def _suspicious(
    check: DataCheck, subjects: Mapping[str, SplitSubject], shown: set[tuple[str, int | str]]
) -> Iterator[SampleImage]:
    """The first example of each finding, then the second of each, and so on; an image is shown once."""
    each = [
        [(finding, example) for example in finding.examples if example.images]
        for finding in check.findings
        if finding.kind not in _NOT_SHOWN
    ]
    count = 0
    for finding, example in filter(None, chain.from_iterable(zip_longest(*each))):
        for ref in example.images:
            if (ref.split, ref.id) in shown or count >= MAX_SUSPICIOUS:
                continue
            subject = subjects[ref.split]
            index = list(subject.split.truth.catalog.image_ids).index(ref.id)
            sample = _sample(subject, index, "suspicious", _reason(finding, example, ref.id), example.objects)
            if sample is not None:
                shown.add((ref.split, ref.id))
                count += 1
                yield sample


def _reason(finding: Finding, example: Example, image: int | str) -> str:
    """The finding's title, and the other image of a pair."""
    title = finding_text(finding).title.lower()
    others = [ref for ref in example.images if ref.id != image]
    if others:
        return f"{title}: {others[0].split} {image_name(others[0])}"
    return title


def _of_classes(
    check: DataCheck, subjects: Sequence[SplitSubject], shown: set[tuple[str, int | str]]
) -> Iterator[SampleImage]:
    """Images of the most frequent classes, evenly spaced over the images that have the class."""
    totals = np.sum([split.objects_by_class for split in check.splits], axis=0)
    for label in np.argsort(-totals, kind="stable")[:MAX_CLASSES].tolist():
        for subject in subjects:
            truth = subject.split.truth
            images = np.unique(truth.image[subject.targets & (truth.label == label)])
            ids = truth.catalog.image_ids
            left = [index for index in images.tolist() if (subject.name, ids[index]) not in shown]
            if not left:
                continue
            places = np.unique(np.linspace(0, len(left) - 1, IMAGES_PER_CLASS + 2)[1:-1].round().astype(int))
            for index in [left[place] for place in places]:
                sample = _sample(subject, index, "class", check.classes[label].name)
                if sample is not None:
                    shown.add((subject.name, ids[index]))
                    yield sample
            break


def _sample(
    subject: SplitSubject, index: int, group: str, reason: str, suspects: Sequence[int] = ()
) -> SampleImage | None:
    """An image with its annotated boxes, and of a class also with its masks if there are any; None if it cannot be read."""
    truth, label_maps = subject.split.truth, subject.split.label_maps
    drawn = group == "class" and len(truth.catalog.classes) <= MAX_MASK_CLASSES
    try:
        pixels = subject.split.load(index)
        views = {"annotated": pixels}
        if drawn and label_maps is not None:
            views["masks"] = _overlaid(pixels, label_maps(index))
    except InputError:
        return None
    boxes = []
    for row in np.flatnonzero(truth.image == index).tolist():
        x, y, w, h = truth.xywh[row].tolist()
        boxes.append(SampleBox(x, y, w, h, int(truth.label[row]), int(truth.object_id[row]) in suspects))
    return SampleImage(
        "suspicious" if group == "suspicious" else "class",
        subject.name,
        image_name(subject.ref(index)),
        reason,
        tuple(SampleView(title, view, tuple(boxes)) for title, view in views.items()),
    )


def _overlaid(pixels: NDArray[np.uint8], label_map: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with the pixels of each class mixed with its colour on the page, and ignored ones with black."""
    colors = np.zeros((256, 3), np.uint8)
    for value in range(1, IGNORED):
        colors[value] = list(bytes.fromhex(PHOTO[(value - 1) % len(PHOTO)][1:]))
    mixed = ((pixels.astype(np.uint16) + colors[label_map]) // 2).astype(np.uint8)
    return np.where(label_map[:, :, None] > 0, mixed, pixels)


def _input_views(
    subject: SplitSubject, image: ImageConfig, augment: AugmentConfig, seed: int
) -> Iterator[SampleImage]:
    """Training images as the network gets them: without augmentation, and in the first epochs of a run."""
    occupied = np.flatnonzero(np.diff(subject.objects.first) > 0)
    if not len(occupied):
        return
    plain = SplitSamples(subject.split, subject.objects, image, None, seed)
    changed = SplitSamples(subject.split, subject.objects, image, make_augment(augment, image.fill), seed)
    height, width = image.size
    verb = "letterboxed" if image.resize == "letterbox" else "stretched"
    places = np.unique(np.linspace(0, len(occupied) - 1, INPUT_IMAGES + 2)[1:-1].round().astype(int))
    for index in occupied[places].tolist():
        try:
            samples = [plain[Use(0, index)], *(changed[Use(epoch, index)] for epoch in range(AUGMENTED))]
        except InputError:
            continue
        titles = [
            f"{verb} to {width} x {height}",
            *(f"augmented, epoch {epoch + 1}" for epoch in range(AUGMENTED)),
        ]
        views = tuple(
            SampleView(title, sample.pixels.permute(1, 2, 0).numpy(), _boxes(sample.boxes, sample.labels))
            for title, sample in zip(titles, samples, strict=True)
        )
        yield SampleImage("input", subject.name, image_name(subject.ref(index)), "", views)


def _boxes(boxes: Tensor, labels: Tensor) -> tuple[SampleBox, ...]:
    """The boxes of objects; ignored regions are left out."""
    return tuple(
        SampleBox(x0, y0, x1 - x0, y1 - y0, label)
        for (x0, y0, x1, y1), label in zip(boxes.tolist(), labels.tolist(), strict=True)
        if label != IGNORED_REGION
    )
