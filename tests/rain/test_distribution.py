"""The distribution of training rain: shares, ranges and refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rainkit.errors import UsageError
from rainkit.rain import RainDistribution, RainSettings, physics, render


def draws(
    distribution: RainDistribution, count: int = 300
) -> list[tuple[RainSettings, float | None]]:
    rng = np.random.default_rng(0)
    return [distribution.draw(rng) for _ in range(count)]


def test_the_same_generator_state_draws_the_same_rain() -> None:
    assert draws(RainDistribution(), 20) == draws(RainDistribution(), 20)


def test_rains_differ_in_strength_direction_and_kind() -> None:
    settings = [drawn for drawn, _ in draws(RainDistribution())]
    rolls = np.array([each.roll_deg for each in settings])
    assert 8 < rolls.std() < 18
    assert np.abs(rolls).max() <= 40
    assert {each.blend for each in settings} == {"alpha", "add"}
    assert max(each.streak_gain for each in settings) > 5 * min(e.streak_gain for e in settings)


def test_shares_are_kept() -> None:
    drawn = draws(RainDistribution(veiled=0.3, dimmed=0.25), 2000)
    assert np.mean([distance is not None for _, distance in drawn]) == pytest.approx(0.3, abs=0.04)
    assert np.mean([settings.dim < 1 for settings, _ in drawn]) == pytest.approx(0.25, abs=0.04)
    assert min(settings.dim for settings, _ in drawn) >= 0.6


def test_a_kind_can_be_left_out() -> None:
    only_natural = draws(RainDistribution(sparse=0.0, dense=0.0, soft=0.0))
    assert {settings.blend for settings, _ in only_natural} == {"alpha"}
    assert len({settings.rate_mm_h for settings, _ in only_natural}) == len(only_natural)


def test_veils_take_no_more_light_than_asked() -> None:
    for settings, distance in draws(RainDistribution(veiled=1.0, veil_most=0.4)):
        assert distance is not None
        taken = 1 - np.exp(-physics.extinction(settings.rate_mm_h) * distance)
        assert 0 < taken < 0.41
        assert distance > settings.cuts_m[-1]


def test_dense_rain_is_stronger_than_sparse() -> None:
    def coverage(distribution: RainDistribution) -> float:
        grey = np.full((112, 112, 3), 80, np.uint8)
        outs = [
            render(grey, settings, (k,), distance=distance, frame_width=480)
            for k, (settings, distance) in enumerate(draws(distribution, 25))
        ]
        return float(np.mean([out.opacity.mean() for out in outs]))

    shares = dict.fromkeys(("natural", "sparse", "dense", "soft"), 0.0)
    sparse = coverage(RainDistribution(**shares | {"sparse": 1.0}))
    dense = coverage(RainDistribution(**shares | {"dense": 1.0}))
    assert dense > 4 * sparse > 0


def test_every_field_is_a_documented_number() -> None:
    for item in dataclasses.fields(RainDistribution):
        assert isinstance(item.default, float)
        assert f"{item.name}:" in (RainDistribution.__doc__ or "")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"natural": -0.1}, "natural"),
        (dict.fromkeys(("natural", "sparse", "dense", "soft"), 0.0), "kind"),
        ({"veiled": 1.1}, "veiled"),
        ({"gain_low": 0.0}, "gain_low"),
        ({"gain_low": 2.0}, "gain_low"),
        ({"dim_least": 0.01}, "dim_least"),
        ({"veil_most": 0.99}, "veil_most"),
        ({"tilt_most_deg": 120.0}, "tilt_most_deg"),
        ({"tilt_sd_deg": float("nan")}, "tilt_sd_deg"),
    ],
)
def test_wrong_values_are_refused(values: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        RainDistribution(**values)
