"""From images to detections: loading, augmentation, prediction and stored candidates."""
