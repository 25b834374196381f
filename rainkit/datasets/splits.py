"""Splits of scenes into train and test, which share no scene."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rainkit.datasets.manifest import Record
from rainkit.datasets.phash import LIMIT, components
from rainkit.errors import UsageError

__all__ = ["SPLITS", "HashedPhoto", "choose_test", "group_photos", "splits_to_data"]

SPLITS = "splits.json"
"""Name of the file that says which scene is in which split."""


@dataclass(frozen=True, slots=True)
class HashedPhoto:
    """A photograph with what decides its split.

    Attributes:
        name: name of its scene.
        source: name of the file, for ``group_by``.
        key: SHA-256 of its pixels in hex.
        phash: its perceptual hash of 64 bits.
    """

    name: str
    source: str
    key: str
    phash: int


def group_photos(photos: Sequence[HashedPhoto], group_by: str | None = None) -> list[int]:
    """Return the number of the group that each photograph must stay together with.

    Two photographs are in one group if their perceptual hashes differ in at most
    :data:`rainkit.datasets.phash.LIMIT` bits, if the first group of the regular expression
    ``group_by`` finds the same text in the names of both, or if a chain of such pairs links them.

    Raises:
        UsageError: ``group_by`` is not a regular expression with a group.
    """
    parents = list(range(len(photos)))

    def head(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    alike: list[Any] = list(components([photo.phash for photo in photos], LIMIT))
    for labels in (alike, _labels(photos, group_by)):
        firsts: dict[Any, int] = {}
        for item, label in enumerate(labels):
            if label is not None:
                one, other = head(firsts.setdefault(label, item)), head(item)
                parents[max(one, other)] = min(one, other)
    return [head(item) for item in range(len(photos))]


def _labels(photos: Sequence[HashedPhoto], group_by: str | None) -> list[str | None]:
    if group_by is None:
        return []
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise UsageError(
            f"--set group_by={group_by}: is not a regular expression ({error})"
        ) from error
    if pattern.groups < 1:
        raise UsageError(f"--set group_by={group_by}: put what names the group in (...)")
    found = [pattern.search(photo.source) for photo in photos]
    return [match and match[1] for match in found]


def choose_test(
    photos: Sequence[HashedPhoto], groups: Sequence[int], wanted: int, seed: int
) -> set[int]:
    """Return whole groups for the test split with ``wanted`` scenes, or the nearest number below.

    Groups are taken in the order of the SHA-256 of the seed and their smallest pixel hash, so that
    additional photographs change little. If the first ones do not add up, later ones replace them.

    Raises:
        UsageError: No group fits, or nothing would be left to train on.
    """
    if len(photos) < 2:
        raise UsageError(f"--test-scenes {wanted}: a split needs at least 2 photographs")
    if not 0 < wanted < len(photos):
        raise UsageError(
            f"--test-scenes {wanted}: of {len(photos)} scenes; ask for 1 to {len(photos) - 1}"
        )
    sizes: dict[int, int] = {}
    keys: dict[int, str] = {}
    for photo, group in zip(photos, groups, strict=True):
        sizes[group] = sizes.get(group, 0) + 1
        keys[group] = min(photo.key, keys.get(group, photo.key))
    ranked = sorted(sizes, key=lambda group: (_rank(seed, keys[group]), group))
    # Bit k of sums[i] tells whether some of the groups from i on have k scenes in all.
    sums = [1]
    within = (1 << (wanted + 1)) - 1
    for group in reversed(ranked):
        sums.append((sums[-1] | sums[-1] << sizes[group]) & within)
    sums.reverse()
    left = sums[0].bit_length() - 1
    if left == 0:
        raise UsageError(
            f"--test-scenes {wanted}: photographs of one scene stay together, and the smallest "
            f"group has {min(sizes.values())}; ask for at least as many"
        )
    chosen = set()
    for group, rest in zip(ranked, sums[1:], strict=True):
        if sizes[group] <= left and rest >> (left - sizes[group]) & 1:
            chosen.add(group)
            left -= sizes[group]
    return chosen


def _rank(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogateescape")).digest()


def splits_to_data(records: Iterable[Record], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of :data:`SPLITS`: settings, and the groups of scenes in each split."""
    splits: dict[str, dict[str, dict[str, None]]] = {"train": {}, "test": {}}
    for record in records:
        group = splits.setdefault(record.split or "", {}).setdefault(record.group or "", {})
        group[record.scene] = None
    return {
        **settings,
        "phash_limit": LIMIT,
        **{
            split: {
                "scenes": sum(map(len, groups.values())),
                "groups": {group: list(scenes) for group, scenes in groups.items()},
            }
            for split, groups in splits.items()
        },
    }
