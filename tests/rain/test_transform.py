"""RainTransform inside albumentations pipelines: seeds, arguments, depth, serialisation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from skimage import data

import rainkit
from rainkit import RainTransform
from rainkit.errors import ImageError, UsageError
from rainkit.rain import PRESETS, RainDistribution, RainSettings, render

CLEAN = np.ascontiguousarray(data.coffee()[:120, 100:260])
HEAVY = RainSettings(rate_mm_h=40.0, light="linear", cuts_m=(0.0, 1.0, 2.0))
RAINS = pytest.mark.parametrize(
    "rain",
    ["rain100l", HEAVY, RainDistribution(veiled=0.5)],
    ids=["preset", "settings", "distribution"],
)


def pipeline(*steps: A.BasicTransform, seed: int = 3, **options) -> A.Compose:
    return A.Compose(steps, seed=seed, **options)


@RAINS
def test_the_seed_of_the_pipeline_is_the_seed_of_the_rain(rain) -> None:
    one, two = (pipeline(RainTransform(rain, p=1.0)) for _ in range(2))
    first = [one(image=CLEAN)["image"] for _ in range(3)]
    for earlier, later in zip(first, (two(image=CLEAN)["image"] for _ in range(3)), strict=True):
        np.testing.assert_array_equal(earlier, later)
    assert not np.array_equal(first[0], first[1]), "every call draws new rain"
    two.set_random_seed(3)
    np.testing.assert_array_equal(two(image=CLEAN)["image"], first[0])
    two.set_random_seed(4)
    assert not np.array_equal(two(image=CLEAN)["image"], first[0])


@pytest.mark.parametrize("options", [{}, {"distance": 150.0}, {"frame_width": 900.0}], ids=str)
def test_it_is_the_rain_of_render(options: dict) -> None:
    transform = RainTransform("misty", p=1.0, **options)
    rainy = pipeline(transform)(image=CLEAN)["image"]
    seed = transform.get_applied_params()["rain_seed"]
    expected = render(CLEAN, PRESETS["misty"], (seed,), **options).rainy
    np.testing.assert_array_equal(rainy, expected)


def test_masks_and_boxes_stay_and_the_picture_given_does_too() -> None:
    mask, before = np.eye(120, 160, dtype=np.uint8), CLEAN.copy()
    boxes = A.BboxParams(format="pascal_voc", label_fields=["labels"])
    rain = pipeline(A.NoOp(), RainTransform(p=1.0), bbox_params=boxes)
    out = rain(image=CLEAN, mask=mask, bboxes=[[1, 2, 30, 40]], labels=[7])
    np.testing.assert_array_equal(out["mask"], mask)
    assert np.allclose(out["bboxes"], [[1, 2, 30, 40]])
    np.testing.assert_array_equal(CLEAN, before)
    assert not np.array_equal(out["image"], CLEAN)


def test_a_share_of_calls_stays_dry() -> None:
    rain = pipeline(RainTransform("rain100h", p=0.5))
    dry = [np.array_equal(rain(image=CLEAN)["image"], CLEAN) for _ in range(30)]
    assert 7 <= sum(dry) <= 23


def test_depth_is_cropped_with_the_picture_and_thickens_the_veil() -> None:
    depth = np.full(CLEAN.shape[:2], 5.0, np.float32)
    depth[:, 80:] = 400.0
    crop, rain = A.Crop(50, 10, 110, 90), RainTransform("misty", depth="z", p=1.0)
    out = pipeline(crop, rain, additional_targets={"z": "mask"})(image=CLEAN, z=depth)
    seed = rain.get_applied_params()["rain_seed"]
    expected = render(CLEAN[10:90, 50:110], PRESETS["misty"], (seed,), depth=depth[10:90, 50:110])
    np.testing.assert_array_equal(out["image"], expected.rainy)
    np.testing.assert_array_equal(out["z"], depth[10:90, 50:110])
    assert expected.transmission is not None
    assert expected.transmission[:, 30:].max() < 0.8 < expected.transmission[:, :30].min()


def test_a_distribution_with_depth_takes_the_veil_from_the_depth() -> None:
    depth = np.full(CLEAN.shape[:2], 300.0, np.float32)
    rain = RainTransform(RainDistribution(veiled=1.0), depth="z", p=1.0)
    pipeline(rain)(image=CLEAN, z=depth)
    assert rain.get_applied_params()["distance"] is None


def test_a_missing_depth_map_is_named() -> None:
    with pytest.raises(ValueError, match="rain_depth"):
        pipeline(RainTransform(depth="rain_depth", p=1.0))(image=CLEAN)


@RAINS
@pytest.mark.parametrize("options", [{}, {"depth": "z"}, {"frame_width": 640.0}], ids=str)
def test_a_pipeline_survives_json(rain, options: dict) -> None:
    original = pipeline(A.HorizontalFlip(), RainTransform(rain, p=0.9, **options))
    written = json.dumps(A.to_dict(original))
    again = A.from_dict(json.loads(written))
    assert json.dumps(A.to_dict(again)) == written
    transform = again.transforms[1]
    assert isinstance(transform, RainTransform)
    assert transform.rain == rain
    assert transform.p == 0.9
    again.set_random_seed(3)
    depth = {"z": np.full(CLEAN.shape[:2], 30.0, np.float32)} if "depth" in options else {}
    for _ in range(2):
        one, other = (p(image=CLEAN, **depth)["image"] for p in (original, again))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rain": "monsoon"}, "there is no preset 'monsoon'; choose default"),
        ({"rain": {"streak_gain": 1.0, "wetness": 2.0}}, "no setting wetness"),
        ({"rain": {"natural": -1.0}}, "natural"),
        ({"rain": RainDistribution(), "distance": 50.0}, "leave out distance"),
        ({"depth": "z", "distance": 50.0}, "not both"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_made(arguments: dict, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        RainTransform(**arguments)


def test_pictures_of_other_types_are_refused() -> None:
    with pytest.raises(ImageError, match="float32"):
        pipeline(RainTransform(p=1.0))(image=CLEAN.astype(np.float32) / 255)


def test_it_is_public_and_importing_it_asks_no_network(tmp_path: Path) -> None:
    """Albumentations is not asked for before the class is, and finds its switch set then."""
    assert "RainTransform" in rainkit.__all__
    stub = "import os\nprint(os.environ['NO_ALBUMENTATIONS_UPDATE'])\nImageOnlyTransform = object\n"
    (tmp_path / "albumentations.py").write_text(stub)
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": path}
    environment.pop("NO_ALBUMENTATIONS_UPDATE", None)
    script = "import rainkit; print('first'); rainkit.RainTransform"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["first", "1"]
