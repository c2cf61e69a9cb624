"""Labels of pixels in label maps: 0 is background, 1 + label a class, and 255 is ignored."""

IGNORED = 255
"""Label of pixels in a label map that are neither trained on nor measured."""

BACKGROUND = "background"
"""Name of label 0."""
