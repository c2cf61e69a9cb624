"""Data sets: one file a format; the name of the file is the name that a user types."""
