"""Entry point of ``rainkit`` and ``python -m rainkit``."""

from __future__ import annotations

import sys

__all__ = ["run"]


def run() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends quietly too."""
    try:
        from rainkit.cli import main

        main()
    except KeyboardInterrupt:
        from rainkit.errors import INTERRUPTED

        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    run()
