"""What a layout is told of a pair, and the names it may make of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

__all__ = ["Entry", "Place", "portable"]

_FORBIDDEN = r'<>:"/\\|?*%'
"""Not allowed in file names on Windows, but for the percent sign that stands for all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One pair to be written.

    Attributes:
        scene: name of the scene, unique in the dataset even where case does not count.
        variant: the scene's rain, from 1; a scene's variants are written in turn, by one process.
        number: of the pair in its split, from 1, a scene's variants one after another. Pairs that
            were to be and could not be made leave gaps.
        scene_number: of the scene in its split, from 1.
        count: pairs that were to be in the split.
        split: such as ``train``; empty in a dataset without a split.
        suffix: ``.png`` or ``.jpg``, for both pictures.
        frame: of a sequence, from 1; None for a single picture.
    """

    scene: str
    variant: int
    number: int
    scene_number: int
    count: int
    split: str
    suffix: str
    frame: int | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a pair lies, as locators: paths relative to the dataset, with forward slashes.

    A member of a tar file is ``path::member``, half of a picture ``path::left`` or
    ``path::right``. No path holds ``::`` otherwise.
    """

    input: str
    target: str


def portable(name: str, *, also: str = "") -> str:
    """A scene's name as part of a file name that every system takes.

    Characters that some system or ``also`` forbids, control characters, bytes that are no UTF-8
    and a leading dot become ``%`` and two hex digits a byte; so does the percent sign itself, so
    that different names stay different. All others, of any alphabet, stay.
    """
    odd = rf"[{_FORBIDDEN}{re.escape(also)}\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|^\."
    return re.sub(odd, lambda found: "".join(f"%{b:02X}" for b in os.fsencode(found[0])), name)
