"""Pictures of every kind through one Derainer."""

from __future__ import annotations

import copy
import dataclasses
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms
from skimage import data

import rainkit
from rainkit import images, inference, networks
from rainkit.api import ImageSpec, Method
from rainkit.errors import ImageError, MethodError, RainkitError, UsageError, WeightsError

RGB = np.ascontiguousarray(data.chelsea()[40:120, 60:170])


@pytest.fixture(scope="module")
def clean(derainer: inference.Derainer) -> np.ndarray:
    result = derainer.derain(RGB)
    assert np.abs(result.astype(int) - RGB).max() > 2  # the random network does something
    return result


def test_an_array_gives_an_array(clean: np.ndarray, derainer: inference.Derainer):
    assert (clean.shape, clean.dtype) == (RGB.shape, np.uint8)
    deep = derainer.derain(RGB.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - clean).max() <= 0.51


def test_a_spawned_process_gets_the_same_derainer(anytime_weights: Path):
    # The plugin's METHOD holds a lambda, which cannot be pickled.
    loaded = inference.load(
        "resguidenet", weights=anytime_weights, device="cpu", precision="fp32", tile=64, effort=2,
        work_size=64,
    )  # fmt: skip
    loaded.strength = 0.5
    expected = loaded.derain(RGB)
    assert (expected != RGB).any()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        np.testing.assert_array_equal(pool.submit(loaded.derain, RGB).result(), expected)
    np.testing.assert_array_equal(copy.copy(loaded).derain(RGB), expected)
    assert copy.copy(loaded).network is loaded.network


def _image_of(_: Any) -> ImageSpec:
    return ImageSpec()


def test_a_method_that_is_not_installed_is_pickled_itself(
    tiny_method: Method, tiny_weights: Path, derainer: inference.Derainer, clean: np.ndarray
):
    # As in a notebook, which changes the METHOD of a plugin.
    other = dataclasses.replace(tiny_method, summary="another", image=_image_of)
    loaded = inference.load(other, weights=tiny_weights, device="cpu", precision="fp32")
    again = pickle.loads(pickle.dumps(loaded))  # noqa: S301
    assert again.method == other
    np.testing.assert_array_equal(again.derain(RGB), clean)
    by_hand = inference.Derainer(
        method=tiny_method, weights=derainer.weights, network=derainer.network, grid=derainer.grid
    )
    with pytest.raises(pickle.PicklingError, match=r"rainkit\.load did not make"):
        pickle.dumps(by_hand)


@pytest.mark.parametrize("options", [{"work_size": "full"}, {"tile": 64}, {"work_size": 64}])
def test_strength_scales_the_rain_that_is_taken_off(
    options: dict[str, Any], tiny_weights: Path, tmp_path: Path
):
    def load(strength: float) -> inference.Derainer:
        return inference.load(
            "tiny", weights=tiny_weights, device="cpu", precision="fp32", strength=strength,
            **options,
        )  # fmt: skip

    deep = RGB.astype(np.uint16) * 257
    for given in (RGB, deep):
        np.testing.assert_array_equal(load(0).derain(given), given)
        trained = load(1).derain(given).astype(float)
        for strength in (0.4, 1.5):
            expected = np.clip(given + strength * (trained - given), 0, np.iinfo(given.dtype).max)
            assert np.abs(load(strength).derain(given) - expected).max() <= 0.51
    tensor = images.to_tensor(RGB)
    assert torch.equal(load(0).derain(tensor), tensor)
    more = tensor + 1.5 * (load(1).derain(tensor) - tensor)
    torch.testing.assert_close(load(1.5).derain(tensor), more.clamp(0, 1), rtol=0, atol=1e-6)
    picture = images.Picture(RGB)
    np.testing.assert_array_equal(load(0).derain_picture(picture).picture.rgb, RGB)
    rain = load(1).parts(RGB)["rain"]
    np.testing.assert_array_equal(load(0.4).parts(RGB)["rain"], rain)


def test_many_images_come_in_order_and_a_bad_one_is_told(
    clean: np.ndarray, derainer: inference.Derainer, tmp_path: Path
):
    images.write(tmp_path / "a.png", images.Picture(RGB))
    taken = []

    def given():
        for each in (RGB, tmp_path / "missing.png", tmp_path / "a.png", Image.fromarray(RGB), 3):
            taken.append(each)
            yield each

    items = derainer.derain_many(given(), ahead=2)
    first = next(items)
    assert len(taken) == 2  # the one that was asked for, and one ahead
    rest = list(items)
    assert [each.index for each in (first, *rest)] == [0, 1, 2, 3, 4]
    assert isinstance(rest[0].error, RainkitError)
    assert "missing.png" in str(rest[0].error)
    assert "cannot derain a int" in str(rest[3].error)
    assert rest[0].image is None
    for item in (first, rest[1], rest[2]):
        assert item.error is None
        np.testing.assert_array_equal(np.asarray(item.image), clean)


