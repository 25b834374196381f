"""Metadata go along whole: text in any encoding, density, colour chunks, XMP, comments."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from rainkit import images
from rainkit.images import Picture, tags
from rainkit.images.tags import Entry

RGB = np.random.default_rng(3).integers(0, 256, (24, 40, 3), np.uint8)
TEXTS = ["© 2024 Jörg".encode("latin-1"), "© 2024 Jörg 雨".encode(), b"\x81\x8d\x90\xfe\xff"]
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6" dc:title="\xe9\x9b\xa8"/>'
FORMATS = ["jpg", "png", "webp", "tif"]


def text(value: bytes) -> Entry:
    return Entry(2, len(value) + 1, value + b"\0")


def exif(order: str, written: bytes, orientation: int = 1) -> bytes:
    """Return EXIF data with everything that may not be changed."""
    note = Entry(7, 9, b"\1maker\xff\0\2")
    below = {
        0xA002: Entry.of("I", order, 40),
        0xA003: Entry.of("H", order, 24),
        0x927C: note,
        0x9286: Entry(7, 12, b"UNICODE\0\x30\x42\x30\x44"),
        0xA433: text(written),
        0xFDE9: Entry.of("H", order, 1, 2, 3),  # a tag that nobody knows
        0xA005: {1: text(b"R98")},
    }
    tree = {
        0x010E: text(written),
        0x0112: Entry.of("H", order, orientation),
        0x8298: text(written),
        0x9C9B: Entry(1, 6, "Öl\0".encode("utf-16-le")),
        0x8769: below,
        0x8825: {1: text(b"N"), 2: Entry(5, 3, struct.pack(f"{order}6I", 48, 1, 8, 1, 3, 7))},
    }
    return b"Exif\0\0" + tags.head(order, 8) + tags.pack(tree, order, 8)


def flat(data: bytes) -> dict:
    """Return all entries of EXIF data or of a TIFF file."""
    first = tags.first(data)
    found = {}
    for name, directory in (
        ("0", first),
        ("exif", first.below(data, 0x8769)),
        ("gps", first.below(data, 0x8825)),
        ("interop", first.below(data, 0x8769).below(data, 0xA005)),
    ):
        for tag, entry in directory.entries.items():
            if tag not in (0x8769, 0x8825, 0xA005):
                found[name, tag] = entry.kind, bytes(entry.data)
    return found


def round_trip(data: bytes, suffix: str) -> tuple[Picture, bytes]:
    picture = images.decode(data, f"a.{suffix}")
    return picture, images.encode(picture, f".{suffix}")


def saved(suffix: str, image: Image.Image | None = None, **options) -> bytes:
    file = io.BytesIO()
    kind = Image.registered_extensions()[f".{suffix}"]
    (image or Image.fromarray(RGB)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_exif_data_stay_byte_for_byte(suffix: str, order: str):
    for written in TEXTS:
        data = exif(order, written)
        source = images.encode(Picture(RGB, exif=data), f".{suffix}")
        picture, again = round_trip(source, suffix)
        expected = flat(data.removeprefix(b"Exif\0\0"))
        del expected["0", 0x0112]
        kept = flat(picture.exif.removeprefix(b"Exif\0\0"))
        assert kept == expected
        if suffix == "tif":
            kept = flat(again)
        else:
            kept = flat(images.decode(again, f"a.{suffix}").exif.removeprefix(b"Exif\0\0"))
        assert {key: kept[key] for key in expected} == expected
        with Image.open(io.BytesIO(again)) as image:
            image.load()
            assert image.getexif()[0x8298].encode("latin-1") == written


@pytest.mark.parametrize("suffix", FORMATS)
def test_width_and_height_of_the_exif_data_follow_the_rotation(suffix: str):
    source = images.encode(Picture(RGB, exif=exif("<", b"x", 6), dpi=(300, 150)), f".{suffix}")
    picture, again = round_trip(source, suffix)
    assert picture.size == (24, 40)
    with Image.open(io.BytesIO(again)) as image:
        image.load()
        read = image.getexif()
        below = read.get_ifd(ExifTags.IFD.Exif)
        assert (below[0xA002], below[0xA003]) == (24, 40)
        assert 0x0112 not in read
        if suffix != "webp":
            assert tuple(map(round, image.info["dpi"])) == (150, 300)


def test_text_of_an_image_in_memory_is_kept_too():
    image = Image.open(io.BytesIO(saved("jpg", exif=exif("<", TEXTS[0], 8))))
    data, turn = images.metadata(image)
    assert turn == 8
    assert flat(data.removeprefix(b"Exif\0\0"))["0", 0x8298] == (2, TEXTS[0] + b"\0")
    made = Image.new("RGB", (4, 4))
    made.getexif()[0x8298] = "雨"
    assert "雨".encode() in images.metadata(made)[0]


@pytest.mark.parametrize("dpi", [(72, 72), (300, 150), (299.72, 299.72)])
@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif"])
@pytest.mark.parametrize("other", ["jpg", "png", "bmp", "tif"])
def test_density_goes_along(suffix: str, other: str, dpi: tuple[float, float]):
    source = images.encode(Picture(RGB, dpi=dpi), f".{suffix}")
    picture = images.decode(source, "a")
    again = images.encode(picture, f".{other}")
    with Image.open(io.BytesIO(again)) as image:
        assert image.info["dpi"] == pytest.approx(dpi, abs=0.02)
    assert images.encode(images.decode(again, "a"), f".{other}") == again or other == "jpg"


def test_density_that_other_programs_write_is_read():
    for suffix in ("jpg", "png", "bmp", "tif"):
        picture = images.decode(saved(suffix, dpi=(300, 200)), "a")
        assert picture.dpi == pytest.approx((300, 200), abs=0.02)
    plain = images.decode(saved("png"), "a.png")
    assert plain.dpi is None
    assert "dpi" not in Image.open(io.BytesIO(images.encode(plain, ".png"))).info


@pytest.mark.parametrize("deep", [False, True])
def test_colour_chunks_and_text_of_png_stay(deep: bool):
    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)

    kept = [
        chunk(b"gAMA", (45455).to_bytes(4)),
        chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        chunk(b"cICP", b"\x0c\x0d\0\1"),
        chunk(b"tEXt", b"Author\0J\xf6rg"),
        chunk(b"iTXt", b"Title\0\0\0de\0\0" + "雨".encode()),
    ]
    dropped = chunk(b"tIME", bytes(7))
    rgb = RGB.astype(np.uint16) * 257 if deep else RGB
    plain = images.encode(Picture(rgb), ".png")
    source = plain[:33] + b"".join(kept) + dropped + plain[33:]
    picture, again = round_trip(source, "png")
    np.testing.assert_array_equal(picture.rgb, rgb)
    assert again == plain[:33] + b"".join(kept) + plain[33:]


@pytest.mark.parametrize("suffix", FORMATS)
def test_xmp_data_stay_but_for_the_orientation(suffix: str):
    source = images.encode(Picture(RGB, xmp=XMP), f".{suffix}")
    picture, again = round_trip(source, suffix)
    upright = XMP.replace(b'"6"', b'"1"')
    assert picture.xmp == upright
    with Image.open(io.BytesIO(again)) as image:
        image.load()
        assert image.info["xmp"] == upright


def test_jpeg_comments_stay():
    _, again = round_trip(saved("jpg", comment="Rain, © Jörg".encode()), "jpg")
    assert Image.open(io.BytesIO(again)).info["comment"] == "Rain, © Jörg".encode()


def test_xmp_data_from_pillow_are_read():
    for suffix in ("jpg", "webp"):
        assert images.decode(saved(suffix, xmp=b"<x/>"), "a").xmp == b"<x/>"
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", "<x/>", zip=True)
    assert images.decode(saved("png", pnginfo=info), "a").xmp == b"<x/>"
