"""Backbones: features of images at several strides; ours and torchvision's."""

from detectors.backbones.build import Backbone, BackboneConfig, make_backbone

__all__ = ["Backbone", "BackboneConfig", "make_backbone"]
