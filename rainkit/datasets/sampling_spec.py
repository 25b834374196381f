"""Sampling specs: how much of a folder is used and how often it is drawn, FOLDER:COUNT@SHARE."""

from __future__ import annotations

import glob
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rainkit.errors import UsageError

__all__ = ["SampledFolder", "choose", "split_share"]


@dataclass(frozen=True, slots=True)
class SampledFolder:
    """A folder, how much of it is used, and how often it is drawn from.

    Attributes:
        path: the folder.
        count: number of its items to use; None for all.
        share: how often the folder is drawn from, relative to others; None if unspecified.
    """

    path: Path
    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, text: str, *, with_share: bool = True) -> SampledFolder:
        """Parse ``FOLDER`` or ``FOLDER:COUNT``, each with ``@SHARE`` at its end if ``with_share``.

        If a folder of the whole name exists, no part of it is read as a count or a share.

        Raises:
            UsageError: the count or the share is not a number above 0.
        """
        share = None
        rest = text
        if with_share and not Path(text).exists():
            rest, share = _split_share(text)
        folder, colon, count = rest.rpartition(":")
        if not colon or Path(rest).exists():
            return cls(Path(rest), None, share)
        if not (folder and count.isdecimal() and int(count) > 0):
            raise UsageError(f"{text}: write FOLDER:COUNT, such as pairs/train:4000")
        return cls(Path(folder), int(count), share)


def split_share(text: str) -> tuple[str, float | None]:
    """Split a file, folder or glob from the ``@SHARE`` after it; None if it has no share.

    If the whole text exists as a path or matches something as a glob, it has no share.

    Raises:
        UsageError: the share is not above 0.
    """
    path = Path(text).expanduser()
    if path.exists() or (glob.has_magic(text) and glob.glob(str(path), recursive=True)):
        return text, None
    return _split_share(text)


def choose(names: Sequence[str], folder: SampledFolder, seed: int, *, kind: str) -> list[int]:
    """Choose which of a folder's items are used; return their indices in ascending order.

    The choice follows from the seed, the folder's name and the items' names: those whose SHA-256
    is lowest are used.

    Args:
        names: names of all items.
        folder: the folder and the number of items wanted.
        seed: decides which items are chosen.
        kind: noun for the items, for the message.

    Raises:
        UsageError: the folder has fewer items.
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


def _split_share(text: str) -> tuple[str, float | None]:
    """Split ``@SHARE`` from a text; what is not a number after ``@`` belongs to the name."""
    rest, _, number = text.rpartition("@")
    try:
        share = float(number)
    except ValueError:
        return text, None
    if not (rest and share > 0 and math.isfinite(share)):
        raise UsageError(f"{text}: write FOLDER@SHARE with a share above 0, such as pairs@0.3")
    return rest, share
