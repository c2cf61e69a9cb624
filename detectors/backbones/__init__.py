"""Image to features."""
