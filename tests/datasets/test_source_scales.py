"""Flips and turns, random scales before the crop, enlargement and sharpening after the rain."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.errors import UsageError
from rainkit.images import Picture
from rainkit.rain import RainDistribution

PLAIN = Training(patch=48, augment="none")
BARE = {"scene_lines": 0.0, "sensor_noise": 0.0}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pairs")
    clean = np.ascontiguousarray(data.astronaut()[:150, 100:300])
    for side, rgb in {"target": clean, "input": 255 - clean}.items():
        images.write(root / side / "a.png", Picture(rgb=rgb))
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair of the size of the patch, so that nothing but turns and flips can happen to it."""
    root = tmp_path_factory.mktemp("small")
    clean = np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8)
    for side, rgb in {"target": clean, "input": 255 - clean}.items():
        images.write(root / side / "a.png", Picture(rgb=rgb))
    return root


def orientations(small: Path, augment: str) -> set[tuple[int, bool]]:
    """Quarter turns, and whether it is mirrored before them."""
    plain = images.read(small / "target" / "a.png").rgb
    source = open_sources(
        DataRequest(pairs=(str(small),)), Training(patch=48, augment=augment), seed=0
    )
    seen = set()
    for k in range(60):
        rainy, clean = source[k]
        assert torch.equal(255 - rainy, clean)
        picture = clean.permute(1, 2, 0).numpy()
        (found,) = [
            (turns, mirrored)
            for turns in range(4)
            for mirrored in (False, True)
            if np.array_equal(picture, np.rot90(plain[:, ::-1] if mirrored else plain, turns))
        ]
        seen.add(found)
    return seen


def test_rain_never_lies_on_its_side_unless_asked_for(small: Path) -> None:
    assert orientations(small, "none") == {(0, False)}
    flips = {(0, False), (0, True), (2, False), (2, True)}
    assert orientations(small, "flips") == flips
    assert orientations(small, "hflip") == {(0, False), (0, True)}
    assert len(orientations(small, "d4")) == 8
    assert Training().augment == "flips"


def test_pairs_are_shrunk_together_before_the_crop(pairs: Path) -> None:
    def crops(shrink: float) -> list[tuple[np.ndarray, np.ndarray]]:
        request = DataRequest(pairs=(str(pairs),), shrink=shrink)
        source = open_sources(request, PLAIN, seed=1)
        return [tuple(each.permute(1, 2, 0).numpy() for each in source[k]) for k in range(12)]

    plain = images.read(pairs / "target" / "a.png").rgb

    def error_at(crop: np.ndarray, scale: float) -> float:
        size = (round(200 * scale), round(150 * scale))
        smaller = cv2.resize(plain, size, interpolation=cv2.INTER_AREA)
        return float(cv2.matchTemplate(smaller, crop, cv2.TM_SQDIFF).min() / crop.size)

    assert all(error_at(clean, 1.0) < 0.1 for _, clean in crops(1.0))
    scales = np.linspace(0.34, 1.0, 34)
    best = []
    for rainy, clean in crops(0.4):
        assert np.abs(255 - rainy.astype(int) - clean).max() <= 1, "both alike"
        best.append(scales[int(np.argmin([error_at(clean, scale) for scale in scales]))])
    assert min(best) < 0.6
    assert max(best) > 0.8
    assert min(best) >= 0.37


@pytest.mark.parametrize("kind", ["photos", "pairs"])
@pytest.mark.parametrize("crop", [30, 96])
def test_larger_and_smaller_crops_are_resized_to_the_patch(
    tmp_path: Path, kind: str, crop: int
) -> None:
    plain = np.random.default_rng(1).integers(0, 256, (crop + 4, crop + 6, 3)).astype(np.uint8)
    for side, rgb in {"target": plain, "input": 255 - plain}.items():
        images.write(tmp_path / side / "a.png", Picture(rgb=rgb))
    root = str(tmp_path / "target") if kind == "photos" else str(tmp_path)
    folder = {"clean" if kind == "photos" else "pairs": (root,)}
    request = DataRequest(**folder, **BARE, shrink=1.0, rain_free=1.0, jpeg=0.0)
    source = open_sources(request, Training(patch=48, crop=crop, augment="none"), seed=1)
    how = cv2.INTER_AREA if crop > 48 else cv2.INTER_CUBIC
    resized = {
        cv2.resize(
            plain[row : row + crop, column : column + crop], (48, 48), interpolation=how
        ).tobytes(): (row, column)
        for row in range(5)
        for column in range(7)
    }
    places = set()
    for k in range(6):
        rainy, clean = source[k]
        places.add(resized[clean.permute(1, 2, 0).contiguous().numpy().tobytes()])
        expected = clean.int() if kind == "photos" else 255 - clean.int()
        assert (rainy.int() - expected).abs().max() <= 1
    assert len(places) > 2


