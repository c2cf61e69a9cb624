"""Detections of a prediction as they are made, one line per image, so that a stopped prediction can continue."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import orjson

from bench.prediction.image_files import ImageFile
from bench.prediction.trained_detector import ImageDetections
from metrics.errors import MachineError
from metrics.messages import reason

FILE = "detections.jsonl"
VERSION = 1


class FileState(NamedTuple):
    """What tells whether a file is still the one that was read."""

    size: int
    modified_ns: int


class DetectionRecord:
    """File with a line of settings, then a line per image; written at once, and read again at the start.

    Lines of images that have changed, and all lines if the settings have, are not used.

    Args:
        folder: of the file, created if missing.
        settings: what the detections depend on besides the image.
        classes: names of the classes.

    Raises:
        MachineError: the file cannot be written.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], classes: tuple[str, ...]) -> None:
        self._path = folder / FILE
        self._classes = classes
        header = {"version": VERSION, **settings}
        self._found: dict[str, tuple[FileState, ImageDetections]] = {}
        lines = _complete_lines(self._path)
        kept = [line for line in lines[1:] if self._take(line)] if lines[:1] == [header] else []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
            self._file.write(b"".join(orjson.dumps(line) + b"\n" for line in [header, *kept]))
            self._file.flush()
        except OSError as error:
            raise MachineError(f"{self._path}: cannot be written ({reason(error)})") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def known(self, file: ImageFile) -> ImageDetections | None:
        """Detections in an image that has not changed since; None if there are none."""
        state, detections = self._found.get(file.name, (None, None))
        return detections if state is not None and state == _state(file.path) else None

    def add(self, found: Iterable[tuple[ImageFile, ImageDetections]]) -> None:
        """Add the detections of images.

        Raises:
            MachineError: the disk is full, or the file cannot be written.
        """
        lines = []
        for file, each in found:
            line = {
                "file_name": file.name,
                "state": [*_state(file.path)],
                "size": each.size,
                "boxes": each.boxes.tolist(),
                "scores": each.scores.tolist(),
                "labels": each.labels.tolist(),
            }
            lines.append(orjson.dumps(line) + b"\n")
        try:
            self._file.write(b"".join(lines))
            self._file.flush()
        except OSError as error:
            raise MachineError(f"{self._path}: cannot be written ({reason(error)})") from None

    def _take(self, line: dict[str, Any]) -> bool:
        try:
            detections = ImageDetections(
                np.array(line["boxes"], np.float64).reshape(-1, 4),
                np.array(line["scores"], np.float32),
                np.array(line["labels"], np.int64),
                self._classes,
                (int(line["size"][0]), int(line["size"][1])),
            )
            self._found[str(line["file_name"])] = FileState(*map(int, line["state"])), detections
        except (KeyError, TypeError, ValueError, IndexError):
            return False
        labels = detections.labels
        return len(detections.boxes) == len(detections.scores) == len(labels)


def _complete_lines(path: Path) -> list[dict[str, Any]]:
    """The lines up to the first that is not JSON, which a stopped process has not finished."""
    lines = []
    try:
        with path.open("rb") as file:
            for line in file:
                lines.append(orjson.loads(line))
    except (OSError, orjson.JSONDecodeError):
        pass
    return lines


def _state(path: Path) -> FileState:
    stat = path.stat()
    return FileState(stat.st_size, stat.st_mtime_ns)
