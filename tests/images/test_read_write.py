"""Pictures of every kind are read and written with their pixels and metadata."""

from __future__ import annotations

import io
import os
import re
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from skimage import data

from rainkit import images
from rainkit.errors import ImageError, UsageError
from rainkit.images import Picture

RGB = np.ascontiguousarray(data.astronaut()[100:164, 150:246])  # 64 x 96
GREY = np.ascontiguousarray(RGB[..., 1])
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def deep(array: np.ndarray) -> np.ndarray:
    return array.astype(np.uint16) * 257 - (array > 0) * np.uint16(3)


def opened(path: Path) -> Image.Image:
    """Return a picture as Pillow opens it."""
    with Image.open(path) as image:
        image.load()
        return image


@pytest.fixture
def file(tmp_path: Path):
    def save(image: Image.Image, name: str, **options) -> Path:
        path = tmp_path / name
        image.save(path, **options)
        return path

    return save


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tiff", "PNG"])
def test_lossless_colour(file, suffix: str):
    picture = images.read(file(Image.fromarray(RGB), f"é 中 {suffix}.{suffix}"))
    np.testing.assert_array_equal(picture.rgb, RGB)
    assert (picture.alpha, picture.grey, picture.size) == (None, False, (96, 64))


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_colour(file, suffix: str):
    picture = images.read(file(Image.fromarray(RGB), f"a.{suffix}", quality=95))
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 3


def test_the_content_counts_not_the_suffix(file):
    np.testing.assert_array_equal(
        images.read(file(Image.fromarray(RGB), "a.jpg", format="PNG")).rgb, RGB
    )


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_stays_grey(file, tmp_path: Path, mode: str):
    image = Image.fromarray(GREY).convert(mode)
    picture = images.read(file(image, "a.png"))
    assert picture.grey
    np.testing.assert_array_equal(picture.rgb, np.array(image.convert("RGB")))
    images.write(tmp_path / "b.png", picture)
    written = opened(tmp_path / "b.png")
    assert written.mode == ("LA" if mode == "LA" else "L")
    np.testing.assert_array_equal(np.array(written.convert("RGB")), picture.rgb)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_with_alpha_survives(tmp_path: Path, suffix: str):
    picture = Picture(np.dstack([deep(GREY)] * 3), deep(RGB[..., 0]), grey=True)
    images.write(tmp_path / f"a.{suffix}", picture)
    again = images.read(tmp_path / f"a.{suffix}")
    assert again.grey
    np.testing.assert_array_equal(again.rgb, picture.rgb)
    np.testing.assert_array_equal(again.alpha, picture.alpha)


def test_palettes_become_colour(file):
    palette = Image.fromarray(RGB).quantize(16)
    picture = images.read(file(palette, "a.png"))
    np.testing.assert_array_equal(picture.rgb, np.array(palette.convert("RGB")))
    assert picture.alpha is None


def test_transparent_palette_entries_become_alpha(file):
    palette = Image.fromarray(RGB).quantize(16)
    picture = images.read(file(palette, "a.png", transparency=0))
    assert picture.alpha is not None
    assert set(np.unique(picture.alpha)) == {0, 255}


