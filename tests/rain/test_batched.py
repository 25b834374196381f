"""Rendering with torch makes the rain of :func:`rainkit.rain.render`, within one level."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from rainkit.errors import ImageError, UsageError
from rainkit.rain import PRESETS, RainDistribution, RainSettings, render
from rainkit.rain.batched import paint_batch, render_batch
from rainkit.rain.render import sample_rain

RAINS = tuple(PRESETS.values())
SCENES = (data.astronaut(), data.coffee(), data.chelsea())


def crops(count: int, height: int, width: int) -> list[np.ndarray]:
    return [np.ascontiguousarray(scene[:height, :width]) for scene in islice(cycle(SCENES), count)]


def stacked(pictures: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()


def assert_twins(
    pictures: list[np.ndarray],
    settings: Sequence[RainSettings],
    most: int = 1,
    mean: float = 0.01,
    **lists,
) -> None:
    """Check that pictures of a batch are those of ``render`` within a level, nearly all exactly."""
    seeds = [(3, number) for number in range(len(pictures))]
    batch = render_batch(stacked(pictures), settings, seeds, **lists)
    assert batch.dtype == torch.uint8
    rainy = batch.permute(0, 2, 3, 1).numpy()
    for number, (picture, rain) in enumerate(zip(pictures, settings, strict=True)):
        own = {name.removesuffix("s"): values[number] for name, values in lists.items()}
        expected = render(picture, rain, seeds[number], **own).rainy
        apart = np.abs(rainy[number].astype(int) - expected)
        assert apart.max() <= most, list(PRESETS)[number % len(PRESETS)]
        assert apart.mean() < mean
        assert not np.array_equal(rainy[number], picture)


@pytest.mark.parametrize("shape", [(97, 131), (160, 64), (1, 40), (33, 1)], ids=str)
def test_every_preset_of_any_size(shape: tuple[int, int]) -> None:
    assert_twins(crops(len(RAINS), *shape), RAINS, distances=[200.0] * len(RAINS))


@pytest.mark.parametrize("blend", ["alpha", "add"])
@pytest.mark.parametrize("light", ["srgb", "linear"])
def test_blends_lights_and_tones(light: str, blend: str) -> None:
    changes = {"light": light, "blend": blend, "dim": 0.7, "gamma": 1.6}
    rains = [rain.changed(changes) for rain in RAINS]
    veils = [None, 60.0] * len(rains)
    assert_twins(crops(len(rains), 90, 120), rains, distances=veils[: len(rains)])


def test_kinds_of_rain_mix_in_a_batch() -> None:
    """Depth maps that hide slabs, flat scenes, open views, both lights and blends, any camera."""
    depth = np.geomspace(0.3, 300.0, 90 * 120).astype(np.float32).reshape(90, 120)
    slabs = RainSettings(rate_mm_h=60.0, cuts_m=(0.0, 0.8, 1.5, 2.5), fog_gain=3.0)
    rains = [slabs, slabs, PRESETS["rain100h"], replace(slabs, light="linear"), PRESETS["wide"]]
    assert_twins(
        crops(5, 90, 120),
        rains,
        depths=[depth, None, None, depth[::-1], None],
        distances=[None, None, 120.0, None, 1.0],
        frame_widths=[None, 400, 800, 120, None],
        airlights=[None, (10.0, 200.0, 90.0), None, None, None],
    )


def test_what_training_draws() -> None:
    rng = np.random.default_rng(0)
    drawn = [RainDistribution(veiled=0.3, dimmed=0.5).draw(rng) for _ in range(24)]
    # A gain of 60, as near streaks may have it, multiplies what float32 rounds.
    assert max(rain.streak_gain for rain, _ in drawn) > 50
    assert_twins(
        crops(24, 64, 64),
        [rain for rain, _ in drawn],
        most=2,
        mean=0.02,
        distances=[distance for _, distance in drawn],
        frame_widths=[500] * 24,
    )


def test_thick_rain_neither_overflows_nor_tires_of_blur() -> None:
    """Streaks wider than the picture and far thicker than opaque."""
    near = RainSettings(rate_mm_h=300.0, streak_gain=2000.0, near_m=0.05, far_m=0.4)
    blurred = RainSettings(rate_mm_h=100.0, focal_mm=100.0, f_number=1.0, focus_m=40.0)
    level = RainSettings(rate_mm_h=None, level="violent", roll_deg=-85.0, psf_px=4.0)
    assert_twins(crops(3, 48, 80), [near, blurred, level])


def test_chunks_change_nothing(monkeypatch) -> None:
    pictures = stacked(crops(3, 80, 80))
    arguments = (pictures, [PRESETS["rain100h"]] * 3, [(1,), (2,), (3,)])
    whole = render_batch(*arguments)
    monkeypatch.setattr("rainkit.rain.batched._CHUNK", 500)
    assert torch.equal(render_batch(*arguments), whole)


def test_no_drops_at_all_leave_the_picture() -> None:
    faint = RainSettings(rate_mm_h=0.01, streak_gain=0.0)
    pictures = stacked(crops(2, 30, 40))
    assert torch.equal(render_batch(pictures, [faint] * 2, [(0,), (1,)]), pictures)


def test_batches_are_pure_and_independent_of_their_neighbours() -> None:
    pictures = stacked(crops(3, 60, 70))
    before = pictures.clone()
    seeds = [(4,), (5,), (6,)]
    rains = [PRESETS["wide"], PRESETS["default"], PRESETS["rain100l"]]
    together = render_batch(pictures, rains, seeds)
    assert torch.equal(pictures, before)
    assert torch.equal(render_batch(pictures, rains, seeds), together)
    for number in range(3):
        of = slice(number, number + 1)
        assert torch.equal(render_batch(pictures[of], rains[of], seeds[of])[0], together[number])
    turned = render_batch(pictures.contiguous(memory_format=torch.channels_last), rains, seeds)
    assert torch.equal(turned, together)


def test_a_shower_survives_the_way_between_processes() -> None:
    picture = crops(1, 50, 60)[0]
    rain = sample_rain(picture, PRESETS["misty"], (9,), distance=90.0)
    sent = pickle.loads(pickle.dumps(rain))  # noqa: S301 - its own bytes
    first, second = (paint_batch(stacked([picture]), [each]) for each in (rain, sent))
    assert torch.equal(first, second)
    expected = render(picture, PRESETS["misty"], (9,), distance=90.0).rainy
    assert np.abs(first[0].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        torch.zeros(1, 3, 8, 8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 8, 8, 3, dtype=torch.uint8),
        torch.zeros(0, 3, 8, 8, dtype=torch.uint8),
    ],
    ids=lambda tensor: f"{tensor.dtype} {list(tensor.shape)}",
)
def test_other_tensors_are_refused(wrong: Tensor) -> None:
    with pytest.raises(ImageError, match=r"\[batch, 3, height, width\]"):
        render_batch(wrong, [RAINS[0]] * len(wrong), [(0,)] * len(wrong))


@pytest.mark.parametrize(
    ("name", "value"), [("settings", [RAINS[0]]), ("seeds", [(1,)] * 3), ("distances", [])]
)
def test_lists_of_another_length_are_refused(name: str, value: list) -> None:
    arguments = {"settings": [RAINS[0]] * 2, "seeds": [(0,), (1,)]} | {name: value}
    with pytest.raises(UsageError, match=f"{len(value)} {name} for a batch of 2"):
        render_batch(stacked(crops(2, 20, 20)), **arguments)


def test_what_render_refuses_is_refused() -> None:
    pictures = stacked(crops(1, 20, 20))
    with pytest.raises(UsageError, match="seed"):
        render_batch(pictures, [RAINS[0]], [(-1,)])
    with pytest.raises(ImageError, match="depth"):
        render_batch(pictures, [RAINS[0]], [(1,)], depths=[np.ones((5, 5), np.float32)])


def test_showers_of_another_size_are_refused() -> None:
    rain = sample_rain(crops(1, 20, 30)[0], RAINS[0], (0,))
    with pytest.raises(ImageError, match="does not fit"):
        paint_batch(stacked(crops(1, 30, 20)), [rain])
    with pytest.raises(ImageError, match="does not fit"):
        paint_batch(stacked(crops(2, 20, 30)), [rain])
