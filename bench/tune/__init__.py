"""Tuning: search spaces, the trials of each stage, studies shared by workers, and the final evaluation."""
