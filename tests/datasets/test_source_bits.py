"""Samples of runs that were made with earlier versions: resumed, they must go on as they began."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.images import Picture
from rainkit.training.run_config import AS_BEGUN, as_begun, data_request

FORMER = {
    "rain": "6f6db9c9a678fb29b54640552d8fdfeb2b8c65c7ddf7ab1fe72c354517286126",
    "noise": "df9d9aefa399fc4df67b9a9dac65a656c60a5d34902d5cbd0a60e1363873da6b",
}
"""SHA-256 of the first 50 samples as they were before there were counts, weights, whole pictures,
photometric changes and skipped pictures."""


@pytest.mark.parametrize("degradation", FORMER)
def test_samples_are_what_they_were(tmp_path: Path, degradation: str) -> None:
    """Without JPEG and resizing, whose bits are those of a version of OpenCV."""
    rng = np.random.default_rng(7)
    for place in ("photos/a", "photos/b", "one/target/a", "one/target/b", "two/target/a"):
        rgb = rng.integers(0, 256, (40, 56, 3)).astype(np.uint8)
        images.write(tmp_path / f"{place}.png", Picture(rgb=rgb))
        if "target" in place:
            rainy = Picture(rgb=255 - rgb)
            images.write(tmp_path / f"{place}.png".replace("target", "input"), rainy)
    request = DataRequest(
        clean=(str(tmp_path / "photos"),),
        pairs=(str(tmp_path / "one"), str(tmp_path / "two")),
        clean_share=0.6,
        degradation=degradation,
        rain_free=0.2,
        jpeg=0.0,
        shrink=1.0,
    )
    # What such a run's record lacks is completed when it is resumed.
    recorded = asdict(request)
    for name, value in AS_BEGUN.items():
        for field in value if isinstance(value, Mapping) else ():
            del recorded[name][field]
        if not isinstance(value, Mapping):
            del recorded[name]
    request = data_request(as_begun(recorded), {})
    source = open_sources(request, Training(patch=32, augment="d4"), seed=11)
    digest = hashlib.sha256()
    for k in range(50):
        for picture in source[k]:
            digest.update(picture.numpy().tobytes())
    assert digest.hexdigest() == FORMER[degradation]