def test_many_images_raise_on_request_and_can_be_left(derainer: inference.Derainer):
    def endless():
        while True:
            yield RGB

    many = derainer.derain_many(endless())
    assert [next(many).index, next(many).index] == [0, 1]
    many.close()
    with pytest.raises(UsageError, match="cannot derain a NoneType"):
        list(derainer.derain_many([None, RGB], raising=True))

    def broken():
        yield RGB
        raise LookupError("no more")

    items = derainer.derain_many(broken(), ahead=4)
    assert next(items).error is None
    with pytest.raises(LookupError, match="no more"):
        next(items)
    with pytest.raises(UsageError, match="ahead=0"):
        derainer.derain_many([RGB], ahead=0)


def test_a_path_gives_an_array(clean: np.ndarray, derainer: inference.Derainer, tmp_path: Path):
    images.write(tmp_path / "é.png", images.Picture(RGB))
    np.testing.assert_array_equal(derainer.derain(tmp_path / "é.png"), clean)
    np.testing.assert_array_equal(derainer.derain(str(tmp_path / "é.png")), clean)


def test_tensors_give_tensors(clean: np.ndarray, derainer: inference.Derainer):
    one = images.to_tensor(RGB)[0]
    batch = derainer.derain(torch.stack([one, one.flip(-1)]))
    assert batch.shape == (2, *one.shape)
    assert 0 <= float(batch.min()) <= float(batch.max()) <= 1
    np.testing.assert_array_equal(images.to_array(batch[:1], np.uint8), clean)
    torch.testing.assert_close(derainer.derain(one), batch[0], rtol=0, atol=1e-6)
    assert derainer.derain(one.double()).dtype == torch.float64


def test_pil_images_give_pil_images(clean: np.ndarray, derainer: inference.Derainer):
    np.testing.assert_array_equal(np.asarray(derainer.derain(Image.fromarray(RGB))), clean)
    alpha = Image.fromarray(RGB[..., 0])
    clear = Image.fromarray(RGB)
    clear.putalpha(alpha)
    result = derainer.derain(clear)
    np.testing.assert_array_equal(np.asarray(result)[..., :3], clean)
    np.testing.assert_array_equal(np.asarray(result)[..., 3], RGB[..., 0])
    deep = Image.fromarray(RGB[..., 1].astype(np.uint16) * 257)
    for image, mode in ((alpha, "L"), (deep, "I;16"), (clear.convert("P"), "RGB")):
        result = derainer.derain(image)
        assert (result.mode.replace("RGBA", "RGB"), result.size) == (mode, image.size)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "I;16"])
def test_pil_images_come_back_upright_with_their_metadata(
    derainer: inference.Derainer, tmp_path: Path, mode: str
):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Model] = "Camera"
    space = "sRGB" if mode.startswith("RGB") else None
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    upright = Image.fromarray(RGB)
    upright = (
        Image.fromarray(RGB[..., 1].astype(np.uint16) * 257)
        if mode == "I;16"
        else upright.convert(mode)
    )
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "phone.png", exif=exif, icc_profile=icc)
    with Image.open(tmp_path / "phone.png") as phone:
        clean = derainer.derain(phone)
    assert (clean.mode, clean.size) == (mode, upright.size)
    np.testing.assert_array_equal(np.asarray(clean), np.asarray(derainer.derain(upright)))
    assert clean.info.get("icc_profile") == (icc if space else None)
    clean.save(tmp_path / "clean.png", exif=clean.info["exif"])
    with Image.open(tmp_path / "clean.png") as saved:
        assert saved.info.get("icc_profile") == (icc if space else None)
        assert dict(saved.getexif()) == {ExifTags.Base.Model: "Camera"}


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2, 5), (37, 1)])
def test_any_size(derainer: inference.Derainer, size: tuple[int, int]):
    rgb = np.full((*size, 3), 90, np.uint8)
    assert derainer.derain(rgb).shape == rgb.shape


