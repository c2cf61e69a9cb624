"""Features to predictions."""
