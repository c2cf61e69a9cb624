"""Time and peak memory of inputs far larger than usual, each at a tenth and at its full size, to show cliffs.

python -m tests.benchmarks.load                 # all rows; needs about 12 GB of memory
python -m tests.benchmarks.load classes study   # some of them
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.benchmarks.processes import ProcessFailed, run_script

Row = Callable[[int, Path], Callable[[], object]]
"""Prepares an input of a size in a folder, and returns the work that is measured."""


def objects(count: int, folder: Path) -> Callable[[], object]:
    """Evaluation of one image with `count` objects and as many detections."""
    from metrics import AnnotationTable, DetectionTable, MatchRule, evaluate

    side = 20.0 * count**0.5
    boxes, noise = _boxes(count, side)
    truth = AnnotationTable.from_images([boxes], [np.zeros(count, int)], classes=["cell"])
    scores = np.random.default_rng(1).random(count)
    found = DetectionTable.from_images(truth.catalog, [boxes + noise], [scores], [np.zeros(count, int)])
    return lambda: evaluate(truth, found, rule=MatchRule(max_dets=(1, 10, count)))


def classes(count: int, folder: Path) -> Callable[[], object]:
    """Evaluation of `count` classes with ten objects and a hundred detections each, in 5,000 images."""
    from metrics import AnnotationTable, DetectionTable, evaluate

    images = 5_000
    rng = np.random.default_rng(0)

    def drawn(each: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
        label = np.repeat(np.arange(count), each)
        image = rng.integers(0, images, len(label))
        boxes, _ = _boxes(len(label), 500)
        order = np.argsort(image, kind="stable")
        ends = np.searchsorted(image[order], np.arange(1, images))
        return np.split(boxes[order], ends), np.split(label[order], ends)

    boxes, labels = drawn(10)
    truth = AnnotationTable.from_images(boxes, labels, classes=[f"class {k}" for k in range(count)])
    boxes, labels = drawn(100)
    scores = [rng.random(len(each)) for each in labels]
    found = DetectionTable.from_images(truth.catalog, boxes, scores, labels)
    return lambda: evaluate(truth, found).to_frame()


def images(count: int, folder: Path) -> Callable[[], object]:
    """Reading a COCO file of `count` images with one object each."""
    from metrics import read_truth

    file = folder / "truth.json"
    with file.open("w") as out:
        out.write('{"images": [')
        out.write(
            ", ".join(
                f'{{"id": {k}, "file_name": "{k:012}.jpg", "width": 640, "height": 480}}'
                for k in range(count)
            )
        )
        out.write('], "annotations": [')
        out.write(
            ", ".join(
                f'{{"id": {k}, "image_id": {k}, "category_id": 1, "bbox": [1.5, 2, 30, 40], "area": 1200, "iscrowd": 0}}'
                for k in range(count)
            )
        )
        out.write('], "categories": [{"id": 1, "name": "cell"}]}')
    return lambda: read_truth(file)


def pixels(side: int, folder: Path) -> Callable[[], object]:
    """Loading and letterboxing four JPEG images of `side` x `side` pixels."""
    from PIL import Image

    from bench.data.images import read_image
    from bench.data.types import Split
    from bench.pipeline.input_settings import ImageConfig
    from bench.pipeline.loader import make_loader
    from metrics.tables import AnnotationTable, Catalog

    names = [f"{k}.jpg" for k in range(4)]
    ramp = np.add.outer(np.arange(side), np.arange(side)).astype(np.uint8)
    for name in names:
        Image.fromarray(np.stack([ramp] * 3, -1)).save(folder / name)
    truth = AnnotationTable.builder(Catalog.of(range(4), ["cell"], np.full((4, 2), side))).build()
    split = Split("test", truth, lambda k: read_image(folder / names[k]), "")
    loader = make_loader(split, ImageConfig(size=(320, 320)), batch_size=1, workers=0)
    return lambda: [batch.images.shape for batch in loader]


def shards(count: int, folder: Path) -> Callable[[], object]:
    """`Evaluator` on `count` detections that arrive in shards of 1,000 images with 100 each."""
    from metrics import Evaluator

    def work() -> object:
        evaluator = Evaluator([f"class {k}" for k in range(80)])
        rng = np.random.default_rng(0)
        for start in range(0, count // 100, 1_000):
            ids = list(range(start, min(start + 1_000, count // 100)))
            boxes, noise = _boxes(100 * len(ids), 500, rng)
            labels = rng.integers(0, 80, (len(ids), 100))
            found = (boxes + noise).reshape(len(ids), 100, 4)
            evaluator.update(
                ids,
                boxes=list(found),
                scores=list(rng.random((len(ids), 100))),
                labels=list(labels),
                true_boxes=list(boxes.reshape(len(ids), 100, 4)[:, :8]),
                true_labels=list(labels[:, :8]),
            )
        return evaluator.compute()

    return work


def page(models: int, folder: Path) -> Callable[[], object]:
    """The page of `models` models with five seeds each on 40 images."""
    sys.path.append(str(Path(__file__).parents[1] / "reports"))
    from synthetic_runs import run_in, truth_of

    from reports.pages import write_report

    truth = truth_of(40, ("round", "long", "odd"))
    runs = [
        run_in(folder, truth, f"model{model}", 0.5 + 0.4 * model / models, seed)
        for model in range(models)
        for seed in range(5)
    ]
    return lambda: write_report(runs, folder / "page")


def study(trials: int, folder: Path) -> Callable[[], object]:
    """The page of a study of `trials` trials."""
    sys.path.append(str(Path(__file__).parents[1] / "reports"))
    from synthetic_studies import study_of, trials_of

    from reports.pages import write_study_page
    from reports.records.study import StudyFolder

    saved = StudyFolder.save(folder, study_of(trials_of(trials)))
    return lambda: write_study_page(StudyFolder.open(saved.path))


ROWS: dict[str, tuple[Row, int]] = {
    "objects": (objects, 1_000_000),
    "classes": (classes, 10_000),
    "images": (images, 500_000),
    "pixels": (pixels, 10_000),
    "shards": (shards, 10_000_000),
    "page": (page, 30),
    "study": (study, 10_000),
}
"""Each row with its full size."""


def _boxes(count: int, side: float, rng: np.random.Generator | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(count, 4) xyxy boxes of 10 to 30 pixels in a square, and noise to move them a little."""
    rng = rng or np.random.default_rng(0)
    corner = rng.uniform(0, side, (count, 2))
    return np.c_[corner, corner + rng.uniform(10, 30, (count, 2))], rng.normal(0, 1, (count, 4))


