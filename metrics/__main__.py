"""Entry point of ``python -m metrics``; see `metrics.command_line`."""

from __future__ import annotations

import sys

from metrics.command_line import main

if __name__ == "__main__":
    sys.exit(main())
