"""Time to identify image files by their content: the first time, and with stored digests.

``python -m tests.benchmarks.image_contents --files 20000 --kilobytes 100``
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from bench.data.contents import content_digests


def main() -> None:
    """Write files, and print seconds for looking at their sizes only, for reading them, and for stored digests."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--kilobytes", type=int, default=100, help="of each file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{i:06}.jpg" for i in range(options.files)]
        content = os.urandom(options.kilobytes * 1000)
        for i, path in enumerate(paths):
            path.write_bytes(i.to_bytes(8, "little") + content)
            os.utime(path, (1_600_000_000, 1_600_000_000))
        cache = folder / "cache.sqlite"
        print(f"{options.files} files of {options.kilobytes} kB, in the page cache where it is large enough")
        for title in ("sizes only", "first time", "stored"):
            began, used = time.perf_counter(), time.process_time()
            if title == "sizes only":
                for path in paths:
                    _ = path.stat().st_size
            else:
                content_digests(paths, cache)
            wall, processor = time.perf_counter() - began, time.process_time() - used
            print(f"{title:>12}: {wall:7.2f} s, {processor:7.2f} s of processor")


if __name__ == "__main__":
    main()
