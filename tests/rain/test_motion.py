"""Sequences of rain: what their frames share, how they differ, and how rain moves in them."""

from __future__ import annotations

from itertools import islice, pairwise

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit.errors import ImageError, UsageError
from rainkit.rain import LEVELS, PRESETS, RainSettings, Rendered, physics, render
from rainkit.rain.motion import MEMORY, render_sequence

SCENE = np.ascontiguousarray(data.coffee()[:160, 100:300])
RAIN = RainSettings(rate_mm_h=7.0)
BOTH = pytest.mark.parametrize("fps", [None, 25.0])


def sequence(frames: int, settings: RainSettings = RAIN, **options) -> list[Rendered]:
    return list(render_sequence(SCENE, settings, (3, 4), frames, **options))


def told(frames: list[Rendered], name: str) -> np.ndarray:
    return np.array([frame.record[name] for frame in frames])


@BOTH
def test_frames_differ_and_the_scene_does_not(fps: float | None) -> None:
    frames = sequence(6, RAIN.changed({"rate_mm_h": 2.0}), fps=fps)
    for one, other in pairwise(frames):
        assert (np.abs(one.opacity - other.opacity) > 0.02).mean() > 0.05
        dry = (one.opacity < 0.004) & (other.opacity < 0.004)  # a level of 250 at most
        assert dry.mean() > 0.2
        assert cv2.absdiff(one.rainy[dry], other.rainy[dry]).max() <= 1
        assert cv2.absdiff(one.rainy[dry], SCENE[dry]).max() <= 1


@BOTH
def test_a_frame_is_a_function_of_seed_and_number(fps: float | None) -> None:
    level = RainSettings(rate_mm_h=None, level="moderate")
    short, long = sequence(3, level, fps=fps), sequence(6, level, fps=fps)
    for one, other in zip(short, long, strict=False):
        assert np.array_equal(one.rainy, other.rainy)
        assert one.record == other.record
    other = next(render_sequence(SCENE, level, (3, 5), 1, fps=fps))
    assert not np.array_equal(other.rainy, short[0].rainy)


@BOTH
def test_colours_belong_to_the_scene_and_the_seed_is_told(fps: float | None) -> None:
    records = [frame.record for frame in sequence(4, PRESETS["default"], fps=fps)]
    for name in ("airlight", "streak_rgb", "seed", "settings"):
        assert all(record[name] == records[0][name] for record in records)
    assert records[0]["seed"] == [3, 4]


def test_wind_and_rate_wander_as_they_should() -> None:
    tiny = np.zeros((4, 4, 3), np.uint8)
    settings = RainSettings(
        rate_mm_h=None,
        level="heavy",
        wind_m_s=2.0,
        wind_sd_m_s=1.5,
        smallest_mm=5.0,
        exposure_s=1e-3,
    )
    frames = [f for s in range(40) for f in render_sequence(tiny, settings, (s,), 40)]
    wind, rate = told(frames, "wind_m_s").reshape(40, 40), told(frames, "rate_mm_h").reshape(40, 40)
    level = LEVELS["heavy"]
    assert wind.mean() == pytest.approx(2.0, abs=0.35)
    assert wind.std() == pytest.approx(1.5, abs=0.2)
    assert rate.min() >= level.low
    assert rate.max() <= level.high
    place = np.log(rate / level.low) / np.log(level.high / level.low)
    assert np.histogram(place, 4, (0, 1))[0] / place.size == pytest.approx([0.25] * 4, abs=0.06)
    for series in (wind, place):
        away = series - series.mean()
        again = (away[:, 1:] * away[:, :-1]).mean() / (away**2).mean()
        assert again == pytest.approx(MEMORY, abs=0.04)
    assert np.ptp(told(sequence(4), "rate_mm_h")) == 0, "a rate that is given stays"


def test_the_weather_of_moving_rain_hardly_changes_in_a_second() -> None:
    settings = RainSettings(rate_mm_h=None, level="heavy")
    wind = told(sequence(25, settings, fps=25.0), "wind_m_s")
    assert 0 < np.abs(np.diff(wind)).max() < 0.4


@pytest.mark.parametrize("fps", [25.0, 100.0])
def test_drops_fall_as_fast_as_physics_says(fps: float) -> None:
    """Large drops of nearly one size at one distance all move alike."""
    settings = RainSettings(
        rate_mm_h=100.0, near_m=2.9, far_m=3.1, smallest_mm=4.0, gust_rad=0.0, wind_m_s=-2.0,
        wind_sd_m_s=0.0, exposure_s=1 / 500, streak_gain=200.0,
    )  # fmt: skip
    frames = sequence(4, settings, fps=fps)
    per_m = settings.focal_px(SCENE.shape[1]) / 3.0
    size = 4.0 + 1 / physics.size_slope(100.0)
    down = float(physics.terminal_speed(np.array([size]))[0]) * per_m / fps
    for one, other in pairwise(frames):
        right, below = _shift(one.opacity, other.opacity)
        assert below == pytest.approx(down, abs=1.5)
        assert right == pytest.approx(-2.0 * per_m / fps, abs=1.5)


