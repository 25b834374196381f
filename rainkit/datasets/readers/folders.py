"""Two folders, and one folder of ``rain-*`` and ``norain-*``."""

from __future__ import annotations

import re
from pathlib import Path

from rainkit.datasets.matching import (
    CLEAN_FOLDERS,
    RAINY_FOLDERS,
    PairFiles,
    match,
    pictures_in,
    sub_folder,
)
from rainkit.datasets.readers.options import ReadOptions

__all__ = ["one_folder", "two_folders"]


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
