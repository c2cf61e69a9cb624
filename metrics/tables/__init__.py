"""Ground truth and detections as tables of columns, with their builders and their storage."""

from metrics.tables.catalog import Catalog, ImageId, ImageValue
from metrics.tables.table import AnnotationTable, DetectionTable, Table

__all__ = ["AnnotationTable", "Catalog", "DetectionTable", "ImageId", "ImageValue", "Table"]
