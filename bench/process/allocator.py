"""The C library's allocator: keep large blocks that were freed, so that training does not fault in their pages again."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_LARGEST_BLOCK = 1 << 30
_MOST_KEPT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process keep the memory of freed tensors for later ones, instead of returning it to the operating system.

    glibc maps every block above 32 MB again, and the kernel clears its pages at the first access, in every step of a
    training: a fifth of the processor time of a training on a CPU (preset ``fcos-squeezenet``, batch 8). The peak of memory
    grows by 3 to 8%. Other C libraries are left as they are.

    Returns:
        Whether the allocator was set.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        set_option = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has no mallopt
        return False
    return bool(set_option(_M_MMAP_THRESHOLD, _LARGEST_BLOCK)) and bool(
        set_option(_M_TRIM_THRESHOLD, _MOST_KEPT)
    )
