"""The page of a data check and its files, not yet written: findings, counts, images, boxes, samples, how it was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reports.analysis.gallery_images import text_size
from reports.analysis.sample_images import PageSample, SampleImage, encode_sample, estimate_sample_bytes
from reports.elements.formatting import hide_paths, plural, printable, sentence
from reports.elements.page import Badge, Document, Section
from reports.elements.page_template import legend_entry, page_rules, render
from reports.records.data_check import DataCheck
from reports.sections import data_boxes, data_gallery, data_images, data_splits, data_verdict

CHECK = "check.json"
"""The record beside the page."""


def compose_data_check(
    check: DataCheck,
    samples: Iterable[SampleImage],
    max_bytes: int,
    *,
    title: str = "",
    show_paths: bool = False,
) -> Document:
    """The page of a data check; arguments as in `reports.pages.write_data_page`."""
    if not show_paths:
        check = _without_paths(check)
    before = [
        data_verdict.section(check),
        data_splits.section(check),
        data_images.section(check),
        data_boxes.section(check),
    ]
    after = [_reading(check)]
    bare = _render(check, [*before, *after], title)
    suspicious, classes, inputs, left_out = _fitting(check, samples, max_bytes - len(bare.encode()) - 30_000)
    sections = [*before, data_gallery.gallery(check, suspicious, classes, left_out)]
    input_section = data_gallery.network_input(check, inputs)
    sections += [section for section in (input_section, *after) if section is not None]
    files: dict[str, bytes | str] = {CHECK: check.to_json()}
    for section in sections:
        for figure in section.figures:
            files[f"figures/{figure.slug}.svg"] = figure.svg
    return Document(_render(check, sections, title), files)


def _fitting(
    check: DataCheck, samples: Iterable[SampleImage], room: int
) -> tuple[list[PageSample], list[PageSample], list[PageSample], int]:
    """Samples of each group that fit into `room` bytes, and the number of the others."""
    names = [of.name for of in check.classes]
    groups: dict[str, list[PageSample]] = {"suspicious": [], "class": [], "input": []}
    left_out = 0
    for sample in samples:
        encoded = encode_sample(sample, names)
        size = estimate_sample_bytes(encoded)
        if size > room:
            left_out += 1
            continue
        room -= size
        groups[sample.group].append(encoded)
    return groups["suspicious"], groups["class"], groups["input"], left_out


def _without_paths(check: DataCheck) -> DataCheck:
    """The check with absolute paths in its texts cut to their last part."""
    notes = tuple(
        note.model_copy(update={"text": hide_paths(note.text), "subject": hide_paths(note.subject)})
        for note in check.notes
    )
    findings = tuple(
        finding.model_copy(
            update={
                "examples": tuple(
                    example.model_copy(update={"problem": hide_paths(example.problem)})
                    for example in finding.examples
                )
            }
        )
        for finding in check.findings
    )
    return check.model_copy(update={"notes": notes, "findings": findings})


def _reading(check: DataCheck) -> Section:
    """How the data set was read."""
    notes = [sentence(note.text) for note in check.notes if not note.warning]
    return Section(
        "reading",
        "How the data was read",
        f"The format is {printable(check.format)}; "
        + (
            f"{plural(len(notes), 'decision was', 'decisions were')} made."
            if notes
            else "nothing had to be guessed."
        ),
        template="facts.html",
        extra={"facts": notes},
        method=(f"The fingerprint of annotations and image files is {check.fingerprint}.",),
    )


def _render(check: DataCheck, sections: Sequence[Section], title: str) -> str:
    labels = [split.name for split in check.splits]
    context: dict[str, Any] = {
        "title": printable(title) or f"Data set {printable(check.name)}",
        "facts": _facts(check),
        "badges": _badges(check),
        "models": [legend_entry(number, label) for number, label in enumerate(labels)],
        "series_name": "Splits",
        "png": False,
        "sections": sections,
        "payload": "",
        "rules": page_rules(len(labels)),
        "text_size": text_size,
    }
    return render(context)


def _facts(check: DataCheck) -> list[str]:
    return [
        f"{printable(check.format)} format",
        plural(sum(split.images for split in check.splits), "image"),
        plural(sum(split.objects for split in check.splits), "object"),
        plural(len(check.classes), "class"),
        f"fingerprint {check.fingerprint[:12]}",
    ]


def _badges(check: DataCheck) -> list[Badge]:
    badges = []
    errors, warned = check.count("error"), check.count("warning")
    if errors:
        badges.append(
            Badge(plural(errors, "error"), "results would be wrong, or training would fail", "warn")
        )
    if warned:
        badges.append(Badge(plural(warned, "warning"), "probably mistakes in the data", "warn"))
    if not check.decoded:
        badges.append(Badge("not decoded", "the contents of images were not checked", "warn"))
    if not errors and not warned:
        badges.append(Badge("no warnings", "nothing suspicious was found"))
    return badges
