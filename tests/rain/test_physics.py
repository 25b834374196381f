"""The laws of rain agree with published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from rainkit.rain import physics


@pytest.mark.parametrize(("rate", "drops"), [(2, 65), (7, 193), (25, 477), (80, 956)])
def test_drops_per_cubic_metre(rate: float, drops: int) -> None:
    assert physics.drop_density(rate, smallest_mm=1.0) == pytest.approx(drops, rel=0.01)


def test_the_sizes_and_speeds_carry_the_rain_rate() -> None:
    # The flux of water through a horizontal plane must be the rate, but for the few per cent by
    # which Marshall and Palmer's sizes and Atlas' speeds disagree: they were measured separately.
    diameter = np.linspace(0.1, physics.LARGEST_DROP_MM, 5000)
    for rate in (1.0, 7.0, 25.0, 80.0):
        density = 8000 * np.exp(-physics.size_slope(rate) * diameter)  # m^-3 mm^-1
        volume = np.pi / 6 * diameter**3  # mm^3
        flux = np.trapezoid(density * volume * physics.terminal_speed(diameter), diameter)
        assert flux * 3600e-6 == pytest.approx(rate, rel=0.2)  # mm^3 m^-2 s^-1 to mm/h


def test_terminal_speed() -> None:
    speed = physics.terminal_speed(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(speed, [4.0, 6.55, 7.95], atol=0.03)


@pytest.mark.parametrize(("rate", "per_km"), [(1, 0.312), (7, 1.15), (25, 2.70), (80, 5.88)])
def test_extinction(rate: float, per_km: float) -> None:
    assert physics.extinction(rate) * 1000 == pytest.approx(per_km, rel=0.01)


def test_extinction_is_that_of_the_drops_cross_sections() -> None:
    # Twice the geometric cross-section of Marshall-Palmer drops: π N0 / Λ³, and 1e-6 m² in a mm².
    for rate in (7.0, 25.0, 80.0):
        geometric = np.pi * 8000e-6 / physics.size_slope(rate) ** 3
        assert physics.extinction(rate) == pytest.approx(geometric, rel=0.1)
