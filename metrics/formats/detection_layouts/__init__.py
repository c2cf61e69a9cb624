"""Layouts of detections that are neither COCO results nor a table: one file each, found by its name."""
