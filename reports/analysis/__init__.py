"""Tables and statistics computed from records."""
