"""The interface behind which depth maps, networks and guesses stand."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rainkit.datasets.depth.values import Depth

__all__ = ["Picture", "Source"]

Picture = npt.NDArray[np.uint8]
"""uint8 [H, W, 3] RGB."""


class Source(ABC):
    """Something that knows how far away the pixels of photographs are."""

    @abstractmethod
    def of(self, photo: Path, clean: Picture) -> Depth | None:
        """The depth of a photograph, or None where nothing can be said: rain without fog.

        Args:
            photo: its file, which a map is found by.
            clean: its pixels, upright.

        Raises:
            DatasetError: no map for it, several, or one that cannot be used.
            ImageError: a map that cannot be read.
            UsageError: a package or device that is needed is missing.
        """