def test_rain_is_drawn_on_a_resized_crop_as_on_a_smaller_photograph(
    pairs: Path, tmp_path: Path
) -> None:
    """A crop of twice the size gives the scene at half the size, in which streaks are as long."""
    half = cv2.resize(
        images.read(pairs / "target" / "a.png").rgb, (100, 75), interpolation=cv2.INTER_AREA
    )
    grey = [np.full(shape, 90, np.uint8) for shape in ((150, 200, 3), half.shape)]
    rains = []
    for number, (picture, crop) in enumerate(zip(grey, (96, 0), strict=True)):
        images.write(tmp_path / str(number) / "a.png", Picture(rgb=picture))
        request = DataRequest(clean=(str(tmp_path / str(number)),), shrink=1.0, jpeg=0.0)
        source = open_sources(request, Training(patch=48, crop=crop, augment="none"), seed=3)
        rains.append(torch.stack([source[k][0] for k in range(4)]))
    assert rains[0].float().std() > 1
    assert torch.equal(*rains)


def test_small_pairs_are_not_shrunk_below_the_patch(small: Path) -> None:
    plain = images.read(small / "target" / "a.png").rgb
    source = open_sources(DataRequest(pairs=(str(small),), shrink=0.2), PLAIN, seed=0)
    for k in range(5):
        np.testing.assert_array_equal(source[k][1].permute(1, 2, 0).numpy(), plain)