def test_cmyk_jpeg(file):
    picture = images.read(file(Image.fromarray(RGB).convert("CMYK"), "a.jpg", quality=98))
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 4


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_16_bit_colour_survives(tmp_path: Path, suffix: str, alpha: bool):
    picture = Picture(deep(RGB), deep(GREY) if alpha else None)
    images.write(tmp_path / f"a.{suffix}", picture)
    again = images.read(tmp_path / f"a.{suffix}")
    assert again.rgb.dtype == np.uint16
    np.testing.assert_array_equal(again.rgb, picture.rgb)
    if alpha:
        np.testing.assert_array_equal(again.alpha, picture.alpha)
    else:
        assert again.alpha is None


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bit_grey_survives(file, tmp_path: Path, suffix: str):
    picture = images.read(file(Image.fromarray(deep(GREY)), f"a.{suffix}"))
    assert picture.grey
    np.testing.assert_array_equal(picture.rgb[..., 2], deep(GREY))
    images.write(tmp_path / f"b.{suffix}", picture)
    again = cv2.imread(str(tmp_path / f"b.{suffix}"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(again, deep(GREY))


def test_16_bit_becomes_8_bit_where_the_format_has_no_more(tmp_path: Path):
    images.write(tmp_path / "a.bmp", Picture(RGB.astype(np.uint16) * 257))
    np.testing.assert_array_equal(images.read(tmp_path / "a.bmp").rgb, RGB)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_once(file, tmp_path: Path, suffix: str, orientation: int):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.Base.Model] = "Camera"
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = Image.fromarray(RGB)
    if orientation > 1:
        stored = stored.transpose(turns[orientation])
    options = {"lossless": True} if suffix == "webp" else {"quality": 95}
    picture = images.read(file(stored, f"a.{suffix}", exif=exif, **options))
    assert picture.rgb.shape == RGB.shape
    assert np.abs(picture.rgb.astype(int) - RGB).mean() < 3
    images.write(tmp_path / f"b.{suffix}", picture)
    written = opened(tmp_path / f"b.{suffix}").getexif()
    assert written.get(ExifTags.Base.Orientation, 1) == 1
    assert written[ExifTags.Base.Model] == "Camera"


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("orientation", [4, 5, 6, 7])
def test_16_bit_pictures_are_turned_too(tmp_path: Path, suffix: str, orientation: int):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = {
        4: deep(RGB)[::-1],
        5: deep(RGB).transpose(1, 0, 2),
        6: np.rot90(deep(RGB)),
        7: deep(RGB)[::-1, ::-1].transpose(1, 0, 2),
    }[orientation]
    picture = Picture(np.ascontiguousarray(stored), exif=exif.tobytes())
    path = tmp_path / f"a{suffix}"
    path.write_bytes(images.encode(picture, suffix))
    np.testing.assert_array_equal(images.read(path).rgb, deep(RGB))


@pytest.mark.parametrize("deeper", [False, True])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_metadata_goes_along(tmp_path: Path, suffix: str, deeper: bool):
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "A. Artist"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ISOSpeedRatings: 400}
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    picture = Picture(deep(RGB) if deeper else RGB, exif=exif.tobytes(), icc=SRGB)
    for name in (f"a.{suffix}", f"b.{suffix}"):
        images.write(tmp_path / name, picture)
        picture = images.read(tmp_path / name)
    with Image.open(tmp_path / f"b.{suffix}") as image:
        assert image.info["icc_profile"] == SRGB
        read = image.getexif()
        assert read[ExifTags.Base.Artist] == "A. Artist"
        assert read.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 400
        assert read.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\0\0",
        b"Exif\0\0MM\0*\0\0\0\x08\0\xff",
    ],
)
def test_broken_metadata_is_dropped(file, exif: bytes):
    picture = images.read(file(Image.fromarray(RGB), "a.jpg", exif=exif))
    assert (picture.size, picture.exif) == ((96, 64), None)


def test_a_profile_of_another_colour_space_is_left_out(tmp_path: Path):
    images.write(tmp_path / "a.png", Picture(RGB, icc=SRGB, grey=True))
    assert "icc_profile" not in opened(tmp_path / "a.png").info


def test_alpha_survives_where_the_format_has_it(tmp_path: Path):
    for suffix in ("png", "webp", "tif", "bmp"):
        images.write(tmp_path / f"a.{suffix}", Picture(RGB, alpha=GREY))
        np.testing.assert_array_equal(images.read(tmp_path / f"a.{suffix}").alpha, GREY)
    images.write(tmp_path / "a.jpg", Picture(RGB, alpha=GREY))
    assert images.read(tmp_path / "a.jpg").alpha is None


def test_16_bit_grey_with_alpha_becomes_an_8_bit_bmp(tmp_path: Path):
    grey = np.dstack([GREY] * 3)
    images.write(tmp_path / "a.bmp", Picture(deep(grey), alpha=deep(GREY), grey=True))
    again = images.read(tmp_path / "a.bmp")
    np.testing.assert_array_equal(again.rgb, grey)
    np.testing.assert_array_equal(again.alpha, GREY)


def test_quality_sets_the_size(tmp_path: Path):
    sizes = [len(images.encode(Picture(RGB), ".jpg", quality=q)) for q in (20, 95)]
    assert sizes[0] < sizes[1] / 2


