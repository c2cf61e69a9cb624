"""From images to detections: loading, augmentation, prediction, stored candidates."""
