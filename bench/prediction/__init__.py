"""A finished run applied to any images."""
