"""Images that occur twice: files with the same bytes, and images that look alike; within a split and across splits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.data.contents import content_digests
from bench.process.progress import Progress
from bench.survey.image_files import ImageLook
from bench.survey.perceptual_hash import MAX_DISTANCE, ORIENTATIONS, Code
from bench.survey.subject import SplitSubject
from reports.records.data_check import MAX_EXAMPLES, Example, Finding

ALL_ORIENTATIONS = 20_000
"""Number of images up to which all orientations are compared; beyond, only the images as they are and their mirror images."""

_BLOCK = 1 << 21
"""Pairs that are compared at once."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Twins:
    """For each image of a data set the most similar image of each split.

    Attributes:
        index: (N, S) index of that image among all N images, -1 without one.
        distance: (N, S) number of different bits.
        orientation: (N, S) index into `ORIENTATIONS`.
    """

    index: Indices
    distance: Indices
    orientation: Indices


def image_digests(subjects: Sequence[SplitSubject]) -> dict[str, list[bytes]]:
    """Digest of the content of each image file of each split; none of images that are drawn."""
    return {subject.name: content_digests(subject.split.files) for subject in subjects if subject.split.files}


def digest_findings(
    subjects: Sequence[SplitSubject], digests: Mapping[str, Sequence[bytes]]
) -> list[Finding]:
    """Files with the same bytes within a split (``repeated_images``) and in two splits (``leakage``)."""
    by_name = {subject.name: subject for subject in subjects}
    found = []
    for name, of_split in digests.items():
        first: dict[bytes, int] = {}
        pairs = [
            (first[digest], index)
            for index, digest in enumerate(of_split)
            if first.setdefault(digest, index) != index
        ]
        if pairs:
            found.append(
                _finding("repeated_images", by_name[name], by_name[name], pairs, "warning", len(of_split))
            )
    for one, other in combinations(digests, 2):
        of_one: dict[bytes, int] = {}
        for index, digest in enumerate(digests[one]):
            of_one.setdefault(digest, index)
        pairs = [(of_one[digest], index) for index, digest in enumerate(digests[other]) if digest in of_one]
        if pairs:
            found.append(
                _finding("leakage", by_name[one], by_name[other], pairs, "error", len(digests[other]))
            )
    return found


def source_findings(subjects: Sequence[SplitSubject]) -> list[Finding]:
    """Images of two splits that Roboflow made of one original, by their names ``original_jpg.rf.hash`` (``source_leakage``)."""
    sources = {subject.name: _sources(subject) for subject in subjects}
    found = []
    for one, other in combinations(subjects, 2):
        of_one: dict[str, int] = {}
        for index, source in enumerate(sources[one.name]):
            of_one.setdefault(source, index)
        of_other = enumerate(sources[other.name])
        pairs = [(of_one[source], index) for index, source in of_other if source and source in of_one]
        if pairs:
            found.append(_finding("source_leakage", one, other, pairs, "error", len(other)))
    return found


def _sources(subject: SplitSubject) -> list[str]:
    """The original of each image that an augmenting export names; empty for others."""
    names = [Path(name).stem for name in subject.split.truth.catalog.file_names]
    return [match[1] if (match := _AUGMENTED.fullmatch(name)) else "" for name in names]


_AUGMENTED = re.compile(r"(.+)\.rf\.[0-9a-f]{16,}", re.IGNORECASE)


def _finding(
    kind: str,
    one: SplitSubject,
    other: SplitSubject,
    pairs: Sequence[tuple[int, int]],
    severity: str,
    total: int,
) -> Finding:
    return Finding(
        kind=kind,
        severity="error" if severity == "error" else "warning",
        subject=one.name if one is other else f"{one.name}, {other.name}",
        count=len(pairs),
        of=total,
        examples=tuple(Example(images=(one.ref(a), other.ref(b))) for a, b in pairs[:MAX_EXAMPLES]),
    )


