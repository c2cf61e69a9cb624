"""Tuning: where to look, what a trial costs at each stage, studies that outlive their processes, an honest ending."""
