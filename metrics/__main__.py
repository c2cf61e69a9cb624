"""``python -m metrics truth.json detections.json``: see `metrics.command_line`."""

from __future__ import annotations

import sys

from metrics.command_line import main

if __name__ == "__main__":
    sys.exit(main())