@pytest.mark.parametrize(
    "wrong",
    [
        RGB[..., 0],
        RGB.astype(np.float32),
        RGB[:0],
        torch.zeros(1, 80, 80),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(0, 3, 8, 8),
        42,
        None,
    ],
)
def test_what_is_no_picture_is_refused(derainer: inference.Derainer, wrong: object):
    with pytest.raises(UsageError, match="cannot derain"):
        derainer.derain(wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (torch.nan, r"\[3, 8, 8\] that holds nan or infinity: give finite values in \[0,1\]"),
        (torch.inf, "nan or infinity"),
        (200.0, r"with values from 0 to 200: give values in \[0,1\]; divide 8-bit samples by 255"),
        (-1.0, "with values from -1 to 0"),
    ],
)
def test_tensors_of_another_range_are_refused(
    derainer: inference.Derainer, value: float, reason: str, dtype: torch.dtype
):
    rainy = torch.zeros(3, 8, 8, dtype=dtype)
    rainy[1, 2, 3] = value
    with pytest.raises(UsageError, match=f"cannot derain a tensor of {dtype} .*{reason}"):
        derainer.derain(rainy)


def test_tensors_may_overshoot_a_little(derainer: inference.Derainer):
    rainy = images.to_tensor(RGB) * 1.6 - 0.3
    assert derainer.derain(rainy).shape == rainy.shape


@pytest.mark.parametrize("tile", [64, 75])
def test_tiles_equal_the_whole_picture(tiny_weights: Path, tile: int):
    def load(side: int) -> inference.Derainer:
        return inference.load(
            "tiny", weights=tiny_weights, device="cpu", precision="fp32", tile=side
        )

    rainy = images.to_tensor(np.ascontiguousarray(data.rocket()[:150, :210]))
    difference = load(tile).derain(rainy) - load(0).derain(rainy)
    assert float(difference.abs().max()) <= 1e-5


def test_threads_do_not_mix_pictures(derainer: inference.Derainer):
    pictures = [np.ascontiguousarray(data.astronaut()[i * 40 :][: 30 + i, :50]) for i in range(6)]
    alone = [derainer.derain(picture) for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(derainer.derain, pictures * 3))
    for got, wanted in zip(together, alone * 3, strict=True):
        np.testing.assert_array_equal(got, wanted)


class _Small(torch.nn.Module):
    """A network on a device that holds few pixels at a time."""

    def __init__(self, whole: networks.ImageOnly, most: int) -> None:
        super().__init__()
        self.whole, self.spec, self.runtime, self.most = whole, whole.spec, whole.runtime, most
        self.seen: list[int] = []

    def forward(self, rainy: torch.Tensor) -> torch.Tensor:
        self.seen.append(rainy.shape[-1] * rainy.shape[-2])
        if self.seen[-1] > self.most:
            raise torch.OutOfMemoryError("out of memory")
        return self.whole(rainy)


def _small(derainer: inference.Derainer, most: int) -> inference.Derainer:
    return inference.Derainer(
        method=derainer.method,
        weights=derainer.weights,
        network=_Small(derainer.network, most),
        grid=dataclasses.replace(derainer.grid, side=1024),
    )


def test_tiles_halve_until_they_fit(derainer: inference.Derainer):
    rgb = np.ascontiguousarray(data.rocket()[:200, :260])
    small = _small(derainer, 150 * 150)
    np.testing.assert_array_equal(small.derain(rgb), derainer.derain(rgb))
    assert max(small.network.seen[-4:]) <= 150 * 150
    assert small.network.seen[0] == 200 * 260


def test_too_little_memory_is_said(derainer: inference.Derainer):
    with pytest.raises(RainkitError, match="too little memory"):
        _small(derainer, 10).derain(data.rocket()[:200, :260])


def test_numbers_that_are_none_are_no_picture(derainer: inference.Derainer):
    class Broken(_Small):
        def forward(self, rainy: torch.Tensor) -> torch.Tensor:
            return rainy * torch.nan

    broken = inference.Derainer(
        method=derainer.method,
        weights=derainer.weights,
        network=Broken(derainer.network, 0),
        grid=derainer.grid,
    )
    with pytest.raises(MethodError, match="--precision fp32"):
        broken.derain(RGB)


