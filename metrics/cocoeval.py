"""Drop-in replacement for ``pycocotools.cocoeval``: see `metrics.reference.cocoeval`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metrics.reference.cocoeval import COCOeval
from metrics.reference.params import Params

if TYPE_CHECKING:
    from pycocotools import mask as maskUtils

__all__ = ["COCOeval", "Params", "maskUtils"]


def __getattr__(name: str) -> Any:
    """`maskUtils`, which subclasses of ``COCOeval`` import from here; read when it is first used."""
    if name == "maskUtils":
        from pycocotools import mask

        return mask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
