"""Pairs in folders: two folders, one folder of two kinds of files, and side-by-side pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt

from rainkit.datasets.image_ref import ImageRef
from rainkit.datasets.matching import (
    CLEAN_FOLDERS,
    RAINY_FOLDERS,
    PairFiles,
    listed,
    match,
    named,
    pictures_in,
    sub_folder,
)
from rainkit.datasets.readers.base import ReadOptions
from rainkit.errors import ImageError, PairingError
from rainkit.files import natural

__all__ = [
    "one_folder",
    "side_by_side",
    "two_folders",
]


def two_folders(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """``rainy/`` and ``clean/`` under any of their usual names; folder names outrank file names.

    JORDER-E and RCDNet call rainy files ``norain-1.png`` too.
    """
    rainy, clean = sub_folder(root, RAINY_FOLDERS), sub_folder(root, CLEAN_FOLDERS)
    if split is not None or rainy is None or clean is None:
        return None
    return match(rainy, pictures_in(rainy), clean, pictures_in(clean))


def one_folder(
    root: Path, split: str | None, _options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """``norain-1.png`` beside ``rain-1.png``, or beside a folder of rainy files (Rain100H).

    Everything else (``rainregion-*``, ``rainstreak-*``) is left alone.
    """
    if split is not None:
        return None
    here = pictures_in(root, deep=False)
    clean = [path for path in here if re.match(r"norain[-_]", path.name, re.IGNORECASE)]
    rainy = [path for path in here if re.match(r"rain[-_]", path.name, re.IGNORECASE)]
    folder = sub_folder(root, RAINY_FOLDERS)
    if clean and rainy:
        return match(root, rainy, root, clean)
    if clean and folder is not None:
        return match(folder, pictures_in(folder), root, clean)
    return None


_LOOKED_AT = 20  # pictures, evenly spread
_ALIKE = 0.6  # median correlation of halves that show the same
_SURE = 0.9  # share of the votes

Grey = npt.NDArray[np.float32]


def side_by_side(
    root: Path, split: str | None, options: ReadOptions
) -> tuple[PairFiles, ...] | None:
    """All pictures of the folder, if their halves show the same.

    DID-MDN has the rainy half on the left, RESCAN and ID-CGAN on the right: nearly all pictures
    looked at must agree on one side, or the options name it.
    """
    if split is not None:
        return None
    paths = sorted(pictures_in(root, deep=False), key=lambda path: natural(path.name))
    some = paths[:: max(1, -(-len(paths) // _LOOKED_AT))]
    halves = []
    for path in some:
        with suppress(ImageError):  # told when all are looked at, or read
            if _width(path) % 2 and options.layout is None:
                return None
            halves.append((_grey(path, "left"), _grey(path, "right")))
    if not halves:
        return None
    if options.layout is None and median(_alike(*both) for both in halves) <= _ALIKE:
        return None
    if odd := [str(path) for path in paths if _width(path) % 2]:
        raise PairingError(
            f"side by side, but of an odd width: {listed(odd)}; take them out, or name the layout"
            f" of {root} (--layout)"
        )
    rainy = options.rainy_side or _vote(root, halves)
    clean = "left" if rainy == "right" else "right"
    return named(
        [PairFiles(p.stem, ImageRef(p, half=rainy), ImageRef(p, half=clean)) for p in paths]
    )


def _width(path: Path) -> int:
    """0 for what cannot be read, which is told when it is."""
    try:
        return ImageRef(path).size()[0]
    except ImageError:
        return 0


def _grey(path: Path, half: str) -> Grey:
    return cv2.cvtColor(ImageRef(path, half=half).read(), cv2.COLOR_RGB2GRAY).astype(np.float32)


def _alike(left: Grey, right: Grey) -> float:
    """Correlation of what is neither fine, as streaks, nor coarse, as sky above ground.

    Medians are .79 and more in six sets of pairs; of 393 photographs cut in half 1 % exceed .6.
    """
    bands = []
    for half in (left, right):
        small = cv2.resize(half, (32, 32), interpolation=cv2.INTER_AREA)
        band = small - cv2.GaussianBlur(small, (0, 0), 4, borderType=cv2.BORDER_REFLECT)
        bands.append(band - band.mean())
    scale = float(np.sqrt((bands[0] ** 2).sum() * (bands[1] ** 2).sum()))
    return float((bands[0] * bands[1]).sum()) / scale if scale > 0 else 0.0


def _vote(root: Path, halves: Sequence[tuple[Grey, Grey]]) -> str:
    """The side with more detail and more light.

    Streaks add both. Either alone misleads: fog takes detail, and some sets were darkened.
    """
    votes = [_more(*both) for both in halves]
    for side in ("left", "right"):
        if votes.count(side) >= _SURE * len(votes):
            return side
    raise PairingError(
        f"{root}: pictures side by side, but which half is rainy is not clear"
        f" (left in {votes.count('left')}, right in {votes.count('right')} of {len(votes)} looked"
        " at); say --rainy-side left or right"
    )


def _more(left: Grey, right: Grey) -> str:
    """Left or right, or nothing where the cues differ."""
    detail, light = _detail(left) - _detail(right), float(left.mean() - right.mean())
    if detail * light <= 0:
        return ""
    return "left" if light > 0 else "right"


def _detail(half: Grey) -> float:
    return float(np.abs(cv2.Laplacian(half, cv2.CV_32F)).mean())
