"""Whether results were saved under each other's names, which no score would say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from rainkit.datasets.matching import listed
from rainkit.evaluation.protocols import RGB8

__all__ = ["Likeness", "mixup_notices"]

_SIDE = 16  # px of a thumbnail: rain and blur hardly show in it
_NEAR = 0.2  # of the squared distance to the own target
_FAR = 8.0  # levels, root mean square; nearer to the own target is near enough
_MOST = 5000  # pictures, since each is compared with all


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """Thumbnails of a result and its target, float32 [N] without their mean."""

    restored: NDArray[np.float32]
    target: NDArray[np.float32]

    @classmethod
    def of(cls, restored: RGB8, target: RGB8) -> Likeness:
        """Of two pictures, HWC uint8 RGB."""
        return cls(_thumbnail(restored), _thumbnail(target))


def mixup_notices(dataset: str, found: Mapping[str, Likeness]) -> tuple[str, ...]:
    """One line if results look much more like another picture's target than like their own.

    Args:
        dataset: its name.
        found: by the pictures' names.
    """
    if not 1 < len(found) <= _MOST:
        return ()
    names = list(found)
    restored = np.stack([found[name].restored for name in names])
    targets = np.stack([found[name].target for name in names])
    squares = (restored**2).sum(axis=1)[:, None] + (targets**2).sum(axis=1)[None]
    distances = (squares - 2 * restored @ targets.T) / restored.shape[1]
    own = distances.diagonal()
    nearest = distances.argmin(axis=1)
    least = distances[np.arange(len(names)), nearest]
    odd = np.flatnonzero((own > _FAR**2) & (least < _NEAR * own))
    if not len(odd):
        return ()
    likes = listed([f"{names[i]} like {names[nearest[i]]}" for i in odd])
    looks = "picture looks" if len(odd) == 1 else "pictures look"
    return (
        f"{dataset}: {len(odd)} of {len(names)} restored {looks} like the target of another:"
        f" {likes}; were they saved under each other's names?",
    )


def _thumbnail(rgb: RGB8) -> NDArray[np.float32]:
    step = max(1, min(rgb.shape[:2]) // (4 * _SIDE))  # averaging all pixels would take longer
    rgb = np.ascontiguousarray(rgb[::step, ::step])
    small = cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(small - small.mean(axis=(0, 1)), np.float32).ravel()
