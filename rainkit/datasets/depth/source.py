"""The interface of everything that knows the depth of photographs."""

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
    """A source of the depth of photographs."""

    @abstractmethod
    def of(self, photo: Path, clean: Picture) -> Depth | None:
        """Return the depth of a photograph, or None if it is unknown; its rain then has no fog.

        Args:
            photo: path of the photograph, by which a map is found.
            clean: pixels of the upright photograph.

        Raises:
            DatasetError: There is no map, there are several, or the map cannot be used.
            ImageError: The map cannot be read.
            UsageError: A package or a device is missing.
        """
