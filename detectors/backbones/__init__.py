"""Backbones: features of images at several strides; ours, torchvision's and timm's."""

from detectors.backbones.build import Backbone, BackboneConfig, make_backbone

__all__ = ["Backbone", "BackboneConfig", "make_backbone"]
