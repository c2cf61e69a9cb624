"""Variants, one file each; the file name is the name that a user types."""
