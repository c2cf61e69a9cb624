"""Annotation files of other tools and data sets: one file per layout, with how it is detected and read."""
