"""Statistics of paired figures, against scipy called by itself and against sums by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from rainkit.evaluation.compare import holm, paired

# The same order of sizes as the numbers 1 to 5: in ranks, one of 2^5 assignments of signs.
FIVE = (0.5, 1.25, 2.0, 3.5, 8.0)


def raised(by: tuple[float, ...]) -> tuple[list[float], list[float]]:
    before = [20.0 + i for i in range(len(by))]
    return before, [value + more for value, more in zip(before, by, strict=True)]


def test_five_that_all_rise_have_the_least_p_that_five_can_have():
    found = paired(*raised(FIVE))
    assert found.p == pytest.approx(2 / 32)
    assert (found.higher, found.ties, found.lower) == (5, 0, 0)
    assert found.mean == pytest.approx(15.25 / 5)
    assert (found.reference, found.other) == pytest.approx((22.0, 22.0 + 15.25 / 5))


def test_one_that_falls_by_the_least_adds_one_case_at_either_end():
    # Of 32 signs, the rank sum of the falling ones is 0 in one case and 1 in another.
    found = paired(*raised((-0.5, *FIVE[1:])))
    assert found.p == pytest.approx(2 * 2 / 32)
    assert (found.higher, found.ties, found.lower) == (4, 0, 1)


def test_ties_say_nothing_about_the_direction():
    found = paired(*raised((*FIVE, 0.0, 0.0, 0.0)))
    assert found.p == pytest.approx(2 / 32)
    assert (found.count, found.ties) == (8, 3)
    assert found.mean == pytest.approx(15.25 / 8)


def test_ties_among_many_leave_the_test_exact():
    by = tuple(np.linspace(-1, 2, 20)) + (0.0,) * 10
    before = [20.0] * len(by)
    found = paired(before, [20 + more for more in by])
    expected = stats.wilcoxon(by[:20], method="exact").pvalue
    assert found.p == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 5, 24])
def test_the_interval_of_few_pictures_is_students(count):
    before, after = raised(tuple(np.random.default_rng(count).normal(1, 2, count)))
    found = paired(before, after)
    expected = stats.ttest_rel(after, before).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("count", [25, 40, 200])
def test_interval_and_p_are_those_of_scipy(count):
    generator = np.random.default_rng(count)
    before = generator.normal(30, 3, count)
    after = before + generator.gamma(1.0, 0.4, count) - 0.25
    found = paired(before.tolist(), after.tolist())
    low, high = np.mean(
        [
            stats.bootstrap((after - before,), np.mean, rng=np.random.default_rng(seed))
            .confidence_interval
            for seed in range(1, 6)
        ],
        axis=0,
    )  # fmt: skip
    # Its ends vary by a tenth of the mean's own error from seed to seed.
    spread = (after - before).std() / count**0.5
    assert found.low == pytest.approx(low, abs=0.25 * spread)
    assert found.high == pytest.approx(high, abs=0.25 * spread)
    assert found.p == pytest.approx(stats.wilcoxon(after, before).pvalue)
    assert found == paired(before.tolist(), after.tolist())


def test_the_other_way_round_all_signs_change():
    before, after = raised((-0.5, *FIVE[1:]))
    there, back = paired(before, after), paired(after, before)
    assert back.mean == -there.mean
    assert (back.higher, back.lower) == (there.lower, there.higher)
    assert back.p == there.p


def test_equal_figures_differ_by_nothing():
    found = paired([30.0, 31.0, 32.0], [30.0, 31.0, 32.0])
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
    assert (found.higher, found.ties, found.lower) == (0, 3, 0)


def test_equal_differences_are_an_interval_of_no_width():
    found = paired([30.0, 31.0, 32.0], [30.5, 31.5, 32.5])
    assert (found.low, found.high) == (0.5, 0.5)
    assert found.p == pytest.approx(2 / 8)


@pytest.mark.parametrize(
    ("after", "expected"),
    [([30.00005, 31.00005], (0, 0, 2)), ([30.0002, 31.0003], (pytest.approx(0.00025), 2, 0))],
)
def test_what_is_within_the_tolerance_is_no_difference(after, expected):
    found = paired([30.0, 31.0], after, tolerance=1e-4)
    assert (found.mean, found.higher, found.ties) == expected


def test_infinite_and_undefined_pictures_are_left_out_and_counted():
    before = [30.0, math.inf, math.inf, 31.0, 32.0, math.nan]
    after = [31.0, math.inf, 40.0, math.nan, 34.0, 1.0]
    found = paired(before, after)
    assert (found.count, found.excluded) == (2, 4)
    assert (found.reference, found.other, found.mean) == (31.0, 32.5, 1.5)


@pytest.mark.parametrize("figures", [[], [30.0], [math.inf, 30.0]])
def test_less_than_two_pictures_have_neither_interval_nor_p(figures):
    found = paired(figures, figures)
    assert found.p is None
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.mean) == (not figures)


@pytest.mark.parametrize(
    ("ps", "expected"),
    [
        # 4 x 0.01, 3 x 0.02, 2 x 0.03 (raised to those before), 1 x 0.04 (likewise)
        ([0.04, 0.01, 0.03, 0.02], [0.06, 0.04, 0.06, 0.06]),
        ([0.5, 0.9], [1.0, 1.0]),
        ([0.03], [0.03]),
        ([None, 0.02, None, 0.03], [None, 0.04, None, 0.04]),
        ([], []),
    ],
)
def test_holm_by_hand(ps, expected):
    assert holm(ps) == tuple(each if each is None else pytest.approx(each) for each in expected)


def test_holm_rejects_what_its_definition_rejects():
    # Step down: the k-th smallest of m is rejected while p <= 0.05 / (m - k + 1).
    ps = (np.random.default_rng(3).uniform(0, 0.6, 12) ** 4).tolist()
    rejected = set()
    for rank, place in enumerate(np.argsort(ps).tolist()):
        if ps[place] > 0.05 / (len(ps) - rank):
            break
        rejected.add(place)
    assert {i for i, p in enumerate(holm(ps)) if p <= 0.05} == rejected
    assert 0 < len(rejected) < len(ps)
