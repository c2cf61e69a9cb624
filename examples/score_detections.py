"""Score detections held in arrays or in a DataFrame. Needs `metrics` only, no torch.

python examples/score_detections.py
"""

import numpy as np
import pandas as pd

from metrics import AnnotationTable, DetectionTable, evaluate

# Ground truth as a DataFrame: one row per object, boxes as x, y, width, height in pixels.
objects = pd.DataFrame(
    [
        ("street.jpg", "car", 10, 20, 120, 60),
        ("street.jpg", "person", 200, 30, 40, 110),
        ("park.jpg", "person", 50, 40, 45, 120),
    ],
    columns=["image_id", "class", "x", "y", "w", "h"],
)
truth = AnnotationTable.from_frame(objects)

# Detections as lists with one entry per image, boxes as x1, y1, x2, y2.
images = truth.catalog.image_ids
boxes = {"street.jpg": [[12, 22, 131, 79], [300, 10, 320, 40]], "park.jpg": [[52, 42, 97, 158]]}
scores = {"street.jpg": [0.9, 0.4], "park.jpg": [0.8]}
classes = {"street.jpg": ["car", "person"], "park.jpg": ["person"]}
detections = DetectionTable.from_images(
    truth.catalog,
    [np.array(boxes[image], dtype=float) for image in images],
    [np.array(scores[image]) for image in images],
    [np.array([truth.catalog.classes.index(name) for name in classes[image]]) for image in images],
)

evaluation = evaluate(truth, detections)
print(evaluation)  # COCO's twelve numbers and a line for each class
print("AP50:", evaluation.value("ap50"))
print("AP of person:", evaluation.value("ap", "person"))
evaluation.to_csv("metrics.csv")  # tidy: one row per value
