"""Plain PNG files, which OpenCV decodes instead of Pillow."""

import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rainkit import images
from rainkit.errors import ImageError
from rainkit.images.read import plain_png

RGB = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
LARGEST = 37 * 53


def png(picture: np.ndarray | Image.Image = RGB, **options: object) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def chunks(data: bytes) -> list[bytes]:
    found, place = [], 8
    while place < len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4])
        found.append(data[place:end])
        place = end
    return found


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def text() -> PngInfo:
    info = PngInfo()
    info.add_text("Title", "rain")
    return info


@pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"dpi": (300, 300)}])
def test_plain_files_are_decoded_as_pillow_does(options):
    decoded = plain_png(png(**options), LARGEST)
    assert decoded is not None
    assert (decoded == RGB).all()
    assert decoded.flags.writeable


@pytest.mark.parametrize(
    "data",
    [
        png(RGB[..., 0]),
        png(np.dstack([RGB, RGB[..., :1]])),
        png(Image.fromarray(RGB).convert("P")),
        png(pnginfo=text()),
        png(icc_profile=b"a profile"),
        png(transparency=(1, 2, 3)),
        png() + b"more",
        png()[:-12],
        png()[:500],
        png()[:20],
        b"\x89PNG\r\n\x1a\n",
        b"",
    ],
    ids=[
        *("grey", "alpha", "palette", "text", "profile", "transparent", "longer"),
        *("no end", "cut", "head", "signature", "nothing"),
    ],
)
def test_all_others_are_left_to_pillow(data):
    assert plain_png(data, LARGEST) is None


def test_larger_pictures_than_allowed_are_left_too():
    assert plain_png(png(), LARGEST - 1) is None


def test_a_changed_byte_is_found_before_opencv_speaks_of_it(capfd):
    data = bytearray(png())
    data[len(data) // 2] ^= 1
    assert plain_png(bytes(data), LARGEST) is None
    assert capfd.readouterr().err == ""


def test_a_stream_that_ends_early_is_refused_though_its_checksums_are_right(tmp_path: Path):
    head, *middle, end = chunks(png(compress_level=0))
    body = b"".join(each[8:-4] for each in middle)
    short = png()[:8] + head + chunk(b"IDAT", body[: len(body) // 2]) + end
    assert plain_png(short, LARGEST) is None
    (tmp_path / "a.png").write_bytes(short)
    with pytest.raises(ImageError, match=r"a\.png: is damaged"):
        images.read(tmp_path / "a.png")


def test_read_gives_the_same_picture_by_either_way(tmp_path: Path):
    for name, data in (("plain", png()), ("text", png(pnginfo=text()))):
        (tmp_path / f"{name}.png").write_bytes(data)
    plain, other = (images.read(tmp_path / f"{name}.png") for name in ("plain", "text"))
    assert (plain.rgb == other.rgb).all()
    assert (plain.alpha, plain.exif, plain.icc, plain.grey) == (None, other.exif, None, other.grey)
