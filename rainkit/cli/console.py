"""Where commands print: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

from rich.console import Console

__all__ = ["errors", "output", "print_json"]

output = Console(soft_wrap=False)
errors = Console(stderr=True)


def print_json(data: Any) -> None:
    """Data as plain JSON on standard output: never coloured, wrapped or cut to the terminal.

    JSON has no infinity and no NaN: they become ``null``.
    """
    sys.stdout.write(json.dumps(_finite(data), indent=2, allow_nan=False) + "\n")


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
