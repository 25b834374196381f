"""A bank of rain drawn once, from which pictures get theirs in a fraction of the time.

For training on the fly: a tile is a picture of rain alone, of which each rainy picture shows
another part, mirrored and made thinner or denser at random. Less varied than
:func:`rainkit.rain.render`, and blind to depth but for a flat scene's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.errors import UsageError
from rainkit.rain import drops, physics, weather
from rainkit.rain.composition import TO_STORED, terms
from rainkit.rain.render import Rendered, paint, surroundings
from rainkit.rain.settings import RainSettings

__all__ = ["RENDERER", "Bank"]

RENDERER = "bank/1"
"""Name and version of this renderer; a new version means new pixels for an old seed."""

_GAINS = 0.8, 1.25  # factors on optical thickness, drawn log-uniformly
