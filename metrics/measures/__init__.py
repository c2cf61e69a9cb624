"""Measures: one file each; the name of the file is the name that a user types."""
