"""Streak textures that fall on clean photographs, and what is refused as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.datasets.sources.mixed import Redrawn, collate
from rainkit.datasets.sources.textures import Textures
from rainkit.errors import ImageError, UsageError
from rainkit.images import Picture
from rainkit.rain import RainDistribution, RainSettings
from rainkit.rain.render import paint, sample_rain

PLAIN = Training(patch=48, augment="none")


@pytest.fixture
def request_for_streaks(tmp_path: Path) -> DataRequest:
    """A grey photograph, and two fields of vertical streaks with bright and faint ones."""
    images.write(tmp_path / "photo" / "a.png", Picture(rgb=np.full((60, 60, 3), 90, np.uint8)))
    for number, level in enumerate((90, 200)):
        field = np.zeros((100, 120, 3), np.uint8)
        field[10:50, 7::16] = field[60:90, 2::16] = level
        images.write(tmp_path / "streaks" / f"{number}.png", Picture(rgb=field))
    kinds = dict.fromkeys(("sparse", "dense", "soft", "dashes", "near", "layered", "darkened"), 0.0)
    return DataRequest(
        rain=RainDistribution(**kinds),
        clean=(str(tmp_path / "photo"),),
        streaks=(str(tmp_path / "streaks"),),
        streak_share=1.0,
        streak_mix=0.0,
        rain_free=0.0,
        jpeg=0.0,
        scene_lines=0.0,
        sensor_noise=0.0,
        shrink=1.0,
    )


def test_textures_fall_in_a_share_and_leave_the_others_as_they_were(
    request_for_streaks: DataRequest,
) -> None:
    without, some, mixed, alone = (
        open_sources(replace(request_for_streaks, **changes), PLAIN, seed=4)
        for changes in (
            {"streaks": ()},
            {"streak_share": 0.5},
            {"streak_mix": 1.0},
            {"rain": replace(request_for_streaks.rain, dimmed=0.0, veiled=0.0)},
        )
    )
    assert "2 streak textures" in some.describe()
    same = [torch.equal(without[k][0], some[k][0]) for k in range(40)]
    assert 10 < sum(same) < 30
    for k in range(8):
        streaks = alone[k][0].int() - alone[k][1].int()
        assert streaks.min() >= 0, "rain adds light"
        assert streaks.max() > 5
        across = streaks.diff(dim=2).abs().sum()
        assert across > 2 * streaks.diff(dim=1).abs().sum(), "it falls"
        both = mixed[k][0].int()
        assert not torch.equal(both, without[k][0].int())
        assert (both >= without[k][0].int() - 1).float().mean() > 0.95
    assert len({alone[k][0].numpy().tobytes() for k in range(8)}) == 8


def test_streaks_that_textures_replace_need_not_be_sampled(
    request_for_streaks: DataRequest,
) -> None:
    textures = Textures(request_for_streaks.streaks, share=0.8, mixed=0.5)
    clean = np.full((40, 50, 3), 90, np.uint8)
    settings = RainSettings(rate_mm_h=100.0, streak_gain=60.0, near_m=0.6, far_m=3.0)
    alone = [textures.fall_alone(seed) for seed in range(40)]
    assert 5 < sum(alone) < 35
    same = []
    for seed in range(40):
        sampled, bare = (sample_rain(clean, settings, (seed,), streaks=s) for s in (True, False))
        painted, cheap = (paint(clean, textures.fall(r, seed), (seed,)) for r in (sampled, bare))
        same.append(np.array_equal(painted.rainy, cheap.rainy))
    assert all(same[seed] for seed in range(40) if alone[seed])
    assert not all(same)


def test_samples_are_the_same_for_any_worker_and_on_the_device(
    request_for_streaks: DataRequest,
) -> None:
    request = replace(request_for_streaks, streak_mix=0.5)
    source = open_sources(request, PLAIN, seed=1)
    here = collate([source[k] for k in range(6)])
    parts = [[0, 1], [2, 3], [4, 5]]
    loader = DataLoader(source, batch_sampler=parts, num_workers=2, collate_fn=collate)
    assert torch.equal(here.first, torch.cat([batch.first for batch in loader]))
    painted = open_sources(replace(request, rain_on="device"), PLAIN, seed=1)
    first, _ = collate([painted[k] for k in range(6)]).on(torch.device("cpu"))
    assert (first.int() - here.first.int()).abs().max() <= 1


def test_what_is_no_field_of_streaks(request_for_streaks: DataRequest, tmp_path: Path) -> None:
    bright = Picture(rgb=np.full((50, 50, 3), 120, np.uint8))
    images.write(tmp_path / "streaks" / "0.png", bright, overwrite=True)
    (tmp_path / "streaks" / "1.png").write_bytes(b"no picture")
    source = open_sources(request_for_streaks, PLAIN, seed=0)
    errors = {str(sample) for k in range(12) if isinstance(sample := source[k], ImageError)}
    assert any("0.png: is not a field of streaks on black" in error for error in errors)
    assert any("1.png" in error for error in errors)
    images.write(tmp_path / "streaks" / "2.png", Picture(rgb=np.zeros((50, 50, 3), np.uint8)))
    skipping = open_sources(replace(request_for_streaks, unreadable="skip"), PLAIN, seed=0)
    assert any(isinstance(skipping[k], Redrawn) for k in range(12))
    for changes, named in (
        ({"streaks": (str(tmp_path / "nowhere"),)}, r"data\.streaks: .*nowhere: no such"),
        ({"streak_share": 1.5}, r"data\.streak_share = 1\.5"),
        ({"degradation": "noise"}, r"data\.streaks = .*: noise has no streaks"),
    ):
        with pytest.raises(UsageError, match=named):
            open_sources(replace(request_for_streaks, **changes), PLAIN, seed=0)
