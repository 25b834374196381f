"""Tests of :func:`rainkit.rain.render`: purity, physics, windows, depth and refusals."""

from __future__ import annotations

import json
import math
import random

import cv2
import numpy as np
import pytest
from skimage import data

from rainkit.errors import ImageError, UsageError
from rainkit.rain import PRESETS, RainSettings, physics, render
from rainkit.rain.render import sample_rain

GREY = np.full((256, 256, 3), 90, np.uint8)
STILL = RainSettings(wind_sd_m_s=0.0, gust_rad=0.0, streak_grey=200.0)


def brighter(rainy: np.ndarray) -> np.ndarray:
    """Return the change of luma from the grey picture."""
    return (rainy.astype(np.float32) - 90) @ np.float32([0.299, 0.587, 0.114])


def tilt_deg(residual: np.ndarray) -> float:
    """Return the mean tilt of streaks from vertical, positive if they fall to the right."""
    smooth = cv2.GaussianBlur(residual, (0, 0), 1.5)
    across = cv2.Scharr(smooth, cv2.CV_32F, 1, 0)
    down = cv2.Scharr(smooth, cv2.CV_32F, 0, 1)
    energy_x, energy_y = np.square(across).sum(), np.square(down).sum()
    return -math.degrees(math.atan2(2 * (across * down).sum(), energy_x - energy_y) / 2)


def correlation_length(fields: np.ndarray) -> int:
    """Return the shift down in px at which the autocorrelation of [..., H, W] falls to a half."""
    centred = np.moveaxis(fields - fields.mean(), -2, 0)
    power = np.square(centred).mean()
    shifts = range(1, 100)
    return next(s for s in shifts if (centred[s:] * centred[:-s]).mean() < power / 2)


# --- a pure function of its arguments ---


def test_the_same_arguments_give_the_same_pixels_and_leave_the_world_alone() -> None:
    before = np.random.get_state()[1].copy(), random.getstate(), GREY.copy()
    first = render(GREY, PRESETS["rain100h"], (1, 2, 3), distance=100.0)
    second = render(GREY, PRESETS["rain100h"], (1, 2, 3), distance=100.0)
    np.testing.assert_array_equal(first.rainy, second.rainy)
    np.testing.assert_array_equal(first.opacity, second.opacity)
    assert first.record == second.record
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])
    assert random.getstate() == before[1]
    np.testing.assert_array_equal(GREY, before[2])


@pytest.mark.parametrize("other", [(2, 2, 3), (1, 3, 3), (1, 2, 4)])
def test_every_part_of_the_seed_counts(other: tuple[int, ...]) -> None:
    first = render(GREY, STILL, (1, 2, 3)).rainy
    assert np.mean(first != render(GREY, STILL, other).rainy) > 0.1


def test_opencv_threads_change_nothing() -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = render(data.astronaut(), PRESETS["wide"], (5,), distance=80.0).rainy
        cv2.setNumThreads(4)
        four = render(data.astronaut(), PRESETS["wide"], (5,), distance=80.0).rainy
    finally:
        cv2.setNumThreads(threads)
    np.testing.assert_array_equal(one, four)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (3, 200), (200, 3), (97, 131)])
@pytest.mark.parametrize("preset", ["default", "rain100h", "wide"])
def test_any_size(shape: tuple[int, int], preset: str) -> None:
    clean = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    out = render(clean, PRESETS[preset], (0,), distance=50.0)
    assert out.rainy.shape == clean.shape
    assert out.rainy.dtype == np.uint8
    assert out.opacity.shape == shape
    assert out.opacity.dtype == np.float32
    assert out.opacity.min() >= 0
    assert out.opacity.max() <= 1
    assert out.transmission is not None
    assert out.transmission.shape == shape


def test_pictures_that_are_views_are_taken() -> None:
    mirrored = data.astronaut()[:100, 100:0:-1]
    np.testing.assert_array_equal(
        render(mirrored, STILL, (0,)).rainy, render(mirrored.copy(), STILL, (0,)).rainy
    )


