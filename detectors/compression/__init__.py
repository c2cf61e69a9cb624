"""Compression of exported detectors."""
