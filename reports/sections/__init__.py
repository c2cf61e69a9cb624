"""Sections of the page, one question per file."""
