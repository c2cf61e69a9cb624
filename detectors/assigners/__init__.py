"""Which prior must find which object: one assigner a file."""
