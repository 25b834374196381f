"""Lines of the scene and sensor noise, which both pictures of a sample share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.errors import UsageError
from rainkit.images import Picture

PLAIN = Training(patch=64, augment="none")


@pytest.fixture
def photo(tmp_path: Path) -> str:
    images.write(tmp_path / "a.png", Picture(rgb=np.full((70, 70, 3), 100, np.uint8)))
    return str(tmp_path)


def opened(photo: str, **values):
    common = {"jpeg": 0.0, "scene_lines": 0.0, "sensor_noise": 0.0} | values
    return open_sources(DataRequest(clean=(photo,), **common), PLAIN, seed=2)


def test_lines_stand_in_both_pictures_and_behind_the_rain(photo: str) -> None:
    dry, wet, some = (
        opened(photo, scene_lines=share, rain_free=free)
        for share, free in ((1.0, 1.0), (1.0, 0.0), (0.4, 1.0))
    )
    lined = 0
    for k in range(40):
        rainy, clean = dry[k]
        assert torch.equal(rainy, clean)
        assert torch.equal(wet[k][1], clean), "the same lines, whatever the rain"
        lined += int((some[k][1] != 100).any())
    assert 8 <= lined <= 24
    shares = np.array([float((dry[k][1] != 100).float().mean()) for k in range(60)])
    assert np.mean((shares > 0.002) & (shares < 0.7)) > 0.85
    rains = torch.stack([wet[k][0].int() - wet[k][1].int() for k in range(20)])
    assert (rains != 0).float().mean() > 0.02


def test_noise_is_the_same_in_both_and_falls_on_streaks_too(photo: str) -> None:
    plain, noisy, faint = (
        opened(photo, sensor_noise=share, sensor_sigma=sigma, rain_free=0.0)
        for share, sigma in ((0.0, 6.0), (1.0, 12.0), (1.0, 0.0))
    )
    deviations = []
    for k in range(30):
        rainy, clean = noisy[k]
        noise = clean.int() - plain[k][1].int()
        unclipped = (rainy > 0) & (rainy < 255)
        assert torch.equal(rainy.int()[unclipped], (plain[k][0].int() + noise)[unclipped])
        deviations.append(float(noise.float().std()))
        assert all(map(torch.equal, faint[k], plain[k]))
    assert min(deviations) < 3 < 7 < max(deviations) < 14
    with pytest.raises(UsageError, match=r"data\.sensor_sigma = 300"):
        DataRequest(sensor_sigma=300.0)
