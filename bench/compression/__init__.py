"""Compression of finished runs, with every choice made on validation images."""
