"""pycocotools, the reference: comparison with its numbers, and its interface."""
