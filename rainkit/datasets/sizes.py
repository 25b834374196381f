"""Pictures that belong together must be of one size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from rainkit.datasets.stored import Stored
from rainkit.errors import PairingError, RainkitError

__all__ = ["check_sizes", "cropped", "notice_of_crops"]

_LISTED = 5  # groups that a message spells out


def check_sizes(groups: Iterable[Sequence[Stored]]) -> None:
    """Refuse groups of pictures that differ in size; only headers are read.

    Pictures that cannot be opened are left to be reported when they are read.

    Raises:
        PairingError: sizes differ; the message names the files.
    """
    known: dict[Stored, tuple[int, int] | None] = {}
    wrong = []
    for group in groups:
        known |= {each: _size(each) for each in group if each not in known}
        sizes = [(each, size) for each in group if (size := known[each]) is not None]
        if len({size for _, size in sizes}) > 1:
            wrong.append(" against ".join(f"{each} {w}x{h}" for each, (w, h) in sizes))
    if wrong:
        more = f" and {len(wrong) - _LISTED} more" if len(wrong) > _LISTED else ""
        raise PairingError(
            f"sizes differ: {'; '.join(wrong[:_LISTED])}{more}; pairs need pictures of equal size,"
            " or --crop-to-common"
        )


def cropped(group: Sequence[Stored]) -> tuple[Stored, ...]:
    """The pictures cut to their common size from the top left, as MSPFN's Rain100H is.

    Pictures that cannot be opened are left as they are.
    """
    sizes = [size for each in group if (size := _size(each)) is not None]
    if len(set(sizes)) < 2:
        return tuple(group)
    crop = min(h for _, h in sizes), min(w for w, _ in sizes)
    return tuple(replace(each, crop=crop) for each in group)


def notice_of_crops(groups: Iterable[Sequence[Stored]]) -> tuple[str, ...]:
    """One line that says how many groups were cut, if any were."""
    count = sum(any(each.crop for each in group) for group in groups)
    if not count:
        return ()
    were = "pair of two sizes was" if count == 1 else "pairs of two sizes were"
    return (f"{count} {were} cut to the common size, from the top left",)


def _size(stored: Stored) -> tuple[int, int] | None:
    try:
        return stored.size()
    except RainkitError:
        return None
