"""Samples are read as their file declares them, or the file is refused."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
import tifffile

from rainkit import images
from rainkit.errors import ImageError
from rainkit.images import Picture

RNG = np.random.default_rng(7)
H, W = 37, 53


def tiff(samples: np.ndarray, photometric: str, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, samples, photometric=photometric, metadata=None, **options)
    return file.getvalue()


def read(data: bytes, name: str = "a.tif") -> Picture:
    found = images.decode(data, name)
    assert images.size(io.BytesIO(data), name) == found.size
    return found


EXTRA = {None: (), "unspecified": (0,), "assocalpha": (1,), "unassalpha": (2,)}
LAYOUTS = [
    {},
    {"rowsperstrip": 10},
    {"tile": (16, 32)},
    {"compression": "zlib", "rowsperstrip": 7},
    {"compression": "zlib", "predictor": True, "tile": (32, 16)},
    {"compression": "zlib", "predictor": True, "byteorder": ">"},
    {"byteorder": ">", "bigtiff": True},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda each: "-".join(map(str, each)) or "plain")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_matrix(dtype: type, layout: dict):
    largest = np.iinfo(dtype).max
    for photometric, extra, planar in itertools.product(
        ("minisblack", "miniswhite", "rgb"), EXTRA, ("contig", "separate")
    ):
        colours = 3 if photometric == "rgb" else 1
        number = colours + (extra is not None)
        if planar == "separate" and number == 1:
            continue
        samples = RNG.integers(0, largest, (H, W, number), dtype, endpoint=True)
        if extra == "assocalpha":  # colours are no larger than alpha
            samples[..., :-1] = np.minimum(samples[..., :-1], samples[..., -1:])
        stored = samples if planar == "contig" else np.moveaxis(samples, 2, 0)
        given = {} if number == 1 else {"planarconfig": planar}
        if extra is not None:
            given["extrasamples"] = [extra]
        data = tiff(stored[..., 0] if number == 1 else stored, photometric, **given, **layout)
        case = f"{photometric} {extra} {planar}"
        if photometric == "miniswhite" and extra == "assocalpha":
            with pytest.raises(ImageError, match="associated alpha"):
                read(data)
            continue
        found = read(data)
        colour = samples[..., :colours].astype(float)
        if photometric == "miniswhite":
            colour = largest - colour
        tolerance = 0.5
        if extra == "assocalpha":
            opacity = samples[..., -1:].astype(float)
            colour = np.divide(colour * largest, opacity, out=0 * colour, where=opacity > 0)
            tolerance = 1  # Pillow rounds down
        assert found.rgb.dtype == dtype, case
        assert found.grey == (colours == 1), case
        assert np.abs(found.rgb - colour).max() <= tolerance, case
        if extra in (None, "unspecified"):
            assert found.alpha is None, case
        else:
            np.testing.assert_array_equal(found.alpha, samples[..., -1], case)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("white", [False, True])
def test_tiff_of_10_to_14_bits_covers_the_whole_range(bits: int, number: int, white: bool):
    if white and number == 3:
        return
    samples = RNG.integers(0, 2**bits, (H, W, number), np.uint16)
    samples[0, 0], samples[0, 1] = 0, 2**bits - 1
    rows = []
    for row in samples.reshape(H, -1):
        unpacked = (row[:, None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).ravel()
        rows.append(np.packbits(unpacked).tobytes())
    photometric = 2 if number == 3 else int(not white)
    found = read(plain_tiff(b"".join(rows), photometric, (bits,) * number, W, H))
    expected = samples / (2**bits - 1) * 65535
    assert found.rgb.dtype == np.uint16
    assert np.abs(found.rgb - (65535 - expected if white else expected)).max() <= 0.5


def plain_tiff(
    pixels: bytes,
    photometric: int | None,
    bits: tuple[int, ...],
    width: int = 8,
    height: int = 8,
    **more: tuple[int, ...],
) -> bytes:
    """Return an uncompressed TIFF file of one strip, with further or other tags (t338=(1,))."""
    found: dict[int, tuple[int, ...]] = {
        256: (width,),
        257: (height,),
        258: bits,
        259: (1,),
        277: (len(bits),),
        278: (height,),
    }
    found |= {273: (8,), 279: (len(pixels),)} | (
        {} if photometric is None else {262: (photometric,)}
    )
    found |= {int(name[1:]): values for name, values in more.items()}
    start = 8 + len(pixels) + len(pixels) % 2
    behind, head, tail = start + 2 + 12 * len(found) + 4, b"", b""
    for tag, values in sorted(found.items()):
        body = struct.pack(f"<{len(values)}I", *values)
        head += struct.pack("<HHI", tag, 4, len(values))
        head += body if len(values) == 1 else struct.pack("<I", behind + len(tail))
        tail += body if len(values) > 1 else b""
    body = pixels + b"\0" * (len(pixels) % 2)
    return (
        struct.pack("<2sHI", b"II", 42, start)
        + body
        + struct.pack("<H", len(found))
        + head
        + bytes(4)
        + tail
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (plain_tiff(bytes(64), None, (8,)), "no tag that tells what its samples mean"),
        (plain_tiff(bytes(64), 4, (8,)), "a transparency mask"),
        (plain_tiff(bytes(192), 8, (8, 8, 8)), r"CIE L\*a\*b\* colours"),
        (plain_tiff(bytes(64), 1, (8,), t339=(2,)), "signed samples"),
        (plain_tiff(bytes(256), 1, (32,), t339=(3,)), "floating-point samples"),
        (plain_tiff(bytes(256), 1, (32,)), "samples of 32 bits"),
        (plain_tiff(bytes(128), 2, (5, 6, 5)), "samples of 5, 6, 5 bits"),
        (plain_tiff(bytes(96), 2, (4, 4, 4)), "samples of 4 bits"),
        (plain_tiff(bytes(512), 5, (16,) * 4), "samples of 16 bits of CMYK"),
        (plain_tiff(bytes(256), 5, (8,) * 4, t332=(2,)), "other inks than cyan"),
        (plain_tiff(bytes(640), 2, (16,) * 5), "5 samples per pixel"),
        (plain_tiff(bytes(512), 2, (16,) * 4, t338=(7,)), "extra samples of the unknown kinds"),
        (plain_tiff(bytes(192), 6, (8,) * 3), "subsampled YCbCr"),
        (plain_tiff(bytes(192), 2, (8,) * 3, t254=(1,)), "a preview as its first page"),
        (plain_tiff(bytes(192), 2, (8,) * 3, t284=(3,)), "the planar configuration 3"),
    ],
)
def test_tiff_of_other_kinds_is_refused_for_what_it_declares(data: bytes, reason: str):
    with pytest.raises(ImageError, match=rf"^a.tif: has {reason}.*, not supported; save it as"):
        read(data)


def test_a_fourth_sample_of_which_nothing_is_said_is_alpha_at_both_depths():
    for dtype, bits in ((np.uint8, 8), (np.uint16, 16)):
        samples = RNG.integers(0, 255, (8, 8, 4)).astype(dtype)
        found = read(plain_tiff(samples.tobytes(), 2, (bits,) * 4))
        np.testing.assert_array_equal(found.alpha, samples[..., 3])


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(body, zlib.crc32(kind)).to_bytes(4)


def png(
    samples: np.ndarray, colour_type: int, depth: int, *between: bytes, behind: bytes = b""
) -> bytes:
    """Return a PNG file of samples [H, W, C], with chunks before and behind its pixels."""
    height, width, _ = samples.shape
    bits = (samples.reshape(height, -1)[..., None] >> np.arange(depth)[::-1] & 1).astype(np.uint8)
    rows = np.packbits(bits.reshape(height, -1), axis=1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", head), *between, chunk(b"IDAT", body), behind, chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize(
    ("colour_type", "depth"),
    [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (4, 8), (4, 16), (6, 8), (6, 16)],
)
def test_png_matrix(colour_type: int, depth: int, clear: bool):
    number = {0: 1, 2: 3, 4: 2, 6: 4}[colour_type]
    samples = RNG.integers(0, 2**depth, (H, W, number))
    if clear and number in (2, 4):
        return
    key = samples[3, 5]
    between = [chunk(b"tRNS", key.astype(">u2").tobytes())] if clear else []
    found = read(png(samples, colour_type, depth, *between), "a.png")
    largest, colours = (65535 if depth == 16 else 255), 3 if colour_type & 2 else 1
    expected = samples * (largest // (2**depth - 1))
    assert found.rgb.dtype == (np.uint16 if depth == 16 else np.uint8)
    assert found.grey == (colours == 1)
    np.testing.assert_array_equal(found.rgb, np.broadcast_to(expected[..., :colours], (H, W, 3)))
    if clear:
        alpha = np.where((samples == key).all(axis=2), 0, largest)
        np.testing.assert_array_equal(found.alpha, alpha)
    elif number in (2, 4):
        np.testing.assert_array_equal(found.alpha, expected[..., -1])
    else:
        assert found.alpha is None


@pytest.mark.parametrize("depth", [8, 16])
def test_the_default_image_of_an_animated_png_is_taken(depth: int):
    still, frame = (RNG.integers(0, 2**depth, (H, W, 3)) for _ in range(2))
    bits = frame.astype(">u2" if depth == 16 else np.uint8)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in bits))
    control = struct.pack(">IIIIIHHBB", 0, W, H, 0, 0, 1, 10, 0, 0)
    data = png(
        still,
        2,
        depth,
        chunk(b"acTL", struct.pack(">II", 1, 0)),
        behind=chunk(b"fcTL", control) + chunk(b"fdAT", (1).to_bytes(4) + body),
    )
    np.testing.assert_array_equal(read(data, "a.png").rgb, still)


def bmp(
    rows: bytes,
    bits: int,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
    *,
    height: int = 4,
    compression: int | None = None,
) -> bytes:
    """Return a BMP file 8 px wide with a V4 header, its rows stored from the bottom."""
    kind = compression if compression is not None else 3 if masks else 0
    info = struct.pack(
        "<IiiHHIIiiII4I52x",
        108,
        8,
        height,
        1,
        bits,
        kind,
        len(rows),
        3780,
        3780,
        len(palette) // 4,
        0,
        *(masks or (0,) * 4),
    )
    start = 14 + len(info) + len(palette)
    return struct.pack("<2sIII", b"BM", start + len(rows), 0, start) + info + palette + rows


@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF00, 0xF0, 0xF, 0xF000)),
        (16, (0x7C00, 0x3E0, 0x1F, 0x8000)),
        (16, (0x1F, 0x7E0, 0xF800, 0)),
        (32, (0xFF, 0xFF00, 0xFF0000, 0)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000)),
    ],
)
@pytest.mark.parametrize("upwards", [True, False])
def test_bmp_with_any_bit_fields(bits: int, masks: tuple[int, ...], upwards: bool):
    values = RNG.integers(0, 2**bits, (4, 8), np.uint32)
    stored = (values[::-1] if upwards else values).astype("<u2" if bits == 16 else "<u4")
    found = read(bmp(stored.tobytes(), bits, masks, height=4 if upwards else -4), "a.bmp")
    largest = 65535 if max(map(int.bit_count, masks)) > 8 else 255
    fields = [(values & mask) / mask * largest if mask else None for mask in masks]
    assert np.abs(found.rgb - np.dstack(fields[:3])).max() <= 0.5
    if fields[3] is None:
        assert found.alpha is None
    else:
        assert np.abs(found.alpha - fields[3]).max() <= 0.5


def test_bmp_of_2_bits():
    palette = RNG.integers(0, 256, (4, 4), np.uint8)
    indices = RNG.integers(0, 4, (4, 8))
    packed = (indices.reshape(4, 2, 4) << [6, 4, 2, 0]).sum(axis=2).astype(np.uint8)
    rows = np.pad(packed[::-1], ((0, 0), (0, 2))).tobytes()
    found = read(bmp(rows, 2, palette=palette.tobytes()), "a.bmp")
    np.testing.assert_array_equal(found.rgb, palette[indices][..., 2::-1])


def test_bmp_of_other_kinds_is_refused_for_what_it_declares():
    for data, reason in (
        (bmp(bytes(64), 16, (0xF0F, 0xF0, 0, 0)), "bit fields f0f f0 0 0"),
        (bmp(bytes(64), 0, compression=4), "a JPEG file inside a BMP file"),
    ):
        with pytest.raises(ImageError, match=f"^a.bmp: has {reason}, not supported"):
            read(data, "a.bmp")
