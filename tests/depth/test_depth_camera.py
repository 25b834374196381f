from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rainkit.depth import open_source
from rainkit.errors import DatasetError, UsageError

RAMP = np.tile(np.linspace(2, 90, 24, dtype=np.float32), (16, 1))
GREY = np.full((16, 24, 3), 60, np.uint8)


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), values)


CAMERA = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2000.0}}


def stereo(z: Any) -> Any:
    """Return Cityscapes' disparity of depths, for 0.2 m and 2000 px: in 1/256 px, plus 1."""
    return np.rint(400 / np.asarray(z) * 256 + 1).astype(np.uint16)


def test_cityscapes_disparity_becomes_depth_by_the_camera_beside_it(tmp_path: Path) -> None:
    stored = stereo(RAMP + 10)
    stored[:, 10:12] = 0
    save(tmp_path / "maps" / "street_disparity.png", stored)
    (tmp_path / "maps" / "street_camera.json").write_text(json.dumps(CAMERA))
    depth = open_source(str(tmp_path / "maps")).of(tmp_path / "street_leftImg8bit.png", GREY)
    assert depth is not None
    assert (depth.kind, depth.metric) == ("cityscapes", True)
    assert depth.coverage == 1 - 2 / 24
    assert np.allclose(depth.z[depth.valid], (RAMP + 10)[depth.valid], rtol=2e-3)


def test_cityscapes_folders_of_cameras_are_found_and_a_given_camera_goes_first(
    tmp_path: Path,
) -> None:
    city = tmp_path / "disparity" / "train" / "ulm"
    save(city / "ulm_1_disparity.png", stereo(RAMP + 10))
    camera = tmp_path / "camera" / "train" / "ulm" / "ulm_1_camera.json"
    camera.parent.mkdir(parents=True)
    camera.write_text(json.dumps(CAMERA))
    photo = tmp_path / "leftImg8bit" / "train" / "ulm" / "ulm_1_leftImg8bit.png"
    near = open_source(str(tmp_path / "disparity")).of(photo, GREY)
    double = {"extrinsic": {"baseline": 0.4}, "intrinsic": {"fx": 2000}}
    (tmp_path / "double.json").write_text(json.dumps(double))
    far = open_source(str(tmp_path / "disparity"), camera=tmp_path / "double.json").of(photo, GREY)
    assert near is not None
    assert far is not None
    assert np.allclose(far.z, 2 * near.z)


def test_disparity_without_a_camera_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "maps" / "street_disparity.png", stereo(RAMP))
    with pytest.raises(
        DatasetError, match=r"put street_camera\.json beside it, or add --set depth_camera="
    ):
        open_source(str(tmp_path / "maps")).of(tmp_path / "street.png", GREY)
    with pytest.raises(UsageError, match=r"--set depth_camera=.*no\.json: no such file"):
        open_source("auto", camera=tmp_path / "no.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"extrinsic": {"baseline": -1}, "intrinsic": {"fx": 1}}']
)
def test_a_camera_file_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    save(tmp_path / "maps" / "street.png", stereo(RAMP))
    (tmp_path / "cam.json").write_text(text)
    source = open_source(str(tmp_path / "maps"), form="cityscapes", camera=tmp_path / "cam.json")
    with pytest.raises(DatasetError, match=r"cam\.json: is not a camera file; it needs"):
        source.of(tmp_path / "street.png", GREY)


def test_mismatched_patches_of_disparity_are_unknown(tmp_path: Path) -> None:
    stored = np.full((100, 100), stereo(20.0), np.uint16)
    stored[50:53, 50:53] = stereo(200.0)
    save(tmp_path / "maps" / "street.png", stored)
    (tmp_path / "cam.json").write_text(json.dumps(CAMERA))
    source = open_source(str(tmp_path / "maps"), form="cityscapes", camera=tmp_path / "cam.json")
    depth = source.of(tmp_path / "street.png", np.full((100, 100, 3), 60, np.uint8))
    assert depth is not None
    assert depth.coverage == 1 - 9 / 10_000
    assert np.allclose(depth.z, 20, rtol=1e-3)
