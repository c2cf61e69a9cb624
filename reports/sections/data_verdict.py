"""Findings of a data check: what is wrong with the data set, and what helps."""

from __future__ import annotations

from dataclasses import dataclass

from reports.analysis.data_findings import example_text, finding_text
from reports.elements.formatting import join_words, plural, sentence
from reports.elements.page import Section
from reports.records.data_check import DataCheck, Finding, Severity


@dataclass(frozen=True, slots=True)
class FindingItem:
    """A finding as the page shows it.

    Attributes:
        severity: word and class of its mark.
        title: a few words.
        text: one sentence.
        fix: what helps; empty where nothing has to be done.
        examples: one line each.
        more: number of occurrences that are not listed.
    """

    severity: Severity
    title: str
    text: str
    fix: str
    examples: tuple[str, ...]
    more: int


def section(check: DataCheck) -> Section:
    """All findings, errors first."""
    return Section(
        "verdict",  # the page's skip link leads here
        "Findings",
        summary(check),
        warnings=[sentence(note.text) for note in check.notes if note.warning],
        template="data_findings.html",
        extra={"findings": [_item(finding) for finding in check.findings]},
        method=(
            "Errors make training fail or results wrong, warnings are probably mistakes, information is worth knowing. Images "
            "look alike if the signs of their 256 lowest frequencies differ in at most 40 places, in any orientation: copies "
            "that were compressed again, resized, brightened, mirrored or turned are found, crops of more than a few percent are "
            "not. Boxes are tiny if both sides are below the finest stride of the network in pixels of its input.",
        ),
    )


def summary(check: DataCheck) -> str:
    """How many findings there are, and the first errors and warnings by name."""
    errors, warned = check.count("error"), check.count("warning")
    skipped = "" if check.decoded else " The images were not decoded, so their contents were not checked."
    if not errors and not warned:
        return f"No errors and no warnings.{skipped}"
    counts = [plural(number, word) for number, word in ((errors, "error"), (warned, "warning")) if number]
    titles = dict.fromkeys(
        finding_text(finding).title for finding in check.findings if finding.severity != "information"
    )
    names = f": {join_words([title[:1].lower() + title[1:] for title in titles])}" if titles else ""
    return f"{join_words(counts)}{names}.{skipped}"


def _item(finding: Finding) -> FindingItem:
    words = finding_text(finding)
    examples = [text for example in finding.examples if (text := example_text(example))]
    return FindingItem(
        finding.severity,
        words.title,
        sentence(words.sentence(finding)),
        f"{words.fix}." if words.fix else "",
        tuple(examples),
        max(finding.count - len(finding.examples), 0),
    )
