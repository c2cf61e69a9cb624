"""Losses, one file for each kind."""