def test_one_pixel(tmp_path: Path):
    for suffix in ("png", "jpg", "webp", "tif", "bmp"):
        images.write(tmp_path / f"a.{suffix}", Picture(RGB[:1, :1].copy()))
        assert images.read(tmp_path / f"a.{suffix}").size == (1, 1)


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "0 bytes"),
        ("text.jpg", b"not a picture\n" * 100, "is not a JPEG"),
        ("cut.jpg", _jpeg()[:20_000], "damaged .*truncated"),
        ("cut.png", images.encode(Picture(RGB), ".png")[:4000], "damaged"),
        ("cut16.png", images.encode(Picture(deep(RGB)), ".png")[:9000], "damaged"),
        ("cut.tif", images.encode(Picture(RGB), ".tif")[:4000], ""),
        ("head.png", images.encode(Picture(RGB), ".png")[:20], ""),
    ],
)
def test_bad_files_are_refused_by_name(tmp_path: Path, name: str, content: bytes, reason: str):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ImageError, match=f"^{re.escape(str(path))}: .*{reason}") as caught:
        images.read(path)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path: Path):
    for path in (tmp_path / "missing.jpg", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            images.read(path)


def test_pipes_sockets_and_devices_are_refused_before_they_are_opened(tmp_path: Path):
    pipe, bound = tmp_path / "pipe.jpg", tmp_path / "socket.jpg"
    os.mkfifo(pipe)  # opening it would wait for a writer for ever
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(bound))  # absolute names may be too long for a socket
        for path, kind in ((pipe, "named pipe"), (bound, "socket"), (Path("/dev/zero"), "device")):
            with pytest.raises(ImageError, match=f"^{path}: is a {kind}, not a file; save"):
                images.read(path)


def test_float_and_32_bit_pictures_are_refused(file):
    for mode, kind in (("F", "floating-point"), ("I", "signed")):
        image = Image.fromarray(GREY).convert(mode)
        with pytest.raises(ImageError, match=f"has {kind} samples, not supported; save it as 8-"):
            images.read(file(image, f"{mode}.tif"))


def _tiff(photometric: int, samples: int, kind: int = 1) -> bytes:
    """Return an uncompressed 16-bit TIFF file of one grey value."""
    directory = ImageFileDirectory_v2()
    directory[256], directory[257], directory[258] = 8, 8, (16,) * samples
    directory[259], directory[262], directory[277], directory[278] = 1, photometric, samples, 8
    directory[339] = (kind,) * samples
    directory[273], directory[279] = (0,), (8 * 8 * 2 * samples,)
    file = io.BytesIO()
    directory.save(file)
    return file.getvalue() + b"\1" * (8 * 8 * 2 * samples)


@pytest.mark.parametrize(
    ("photometric", "samples", "kind"),
    [(5, 4, 1), (8, 3, 1), (2, 5, 1), (2, 3, 3)],
    ids=["CMYK", "Lab", "five", "float"],
)
def test_16_bit_files_of_other_kinds_are_not_called_damaged_alone_and_opencv_is_silent(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], photometric: int, samples: int, kind: int
):
    (tmp_path / "a.tif").write_bytes(_tiff(photometric, samples, kind))
    log = cv2.utils.logging
    before = log.getLogLevel()
    with pytest.raises(ImageError, match="not supported; save it as 8- or 16-bit RGB"):
        images.read(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""
    assert log.getLogLevel() == before


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path):
    small = images.encode(Picture(RGB), ".bmp")
    size = (20_000).to_bytes(4, "little")
    (tmp_path / "a.bmp").write_bytes(small[:18] + size + size + small[26:])
    with pytest.raises(ImageError, match="20000x20000"):
        images.read(tmp_path / "a.bmp")


def test_pillow_s_own_limit_is_neither_used_nor_changed(file, monkeypatch: pytest.MonkeyPatch):
    path = file(Image.fromarray(RGB), "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        opened(path)
    assert images.read(path).size == (96, 64)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_unknown_suffixes_are_not_written(tmp_path: Path):
    with pytest.raises(ImageError, match=r"\.xcf"):
        images.write(tmp_path / "a.xcf", Picture(RGB))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp", ".gif", ".webp"])
@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (Picture(RGB / np.float32(255)), "samples of float32 are not taken: give uint8 or uint16"),
        (Picture(RGB.astype(np.int64)), "samples of int64"),
        (Picture(np.dstack([RGB, GREY])), r"pixels of \[64, 96, 4\]: give \[height, width, 3\]"),
        (Picture(GREY), r"pixels of \[64, 96\]"),
        (Picture(RGB[:0]), r"pixels of \[0, 96, 3\]"),
        (Picture(RGB, alpha=GREY[1:]), r"alpha of uint8 \[63, 96\]: give uint8 \[64, 96\]"),
        (Picture(RGB, alpha=deep(GREY)), "alpha of uint16"),
        (Picture(RGB, following=(Picture(RGB > 0),)), "samples of bool"),
    ],
)  # fmt: skip
def test_pixels_that_are_none_are_not_written(suffix: str, picture: Picture, reason: str):
    with pytest.raises(ImageError, match=reason):
        images.encode(picture, suffix)


@pytest.mark.parametrize("quality", [0, 101, -1, 90.5])
@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_a_quality_out_of_range_is_refused(suffix: str, quality: float):
    with pytest.raises(UsageError, match=f"quality={quality}: give a whole number from 1 to 100"):
        images.encode(Picture(RGB), suffix, quality=quality)
