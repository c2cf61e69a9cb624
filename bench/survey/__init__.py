"""Inspection of a data set before training: counts, images, boxes, duplicates and what is wrong with them."""
