"""Data sets: opening, image files and their checks, splits, and drawing of synthetic images."""