def twin_findings(
    subjects: Sequence[SplitSubject],
    looks: Mapping[str, Sequence[ImageLook]],
    digests: Mapping[str, Sequence[bytes]],
    progress: Progress,
) -> list[Finding]:
    """Images that look alike without the same bytes, within a split (``similar_images``) and across (``similar_leakage``)."""
    where = [(at, index) for at, subject in enumerate(subjects) for index in range(len(subject))]
    hashes = [look.hash for subject in subjects for look in looks[subject.name]]
    known = np.array([i for i, code in enumerate(hashes) if code is not None], np.int64)
    if not len(known):
        return []
    codes = np.stack([code.codes for code in hashes if code is not None])
    split = np.array([where[i][0] for i in known], np.int64)
    same_file = _same_bytes(subjects, digests, known, where)
    twins = find_twins(codes, split, len(subjects), same_file, progress)
    found = []
    for at, subject in enumerate(subjects):
        for other in range(at, len(subjects)):
            # Rows are images of the later split, whose results would be too optimistic.
            rows = np.flatnonzero((split == other) & (twins.index[:, at] >= 0))
            if not len(rows):
                continue
            rows = rows[np.argsort(twins.distance[rows, at], kind="stable")]
            examples, seen = [], set()
            for row in rows.tolist():
                twin = int(twins.index[row, at])
                if at == other and (twin, row) in seen:
                    continue
                seen.add((row, twin))
                orientation = int(twins.orientation[row, at])
                pair = (where[known[twin]][1], where[known[row]][1])
                examples.append(
                    Example(
                        images=(subject.ref(pair[0]), subjects[other].ref(pair[1])),
                        names=() if orientation == 0 else (ORIENTATIONS[orientation],),
                        values={"distance": int(twins.distance[row, at])},
                    )
                )
                if len(examples) == MAX_EXAMPLES:
                    break
            found.append(
                Finding(
                    kind="similar_images" if at == other else "similar_leakage",
                    severity="information" if at == other else "warning",
                    subject=subject.name if at == other else f"{subject.name}, {subjects[other].name}",
                    count=len(rows),
                    of=len(subjects[other]),
                    values={"limit": MAX_DISTANCE, "orientations": _orientations(len(known))},
                    examples=tuple(examples),
                )
            )
    return found


def find_twins(codes: Code, split: Indices, splits: int, same_file: Indices, progress: Progress) -> Twins:
    """Compare all pairs of images.

    Args:
        codes: (N, 8, 4) hashes of each image in all orientations.
        split: (N,) index of each image's split.
        splits: number of splits S.
        same_file: (N,) number of each image's content; images with the same content are not compared.
        progress: shows one stage.
    """
    count = len(codes)
    twins = Twins(
        np.full((count, splits), -1, np.int64),
        np.full((count, splits), MAX_DISTANCE + 1, np.int64),
        np.zeros((count, splits), np.int64),
    )
    plain = np.ascontiguousarray(codes[:, 0])
    step = max(1, _BLOCK // count)
    with progress.stage("comparing images", count) as stage:
        for start in range(0, count, step):
            rows = plain[start : start + step]
            for orientation in range(_orientations(count)):
                turned = codes[:, orientation]
                different = np.zeros((len(rows), count), np.uint16)
                for word in range(plain.shape[1]):
                    different += np.bitwise_count(rows[:, word, None] ^ turned[None, :, word])
                at, other = np.nonzero(different <= MAX_DISTANCE)
                distance = different[at, other].astype(np.int64)
                apart = same_file[at + start] != same_file[other]
                _keep_nearest(twins, at[apart] + start, other[apart], distance[apart], split, orientation)
            stage.advance(len(rows))
    return twins


def _keep_nearest(
    twins: Twins, rows: Indices, others: Indices, distance: Indices, split: Indices, orientation: int
) -> None:
    """Enter pairs of images into `twins` where they are nearer than the present ones."""
    order = np.lexsort((others, distance, split[others], rows))
    rows, others, distance = rows[order], others[order], distance[order]
    columns = split[others]
    first = np.ones(len(rows), np.bool_)
    first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    rows, others, distance, columns = rows[first], others[first], distance[first], columns[first]
    nearer = distance < twins.distance[rows, columns]
    rows, columns = rows[nearer], columns[nearer]
    twins.index[rows, columns] = others[nearer]
    twins.distance[rows, columns] = distance[nearer]
    twins.orientation[rows, columns] = orientation


def _orientations(count: int) -> int:
    return len(ORIENTATIONS) if count <= ALL_ORIENTATIONS else 2


def _same_bytes(
    subjects: Sequence[SplitSubject],
    digests: Mapping[str, Sequence[bytes]],
    known: Indices,
    where: Sequence[tuple[int, int]],
) -> Indices:
    """A number for the content of each image; images that are drawn have one each."""
    numbers: dict[bytes, int] = {}
    result = []
    for image in known.tolist():
        at, index = where[image]
        of_split = digests.get(subjects[at].name)
        content = of_split[index] if of_split else str(image).encode()
        result.append(numbers.setdefault(content, len(numbers)))
    return np.array(result, np.int64)
