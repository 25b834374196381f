"""The distribution of training rain: shares, ranges and refusals."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from rainkit.errors import UsageError
from rainkit.rain import RainDistribution, RainSettings, physics, render
from rainkit.rain.batched import paint_batch
from rainkit.rain.lines import draw_lines
from rainkit.rain.render import paint, sample_rain

KINDS = ("natural", "sparse", "dense", "soft", "dashes", "near", "flecks")


def only(kind: str, **values: float) -> RainDistribution:
    """One kind of rain, in one layer, sharp and without beads unless ``values`` say so."""
    shares = ("faint", "bright", "defocused", "beaded", "layered", "lines")
    rest = dict.fromkeys((*KINDS, *shares), 0.0)
    return RainDistribution(**rest | {kind: 1.0} | values)


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
    only_natural = draws(only("natural"))
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

    sparse, dense = coverage(only("sparse")), coverage(only("dense"))
    assert dense > 4 * sparse > 0


def test_every_field_is_a_documented_number() -> None:
    for item in dataclasses.fields(RainDistribution):
        assert isinstance(item.default, float)
        assert f"{item.name}:" in (RainDistribution.__doc__ or "")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"natural": -0.1}, "natural"),
        (dict.fromkeys(KINDS, 0.0), "kind"),
        ({"veiled": 1.1}, "veiled"),
        ({"beaded": 1.1}, "beaded"),
        ({"blur_most_px": 0.1}, "blur_most_px"),
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


def test_dashes_are_short_and_near_streaks_thick() -> None:
    """Of a natural kind's streaks, which are long and thin, in a picture 600 px wide."""
    grey = np.full((96, 96, 3), 60, np.uint8)

    def streaks(kind: str) -> tuple[float, float]:
        lengths, widths = [], []
        for k, (settings, _) in enumerate(draws(only(kind), 20)):
            drops = sample_rain(grey, settings, (k,), frame_width=600).drops
            lengths += [*np.hypot(drops.dx, drops.dy)]
            widths += [*drops.sigma]
        return float(np.median(lengths)), float(np.percentile(widths, 90))

    natural, dashes, near = (streaks(kind) for kind in ("natural", "dashes", "near"))
    assert dashes[0] < 0.7 * natural[0]
    assert 2 < dashes[0] < 25
    assert near[1] > 1.5 * natural[1]


def test_flecks_are_round_dense_and_bright() -> None:
    """Drops that a flash froze, in a picture 600 px wide; streaks are far longer than wide."""
    grey = np.full((96, 96, 3), 60, np.uint8)

    def drawn(kind: str) -> tuple[float, float, float]:
        longer, counts, peaks = [], [], []
        for k, (settings, distance) in enumerate(draws(only(kind), 40)):
            rain = sample_rain(grey, settings, (k,), frame_width=600, distance=distance)
            drops = rain.drops
            longer += [*(np.hypot(drops.dx, drops.dy) / (2.355 * drops.sigma))]
            counts.append(len(drops))
            peaks.append(int(paint(grey, rain, (k,)).rainy.max()))
        return float(np.median(longer)), float(np.median(counts)), float(np.median(peaks))

    flecks, natural = drawn("flecks"), drawn("natural")
    assert flecks[0] < 2 < 4 < natural[0]
    assert flecks[1] > 50
    assert flecks[2] > 160


def test_rain_varies_for_a_share_of_seeds_and_is_drawn_alike_by_torch() -> None:
    grey = np.full((96, 96, 3), 60, np.uint8)
    settings, _ = draws(only("sparse"), 1)[0]
    some, beaded, layered = (
        only("sparse", dense=1.0, **changes)
        for changes in ({"beaded": 0.3, "layered": 0.3}, {"beaded": 1.0}, {"layered": 1.0})
    )
    plain = [sample_rain(grey, settings, (k,), frame_width=600) for k in range(40)]
    varied = [some.vary(rain, grey, (k,)) for k, rain in enumerate(plain)]
    again = [some.vary(rain, grey, (k,)) for k, rain in enumerate(plain)]
    same = sum(one is other for one, other in zip(plain, varied, strict=True))
    assert 10 < same < 30
    assert [len(each.drops) for each in varied] == [len(each.drops) for each in again]
    second = [layered.vary(rain, grey, (k,)) for k, rain in enumerate(plain[:8])]
    for rain, both in zip(plain[:8], second, strict=True):
        assert both.drops.n_drops > rain.drops.n_drops
        thicker = paint(grey, both, (0,)).rainy.astype(int) - paint(grey, rain, (0,)).rainy
        assert thicker.min() >= 0
    chains = [beaded.vary(rain, grey, (k,)) for k, rain in enumerate(plain)]
    assert sum(len(each.drops) for each in chains) > 1.5 * sum(len(each.drops) for each in plain)
    pictures = torch.from_numpy(grey).permute(2, 0, 1).expand(16, 3, 96, 96).contiguous()
    drawn = paint_batch(pictures, [*second, *chains[:8]]).permute(0, 2, 3, 1).numpy()
    for picture, rain in zip(drawn, [*second, *chains[:8]], strict=True):
        assert np.abs(picture.astype(int) - paint(grey, rain, (0,)).rainy).max() <= 1


