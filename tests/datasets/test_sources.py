"""Training samples: pure functions of (seed, number), whatever asks for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from rainkit import images
from rainkit.api import Training
from rainkit.datasets.sources import DataRequest, open_sources
from rainkit.datasets.sources.augmentation import Augmentation
from rainkit.datasets.sources.mixed import Batch, collate
from rainkit.errors import DatasetError, PairingError, UsageError
from rainkit.images import Picture
from rainkit.rain.noise import Noise

TRAINING = Training(patch=48)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("astronaut", "coffee"):
        rgb = np.ascontiguousarray(getattr(data, name)()[:160, :200])
        images.write(folder / f"{name}.png", Picture(rgb=rgb), overwrite=False)
    return folder


def test_a_sample_depends_on_seed_and_number_alone(photos: Path) -> None:
    request = DataRequest(clean=(str(photos),))
    first, second = (open_sources(request, TRAINING, seed=3) for _ in range(2))
    rainy, clean = first[17]
    first[2]  # what was asked before does not matter
    assert torch.equal(second[17][0], rainy)
    assert torch.equal(second[17][1], clean)
    assert not torch.equal(open_sources(request, TRAINING, seed=4)[17][0], rainy)
    assert rainy.shape == clean.shape == (3, 48, 48)
    assert rainy.dtype == torch.uint8


def test_most_samples_are_rainy_and_the_stated_share_is_not(photos: Path) -> None:
    request = DataRequest(clean=(str(photos),), rain_free=0.5, jpeg=0.0)
    source = open_sources(request, TRAINING, seed=0)
    dry = [torch.equal(*source[k]) for k in range(60)]
    assert 15 <= sum(dry) <= 45


def test_jpeg_touches_the_rainy_picture_only(photos: Path) -> None:
    request = DataRequest(clean=(str(photos),), rain_free=1.0, jpeg=1.0)
    rainy, clean = open_sources(request, TRAINING, seed=0)[0]
    assert 0 < (rainy.int() - clean.int()).abs().float().mean() < 12


def test_pairs_are_cropped_and_turned_together(tmp_path: Path) -> None:
    clean = data.astronaut()[:90, :120]
    for folder, rgb in {"input": 255 - clean, "target": clean}.items():
        images.write(tmp_path / folder / "a.png", Picture(rgb=rgb), overwrite=False)
    request = DataRequest(pairs=(str(tmp_path),), shrink=1.0)
    source = open_sources(request, TRAINING, seed=0)
    crops = [source[k] for k in range(4)]
    assert all(torch.equal(255 - rainy, clean) for rainy, clean in crops)
    assert not torch.equal(crops[0][1], crops[1][1])


@pytest.mark.parametrize(("crop", "patch"), [(32, 32), (48, 32), (24, 32)])
def test_crops_are_those_of_albumentations(crop: int, patch: int) -> None:
    """Runs began with it, and go on with the same samples."""
    import albumentations as A

    how = cv2.INTER_AREA if crop > patch else cv2.INTER_CUBIC
    pad = A.PadIfNeeded(crop, crop, border_mode=cv2.BORDER_REFLECT_101)
    resize = A.Resize(patch, patch, interpolation=how)
    theirs = A.Compose([pad, A.RandomCrop(crop, crop), resize], additional_targets={"b": "image"})
    ours = Augmentation(Training(patch=patch, crop=crop, augment="none"))
    rng = np.random.default_rng(0)
    for seed, size in enumerate([(40, 57), (57, 40), (crop, crop), (21, 70), (9, 13)]):
        one, other = rng.integers(0, 256, (2, *size, 3)).astype(np.uint8)
        theirs.set_random_seed(seed)
        expected = theirs(image=one, b=other)
        given = ours(one, other, seed)
        np.testing.assert_array_equal(given[0], expected["image"])
        np.testing.assert_array_equal(given[1], expected["b"])
        np.testing.assert_array_equal(ours(one, one, seed)[1], given[0])


def test_pictures_smaller_than_the_patch_are_extended(tmp_path: Path) -> None:
    images.write(tmp_path / "a.png", Picture(rgb=data.coffee()[:20, :30]), overwrite=False)
    rainy, _ = open_sources(DataRequest(clean=(str(tmp_path),)), TRAINING, seed=0)[0]
    assert rainy.shape == (3, 48, 48)


def test_shares_between_sources_are_kept(photos: Path, tmp_path: Path) -> None:
    grey = np.full((60, 60, 3), 7, np.uint8)
    for folder in ("input", "target"):
        images.write(tmp_path / folder / "a.png", Picture(rgb=grey), overwrite=False)
    request = DataRequest(clean=(str(photos),), pairs=(str(tmp_path),), clean_share=0.75)
    source = open_sources(request, TRAINING, seed=0)
    from_pairs = sum(bool((source[k][1] == 7).all()) for k in range(80))
    assert 8 <= from_pairs <= 34


def test_pairs_of_different_sizes_are_named(tmp_path: Path) -> None:
    for folder, side in {"input": 60, "target": 70}.items():
        rgb = np.zeros((side, 60, 3), np.uint8)
        images.write(tmp_path / folder / "a.png", Picture(rgb=rgb), overwrite=False)
    with pytest.raises(PairingError, match=r"input/a\.png 60x60 against .*target/a\.png 60x70"):
        open_sources(DataRequest(pairs=(str(tmp_path),)), TRAINING, seed=0)
    cut = DataRequest(pairs=(str(tmp_path),), crop_to_common=True)
    source = open_sources(cut, TRAINING, seed=0)
    assert "1 pair of two sizes was cut" in source.describe()
    assert not isinstance(source[0], DatasetError)


def test_test_pictures_of_a_split_dataset_are_not_trained_on(tmp_path: Path) -> None:
    for split, grey in (("train", 1), ("test", 2)):
        for folder in ("input", "target"):
            rgb = np.full((TRAINING.patch, TRAINING.patch, 3), grey, np.uint8)
            images.write(tmp_path / split / folder / "a.png", Picture(rgb=rgb))
    source = open_sources(DataRequest(pairs=(str(tmp_path),)), TRAINING, seed=0)
    assert all(bool((source[k][1] == 1).all()) for k in range(8))


def test_the_device_paints_the_rain_that_workers_would(photos: Path, tmp_path: Path) -> None:
    """Sample for sample, a level apart at most, with dry samples and stored pairs in between."""
    for folder in ("input", "target"):
        rgb = Picture(rgb=data.chelsea()[:80, :80])
        images.write(tmp_path / folder / "a.png", rgb, overwrite=False)
    common = {"clean": (str(photos),), "pairs": (str(tmp_path),), "clean_share": 0.7}
    request = DataRequest(**common, rain_free=0.2, jpeg=0.0, sensor_noise=0.0)
    workers = open_sources(request, TRAINING, seed=7)
    device = open_sources(replace(request, rain_on="device"), TRAINING, seed=7)
    expected = collate([workers[k] for k in range(40)])
    batch = collate([device[k] for k in range(40)])
    assert isinstance(expected, Batch)
    assert isinstance(batch, Batch)
    assert not expected.rains
    painted = sum(rain is not None for rain in batch.rains)
    assert 10 <= painted <= 35, "pairs and dry samples need no painting"
    first, second = batch.on(torch.device("cpu"))
    assert torch.equal(second, expected.second)
    apart = (first.int() - expected.first.int()).abs()
    assert apart.max() <= 1
    assert apart.float().mean() < 0.01
    wet = (expected.first != expected.second).flatten(1).any(1)
    assert painted - 3 <= wet.sum() <= painted


def test_rain_for_the_device_depends_on_seed_and_number_alone(photos: Path) -> None:
    request = DataRequest(clean=(str(photos),), rain_on="device", rain_free=0.0, jpeg=0.0)
    first, second = (open_sources(request, TRAINING, seed=3) for _ in range(2))
    cpu = torch.device("cpu")
    together = collate([first[k] for k in (4, 17, 9)]).on(cpu)
    alone = collate([second[17]]).on(cpu)
    assert torch.equal(together[0][1], alone[0][0])
    assert torch.equal(together[1][1], alone[1][0])
    other = collate([open_sources(request, TRAINING, seed=4)[17]]).on(cpu)
    assert not torch.equal(other[0], alone[0])


def test_the_first_error_of_a_batch_is_the_batch(photos: Path) -> None:
    source = open_sources(DataRequest(clean=(str(photos),)), TRAINING, seed=0)
    errors = [DatasetError("one"), DatasetError("two")]
    assert collate([source[0], *errors]) is errors[0]


def test_noise_is_as_strong_as_asked_and_a_share_is_spared(photos: Path) -> None:
    noise = Noise(sigma_low=30.0, sigma_high=30.0)
    request = DataRequest(
        clean=(str(photos),), degradation="noise", noise=noise, rain_free=0.3, jpeg=1.0
    )
    source, again = (open_sources(request, TRAINING, seed=1) for _ in range(2))
    spared = 0
    for k in range(30):
        noisy, clean = source[k]
        assert torch.equal(noisy, again[k][0])
        if torch.equal(noisy, clean):
            spared += 1
            continue
        inside = (clean > 110) & (clean < 145)  # where hardly anything is clipped
        if inside.sum() > 500:
            assert (noisy.float() - clean.float())[inside].std() == pytest.approx(30, rel=0.1)
    assert 3 <= spared <= 15
    assert "noise on the fly" in source.describe()


def test_strengths_of_noise_vary_from_sample_to_sample(photos: Path) -> None:
    request = DataRequest(clean=(str(photos),), degradation="noise", rain_free=0.0)
    source = open_sources(request, TRAINING, seed=1)
    strengths = [
        (noisy.float() - clean.float()).std() for noisy, clean in map(source.__getitem__, range(20))
    ]
    assert min(strengths) < 25
    assert max(strengths) > 40


def test_unknown_values_are_refused() -> None:
    with pytest.raises(UsageError, match=r"data\.degradation = fog: choose rain or noise"):
        DataRequest(degradation="fog")
    with pytest.raises(UsageError, match=r"data\.rain_on = gpu: choose workers or device"):
        DataRequest(rain_on="gpu")
    with pytest.raises(
        UsageError, match=r"data\.jpeg = 0\.3: .*set data\.jpeg = 0 or data\.rain_on"
    ):
        DataRequest(rain_on="device")
    with pytest.raises(UsageError, match=r"data\.enlarge = 0\.2: only workers enlarge"):
        DataRequest(rain_on="device", jpeg=0.0, enlarge=0.2)
    with pytest.raises(UsageError, match=r"data\.sharpen = 0\.2: only workers sharpen"):
        DataRequest(rain_on="device", jpeg=0.0, sharpen=0.2)


@pytest.mark.parametrize(
    "field", ["jpeg", "rain_free", "clean_share", "shrink", "enlarge", "sharpen"]
)
def test_shares_have_bounds(field: str) -> None:
    with pytest.raises(UsageError, match=f"data.{field}"):
        DataRequest(**{field: 1.5})
    with pytest.raises(UsageError, match=f"data.{field}"):
        DataRequest(**{field: -0.1})


def test_an_empty_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_sources(DataRequest(clean=(str(tmp_path),)), TRAINING, seed=0)
