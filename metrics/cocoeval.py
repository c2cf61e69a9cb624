"""Drop-in replacement for ``pycocotools.cocoeval``: see `metrics.reference.cocoeval`."""

from metrics.reference.cocoeval import COCOeval, Params

__all__ = ["COCOeval", "Params"]
