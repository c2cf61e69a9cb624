"""Classes that were looked for on each image, and the hierarchy of classes: what protocols need beside boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from metrics.formats.image_annotations import ImageAnnotation
from metrics.tables import AnnotationTable, Catalog


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """Verified classes and their hierarchy.

    Attributes:
        present: classes that are on each image, by its stem.
        absent: classes that are not.
        purpose: the split of each image, where files tell.
        ancestors: the classes above each class.
    """

    present: Mapping[str, Sequence[str]] = field(default_factory=dict)
    absent: Mapping[str, Sequence[str]] = field(default_factory=dict)
    purpose: Mapping[str, str | None] = field(default_factory=dict)
    ancestors: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def classes(self) -> set[str]:
        """All classes that are named."""
        lists = [*self.present.values(), *self.absent.values(), *self.ancestors.values()]
        return {name for names in lists for name in names} | set(self.ancestors)

    def images_without_boxes(self, images: Sequence[ImageAnnotation]) -> list[ImageAnnotation]:
        """The images that have verified classes but no boxes."""
        known = {image.stem for image in images}
        others = sorted({*self.present, *self.absent} - known)
        return [
            ImageAnnotation("", (), purpose=self.purpose.get(name), stem=name, relative=True)
            for name in others
        ]

    def add_to(self, table: AnnotationTable, stems: Sequence[str]) -> AnnotationTable:
        """The table, with these lists in its catalog.

        Args:
            table: of the images.
            stems: of the images, in the order of the catalog.
        """
        catalog = table.catalog
        lists = {
            name: tuple(_ids(catalog, of.get(stem, ())) for stem in stems)
            for name, of in (("present", self.present), ("absent", self.absent))
            if of
        }
        above = {"ancestors": tuple(_ids(catalog, self.ancestors.get(name, ())) for name in catalog.classes)}
        catalog = replace(catalog, image_classes=lists, class_lists=above if self.ancestors else {})
        return replace(table, catalog=catalog)


def _ids(catalog: Catalog, names: Sequence[str]) -> tuple[int, ...]:
    known = dict(zip(catalog.classes, catalog.class_ids, strict=True))
    return tuple(sorted(known[name] for name in names))
