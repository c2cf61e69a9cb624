"""Fixing data sets: each kind of fix is a function from images and objects to fixed ones and a list of changes."""
