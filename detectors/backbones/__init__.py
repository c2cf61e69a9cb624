"""Backbones: images to features at several strides, ours and torchvision's, with weights from a file or by name."""

from detectors.backbones.build import Backbone, BackboneConfig, make_backbone

__all__ = ["Backbone", "BackboneConfig", "make_backbone"]
