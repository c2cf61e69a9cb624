"""``python -m bench`` and the command ``detbench``: check that our packages are found, and call `bench.cli`."""

from __future__ import annotations

import sys

from bench.packages import overwritten, shadowed


def main() -> int:
    """Run the command of `sys.argv`; see `bench.cli.main`."""
    errors = shadowed() or overwritten()
    if errors:
        for error in errors:
            print(f"error: {error}", file=sys.stderr)
        return 3
    from bench.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
