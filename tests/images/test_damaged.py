"""Damaged files are refused with one line that names them, never guessed."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from rainkit import images
from rainkit.datasets.image_ref import ImageRef
from rainkit.errors import ImageError
from rainkit.images import Picture

RNG = np.random.default_rng(18)
RGB = (
    np.add.outer(np.arange(48)[:, None] * 3, np.arange(64)[:, None] * [1, 2, 3] % 160)[:, 0]
    + RNG.integers(0, 20, (48, 64, 3))
).astype(np.uint8)


def saved(array: np.ndarray = RGB, kind: str = "PNG", mode: str | None = None, **options) -> bytes:
    file, image = io.BytesIO(), Image.fromarray(array)
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def exif() -> Image.Exif:
    found = Image.Exif()
    found[ExifTags.Base.Orientation], found[ExifTags.Base.Model] = 6, "Camera"
    return found


def text() -> PngInfo:
    info = PngInfo()
    info.add_itxt("Title", "rain")
    return info


DEEP = Picture(RGB.astype(np.uint16) * 257, RGB[..., 0].astype(np.uint16) * 257)
FILES = {
    "plain.png": saved(),
    "exif.png": saved(exif=exif()),  # Pillow decodes the pixels to find it
    "text.png": saved(pnginfo=text()),
    "grey.png": saved(RGB[..., 0]),
    "palette.png": saved(mode="P"),
    "deep.png": images.encode(DEEP, ".png"),
    "a.jpg": saved(kind="JPEG", quality=90, exif=exif()),
    "progressive.jpg": saved(kind="JPEG", progressive=True),
    "cmyk.jpg": saved(kind="JPEG", mode="CMYK"),
    "a.webp": saved(kind="WEBP", quality=90),
    "lossless.webp": saved(kind="WEBP", lossless=True, exif=exif()),
    "raw.tif": saved(kind="TIFF", exif=exif()),
    "deflate.tif": saved(kind="TIFF", compression="tiff_adobe_deflate"),
    "lzw.tif": saved(kind="TIFF", compression="tiff_lzw"),
    "fax.tif": saved(kind="TIFF", mode="1", compression="group4"),
    "jpeg.tif": saved(kind="TIFF", compression="jpeg"),
    "deep.tif": images.encode(DEEP, ".tif"),
    "deep-grey.tif": saved(DEEP.rgb[..., 1], kind="TIFF"),
    "deep-lzw.tif": saved(DEEP.rgb[..., 1], kind="TIFF", compression="tiff_lzw"),
    "a.bmp": saved(kind="BMP"),
    "rle.bmp": saved(kind="BMP", mode="P"),
}


def damages(data: bytes, rng: np.random.Generator) -> Iterator[bytes]:
    """Yield bit flips, zeroed blocks and truncations, half of them near the start."""
    for number in range(30):
        changed, reach = bytearray(data), len(data) if number % 2 else min(len(data), 300)
        place = int(rng.integers(reach))
        if number % 3 == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif number % 3 == 1:
            changed[place : place + 64] = bytes(min(64, len(data) - place))
        else:
            del changed[place:]
        yield bytes(changed)


def pillow_refuses(data: bytes) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(io.BytesIO(data)).load()
    except Exception:  # of many classes
        return True
    return False


def refusal(data: bytes, name: str) -> str | None:
    try:
        images.decode(data, name)
    except ImageError as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("name", FILES)
def test_what_pillow_refuses_is_refused_by_name(name: str, capfd: pytest.CaptureFixture[str]):
    rng = np.random.default_rng(list(name.encode()))
    images.decode(FILES[name], name)
    refused = 0
    for data in damages(FILES[name], rng):
        message = refusal(data, name)
        if message is None:
            assert not pillow_refuses(data)
        else:
            refused += 1
            assert message.startswith(f"{name}: ")
            assert "\n" not in message
        assert capfd.readouterr().err == ""
    assert refused >= 8  # most of the truncated files at least


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".png")])
def test_a_changed_bit_among_the_pixels_of_a_png_is_always_found(name: str):
    start = FILES[name].index(b"IDAT")
    for place in np.random.default_rng(1).integers(start + 4, len(FILES[name]) - 16, 40):
        data = bytearray(FILES[name])
        data[place] ^= 1
        with pytest.raises(ImageError, match=rf"^{name}: is damaged"):
            images.decode(bytes(data), name)


def test_pixels_that_libtiff_gives_up_are_found_though_pillow_keeps_the_rest(
    capfd: pytest.CaptureFixture[str],
):
    data = bytearray(FILES["fax.tif"])
    for place in range(30, len(data) - 150, 20):
        data[place] ^= 0x55
    with pytest.raises(ImageError, match=r"^fax.tif: is damaged \(libtiff cannot decode"):
        images.decode(bytes(data), "fax.tif")
    assert capfd.readouterr().err == ""


def test_damage_is_not_hidden_by_reading_metadata_before(tmp_path: Path):
    data = bytearray(FILES["exif.png"])
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    for read in (images.read, lambda path: ImageRef(path).read()):
        with pytest.raises(ImageError, match=r"a\.png: is damaged"):
            read(tmp_path / "a.png")


def _tiff_directory(entries: dict[int, tuple[int, ...]]) -> bytes:
    rows = b"".join(
        tag.to_bytes(2, "little")
        + (4).to_bytes(2, "little")
        + (1).to_bytes(4, "little")
        + value.to_bytes(4, "little")
        for tag, (value,) in sorted(entries.items())
    )
    return len(entries).to_bytes(2, "little") + rows + bytes(4)


def camera_raw(thumbnail: int, sub: dict[int, tuple[int, ...]], **first: int) -> bytes:
    """Return a TIFF file with an 8x8 thumbnail first and another directory below it."""
    layout = {256: 8, 257: 8, 258: 8, 259: 1, 262: 1, 277: 1, 278: 8, 279: 64} | {254: thumbnail}
    entries = {tag: (value,) for tag, value in layout.items()} | {273: (8,), 330: (0,)}
    entries |= {int(tag[1:]): (value,) for tag, value in first.items()}
    head = 8 + 64
    entries[330] = (head + len(_tiff_directory(entries)),)
    directories = _tiff_directory(entries) + _tiff_directory(sub)
    return b"II*\0" + head.to_bytes(4, "little") + b"\x80" * 64 + directories


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.nef", camera_raw(1, {262: (32803,)})),
        ("renamed.tif", camera_raw(1, {262: (32803,)})),
        ("a.tif", camera_raw(0, {262: (1,)}, t50706=0x00000401)),
        ("a.dng", camera_raw(0, {262: (1,)})),
        ("a.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(99)),
        ("a.jpg", b"\0\0\0\x18ftypcrx \0\0\0\1" + bytes(99)),
        ("a.raf", b"FUJIFILMCCD-RAW 0201" + bytes(99)),
    ],
)
def test_camera_raws_are_refused_with_the_remedy(name: str, data: bytes):
    with pytest.raises(ImageError, match=rf"^{name}: is a camera raw file, .*; develop it first"):
        images.decode(data, name)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x76\x2f\x31\x01\2\0\0\0", r"high dynamic range \(OpenEXR\).* after tone mapping"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", r"high dynamic range \(Radiance\)"),
        (b"\xff\x0a" + bytes(20), "is a JPEG XL file, which is not read; save it as PNG"),
        (b"8BPS" + bytes(20), "is a Photoshop file"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avif    colrnclx\0\x09\0\x10\0\x09\x80", r"range \(PQ\)"),
    ],
)
def test_other_kinds_are_refused_by_their_name(data: bytes, kind: str):
    with pytest.raises(ImageError, match=f"^{re.escape('a.jpg')}: .*{kind}"):
        images.decode(data, "a.jpg")
