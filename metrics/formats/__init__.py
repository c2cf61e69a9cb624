"""Truth and detections in files of other programs, to and from tables: one format a file."""
