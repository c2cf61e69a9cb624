"""Ground truth and detections as columns: the tables that evaluation reads, their builders and their storage."""

from metrics.tables.table import AnnotationTable, Catalog, DetectionTable, ImageId, ImageValue, Table

__all__ = ["AnnotationTable", "Catalog", "DetectionTable", "ImageId", "ImageValue", "Table"]
