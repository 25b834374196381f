"""Folders with how much of them is taken, and how often: ``FOLDER:COUNT@WEIGHT``."""

from __future__ import annotations

import glob
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit.errors import UsageError

__all__ = ["CountedFolder", "choose", "weighted_input"]


@dataclass(frozen=True, slots=True)
class CountedFolder:
    """A folder as it is named on the command line.

    Attributes:
        path: the folder.
        count: how many of what it holds are taken; None for all.
        weight: how often it is drawn from, relative to others; None where that is not said.
    """

    path: Path
    count: int | None = None
    weight: float | None = None

    @classmethod
    def parse(cls, text: str, *, weighted: bool = True) -> CountedFolder:
        """``FOLDER``, ``FOLDER:COUNT`` and, if ``weighted``, either with ``@WEIGHT``.

        Of a path that exists, no part is taken for a count or a weight.

        Raises:
            UsageError: a count or a weight that is none.
        """
        weight = None
        rest = text
        if weighted and not Path(text).exists():
            rest, weight = _split_weight(text)
        folder, colon, count = rest.rpartition(":")
        if not colon or Path(rest).exists():
            return cls(Path(rest), None, weight)
        if not (folder and count.isdecimal() and int(count) > 0):
            raise UsageError(f"{text}: write FOLDER:COUNT, such as pairs/train:4000")
        return cls(Path(folder), int(count), weight)


def weighted_input(text: str) -> tuple[str, float | None]:
    """Split a file, folder or glob from the ``@WEIGHT`` after it; None if it has no weight.

    What exists, or matches something as it is written, has no weight.

    Raises:
        UsageError: the weight is not above 0.
    """
    path = Path(text).expanduser()
    if path.exists() or (glob.has_magic(text) and glob.glob(str(path), recursive=True)):
        return text, None
    return _split_weight(text)


def choose(names: Sequence[str], folder: CountedFolder, seed: int, *, kind: str) -> list[int]:
    """Which of a folder's pairs or scenes are taken: their places in ``names``, ascending.

    Follows from the seed, the folder's name and theirs: those whose SHA-256 is lowest.

    Args:
        names: of all there are.
        folder: where they are, and how many are wanted.
        seed: decides which.
        kind: what they are, for the message.

    Raises:
        UsageError: there are fewer.
    """
    wanted = len(names) if folder.count is None else folder.count
    if wanted > len(names):
        raise UsageError(
            f"{folder.path}:{wanted}: holds {len(names)} {kind}; ask for {len(names)} at most"
        )
    if wanted == len(names):
        return list(range(wanted))
    home = folder.path.resolve().name

    def rank(place: int) -> bytes:
        text = "\0".join((str(seed), home, names[place]))
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()

    return sorted(sorted(range(len(names)), key=rank)[:wanted])


def _split_weight(text: str) -> tuple[str, float | None]:
    """What stands before ``@WEIGHT``, and the weight; what is no number belongs to the name."""
    rest, _, number = text.rpartition("@")
    try:
        weight = float(number)
    except ValueError:
        return text, None
    if not (rest and weight > 0 and math.isfinite(weight)):
        raise UsageError(f"{text}: write FOLDER@WEIGHT with a weight above 0, such as pairs@0.3")
    return rest, weight
