"""Heads: predictions for every prior, from feature levels."""
