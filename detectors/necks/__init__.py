"""Necks: feature levels for the head, from the features of the backbone."""
