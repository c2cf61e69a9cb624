"""The check of a data set: all looks at it, as one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.data.types import Dataset, MaskFacts, Split
from bench.pipeline.augment_settings import AugmentConfig
from bench.pipeline.input_settings import ImageConfig
from bench.process.progress import Progress
from bench.survey.box_defects import box_findings
from bench.survey.class_balance import class_findings
from bench.survey.duplicate_images import digest_findings, image_digests, source_findings, twin_findings
from bench.survey.image_files import ImageLook, file_facts, file_findings, look_at_images
from bench.survey.split_counts import count_findings, origins, split_facts
from bench.survey.subject import SplitSubject
from metrics.notes import Note
from reports.records.data_check import (
    MAX_EXAMPLES,
    ClassFacts,
    DataCheck,
    Example,
    Finding,
    InputFacts,
    ReadingNote,
    Severity,
)

_FOUND_HERE = {
    "leakage",
    "repeated_images",
    "absent_classes",
    "similar_classes",
    "other_size",
    "unreadable_images",
    "split_size",
    "degenerate_boxes",
    "boxes_beyond_image",
    "repeated_objects",
}
"""Kinds of notes that findings repeat with examples."""

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "information": 2}


def check_data(
    dataset: Dataset,
    subjects: Sequence[SplitSubject],
    reading: Sequence[tuple[Note, bool]],
    image: ImageConfig,
    augment: AugmentConfig,
    strides: Sequence[int],
    *,
    decode: bool = True,
    workers: int = 0,
    progress: Progress | None = None,
) -> DataCheck:
    """Look at a data set.

    Args:
        dataset: the data set.
        subjects: its splits, from `subjects_of`.
        reading: the notes that were given when it was opened, and whether each is a warning.
        image: settings of the network's input.
        augment: settings of augmentation, for the smallest box that is trained on.
        strides: of the network's features, in pixels of its input; the finest first.
        decode: decode the images; otherwise nothing is found out about their contents.
        workers: processes that decode images; 0 decodes in this process, -1 chooses.
        progress: shows what is going on.
    """
    progress = progress or Progress()
    origin = origins(list(dataset.splits), [note for note, _ in reading])
    facts = [split_facts(subject, origin[subject.name]) for subject in subjects]
    catalog = subjects[0].split.truth.catalog
    classes = tuple(
        ClassFacts(id=class_id, name=name)
        for class_id, name in zip(catalog.class_ids, catalog.classes, strict=True)
    )
    found = [finding for note, _ in reading for finding in _note_findings(note)]
    for subject, of_split in zip(subjects, facts, strict=True):
        found += count_findings(subject, of_split)
        found += box_findings(subject, strides[0], augment.min_side)
    found += class_findings(classes, facts)
    digests = image_digests(subjects)
    found += digest_findings(subjects, digests)
    found += source_findings(subjects)
    mask_notes: list[tuple[Note, bool]] = []
    if decode:
        looks = look_at_images(subjects, workers, progress)
        facts = [file_facts(of_split, looks[of_split.name]) for of_split in facts]
        masks = [_mask_facts(subject.split) for subject in subjects]
        facts = [
            of_split.model_copy(update={"masked_images": of_masks.images})
            for of_split, of_masks in zip(facts, masks, strict=True)
        ]
        mask_notes = [(Note("masks", text), False) for of_masks in masks for text in of_masks.notes]
        found += _files_found(subjects, looks)
        found += twin_findings(subjects, looks, digests, progress)
    height, width = image.size
    return DataCheck(
        name=dataset.name,
        format=dataset.format,
        fingerprint=dataset.fingerprint,
        decoded=decode,
        input=InputFacts(
            height=height,
            width=width,
            resize=image.resize,
            strides=tuple(strides),
            min_side=augment.min_side,
        ),
        classes=classes,
        splits=tuple(facts),
        notes=tuple(
            ReadingNote(
                kind=note.kind,
                text=note.text,
                subject=note.subject,
                values=dict(note.values),
                warning=warning,
            )
            for note, warning in [*reading, *mask_notes]
            if note.kind not in _FOUND_HERE
        ),
        findings=tuple(sorted(found, key=lambda finding: _RANK[finding.severity])),
    )


def _mask_facts(split: Split) -> MaskFacts:
    """What is known of the masks of a split."""
    if split.label_maps is None:
        return MaskFacts(0)
    return MaskFacts(len(split)) if split.describe_masks is None else split.describe_masks()


def _note_findings(note: Note) -> list[Finding]:
    """The finding that a note of opening stands for: images that were left out, or have another size than annotated."""
    if note.kind == "unreadable_images":
        examples = tuple(Example(problem=problem) for problem in note.items[:MAX_EXAMPLES])
        return [_of_note(note, "error", examples)]
    if note.kind == "other_size":
        examples = tuple(Example(problem=problem) for problem in note.items[:MAX_EXAMPLES])
        return [_of_note(note, "warning", examples)]
    return []


def _of_note(note: Note, severity: Severity, examples: tuple[Example, ...]) -> Finding:
    total = note.values.get("of")
    return Finding(
        kind=note.kind,
        severity=severity,
        subject=note.subject,
        count=int(note.values["images"]),
        of=None if total is None else int(total),
        examples=examples,
    )


def _files_found(subjects: Sequence[SplitSubject], looks: Mapping[str, Sequence[ImageLook]]) -> list[Finding]:
    return [finding for subject in subjects for finding in file_findings(subject, looks[subject.name])]
