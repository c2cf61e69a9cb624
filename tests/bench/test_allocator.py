"""Freed memory is kept: blocks that are allocated again cause no page faults."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from bench.process.allocator import keep_freed_memory
if "keep" in sys.argv and not keep_freed_memory():
    print("unknown")
    raise SystemExit
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(12_000_000)
before = faults()
for _ in range(10):
    torch.ones(12_000_000)
print(faults() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the allocator of glibc")
def test_blocks_that_are_allocated_again_cause_no_page_faults() -> None:
    default, kept = (
        subprocess.run(
            [sys.executable, "-c", SCRIPT, mode], capture_output=True, text=True, check=True
        ).stdout
        for mode in ("default", "keep")
    )
    if kept.strip() == "unknown":
        pytest.skip("this C library has no mallopt")
    assert int(kept) < 200
    assert int(default) >= 200  # 48 MB each; huge pages of 2 MB would be 24 faults a block