def measure(name: str, size: int, output: Path) -> None:
    """Do the work of a row in this process, and write its seconds and memory."""
    row, _ = ROWS[name]
    with tempfile.TemporaryDirectory() as folder:
        work = row(size, Path(folder))
        before = _peak_mb()
        used, began = time.process_time(), time.perf_counter()
        work()
        result = {
            "processor": time.process_time() - used,
            "wall": time.perf_counter() - began,
            "before_mb": before,
            "peak_mb": _peak_mb(),
        }
    output.write_text(json.dumps(result))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a line per row and size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument(
        "--measure", nargs=3, metavar=("ROW", "SIZE", "FILE"), help="used for the processes of this program"
    )
    options = parser.parse_args()
    if options.measure:
        name, size, output = options.measure
        measure(name, int(size), Path(output))
        return
    print(f"{'row':10} {'size':>12} {'processor s':>12} {'wall s':>8} {'memory MB':>10} {'before MB':>10}")
    for name in options.rows or ROWS:
        _, full = ROWS[name]
        for size in (full // 10, full):
            try:
                result = run_script(Path(sys.executable), "load.py", "--measure", name, str(size)).result
            except ProcessFailed as error:
                print(f"{name:10} {size:12,} failed: {error}", flush=True)
                continue
            print(
                f"{name:10} {size:12,} {result['processor']:12.1f} {result['wall']:8.1f} {result['peak_mb']:10.0f} "
                f"{result['before_mb']:10.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
