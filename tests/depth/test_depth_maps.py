from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rainkit.depth import FORMATS, DepthMap, decode, encode, open_source
from rainkit.errors import DatasetError, ImageError, UsageError

RAMP = np.tile(np.linspace(2, 90, 24, dtype=np.float32), (16, 1))
"""Depth in metres, [16, 24], the same in every row."""

GREY = np.full((16, 24, 3), 60, np.uint8)
"""A photograph in which no pixel looks like sky."""


def kitti(z: Any) -> Any:
    return np.rint(np.asarray(z) * 256).astype(np.uint16)


def save(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, depth=values)
    elif path.suffix == ".pfm":
        order = "<f4" if values.flags.c_contiguous else ">f4"
        head = f"Pf\n{values.shape[1]} {values.shape[0]}\n{-1.0 if order == '<f4' else 1.0}\n"
        path.write_bytes(head.encode() + values[::-1].astype(order).tobytes())
    elif path.suffix == ".exr":
        import OpenEXR

        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, {"Z": np.ascontiguousarray(values)}).write(str(path))
    else:
        assert cv2.imwrite(str(path), values)
    return path


def read(folder: Path, suffix: str, values: Any, clean: Any = GREY, **options: Any) -> DepthMap:
    save(folder / "maps" / f"street{suffix}", values)
    depth = open_source(str(folder / "maps"), **options).of(folder / "street.jpg", clean)
    assert depth is not None
    assert depth.z.dtype == np.float32
    assert depth.z.shape == depth.valid.shape == clean.shape[:2]
    assert np.all((depth.z > 0) & (depth.z <= 500))
    return depth


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pfm", ".tif", ".TIFF", ".exr"])
def test_floats_are_metres(tmp_path: Path, suffix: str) -> None:
    tilted = RAMP + np.arange(16, dtype=np.float32)[:, None]  # shows the order of rows
    depth = read(tmp_path, suffix, tilted)
    assert np.array_equal(depth.z, tilted)
    assert (depth.kind, depth.metric, depth.source, depth.coverage) == ("metres", True, "map", 1)
    assert depth.file == tmp_path / "maps" / f"street{suffix}"
    assert depth.fog_scale == 1


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<f2"])
def test_floats_of_other_widths_and_byte_orders_are_read(tmp_path: Path, dtype: str) -> None:
    assert np.allclose(read(tmp_path, ".npy", RAMP.astype(dtype)).z, RAMP, rtol=1e-3)


def test_big_endian_float_maps_are_read(tmp_path: Path) -> None:
    assert np.array_equal(read(tmp_path, ".pfm", np.asfortranarray(RAMP)).z, RAMP)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
@pytest.mark.parametrize(("form", "unit"), [("kitti", 256), ("nyu", 1000), ("mm", 1000)])
def test_16_bit_maps_have_the_unit_that_is_asked_for(
    tmp_path: Path, suffix: str, form: str, unit: int
) -> None:
    stored = np.rint(RAMP / 4 * unit).astype(np.uint16)
    depth = read(tmp_path, suffix, stored, form=form)
    assert np.allclose(depth.z, stored / unit, rtol=1e-6)
    assert (depth.kind, depth.metric) == (form, True)


def test_the_unit_of_16_bit_maps_is_guessed_and_the_guess_reported(tmp_path: Path) -> None:
    room = np.rint(RAMP / 10 * 1000).astype(np.uint16)
    assert read(tmp_path, ".png", room).kind == "mm (guessed)"
    assert read(tmp_path, ".png", kitti(RAMP)).kind == "kitti (guessed)"
    sparse = kitti(RAMP / 2)  # a laser reaches less far and hits few pixels
    sparse[:, ::2] = 0
    sparse[0] = 0
    assert read(tmp_path, ".png", sparse).kind == "kitti (guessed)"


def test_what_is_unknown_is_as_far_as_the_nearest_pixel_and_counted(tmp_path: Path) -> None:
    holes = RAMP.copy()
    holes[:, :6] = 3
    holes[:, 6:] = 40
    holes[2:5, 4:6] = [np.nan, -1]
    holes[2:5, 6:8] = [0, np.inf]
    holes[9, 20] = -np.inf
    depth = read(tmp_path, ".npy", holes)
    assert depth.coverage == 1 - 13 / holes.size
    assert not depth.valid[2:5, 4:8].any()
    # There are no intermediate depths.
    assert np.array_equal(depth.z, np.repeat([[3, 40]], 16, 0).repeat([6, 18], 1))


@pytest.mark.parametrize("nothing", [np.nan, 0, np.inf, -2])
def test_a_map_without_a_valid_pixel_is_refused(tmp_path: Path, nothing: float) -> None:
    with pytest.raises(DatasetError, match=r"street\.npy: holds no depth.*leave it out"):
        read(tmp_path, ".npy", np.full_like(RAMP, nothing))


