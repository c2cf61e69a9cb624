"""Prediction of many image files into a folder: tables, drawn images, crops."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.data.images import read_image
from bench.prediction.drawing import crops, draw_detections
from bench.prediction.image_files import ImageFile
from bench.prediction.record import DetectionRecord
from bench.prediction.tables import coco_results, csv_table, yolo_texts
from bench.prediction.trained_detector import ImageDetections, TrainedDetector
from bench.process.interrupts import StopRequest
from bench.process.progress import Progress
from metrics.atomic_files import atomic_write, atomic_write_by
from metrics.errors import InputError
from metrics.plurals import plural
from reports.records.run import file_digests

Output = Literal["json", "csv", "yolo", "drawn", "crops"]
OUTPUTS: tuple[Output, ...] = ("json", "csv", "yolo", "drawn", "crops")


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Result of a prediction.

    Attributes:
        found: detections of each image that could be read, in the order of the images.
        unreadable: why an image could not be read, by name.
        reused: number of images whose detections were already in the folder.
    """

    found: list[tuple[ImageFile, ImageDetections]]
    unreadable: dict[str, str]
    reused: int


def predict_files(
    detector: TrainedDetector,
    files: Sequence[ImageFile],
    out: Path,
    outputs: Sequence[Output],
    *,
    batch: int = 16,
    progress: Progress | None = None,
    stop: StopRequest | None = None,
) -> Predicted:
    """Detect objects in image files and write what is asked for into `out`.

    Detections are recorded image by image: after an interruption, the same call continues, and images that have not changed
    are not predicted again. An image that cannot be read is left out.

    Args:
        detector: with the score threshold to use.
        files: the images.
        out: folder, created if missing: ``detections.json`` (COCO results), ``detections.csv``, ``labels/`` (YOLO), ``drawn/``,
            ``crops/<class>/``.
        outputs: which of these to write.
        batch: images that are read at once.
        progress: display of the progress.
        stop: request to stop after the images at hand.

    Raises:
        InputError: none of the images can be read.
        MachineError: a file cannot be written.
        Stopped: it was stopped; the detections so far are kept.
    """
    settings = {
        "run": detector.run.result.name,
        "score": detector.score,
        "files": file_digests(detector.run.path),
    }
    found: list[tuple[ImageFile, ImageDetections]] = []
    unreadable: dict[str, str] = {}
    reused = 0
    pictures = not {"drawn", "crops"}.isdisjoint(outputs)
    stop = stop or StopRequest()
    with (
        DetectionRecord(out, settings, detector.classes) as record,
        (progress or Progress()).stage("predicting", len(files)) as stage,
        ThreadPoolExecutor() as readers,
        stop.deferred(),
    ):
        for first in range(0, len(files), batch):
            group = files[first : first + batch]
            known = {file.name: record.known(file) for file in group}
            wanted = [file for file in group if pictures or known[file.name] is None]
            pixels: dict[str, NDArray[np.uint8]] = {}
            for file, content in zip(wanted, readers.map(_read, wanted), strict=True):
                if isinstance(content, InputError):
                    unreadable[file.name] = str(content)
                else:
                    pixels[file.name] = content
            new = [file for file in wanted if known[file.name] is None and file.name in pixels]
            detected = detector.predict([pixels[file.name] for file in new])
            record.add(zip(new, detected, strict=True))
            reused += sum(known[file.name] is not None for file in group)
            known |= dict(zip((file.name for file in new), detected, strict=True))
            for file in group:
                detections = known[file.name]
                if detections is not None and file.name not in unreadable:
                    found.append((file, detections))
                    if pictures:
                        _write_pictures(out, file, pixels[file.name], detections, outputs)
            stage.advance(len(group))
            stop.raise_if_stopped(
                f"{out} has the detections of {len(found):,} of {plural(len(files), 'image')}"
            )
    if not found:
        name, why = next(iter(unreadable.items()))
        raise InputError(f"no image of {len(files):,} can be read; the first: {why or name}")
    for name, table in _tables(found, detector.class_ids, outputs):
        atomic_write(out / name, table)
    return Predicted(found, unreadable, reused)


def _read(file: ImageFile) -> NDArray[np.uint8] | InputError:
    try:
        return read_image(file.path)
    except InputError as error:
        return error


def _tables(
    found: Sequence[tuple[ImageFile, ImageDetections]], class_ids: Sequence[int], outputs: Sequence[Output]
) -> Iterator[tuple[str, bytes | str]]:
    """Name and content of each table."""
    if "json" in outputs:
        yield "detections.json", coco_results(found, class_ids)
    if "csv" in outputs:
        yield "detections.csv", csv_table(found)
    if "yolo" in outputs:
        yield from yolo_texts(found).items()


def _write_pictures(
    out: Path,
    file: ImageFile,
    pixels: NDArray[np.uint8],
    detections: ImageDetections,
    outputs: Sequence[Output],
) -> None:
    if "drawn" in outputs:
        _save(
            draw_detections(pixels, detections), out / "drawn" / PurePosixPath(file.name).with_suffix(".jpg")
        )
    if "crops" in outputs:
        stem = PurePosixPath(file.name).with_suffix("").as_posix().replace("/", "-")
        for number, (name, part) in enumerate(crops(pixels, detections), start=1):
            _save(part, out / "crops" / _folder_name(name) / f"{stem}-{number}.jpg")


def _save(image: Image.Image, path: Path) -> None:
    atomic_write_by(path, lambda temporary: image.save(temporary, "JPEG", quality=92))


def _folder_name(class_name: str) -> str:
    """A class's name as the name of a folder."""
    text = "".join(
        character if character.isalnum() or character in "-_ " else "_" for character in class_name
    )
    return text.strip() or "_"