def test_the_record_is_json_and_says_what_was_drawn() -> None:
    settings = PRESETS["default"].at_level("heavy")
    record = render(GREY, settings, (7, 8), distance=120.0).record
    assert json.loads(json.dumps(record)) == record
    assert 10 <= record["rate_mm_h"] <= 50
    assert record["seed"] == [7, 8]
    assert record["n_drops"] >= record["n_kept"] > 0
    assert record["settings"]["level"] == "heavy"
    assert record["beta_per_m"] == pytest.approx(physics.extinction(record["rate_mm_h"]))
    repeated = render(GREY, PRESETS["default"].at_rate(record["rate_mm_h"]), (7, 8), distance=120.0)
    np.testing.assert_array_equal(
        repeated.rainy, render(GREY, settings, (7, 8), distance=120.0).rainy
    )


# --- streaks ---


def test_no_gain_no_rain() -> None:
    out = render(data.astronaut(), STILL.changed({"streak_gain": 0.0}), (0,))
    np.testing.assert_array_equal(out.rainy, data.astronaut())
    assert not out.opacity.any()


def test_coverage_grows_with_the_rain_rate_as_a_power_law() -> None:
    rates = np.array([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    wide = np.full((512, 512, 3), 90, np.uint8)
    settings = STILL.changed({"wind_sd_m_s": 1.0, "gust_rad": 0.05})
    coverage = [
        (brighter(render(wide, settings.at_rate(rate), (0,)).rainy) > 8).mean() for rate in rates
    ]
    assert np.all(np.diff(coverage) > 0)
    slope = np.polyfit(np.log(rates[:5]), np.log(coverage[:5]), 1)[0]
    assert slope == pytest.approx(1.26, abs=0.15)


@pytest.mark.parametrize("roll", [-75.0, -35.0, 0.0, 20.0, 44.0, 46.0])
def test_streaks_have_the_direction_asked_for(roll: float) -> None:
    # 44 and 46 degrees lie on both sides of where lines are walked along the other axis.
    out = render(GREY, STILL.changed({"roll_deg": roll}), (3,))
    assert tilt_deg(brighter(out.rainy)) == pytest.approx(roll, abs=2.0)


@pytest.mark.parametrize("wind", [-6.0, -2.0, 2.0, 4.0])
def test_wind_tilts_streaks_by_the_ratio_of_the_speeds(wind: float) -> None:
    out = render(GREY, STILL.changed({"wind_m_s": wind, "smallest_mm": 2.0}), (3,))
    # Few drops are much larger than the smallest: their mean size is 2 + 1/Λ mm.
    size = 2.0 + 1 / physics.size_slope(7.0)
    speed = float(physics.terminal_speed(np.array([size]))[0])
    expected = math.degrees(math.atan2(wind, speed))
    assert tilt_deg(brighter(out.rainy)) == pytest.approx(expected, abs=3.0)


def test_light_on_the_picture_does_not_depend_on_direction() -> None:
    # The sum of optical thickness depends on the number of drops, not on how they fall.
    def total(roll: float) -> float:
        settings = STILL.changed({"roll_deg": roll, "streak_gain": 8.0})
        seeds = range(6)
        return float(np.mean([-np.log1p(-render(GREY, settings, (s,)).opacity) for s in seeds]))

    upright = total(0.0)
    assert total(40.0) == pytest.approx(upright, rel=0.12)
    assert total(90.0) == pytest.approx(upright, rel=0.12)


def test_longer_exposures_draw_longer_fainter_streaks() -> None:
    lengths, peaks = [], []
    for exposure in (1 / 250, 1 / 60, 1 / 30):
        out = render(GREY, STILL.changed({"exposure_s": exposure}), (3,))
        lengths.append(correlation_length(out.opacity))
        peaks.append(float(np.quantile(out.opacity, 0.999)))
    assert lengths[0] < lengths[1] < lengths[2]
    assert peaks[0] > peaks[1] > peaks[2]


def test_a_wide_aperture_blurs_near_drops() -> None:
    def sharpness(settings: RainSettings) -> float:
        residual = render(GREY, settings, (3,), frame_width=1024).opacity
        return float(np.abs(np.diff(residual, axis=1)).mean() / residual.std())

    wide = STILL.changed({"focal_mm": 35.0, "f_number": 1.8, "focus_m": 8.0})
    assert sharpness(wide) < 0.7 * sharpness(STILL)


def test_a_crop_is_rendered_as_a_window_of_its_frame() -> None:
    whole = np.full((320, 480, 3), 90, np.uint8)
    crop = whole[:112, :112]

    def many(picture: np.ndarray, frame: float | None, count: int) -> np.ndarray:
        outs = [render(picture, STILL, (s,), frame_width=frame).opacity for s in range(count)]
        return np.stack(outs)

    expected, window, alone = many(whole, None, 6), many(crop, 480, 48), many(crop, None, 12)
    for measure in (correlation_length, np.mean, np.std):
        assert measure(window) == pytest.approx(measure(expected), rel=0.1)
    # As a picture of its own it shows fewer px of each streak.
    assert correlation_length(alone) < 0.5 * correlation_length(window)


def test_streaks_enter_from_every_side_evenly() -> None:
    # Without a margin around the window, its edges would get fewer streaks than its middle.
    settings = STILL.changed({"wind_m_s": 4.0, "exposure_s": 1 / 30})
    mean = np.mean([render(GREY, settings, (s,)).opacity for s in range(24)], axis=0)
    middle = mean[64:-64, 64:-64].mean()
    for edge in (mean[:16], mean[-16:], mean[:, :16], mean[:, -16:]):
        assert edge.mean() == pytest.approx(middle, rel=0.15)


# --- how streaks meet the scene ---


def test_streaks_that_add_never_darken_and_clip_at_white() -> None:
    clean = data.astronaut()
    out = render(clean, PRESETS["rain100h"], (0,))
    assert np.all(out.rainy >= clean)
    covered = clean + 255.0 * out.opacity[..., None]
    np.testing.assert_allclose(out.rainy, np.minimum(covered, 255), atol=0.51)


def test_streaks_that_cover_move_the_scene_towards_their_colour() -> None:
    clean = data.astronaut()
    out = render(clean, PRESETS["rain100h"].changed({"blend": "alpha", "streak_grey": 180.0}), (0,))
    expected = clean * (1 - out.opacity[..., None]) + 180.0 * out.opacity[..., None]
    np.testing.assert_allclose(out.rainy, expected, atol=0.51)


def test_linear_light_leaves_the_scene_alone_where_there_is_no_rain() -> None:
    clean = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    linear = STILL.changed({"light": "linear", "streak_gain": 0.0})
    np.testing.assert_array_equal(render(clean, linear, (0,)).rainy, clean)


def test_bright_streaks_show_more_in_linear_light() -> None:
    linear = render(GREY, STILL.changed({"light": "linear"}), (0,))
    stored = render(GREY, STILL, (0,))
    np.testing.assert_array_equal(linear.opacity, stored.opacity)
    assert brighter(linear.rainy).mean() > 1.1 * brighter(stored.rainy).mean()


def test_dimming_and_tone_change_the_scene_behind_the_rain_only() -> None:
    clean = data.coffee()
    calm = STILL.changed({"streak_gain": 0.0})
    dim = render(clean, calm.changed({"dim": 0.6}), (0,)).rainy
    np.testing.assert_allclose(dim, 0.6 * clean, atol=0.51)
    toned = render(clean, calm.changed({"gamma": 1.7}), (0,)).rainy
    np.testing.assert_allclose(toned, 255 * (clean / 255) ** 1.7, atol=0.51)
    soaked = render(clean, STILL.changed({"dim": 0.6}), (0,))
    np.testing.assert_array_equal(soaked.opacity, render(clean, STILL, (0,)).opacity)


def test_the_airlight_is_judged_from_the_sky() -> None:
    scene = np.full((120, 160, 3), (40, 60, 30), np.uint8)
    scene[:30] = (200, 210, 220)
    record = render(scene, RainSettings(airlight_jitter=0.0), (0,)).record
    np.testing.assert_allclose(record["airlight"], [180.0, 189.0, 198.0])
    given = render(scene, RainSettings(), (0,), airlight=(1.0, 2.0, 3.0)).record
    assert given["airlight"] == [1.0, 2.0, 3.0]


# --- distance and depth ---


def ranges(depth: np.ndarray, settings: RainSettings) -> np.ndarray:
    """Return distances along the lines of sight of a picture, from the rays of a pinhole camera."""
    height, width = depth.shape
    focal = width / (2 * math.tan(math.radians(settings.fov_deg) / 2))
    y, x = np.mgrid[:height, :width] + 0.5
    rays = np.stack([(x - width / 2) / focal, (y - height / 2) / focal, np.ones_like(x)])
    return np.linalg.norm(rays * depth, axis=0)


def test_the_veil_follows_the_extinction_law() -> None:
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 110, (200, 200, 3), dtype=np.uint8)
    depth = np.repeat(np.linspace(5, 400, 200, dtype=np.float32)[None], 200, axis=0)
    for rate in (2.0, 25.0, 80.0):
        settings = STILL.at_rate(rate).changed({"streak_gain": 0.0})
        out = render(clean, settings, (0,), depth=depth, airlight=(220.0,) * 3)
        beta, distance = physics.extinction(rate), ranges(depth, settings)
        np.testing.assert_allclose(out.transmission, np.exp(-beta * distance), atol=1e-5)
        # Recovered from the picture alone: the slope of -ln t over the distance is β.
        through = (out.rainy - 220.0).sum(axis=(0, 2)) / (clean - 220.0).sum(axis=(0, 2))
        slope, _ = np.polyfit(distance.mean(axis=0), -np.log(through), 1)
        assert slope == pytest.approx(beta, rel=0.03)


def test_the_veil_thickens_with_range_not_depth() -> None:
    through = render(GREY, STILL, (0,), depth=np.full((256, 256), 100, np.float32)).transmission
    assert through is not None
    # A corner of the picture lies f / cos away: at 60 degrees, 1.29 times as far as the middle.
    far = np.log(through[0, 0]) / np.log(through[128, 128])
    assert far == pytest.approx(math.sqrt(1 + 2 * math.tan(math.radians(30)) ** 2), rel=0.01)


def test_fog_gain_multiplies_extinction() -> None:
    thick = render(GREY, STILL.changed({"fog_gain": 2.5}), (0,), distance=300.0).transmission
    thin = render(GREY, STILL, (0,), distance=300.0).transmission
    np.testing.assert_allclose(np.log(thick), 2.5 * np.log(thin), rtol=1e-4)


def test_without_fog_even_infinity_is_clear() -> None:
    clear = render(GREY, STILL.changed({"fog_gain": 0.0}), (0,), distance=math.inf)
    assert clear.transmission is None or (clear.transmission == 1).all()
    assert clear.rainy.mean() > 85


def test_more_drops_than_memory_holds_are_refused() -> None:
    with pytest.raises(UsageError, match=r"far_m 200 are too many.*smaller far_m"):
        render(GREY, PRESETS["default"].at_rate(100.0).changed({"far_m": 200.0}), (1,))


def test_a_flat_scene_is_a_map_of_one_range() -> None:
    flat = render(GREY, STILL, (0,), distance=60.0)
    secant = ranges(np.ones((256, 256)), STILL)
    mapped = render(GREY, STILL, (0,), depth=(60.0 / secant).astype(np.float32))
    np.testing.assert_allclose(flat.transmission, mapped.transmission, rtol=1e-6)
    # The map sums up its slabs one by one, which may move a value across a rounding.
    np.testing.assert_allclose(flat.rainy, mapped.rainy, atol=1)
    np.testing.assert_allclose(flat.opacity, mapped.opacity, atol=1e-5)


def test_no_streaks_behind_a_near_surface() -> None:
    depth = np.full((256, 256), 50.0, np.float32)
    depth[:, :128] = 1.0
    out = render(GREY, STILL.changed({"near_m": 1.5, "far_m": 4.0}), (0,), depth=depth)
    assert not out.opacity[:, :128].any()
    assert out.opacity[:, 128:].any()
    # Nearer rain falls in front of both.
    everywhere = render(GREY, STILL, (0,), depth=depth).opacity
    assert everywhere[:, :128].any()
    assert everywhere[:, 128:].mean() > everywhere[:, :128].mean()


def test_rain_over_a_step_in_depth_is_that_of_each_side_up_to_the_edge() -> None:
    # No halo: what a pixel shows depends on its own depth, not on its neighbours'.
    near, far = np.full((256, 256), 1.0, np.float32), np.full((256, 256), 50.0, np.float32)
    step = np.where(np.arange(256) < 128, near, far)
    far[:, 0] = 1.0  # so that its slabs are added up in the same order
    heavy = STILL.at_rate(25.0)
    sides = [render(GREY, heavy, (0,), depth=depth) for depth in (near, far)]
    edge = render(GREY, heavy, (0,), depth=step)
    np.testing.assert_array_equal(edge.opacity[:, :128], sides[0].opacity[:, :128])
    np.testing.assert_array_equal(edge.opacity[:, 128:], sides[1].opacity[:, 128:])
    np.testing.assert_array_equal(edge.rainy[:, :128], sides[0].rainy[:, :128])
    np.testing.assert_array_equal(edge.rainy[:, 128:], sides[1].rainy[:, 128:])


def test_far_scenes_get_the_same_streaks_as_scenes_without_a_distance() -> None:
    without = render(GREY, STILL, (0,)).opacity
    far = render(GREY, STILL, (0,), distance=1e6).opacity
    np.testing.assert_allclose(far, without, atol=1e-5)


@pytest.mark.parametrize("flat", [True, False])
def test_infinitely_far_is_all_airlight(flat: bool) -> None:
    settings = STILL.changed({"streak_gain": 0.0})
    airlight = (200.0, 210.0, 220.0)
    if flat:
        out = render(GREY, settings, (0,), distance=math.inf, airlight=airlight)
    else:
        sky = np.full((256, 256), np.inf, np.float32)
        out = render(GREY, settings, (0,), depth=sky, airlight=airlight)
    assert np.all(out.rainy == (200, 210, 220))


# --- refusals ---


@pytest.mark.parametrize(
    "clean",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_pictures_of_another_kind_are_refused(clean: np.ndarray) -> None:
    with pytest.raises(ImageError, match="uint8 RGB"):
        render(clean, STILL, (0,))


@pytest.mark.parametrize("seed", [(), (-1,), 5])
def test_bad_seeds_are_refused(seed: object) -> None:
    with pytest.raises(UsageError, match="seed"):
        render(GREY, STILL, seed)  # type: ignore[arg-type]


def test_bad_distances_frames_and_airlights_are_refused() -> None:
    for distance in (-1.0, math.nan):
        with pytest.raises(UsageError, match="distance must be a number of metres"):
            render(GREY, STILL, (0,), distance=distance)
    with pytest.raises(UsageError, match="frame_width"):
        render(GREY, STILL, (0,), frame_width=0)
    with pytest.raises(UsageError, match="airlight"):
        render(GREY, STILL, (0,), airlight=(1.0, 2.0))


def test_bad_depth_maps_are_refused() -> None:
    with pytest.raises(ImageError, match="depth map is"):
        render(GREY, STILL, (0,), depth=np.ones((2, 2), np.float32))
    for bad in (0.0, -1.0, math.nan):
        depth = np.full((256, 256), 5, np.float32)
        depth[3, 4] = bad
        with pytest.raises(ImageError, match="metres above 0"):
            render(GREY, STILL, (0,), depth=depth)
    with pytest.raises(UsageError, match="not both"):
        render(GREY, STILL, (0,), distance=5.0, depth=np.ones((256, 256), np.float32))


def test_a_strip_hardly_wider_than_a_line_holds_no_flood_of_drops() -> None:
    """The focal length follows the width; of a strip that would be millions of near drops."""
    drops = {}
    for width in (1, 15):
        sampled = sample_rain(np.full((300, width, 3), 60, np.uint8), RainSettings(), (1,))
        drops[width] = sampled.drops.x.size
    assert drops[1] < 4 * drops[15]
