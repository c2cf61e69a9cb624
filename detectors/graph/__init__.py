"""Detectors as graphs without data-dependent shapes, and the ONNX files that are made of them."""