def test_lines_take_the_place_of_streaks() -> None:
    grey = np.full((96, 96, 3), 60, np.uint8)
    settings, _ = draws(only("dense", dimmed=0.0, darkened=0.0, veiled=0.0), 1)[0]
    some, always = (only("dense", lines=share) for share in (0.4, 1.0))
    plain = [sample_rain(grey, settings, (k,), frame_width=600) for k in range(40)]
    varied = [some.vary(rain, grey, (k,)) for k, rain in enumerate(plain)]
    assert 8 < sum(each.cover is not None for each in varied) < 24
    lines = [always.vary(rain, grey, (k,)) for k, rain in enumerate(plain)]
    assert not any(len(each.drops) for each in lines)
    pictures = [paint(grey, rain, (0,)).rainy.astype(int)[..., 0] for rain in lines]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert all(picture.min() >= 60 for picture in pictures), "lines add light"
    assert 0.6 < np.median([(picture > 68).mean() for picture in pictures]) < 0.95
    batch = torch.from_numpy(grey).permute(2, 0, 1).expand(8, 3, 96, 96).contiguous()
    drawn = paint_batch(batch, lines[:8]).numpy()[:, 0]
    for picture, other in zip(pictures, drawn, strict=False):
        assert np.abs(picture - other.astype(int)).max() <= 1


def test_lines_fall_in_the_direction_that_is_asked_for() -> None:
    def change(cover: np.ndarray, axis: int) -> int:
        return int(np.abs(np.diff(cover.astype(int), axis=axis)).sum())

    upright, lying = (
        [draw_lines(160, 160, np.random.default_rng(k), roll_deg=roll) for k in range(6)]
        for roll in (0.0, 90.0)
    )
    for one, other in zip(upright, lying, strict=True):
        assert change(one, 1) > 1.3 * change(one, 0)
        assert change(other, 0) > 1.3 * change(other, 1)
    twice = draw_lines(160, 160, np.random.default_rng(0), roll_deg=0.0, strength=2.0)
    assert twice.mean() > 1.5 * upright[0].mean()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"dense"}))
def test_bright_rain_hides_the_scene_in_few_places(kind: str) -> None:
    grey = np.full((160, 240, 3), 60, np.uint8)

    def hidden(bright: float) -> tuple[float, float]:
        """Mean share of pixels that hardly show the scene, and of those that show nothing else."""
        drawn = draws(only(kind, bright=bright, veiled=0.0, dimmed=0.0, darkened=0.0), 30)
        opacity = [render(grey, rain, (k,)).opacity for k, (rain, _) in enumerate(drawn)]
        return (
            float(np.mean([(each > 0.85).mean() for each in opacity])),
            float(np.mean([(each < 0.03).mean() for each in opacity])),
        )

    (usual, free), (bright, left) = hidden(0.0), hidden(1.0)
    assert bright > max(4 * usual, 0.0015)
    assert left > free + 0.1


def test_dense_rain_is_never_bright() -> None:
    drawn = [rain for rain, _ in draws(only("dense", bright=1.0), 100)]
    assert max(rain.streak_gain for rain in drawn) < 66 * 1.7001
    assert min(rain.rate_mm_h for rain in drawn if rain.rate_mm_h is not None) >= 80


@pytest.mark.parametrize("kind", KINDS)
def test_no_product_of_factors_leaves_the_bounds_of_settings(kind: str) -> None:
    """A rare sample of strong, opaque, blurred rain would end a training after hours."""
    shares = {"bright": 1.0, "defocused": 1.0, "blur_most_px": 8.0, "layered": 1.0, "veiled": 0.5}
    strong = only(kind, **shares, gain_low=5.0, gain_high=500.0)
    drawn = draws(strong, 200)
    if kind != "dense":
        assert any(settings.streak_gain == 2000.0 for settings, _ in drawn), "the bound is met"
    grey = np.full((24, 32, 3), 60, np.uint8)
    for place, (settings, _) in enumerate(drawn[:5]):
        rain = sample_rain(grey, settings, (place,), frame_width=200)
        assert paint(grey, strong.vary(rain, grey, (place,)), (place,)).rainy.shape == grey.shape
