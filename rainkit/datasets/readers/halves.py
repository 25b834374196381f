"""Rainy and clean halves side by side in one picture, as DID-MDN, RESCAN and ID-CGAN have them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from rainkit import images
from rainkit.datasets.matching import PairFiles, named, pictures_in
from rainkit.datasets.readers.options import ReadOptions
from rainkit.datasets.stored import Stored
from rainkit.errors import ImageError, PairingError

__all__ = ["side_by_side"]

_LOOKED_AT = 20  # pictures, evenly spread
_ALIKE = 0.6  # usual correlation of two halves that show the same
_HARDLY = 0.3  # in the heaviest rain; no photograph of BSDS500 has as much between its halves
_SURE = 0.9  # share of the votes

Grey = npt.NDArray[np.float32]


def side_by_side(
    root: Path, split: str | None, options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """All pictures of the folder, if their halves show the same.

    DID-MDN has the rainy half on the left, RESCAN on the right: rain adds detail, so the side with
    more of it in nearly all pictures is the rainy one.
    """
    paths = sorted(pictures_in(root, deep=False))
    if split is not None or not paths:
        return None
    some = paths[:: -(-len(paths) // _LOOKED_AT)]
    if options.layout is None and not (_even(some) and _even(paths)):
        return None
    try:
        halves = [_halves(path) for path in some]
    except ImageError:
        return None
    if options.layout is None and not _alike(halves):
        return None
    rainy = options.rainy_side or _vote(root, halves)
    clean = "left" if rainy == "right" else "right"
    return named([PairFiles(p.stem, Stored(p, half=rainy), Stored(p, half=clean)) for p in paths])


def _even(paths: Sequence[Path]) -> bool:
    try:
        return all(Stored(path).size()[0] % 2 == 0 for path in paths)
    except ImageError:
        return False


def _halves(path: Path) -> tuple[Grey, Grey]:
    grey = cv2.cvtColor(images.to_uint8(images.read(path).rgb), cv2.COLOR_RGB2GRAY)
    middle = grey.shape[1] // 2
    return grey[:, :middle].astype(np.float32), grey[:, middle : 2 * middle].astype(np.float32)


def _alike(halves: Sequence[tuple[Grey, Grey]]) -> bool:
    """They show the same, and are not only both bright above and dark below."""
    found = []
    for both in halves:
        small = [cv2.resize(half, (64, 64), interpolation=cv2.INTER_AREA) for half in both]
        flat = [half - half.mean(axis=1, keepdims=True) for half in small]
        found.append(min(_correlation(*small), _correlation(*flat)))
    return float(np.median(found)) > _ALIKE and min(found) > _HARDLY


def _correlation(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    a, b = (x.astype(np.float64).ravel() - float(x.mean()) for x in (first, second))
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0


def _vote(root: Path, halves: Sequence[tuple[Grey, Grey]]) -> str:
    left = [_detail(one) > _detail(other) for one, other in halves]
    share = sum(left) / len(left)
    if 1 - _SURE < share < _SURE:
        raise PairingError(
            f"{root}: cannot tell which half of its pictures is rainy ({share:.0%} have more detail"
            " on the left); say --rainy-side left or right"
        )
    return "left" if share >= _SURE else "right"


def _detail(half: Grey) -> float:
    return float(np.abs(cv2.Laplacian(half, cv2.CV_32F)).mean())
