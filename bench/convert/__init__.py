"""Writing data sets: from what a format has read to COCO, Pascal VOC or YOLO on disk."""