def test_loading_draws_no_random_numbers(tiny_weights: Path):
    before = torch.random.get_rng_state()
    inference.load("tiny", weights=tiny_weights, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_pictures_of_a_batch_are_checked_and_keep_their_pages(derainer: inference.Derainer):
    first, second = images.Picture(RGB), images.Picture(RGB[::-1].copy())
    paged = dataclasses.replace(first, following=(second, images.Picture(RGB[:40])))
    assert derainer.derain_batch([]) == []
    done = derainer.derain_batch([second, paged, first])
    pages = done[1].picture.following
    assert [each.size for each in pages] == [(110, 80), (110, 40)]
    for got, wanted in ((done[0].picture, second), (done[2].picture, first), (pages[0], second)):
        np.testing.assert_array_equal(got.rgb, derainer.derain(wanted.rgb))
    with pytest.raises(UsageError, match="pictures of 110x40, 110x80 together: give one size"):
        derainer.derain_batch([first, images.Picture(RGB[:40])])
    with pytest.raises(UsageError, match="cannot derain an array of float32"):
        derainer.derain_batch([images.Picture(RGB.astype(np.float32))])
    with pytest.raises(UsageError, match="empty picture of 0x0"):
        derainer.batch_size(0, 0)


def test_load_refuses_what_cannot_be(tiny_weights: Path):
    def load(**options) -> None:
        inference.load("tiny", **({"weights": tiny_weights, "device": "cpu"} | options))

    with pytest.raises(UsageError, match="--tile 7"):
        load(tile=7)
    for tile in ("x", "-64", 64.5, True):
        with pytest.raises(UsageError, match=f"--tile {tile}: give auto, 0, or the side"):
            load(tile=tile)
    with pytest.raises(UsageError, match="--variant nothing: tiny has the variants default"):
        load(variant="nothing")
    with pytest.raises(UsageError, match=r"--variant paper: the weights tiny.safetensors are of"):
        load(variant="paper")
    with pytest.raises(UsageError, match="--device"):
        load(device="abacus")
    with pytest.raises(WeightsError, match="tiny ships no weights"):
        load(weights=None, variant="paper")
    with pytest.raises(UsageError, match="did you mean tiny"):
        inference.load("tinny")
    with pytest.raises(UsageError, match="cannot load a NoneType: give the name of an installed"):
        inference.load(None)


def test_a_device_of_torch_is_taken(tiny_weights: Path):
    derainer = inference.load("tiny", weights=tiny_weights, device=torch.device("cpu"))
    assert derainer.runtime.device.type == "cpu"


@pytest.mark.parametrize("wrong", [None, Image.fromarray(RGB), images.to_tensor(RGB)])
def test_parts_of_what_has_none_are_refused(derainer: inference.Derainer, wrong: object):
    with pytest.raises(UsageError, match=r"cannot derain a .* here: give a path or an"):
        derainer.parts(wrong)


def test_a_truncated_pil_image_is_named(derainer: inference.Derainer, tmp_path: Path):
    whole = images.encode(images.Picture(RGB), ".png")
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with (
        Image.open(tmp_path / "cut.png") as cut,
        pytest.raises(ImageError, match=r"cut\.png: cannot be decoded \(.*truncated"),
    ):
        derainer.derain(cut)


def test_methods_that_need_whole_pictures_are_never_tiled(tiny_method: Method, tiny_weights: Path):
    spec = dataclasses.replace(tiny_method.image(tiny_method.default.network), tiling="never")
    whole = dataclasses.replace(tiny_method, image=lambda _: spec)
    rgb = np.ascontiguousarray(data.rocket()[:70, :150])
    derainer = inference.load(whole, weights=tiny_weights, device="cpu", precision="fp32")
    small = _Small(derainer.network, 10**9)
    one = inference.Derainer(
        method=whole, weights=derainer.weights, network=small, grid=derainer.grid
    )
    one.derain(rgb)
    assert small.seen == [70 * 150]
    with pytest.raises(UsageError, match="whole pictures"):
        inference.load(whole, weights=tiny_weights, device="cpu", tile=64)


def test_derain_is_load_and_derain(clean: np.ndarray, tiny_weights: Path):
    options = {"weights": tiny_weights, "device": "cpu", "precision": "fp32"}
    np.testing.assert_array_equal(rainkit.derain(RGB, "tiny", **options), clean)


def test_without_a_compiler_it_goes_on(
    clean: np.ndarray, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
):
    def compile_nothing(*_: object, **__: object):
        def call(*_: object):
            raise RuntimeError("no C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", compile_nothing)
    options = {"weights": tiny_weights, "device": "cpu", "precision": "fp32"}
    with pytest.warns(RuntimeWarning, match="no C"):
        derainer = inference.load("tiny", compile=True, **options)
    np.testing.assert_array_equal(derainer.derain(RGB), clean)