@pytest.mark.parametrize("kind", ["photos", "pairs"])
def test_a_share_of_crops_is_enlarged_and_the_others_stay_as_they_were(
    pairs: Path, kind: str
) -> None:
    folder = {"clean": (str(pairs / "target"),)} if kind == "photos" else {"pairs": (str(pairs),)}
    never, at_times, again, always = (
        open_sources(DataRequest(**folder, **BARE, jpeg=0.0, enlarge=share), PLAIN, seed=2)
        for share in (0.0, 0.4, 0.4, 1.0)
    )
    same, sides = 0, []
    for k in range(60):
        assert torch.equal(at_times[k][0], again[k][0])
        same += all(map(torch.equal, never[k], at_times[k]))
        rainy, clean = always[k]
        assert rainy.shape == clean.shape == (3, 48, 48)
        assert not torch.equal(clean, never[k][1])
        # The middle of the same crop, enlarged.
        middle = never[k][1].permute(1, 2, 0).numpy()
        found = [
            side
            for side in range(20, 45)
            for how in (cv2.INTER_CUBIC, cv2.INTER_LINEAR)
            if np.array_equal(
                clean.permute(1, 2, 0).numpy(),
                cv2.resize(
                    middle[(start := (48 - side) // 2) : start + side, start : start + side],
                    (48, 48),
                    interpolation=how,
                ),
            )
        ]
        assert len(found) == 1
        sides += found
    assert 24 <= same <= 48
    assert min(sides) <= 22
    assert max(sides) >= 41


def test_rain_is_enlarged_with_the_scene_and_compressed_after_it(tmp_path: Path) -> None:
    grey = Picture(rgb=np.full((64, 64, 3), 90, np.uint8))
    images.write(tmp_path / "a.png", grey)
    request = {"clean": (str(tmp_path),), "rain_free": 0.0}

    def roughness(enlarge: float) -> float:
        source = open_sources(DataRequest(**request, jpeg=0.0, enlarge=enlarge), PLAIN, seed=0)
        values = []
        for k in range(40):
            rain = source[k][0].float() - 90
            steps = (rain[:, :, 1:] - rain[:, :, :-1]).abs().mean()
            values.append(float(steps / (rain.abs().mean() + 1)))
        return float(np.mean(values))

    assert roughness(1.0) < 0.8 * roughness(0.0)
    dry = DataRequest(clean=(str(tmp_path),), rain_free=1.0, jpeg=0.0, enlarge=1.0)
    assert torch.equal(*open_sources(dry, PLAIN, seed=0)[0])


def test_compression_follows_enlargement(pairs: Path) -> None:
    request = DataRequest(clean=(str(pairs / "target"),), rain_free=1.0, jpeg=1.0, enlarge=1.0)
    rainy, clean = open_sources(request, PLAIN, seed=0)[0]
    bgr = clean.permute(1, 2, 0).numpy()[..., ::-1]
    coded = {
        cv2.imdecode(
            cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1],
            cv2.IMREAD_COLOR_RGB,
        ).tobytes()
        for quality in range(60, 96)
    }
    assert rainy.permute(1, 2, 0).numpy().tobytes() in coded


def test_a_share_of_samples_is_sharpened_alike_and_the_others_stay_as_they_were(
    pairs: Path,
) -> None:
    request = {"clean": (str(pairs / "target"),), "rain_free": 0.0, "jpeg": 0.0}
    never, at_times, always = (
        open_sources(DataRequest(**request, sharpen=share), PLAIN, seed=2)
        for share in (0.0, 0.4, 1.0)
    )
    same = 0
    for k in range(60):
        same += all(map(torch.equal, never[k], at_times[k]))
        for before, after in zip(never[k], always[k], strict=True):
            assert _steepness(after) > _steepness(before)
    assert 24 <= same <= 48
    dry = DataRequest(**request | {"rain_free": 1.0}, sharpen=1.0)
    assert torch.equal(*open_sources(dry, PLAIN, seed=0)[0])


def _steepness(picture: torch.Tensor) -> float:
    values = picture.float()
    return float((values[:, :, 1:] - values[:, :, :-1]).abs().mean())


def test_sharpened_streaks_have_dark_rims(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", Picture(rgb=np.full((64, 64, 3), 90, np.uint8)))
    request = {"clean": (str(tmp_path),), "rain_free": 0.0, "jpeg": 0.0, **BARE}
    others = dict.fromkeys(("natural", "dense", "soft", "dashes", "near", "flecks", "faint"), 0.0)
    rain = RainDistribution(**others, sparse=1.0, veiled=0, dimmed=0, darkened=0)

    def darkest(sharpen: float) -> list[int]:
        source = open_sources(DataRequest(**request, rain=rain, sharpen=sharpen), PLAIN, seed=0)
        assert all(int(source[k][1].min()) == int(source[k][1].max()) == 90 for k in range(20))
        return [int(source[k][0].min()) for k in range(20)]

    assert min(darkest(0.0)) == 90
    assert np.median(darkest(1.0)) < 88
    assert min(darkest(1.0)) < 60


def test_noise_is_not_enlarged(pairs: Path) -> None:
    request = {"clean": (str(pairs / "target"),), "degradation": "noise"}
    never, always = (
        open_sources(DataRequest(**request, enlarge=share), PLAIN, seed=2) for share in (0.0, 1.0)
    )
    assert all(map(torch.equal, never[3], always[3]))


def test_the_smallest_patch_can_be_enlarged(pairs: Path) -> None:
    request = DataRequest(clean=(str(pairs / "target"),), enlarge=1.0)
    source = open_sources(request, Training(patch=16), seed=0)
    assert {tuple(source[k][0].shape) for k in range(20)} == {(3, 16, 16)}


def test_whole_pictures_are_not_enlarged(pairs: Path) -> None:
    request = DataRequest(pairs=(str(pairs),), enlarge=0.3)
    with pytest.raises(UsageError, match=r"data\.enlarge = 0\.3: whole pictures .*training\.whole"):
        open_sources(request, Training(whole=64), seed=0)
