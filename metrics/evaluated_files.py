"""Evaluation of detections from files: reading, the protocol that the ground truth asks for, and verification."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from metrics.formats.discovery import read_detections, read_truth
from metrics.formats.identity import ClassMap, ImageIdMeaning
from metrics.formats.voc import Pixels
from metrics.formats.voc_results import find_results, folder_of_year, listed_split
from metrics.notes import Note, report

if TYPE_CHECKING:
    from metrics.evaluation import Evaluation
    from metrics.match_rule import MatchRule
    from metrics.protocols import Protocol
    from metrics.reference.verify import Verification
    from metrics.tables import AnnotationTable, DetectionTable


class FileTables(NamedTuple):
    """Ground truth and detections of files.

    Attributes:
        truth: ground truth.
        detections: on its catalog.
        protocol: the protocol to evaluate by: the one that was asked for, or that the ground truth asks for; None for COCO's
            measures.
    """

    truth: AnnotationTable
    detections: DetectionTable
    protocol: Protocol | None


def read_files(
    truth: str | Path,
    detections: str | Path,
    *,
    class_map: ClassMap | None = None,
    image_ids: ImageIdMeaning = "ids",
    split: str | None = None,
    pixels: Pixels = "inclusive",
    protocol: str | None = None,
) -> FileTables:
    """Read ground truth and detections, and find out by which protocol to evaluate them.

    Without `protocol`, ground truth with federated annotations asks for the protocol ``lvis``, which is reported.

    Args:
        truth: see `metrics.formats.discovery.read_truth`.
        detections: see `metrics.formats.discovery.read_detections`.
        class_map: from class ids of the results to those of the ground truth.
        image_ids: what integers in ``image_id`` of the results are.
        split: of a ground truth with splits; by default that in the names of VOC's result files, where there are such.
        pixels: convention of VOC coordinates.
        protocol: name of a protocol.

    Raises:
        InputError: a file is invalid, or the protocol is unknown.
    """
    from metrics.protocols import PROTOCOLS, chosen_protocol

    chosen = None if protocol is None else PROTOCOLS[protocol]
    year = chosen.year if chosen else ""
    truth, detections = Path(truth), Path(detections)
    results = find_results(detections, split, year)
    if results is not None:
        truth = folder_of_year(truth, year)
        detections = results.folder if detections.is_dir() else detections
        split = split or listed_split(truth, results)
    table = read_truth(truth, split, pixels)
    result_split = results.split if results else None
    found = read_detections(detections, table, class_map, image_ids, result_split, pixels)
    if chosen is None and (name := chosen_protocol(table)):
        text = (
            f"{truth}: images have verified classes (neg_category_ids, not_exhaustive_category_ids): evaluated by the protocol "
            f"{name!r}; --protocol coco evaluates by COCO's rules"
        )
        report(Note("protocol", text, name))
        chosen = PROTOCOLS[name]
    return FileTables(table, found, chosen)


def score_files(
    truth: str | Path,
    detections: str | Path,
    *,
    measures: Sequence[str] | None = None,
    rule: MatchRule | None = None,
    protocol: str | None = None,
    iou_thresholds: tuple[float, ...] | None = None,
    steps: bool = False,
    **reading: Any,
) -> Evaluation:
    """Read ground truth and detections, and evaluate.

    Args:
        truth: see `read_files`.
        detections: see `read_files`.
        measures: names of registered measures; by default COCO's.
        rule: of matching; COCO's by default.
        protocol: name of a benchmark's protocol, in place of measures and rule.
        iou_thresholds: of the protocol, where it has a choice.
        steps: also show what each rule of the protocol changes; see `metrics.protocols.Protocol`.
        reading: further arguments of `read_files`.

    Raises:
        InputError: a file is invalid, or a measure or protocol is unknown.
    """
    from metrics.evaluator import COCO_MEASURES, evaluate

    own_rules = measures is not None or rule is not None
    tables = read_files(
        truth, detections, protocol="coco" if own_rules and protocol is None else protocol, **reading
    )
    if tables.protocol is None or (own_rules and protocol is None):
        return evaluate(tables.truth, tables.detections, measures or COCO_MEASURES, rule)
    return tables.protocol(tables.truth, tables.detections, iou_thresholds, steps)


def verify_files(
    evaluation: Evaluation,
    truth: Path,
    detections: Path,
    class_map: ClassMap | None = None,
    image_ids: ImageIdMeaning = "ids",
) -> Verification:
    """Compare an evaluation of `score_files` with pycocotools, which reads the files itself if they are COCO files."""
    from metrics.reference.verify import verify

    readable = truth.suffix == detections.suffix == ".json" and class_map is None and image_ids == "ids"
    return verify(evaluation, (truth, detections) if readable else None)
