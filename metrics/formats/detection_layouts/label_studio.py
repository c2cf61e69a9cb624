"""Predictions of Label Studio: tasks with ``predictions``, as models give them and as the JSON export contains them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metrics.errors import InputError
from metrics.formats.detection_rows import DetectionLayout, DetectionRows
from metrics.formats.exports.label_studio import image_name, is_label_studio, read_region, region_size
from metrics.formats.identity import known_images
from metrics.formats.image_annotations import number, report_left_out
from metrics.formats.json_members import objects_in
from metrics.formats.records import records
from metrics.formats.untrusted import read_json
from metrics.notes import Note, report
from metrics.plurals import plural
from metrics.tables import AnnotationTable


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.name.lower().endswith((".json", ".json.gz")) and is_label_studio(path)


def _read(path: Path, truth: AnnotationTable) -> DetectionRows:
    tasks = records(read_json(path), str(path))
    left_out: Counter[str] = Counter()
    rows = DetectionRows(str(path))
    of_prediction = 0
    models: dict[str, None] = {}
    names = [
        image_name(task, f"{path}: [{k}]") if task.get("predictions") else "" for k, task in enumerate(tasks)
    ]
    sizes = _known_sizes(names, truth)
    for k, task in enumerate(tasks):
        where = f"{path}: [{k}]"
        predictions = objects_in(task, "predictions", where)
        models |= {str(each.get("model_version")): None for each in predictions}
        if len(predictions) > 1 or len(models) > 1:
            raise InputError(
                f"{where}: predictions of several models: {', '.join(models)}; keep those of one (model_version)"
                if len(models) > 1
                else f"{where}: {plural(len(predictions), 'prediction')} of one model; keep one of each task"
            )
        for prediction in predictions:
            for place, region, score, own in _regions(prediction, where):
                read = read_region(region, region_size(region, place) or sizes[k], place, left_out)
                if read is None:
                    continue
                x1, y1, x2, y2 = read.corners
                of_prediction += not own
                for label in read.labels:
                    rows.add(names[k], label, (x1, y1, x2 - x1, y2 - y1), score, place)
    if tasks and not models:
        raise InputError(
            f"{path}: no task has predictions, so that these are annotations; export the tasks with the predictions of the model"
        )
    report_left_out(left_out, str(path))
    if of_prediction:
        text = f"{path}: {plural(of_prediction, 'region has', 'regions have')} no score; the score of the prediction is used"
        report(Note("scores_of_predictions", text, str(path), {"rows": of_prediction}))
    return rows


def _known_sizes(names: Sequence[str], truth: AnnotationTable) -> list[tuple[int, int] | None]:
    """(height, width) of the images of these names in the ground truth; None where it is unknown."""
    known = [(height, width) if height and width else None for height, width in truth.catalog.sizes.tolist()]
    unknown = (1, 1)  # an image that the ground truth does not have is refused when all are read
    return [known[image] if image >= 0 else unknown for image in known_images(names, truth.catalog).tolist()]


def _regions(prediction: dict[str, Any], where: str) -> Iterator[tuple[str, dict[str, Any], float, bool]]:
    """The place of each region, the region, its score, and whether the score is its own."""
    for k, region in enumerate(objects_in(prediction, "result", f"{where}: predictions")):
        place = f"{where}: predictions: result[{k}]"
        value = region.get("value")
        nested = value.get("score") if isinstance(value, dict) else None
        own = next((score for score in (region.get("score"), nested) if score is not None), None)
        score = prediction.get("score") if own is None else own
        yield place, region, number(score, f"{place}: score"), own is not None


LAYOUT = DetectionLayout(
    name="label_studio",
    summary="Label Studio's tasks with predictions",
    source="labelstud.io/guide/predictions",
    is_ours=_is_ours,
    read=_read,
)
