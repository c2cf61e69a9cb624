"""Peak of the memory that tensors take, counted by their storages: the same number on every machine."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class AllocationPeak(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Context that counts the bytes of all tensors that operators return in it, until these are freed.

    Memory that an operator takes and frees itself is not counted. The resident memory of the process would be, but it
    also contains what was freed and is kept for later (`bench.process.allocator`).

    Args:
        known: tensors that exist before and are not counted, such as weights.

    Attributes:
        peak: largest number of bytes at a time.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in known}
        self._bytes = 0
        self._live: dict[int, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operator, and count what it returns."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return result

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._live or key in self._known:  # a view, or changed in place
            return
        self._live[key] = storage.nbytes()
        self._bytes += self._live[key]
        self.peak = max(self.peak, self._bytes)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self._bytes -= self._live.pop(key)
