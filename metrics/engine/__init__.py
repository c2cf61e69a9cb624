"""Matching, curves and overlapping pairs by compiled kernels: arrays in, arrays out."""
