"""Measures of object detectors: NumPy and Numba at the core, no torch anywhere below."""
