"""Splits keep like photographs together and change little when photographs are added."""

from __future__ import annotations

import re

import numpy as np
import pytest

from rainkit.datasets.splits import HashedPhoto, choose_test, group_photos
from rainkit.errors import UsageError


def views(count: int, seed: int = 0) -> list[HashedPhoto]:
    """Photographs that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, count, dtype=np.uint64)
    return [
        HashedPhoto(f"s{seed}-{i}", f"{i // 2}_{i}.png", f"{h:064x}", int(h))
        for i, h in enumerate(hashes)
    ]


def chosen_names(
    some: list[HashedPhoto], groups: list[int], wanted: int, seed: int = 0
) -> set[str]:
    chosen = choose_test(some, groups, wanted, seed)
    return {view.name for view, group in zip(some, groups, strict=True) if group in chosen}


def test_the_split_of_the_depth_aware_paper() -> None:
    some = views(400)
    test = chosen_names(some, group_photos(some), 25)
    assert (len(test) * 12, (400 - len(test)) * 12) == (300, 4500)


def test_near_hashes_are_one_group_also_by_way_of_others() -> None:
    some = views(4)
    near = [
        HashedPhoto("n1", "n1.png", "a", some[2].phash ^ 0xFF),
        HashedPhoto("n2", "n2.png", "b", 0),
    ]
    near[1] = HashedPhoto("n2", "n2.png", "b", near[0].phash ^ 0xFF00)
    assert group_photos([*some, *near]) == [0, 1, 2, 3, 2, 2]
    apart = HashedPhoto("n3", "n3.png", "c", some[2].phash ^ 0x1FF)
    assert group_photos([*some, apart]) == [0, 1, 2, 3, 4]


def test_names_group_too() -> None:
    assert group_photos(views(6), r"^(\d+)_") == [0, 0, 2, 2, 4, 4]
    assert group_photos(views(6), r"^(x\d+)_") == [0, 1, 2, 3, 4, 5]
    for wrong in ("(", "no group"):
        with pytest.raises(UsageError, match=re.escape(f"--set group_by={wrong}")):
            group_photos(views(2), wrong)


def test_more_photographs_change_little() -> None:
    some = views(400)
    before = chosen_names(some, group_photos(some), 25)
    more = [*views(40, seed=1), *some]
    after = chosen_names(more, group_photos(more), 25)
    assert len(after) == 25
    assert len(before - after) <= 6  # those that newcomers, a tenth, have taken the places of
    assert chosen_names(some, group_photos(some), 25, seed=1) != before


def test_order_changes_nothing() -> None:
    some = views(100)
    turned = some[::-1]
    for wanted in (2, 50, 98):
        assert chosen_names(some, group_photos(some, r"^(\d+)_"), wanted) == chosen_names(
            turned, group_photos(turned, r"^(\d+)_"), wanted
        )


@pytest.mark.parametrize(
    ("groups", "wanted", "reached"),
    [
        ([0, 0, 0, 3, 3, 5, 5], 4, 4),  # although the three may come first
        ([0, 0, 0, 3, 3, 3, 6, 6, 6], 5, 3),
        ([0, 0, 2, 2, 4, 4], 3, 2),
        ([0, 0, 0, 0, 4], 4, 4),
    ],
)
def test_whole_groups_as_near_as_they_come(groups: list[int], wanted: int, reached: int) -> None:
    some = views(len(groups))
    for seed in range(5):
        chosen = choose_test(some, groups, wanted, seed)
        assert sum(group in chosen for group in groups) == reached


def test_splits_that_cannot_be_made() -> None:
    some = views(4)
    for wanted in (4, 9):
        with pytest.raises(UsageError, match="ask for 1 to 3"):
            choose_test(some, [0, 1, 2, 3], wanted, 0)
    with pytest.raises(UsageError, match="smallest group has 2"):
        choose_test(some, [0, 0, 2, 2], 1, 0)
