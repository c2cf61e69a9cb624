"""Losses, each kind with its kin in one file."""
