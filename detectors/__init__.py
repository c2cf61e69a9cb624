"""Detectors made of interchangeable parts."""
