"""Reading and writing of ground truth and detections in the formats of other programs."""
