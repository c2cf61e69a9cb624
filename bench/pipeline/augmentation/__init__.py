"""Random changes of training images with their boxes and label maps, one file per kind of change."""
