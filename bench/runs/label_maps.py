"""Label maps that a run predicts: saved as PNG files, and compared with the masks of the data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from accelerate import PartialState
from numpy.typing import NDArray
from PIL import Image

from bench.convert.file_names import distinct_file_names
from bench.data.types import Split
from bench.pipeline.label_maps import LabelMapCounts
from metrics.notes import Note, report
from metrics.plurals import plural
from reports.records.mask_counts import MaskRecord, save_mask_record
from reports.records.run import RunFolder

MAX_SAVED = 1000
"""Number of images, the first ones of the split, whose predicted label maps are saved; the measures use all images."""


class PredictedLabelMaps:
    """Receives the label maps of a split, image by image; see `bench.pipeline.predict.predict`.

    Args:
        split: has label maps.
        folder: of the run.
    """

    def __init__(self, split: Split, folder: Path) -> None:
        catalog = split.truth.catalog
        self._counts = LabelMapCounts(split)
        self._folder = folder
        self._images = len(split)
        written = [
            name or str(image_id)
            for name, image_id in zip(catalog.file_names or [""] * len(split), catalog.image_ids, strict=True)
        ]
        names = distinct_file_names(written, [None] * len(written), by_stem=True)
        self._files = [f"{Path(name).stem}.png" for name in names]
        (folder / RunFolder.LABEL_MAPS).mkdir(exist_ok=True)

    def __call__(self, index: int, label_map: NDArray[np.uint8]) -> None:
        """Compare the label map of an image with its masks, and save it."""
        self._counts(index, label_map)
        if index < MAX_SAVED:
            Image.fromarray(label_map).save(self._folder / RunFolder.LABEL_MAPS / self._files[index])

    def finish(self) -> dict[str, float]:
        """Save the counts of all images; the measures over all classes by name. All processes call it."""
        counts = self._counts.gather()
        if PartialState().is_main_process:
            files = [*self._files[:MAX_SAVED], *[""] * (self._images - MAX_SAVED)]
            save_mask_record(self._folder / RunFolder.MASK_COUNTS, MaskRecord(counts, tuple(files)))
        if self._images > MAX_SAVED:
            text = f"predicted label maps are saved for the first {MAX_SAVED} of {plural(self._images, 'image')}; the measures use all images"
            report(Note("label_maps", text, values={"images": self._images, "saved": MAX_SAVED}))
        return {row.name: row.value for row in counts.overlap().rows() if not row.class_name}
