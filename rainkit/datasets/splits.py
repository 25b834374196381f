"""Splitting scenes into train and test so that nothing seen in one is seen in the other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rainkit.datasets.manifest import Record
from rainkit.datasets.phash import components
from rainkit.errors import UsageError

__all__ = ["LIMIT", "SPLITS", "View", "choose_test", "group_views", "splits_to_data"]

SPLITS = "splits.json"
"""Name of the file that says which scene is where."""

LIMIT = 8
"""Perceptual hashes that differ in at most so many of their 64 bits show the same scene."""


@dataclass(frozen=True, slots=True)
class View:
    """What is known of a photograph before it is put anywhere.

    Attributes:
        name: of its scene.
        source: name of the file, for ``group_by``.
        key: SHA-256 of its pixels in hex.
        phash: its perceptual hash, 64 bit.
    """

    name: str
    source: str
    key: str
    phash: int


def group_views(views: Sequence[View], group_by: str | None = None) -> list[int]:
    """Number the groups of photographs that must stay together, in the order of the views.

    Two are of one group if their perceptual hashes differ in at most :data:`LIMIT` bits, if the
    first group of the regular expression ``group_by`` finds the same text in the names of both, or
    if a chain of such pairs leads from one to the other.

    Raises:
        UsageError: ``group_by`` is no regular expression with a group.
    """
    parents = list(range(len(views)))

    def head(item: int) -> int:
        while parents[item] != item:
            parents[item] = parents[parents[item]]
            item = parents[item]
        return item

    alike: list[Any] = list(components([view.phash for view in views], LIMIT))
    for labels in (alike, _labels(views, group_by)):
        firsts: dict[Any, int] = {}
        for item, label in enumerate(labels):
            if label is not None:
                one, other = head(firsts.setdefault(label, item)), head(item)
                parents[max(one, other)] = min(one, other)
    return [head(item) for item in range(len(views))]


def _labels(views: Sequence[View], group_by: str | None) -> list[str | None]:
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
    found = [pattern.search(view.source) for view in views]
    return [match and match[1] for match in found]


def choose_test(views: Sequence[View], groups: Sequence[int], wanted: int, seed: int) -> set[int]:
    """Groups for the test split: whole ones, in all ``wanted`` scenes or the nearest number below.

    Groups come in the order of the SHA-256 of (seed, smallest pixel hash in the group), so that
    further photographs change little. Where the first ones do not add up, later ones are preferred
    that do.

    Raises:
        UsageError: no group fits, or nothing would be left to train on.
    """
    if len(views) < 2:
        raise UsageError(f"--test-scenes {wanted}: a split needs at least 2 photographs")
    if not 0 < wanted < len(views):
        raise UsageError(
            f"--test-scenes {wanted}: of {len(views)} scenes; ask for 1 to {len(views) - 1}"
        )
    sizes: dict[int, int] = {}
    keys: dict[int, str] = {}
    for view, group in zip(views, groups, strict=True):
        sizes[group] = sizes.get(group, 0) + 1
        keys[group] = min(view.key, keys.get(group, view.key))
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
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


def splits_to_data(records: Iterable[Record], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What :data:`SPLITS` holds: how the split was asked for, and the groups of scenes in each."""
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