def test_unknown_sky_is_far_and_what_stands_before_it_is_not(tmp_path: Path) -> None:
    photo = np.full((64, 96, 3), 70, np.uint8)
    photo[:30] = [150, 190, 240]
    photo[10:30, 40:60] = [40, 60, 30]  # a tree, above the reach of the laser
    z = np.full((64, 96), 20, np.float32)
    z[:28] = np.nan
    z[:28, 80:] = 90  # a wall that looks like sky
    depth = read(tmp_path, ".npy", z, photo)
    assert np.all(depth.z[:26, :36] == 500)
    assert np.all(depth.z[:28, 80:] == 90)
    assert np.all(depth.z[14:, 44:56] == 20)
    assert depth.coverage == pytest.approx(1 - (28 * 80) / (64 * 96))


def test_areas_of_infinity_are_sky_and_specks_of_it_are_holes(tmp_path: Path) -> None:
    z = np.full((16, 24), 20, np.float32)
    z[:6, :12] = np.inf
    z[10, 10] = np.inf
    depth = read(tmp_path, ".npy", z)
    assert np.array_equal(depth.z == 500, np.isinf(z) & (np.arange(16)[:, None] < 6))
    assert depth.z[10, 10] == 20


def test_another_size_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"street\.npy: is 24x16, but its photograph is 24x17"):
        read(tmp_path, ".npy", RAMP, clean=np.zeros((17, 24, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_8_bits_without_a_unit_are_refused_with_the_choices(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(
        DatasetError, match=r"8-bit.*--set depth_format=relative .*disparity"
    ) as caught:
        read(tmp_path, suffix, RAMP.astype(np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["kitti", "nyu", "mm", "cityscapes"])
def test_formats_of_16_bits_refuse_others(tmp_path: Path, form: str) -> None:
    with pytest.raises(DatasetError, match=f"holds uint8; depth_format {form} is for uint16"):
        read(tmp_path, ".png", RAMP.astype(np.uint8), form=form)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_relative_and_disparity_order_a_scene_from_3_to_150_m(tmp_path: Path, dtype: str) -> None:
    values = np.tile(np.linspace(0, 200, 24), (16, 1)).astype(dtype)
    values[3, 23] = 250  # an outlier
    farther = read(tmp_path, ".npy", values, form="relative")
    nearer = read(tmp_path, ".npy", values, form="disparity")
    for depth in (farther, nearer):
        assert not depth.metric
        assert depth.z.min() == pytest.approx(3)
        assert depth.z.max() == pytest.approx(150)
        assert depth.coverage == 1  # 0 is the end of the range
    assert farther.z[0, 23] == pytest.approx(150)
    assert np.all(np.diff(farther.z[0]) >= 0)
    assert np.all(np.diff(nearer.z[0]) <= 0)
    # 1/z = x (1/3 - 1/150) + 1/150, where x is the share of the way from 1 to 99 %.
    low, high = np.percentile(values.astype(float), (1, 99))
    share = (float(values[0, 12]) - low) / (high - low)
    assert nearer.z[0, 12] == pytest.approx(1 / (share * (1 / 3 - 1 / 150) + 1 / 150), rel=1e-5)


def test_relative_depth_has_holes_too_and_must_vary(tmp_path: Path) -> None:
    holes = RAMP.copy()
    holes[3, 4] = np.nan
    depth = read(tmp_path, ".npy", holes, form="disparity")
    assert depth.coverage == 1 - 1 / holes.size
    assert depth.z[3, 4] in depth.z[2:5, 3:6][depth.valid[2:5, 3:6]]
    for values, message in (
        (np.ones_like(RAMP), "the same value everywhere"),
        (RAMP * np.nan, "holds no"),
    ):
        with pytest.raises(DatasetError, match=message):
            read(tmp_path, ".npy", values, form="relative")


def test_floats_that_cannot_be_metres_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="median of 46000, too far for metres"):
        read(tmp_path, ".npy", RAMP * 1000)


@pytest.mark.parametrize("values", [RAMP.astype(np.int32), RAMP > 9, RAMP.astype(complex)])
def test_other_types_are_refused(tmp_path: Path, values: Any) -> None:
    with pytest.raises(DatasetError, match=f"holds {values.dtype}; save it as uint16 or float32"):
        read(tmp_path, ".npy", values)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_three_channels_are_refused_unless_they_are_equal(tmp_path: Path, suffix: str) -> None:
    stored = np.dstack([kitti(RAMP)] * 3)
    assert np.allclose(read(tmp_path, suffix, stored).z, RAMP, atol=1 / 256)
    stored[3, 4, 1] += 1
    with pytest.raises(DatasetError, match="3 channels that differ"):
        read(tmp_path, suffix, stored)


def test_one_channel_with_an_axis_of_its_own_is_read_and_stacks_are_refused(tmp_path: Path) -> None:
    assert np.array_equal(read(tmp_path, ".npy", RAMP[..., None]).z, RAMP)
    for shape in ((24,), (0, 24), (1, 16, 24, 1)):
        with pytest.raises(DatasetError, match=r"not \[height, width\]"):
            read(tmp_path, ".npy", np.ones(shape, np.float32))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy", ".npz", ".pfm", ".exr"])
@pytest.mark.parametrize("damage", ["empty", "noise", "cut"])
def test_damaged_files_are_refused_by_name(tmp_path: Path, suffix: str, damage: str) -> None:
    path = save(tmp_path / "maps" / f"street{suffix}", RAMP if suffix != ".png" else kitti(RAMP))
    whole = path.read_bytes()
    path.write_bytes(
        {"empty": b"", "noise": b"xyz" * 40, "cut": whole[: len(whole) * 2 // 3]}[damage]
    )
    source = open_source(str(tmp_path / "maps"))
    with pytest.raises((DatasetError, ImageError), match=f"street{suffix}: ") as caught:
        source.of(tmp_path / "street.jpg", GREY)
    assert "\n" not in str(caught.value)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (open, (str(tmp_path / "sprung"), "w"))

    for suffix in (".npy", ".npz"):
        save(tmp_path / "maps" / f"street{suffix}", np.array([Trap()], object))
        with pytest.raises(DatasetError, match="is damaged"):
            open_source(str(tmp_path / "maps")).of(tmp_path / "street.jpg", GREY)
        (tmp_path / "maps" / f"street{suffix}").unlink()
    assert not (tmp_path / "sprung").exists()


def test_an_archive_without_depth_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "maps").mkdir()
    np.savez(tmp_path / "maps" / "street.npz", left=RAMP, right=RAMP)
    with pytest.raises(DatasetError, match="holds left, right; name the array 'depth'"):
        open_source(str(tmp_path / "maps")).of(tmp_path / "street.jpg", GREY)


def test_openexr_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "maps" / "street.exr", RAMP)
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "OpenEXR":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="pip install OpenEXR"):
        open_source(str(tmp_path / "maps")).of(tmp_path / "street.jpg", GREY)


@pytest.mark.parametrize("suffix", [".npy", ".png"])
def test_a_map_called_disparity_is_never_read_as_depth(tmp_path: Path, suffix: str) -> None:
    values = RAMP if suffix == ".npy" else RAMP.astype(np.uint8)
    save(tmp_path / "disparity" / f"street{suffix}", values)
    with pytest.raises(DatasetError, match="is a disparity map, which has no unit"):
        open_source("auto").of(tmp_path / "street.jpg", GREY)


def test_encoding_keeps_a_256th_of_a_metre_and_the_sky() -> None:
    z = np.array([[1e-4, 1 / 256, 1, 149.123, 255.99, 256, 300, 500]], np.float32)
    stored = encode(z)
    assert stored.dtype == np.uint16
    assert stored.min() == 1
    back = decode(stored)
    assert back.dtype == np.float32
    assert np.allclose(back[0, 1:5], z[0, 1:5], atol=1 / 512)
    assert back[0, 5:].tolist() == [500, 500, 500]
    assert np.array_equal(encode(back), stored)


def test_maps_that_rainkit_stored_keep_their_sky(tmp_path: Path) -> None:
    z = np.where(RAMP > 80, np.float32(500), RAMP)
    depth = read(tmp_path, ".png", encode(z), form="kitti")
    assert np.array_equal(depth.z, decode(encode(z)))


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    for wrong, message in (
        (
            {"form": "feet"},
            "--set depth_format=feet: is not a known format; choose from metres, kitti",
        ),
        ({"device": "tpu"}, "--device tpu"),
    ):
        with pytest.raises(UsageError, match=message):
            open_source(str(tmp_path) if "form" in wrong else "some/network", **wrong)
    for form in FORMATS:
        with pytest.raises(UsageError, match="--set depth_format: is for depth maps"):
            open_source("none", form=form)


def test_depth_without_a_unit_is_refused_with_the_flag(tmp_path: Path) -> None:
    nearness = (1 / RAMP) / (1 / RAMP).max()
    midas = nearness[..., None].repeat(3, 2)
    for values, what in ((midas, "3 equal channels of floats"), (nearness, "floats up to 1")):
        with pytest.raises(DatasetError, match=rf"street\.npy: holds {what}, which may be metres"):
            read(tmp_path, ".npy", values)
    assert not read(tmp_path, ".npy", midas, form="disparity").metric
    assert read(tmp_path, ".npy", nearness, form="metres").metric
    with pytest.raises(DatasetError, match=r"--set depth_format=relative .* or =metres"):
        read(tmp_path, ".npy", midas * 40)
