"""Export of finished runs to files that other programs run."""