def _shift(one: np.ndarray, other: np.ndarray) -> tuple[int, int]:
    """Return by how many px the second picture is shifted to the right and down."""
    inner = one[:60, 60:-60]
    match = cv2.matchTemplate(other, inner, cv2.TM_CCORR_NORMED)
    _, _, _, (x, y) = cv2.minMaxLoc(match)
    return x - 60, y


def test_streaks_lie_along_their_motion() -> None:
    settings = RainSettings(rate_mm_h=7.0, wind_m_s=6.0, wind_sd_m_s=0.0, roll_deg=15.0)
    moving = sequence(8, settings, fps=25.0)
    still = render(SCENE, settings, (1,)).opacity
    for frame in moving:
        assert _tilt(frame.opacity) == pytest.approx(_tilt(still), abs=3.0)


def _tilt(opacity: np.ndarray) -> float:
    """Return the mean tilt of streaks from vertical in degrees, by the structure tensor."""
    gx, gy = (cv2.Sobel(opacity, cv2.CV_64F, *order) for order in ((1, 0), (0, 1)))
    return float(np.degrees(0.5 * np.arctan2(-2 * (gx * gy).sum(), (gx**2 - gy**2).sum())))


@BOTH
@pytest.mark.parametrize("settings", [RAIN, PRESETS["wide"]], ids=["default", "wide"])
def test_there_is_as_much_rain_in_every_frame_as_in_a_picture(
    fps: float | None, settings: RainSettings
) -> None:
    settings = settings.changed({"rate_mm_h": 7.0, "level": None, "wind_sd_m_s": 2.0})
    frames = sequence(60, settings, fps=fps)
    cover = np.array([float(frame.opacity.mean()) for frame in frames])
    singles = [float(render(SCENE, settings, (9, k)).opacity.mean()) for k in range(20)]
    assert cover.mean() == pytest.approx(np.mean(singles), rel=0.1)
    assert cover[-15:].mean() == pytest.approx(cover[:15].mean(), rel=0.15)
    edges = np.mean([frame.opacity for frame in frames], axis=0)
    middle = edges[40:-40, 40:-40].mean()
    for edge in (edges[:12], edges[-12:], edges[:, :12], edges[:, -12:]):
        assert edge.mean() == pytest.approx(middle, rel=0.3)


def test_a_lesser_rate_of_moving_rain_looks_as_a_picture_at_that_rate() -> None:
    frames = sequence(10, RainSettings(rate_mm_h=None, level="violent"), fps=1.0)
    rates = told(frames, "rate_mm_h")
    assert np.ptp(rates) > 15
    for number in (int(rates.argmin()), int(rates.argmax())):
        at_rate = RainSettings(rate_mm_h=float(rates[number]))
        singles = [render(SCENE, at_rate, (1, k)).opacity.mean() for k in range(8)]
        assert frames[number].opacity.mean() == pytest.approx(np.mean(singles), rel=0.1)


def test_what_comes_back_comes_back_elsewhere() -> None:
    """Near drops that returned at their old place would fall in the same columns again."""
    settings = RainSettings(
        rate_mm_h=60.0, near_m=0.8, far_m=1.0, smallest_mm=3.0, gust_rad=0.0, wind_sd_m_s=0.0,
        streak_gain=500.0, exposure_s=1 / 250,
    )  # fmt: skip
    wet = [frame.opacity.max(axis=0) > 0.2 for frame in sequence(40, settings, fps=25.0)]
    assert np.any(wet, axis=0).sum() > 5 * np.mean(np.sum(wet, axis=1))


@BOTH
def test_near_surfaces_hide_far_drops_in_every_frame(fps: float | None) -> None:
    depth = np.full(SCENE.shape[:2], 50.0, np.float32)
    depth[:, :100] = 0.3
    for frame in sequence(4, RAIN.changed({"near_m": 1.6}), fps=fps, depth=depth):
        assert frame.opacity[:, :100].max() == 0
        assert frame.opacity[:, 100:].mean() > 0.01
        assert frame.transmission is not None
        assert frame.transmission[:, 100:].mean() < frame.transmission[:, :100].mean()
    flat = sequence(2, fps=fps, distance=400.0)
    assert flat[0].record["beta_per_m"] > 0
    assert flat[0].opacity == pytest.approx(sequence(2, fps=fps)[0].opacity, abs=1e-4)


def test_frames_come_one_at_a_time() -> None:
    endless = render_sequence(SCENE, RAIN, (1,), 10**9, fps=25.0)
    assert len(list(islice(endless, 2))) == 2


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), 61.0])
def test_impossible_frame_rates_are_refused(fps: float) -> None:
    with pytest.raises(UsageError, match="frames a second"):
        sequence(2, fps=fps)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1 frame"):
        sequence(0)
    with pytest.raises(ImageError):
        next(render_sequence(SCENE.astype(np.float32), RAIN, (1,), 1))
    assert sequence(2, RAIN.changed({"streak_gain": 0.0}), fps=25.0)[1].opacity.max() == 0
