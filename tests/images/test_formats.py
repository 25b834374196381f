"""HEIC and AVIF, animations, pages, JPEG settings, and what is said of changed pictures."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, JpegImagePlugin
from PIL.PngImagePlugin import PngInfo

from rainkit import images
from rainkit.errors import ImageError
from rainkit.images import Picture, heif

HEIGHT, WIDTH = 40, 60
RAMP = np.add.outer(np.arange(HEIGHT) * 2, np.arange(WIDTH) * 3)
RGB = np.dstack([RAMP % 256, np.roll(RAMP, 7, 1) % 256, 255 - RAMP % 256]).astype(np.uint8)
HOLE = np.where(np.hypot(*np.mgrid[-20:20, -30:30]) < 9, 0, 255).astype(np.uint8)
P3 = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def moved(number: int, alpha: bool) -> Image.Image:
    rgb = np.roll(RGB, number * 5, 1)
    return Image.fromarray(np.dstack([rgb, np.roll(HOLE, number, 0)]) if alpha else rgb)


def animation(kind: str, *, alpha: bool = False, **options) -> bytes:
    frames = [moved(number, alpha) for number in range(4)]
    durations = [100, 240, 50, 300]
    settings = {"save_all": True, "append_images": frames[1:], "duration": durations} | options
    return saved(frames[0], kind, **settings)


def frames_of(picture: Picture) -> list[np.ndarray]:
    return [each.rgb for each in (picture, *picture.following)]


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize(("kind", "loop"), [("GIF", 0), ("GIF", None), ("WEBP", 3), ("PNG", 2)])
def test_animations_keep_frames_timing_and_loops(kind: str, loop: int | None, alpha: bool):
    suffix = "." + kind.lower()
    options = {} if loop is None else {"loop": loop}
    data = animation(kind, alpha=alpha, **options, **({"lossless": True} if kind == "WEBP" else {}))
    picture = images.decode(data, f"a{suffix}", every_frame=True)
    for number, frame in enumerate((picture, *picture.following)):
        assert (frame.alpha is not None) == alpha
        seen = HOLE == 255 if not alpha else frame.alpha == 255
        wanted = np.array(moved(number, False))
        if kind != "GIF":
            np.testing.assert_array_equal(frame.rgb[seen], wanted[seen])
        else:
            assert np.abs(frame.rgb[seen].astype(int) - wanted[seen]).mean() < 12, number
    written = images.encode(picture, suffix)
    with Image.open(io.BytesIO(written)) as image:  # as Pillow, which others follow, reads it
        assert (image.n_frames, image.info.get("loop")) == (4, loop)
        durations = []
        for number in range(4):
            image.seek(number)
            image.load()
            durations.append(image.info["duration"])
            shown = np.array(image.convert("RGBA"))
            seen = shown[..., 3] == 255
            assert not seen.all() or not alpha
            error = np.abs(shown[..., :3].astype(int) - frames_of(picture)[number])[seen]
            assert error.max() <= (0 if kind != "GIF" else 16)
        assert durations == [100, 240, 50, 300]
    assert images.decode(data, "a").following == ()


def test_frames_that_keep_what_they_do_not_cover_are_whole_pictures():
    first, second = Image.fromarray(RGB).quantize(64), Image.new("P", (WIDTH, HEIGHT))
    second.putpalette(first.getpalette())
    second.info["transparency"] = 0
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[5:9, 5:9] = 9
    second.putdata(pixels.ravel().tolist())
    data = saved(first, "GIF", save_all=True, append_images=[second], duration=80, disposal=1)
    picture = images.decode(data, "a.gif", every_frame=True)
    before, after = frames_of(picture)
    same = pixels == 0
    np.testing.assert_array_equal(before[same], after[same])
    assert (before[~same] != after[~same]).any()


def test_pictures_that_stand_apart_of_a_png_animation_stay_so():
    data = animation("PNG", default_image=True, duration=[70, 140, 210])
    picture = images.decode(data, "a.png", every_frame=True)
    assert picture.animation.apart
    again = opened(images.encode(picture, ".png"))
    assert again.info["default_image"]
    shown = []
    for number in range(1, again.n_frames):
        again.seek(number)
        shown.append(again.info["duration"])
    assert shown == [70, 140, 210]


def test_metadata_of_animations_go_along():
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Camera"
    text = PngInfo()
    text.add_text("Title", "rain")
    for data, suffix in (
        (animation("WEBP", exif=exif, icc_profile=P3), ".webp"),
        (animation("PNG", exif=exif, icc_profile=P3, pnginfo=text), ".png"),
    ):
        again = opened(images.encode(images.decode(data, "a", every_frame=True), suffix))
        assert again.getexif()[ExifTags.Base.Model] == "Camera"
        assert again.info["icc_profile"] == P3
    assert again.info["Title"] == "rain"
    gif = images.decode(animation("GIF", comment=b"rain"), "a.gif", every_frame=True)
    assert opened(images.encode(gif, ".gif")).info["comment"] == b"rain"


def test_damaged_frames_are_found():
    data = animation("GIF")
    with pytest.raises(ImageError, match=r"^a\.gif: is damaged"):
        images.decode(data[: len(data) * 3 // 4], "a.gif", every_frame=True)
    png = bytearray(animation("PNG"))
    png[png.rindex(b"fdAT") + 20] ^= 4
    with pytest.raises(ImageError, match=r"^a\.png: is damaged"):
        images.decode(bytes(png), "a.png", every_frame=True)


def test_animations_of_too_many_pixels_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(images.read.__globals__, "MAX_PIXELS", 3 * HEIGHT * WIDTH)
    with pytest.raises(ImageError, match="has 4 frames of 60x40, more than 7,200 pixels"):
        images.decode(animation("GIF"), "a.gif", every_frame=True)
    assert images.decode(animation("GIF"), "a.gif").size == (WIDTH, HEIGHT)


def pages() -> bytes:
    """Return a TIFF file of tifffile: colour, 16-bit grey, a preview, 8-bit grey with alpha."""
    import tifffile

    file = io.BytesIO()
    with tifffile.TiffWriter(file) as tiff:
        rest = {"metadata": None}
        tiff.write(
            RGB,
            photometric="rgb",
            description="one",
            extratags=[(285, 2, 0, "A", True)],
            resolution=(300, 300),
            resolutionunit=2,
            **rest,
        )
        tiff.write(
            RAMP.astype(np.uint16) * 99,
            photometric="minisblack",
            description="two",
            compression="zlib",
            **rest,
        )
        tiff.write(RGB[::2, ::2].copy(), photometric="rgb", subfiletype=1, **rest)
        tiff.write(
            np.dstack([RGB[..., 0], HOLE]),
            photometric="minisblack",
            extrasamples=[2],
            planarconfig="contig",
            description="four",
            **rest,
        )
    return file.getvalue()


def test_pages_of_tifffile_keep_their_kind_and_tags():
    picture = images.decode(pages(), "a.tif", every_frame=True)
    assert [each.size for each in picture.following] == [(WIDTH, HEIGHT)] * 2  # no preview
    with Image.open(io.BytesIO(images.encode(picture, ".tif"))) as image:
        assert image.n_frames == 3
        seen = []
        for number in range(3):
            image.seek(number)
            image.load()
            seen.append((image.mode, image.tag_v2[270]))
        assert seen == [("RGB", "one"), ("I;16", "two"), ("LA", "four")]
        np.testing.assert_array_equal(np.array(image)[..., 0], RGB[..., 0])
        np.testing.assert_array_equal(np.array(image)[..., 1], HOLE)
        image.seek(0)
        np.testing.assert_array_equal(np.array(image), RGB)
        assert (image.tag_v2[285], image.info["dpi"]) == ("A", (300, 300))
        image.seek(1)
        np.testing.assert_array_equal(np.array(image), RAMP.astype(np.uint16) * 99)
    assert images.not_held(picture, ".jpg")[0].startswith("only the first page kept")


def test_pages_in_a_circle_are_refused():
    data = bytearray(saved(Image.fromarray(RGB), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (number,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * number, first)
    with pytest.raises(ImageError, match=r"^a\.tif: is damaged .*circle"):
        images.decode(bytes(data), "a.tif", every_frame=True)
    assert images.decode(bytes(data), "a.tif").size == (WIDTH, HEIGHT)


def heic(array: np.ndarray, mode: str = "RGB", **options) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    settings = {"quality": -1, "chroma": 444, "matrix_coefficients": 0} | options
    size = array.shape[1], array.shape[0]
    pillow_heif.from_bytes(mode, size, array.tobytes()).save(file, **settings)
    return file.getvalue()


def test_heic_files_go_along_with_their_metadata():
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Phone"
    data = heic(RGB, exif=exif.tobytes(), xmp=b"<x/>", icc_profile=P3, icc_profile_type="prof")
    picture = images.decode(data, "a.heic")
    np.testing.assert_array_equal(picture.rgb, RGB)
    assert (picture.alpha, picture.grey, picture.encoding.subsampling) == (None, False, "4:4:4")
    again = images.decode(images.encode(picture, ".heic"), "b.heic")
    assert np.abs(again.rgb.astype(int) - RGB).mean() < 2
    assert (again.exif, again.xmp, again.icc) == (picture.exif, b"<x/>", P3)
    assert b"Phone" in again.exif
    assert images.size(io.BytesIO(data), "a.heic") == (WIDTH, HEIGHT)


def test_heic_files_of_10_bits_stay_deep_and_are_white_at_white():
    levels = (np.dstack([RAMP * 5, RAMP * 4, RAMP]) % 1024).astype(np.uint16)
    levels[0, 0] = 1023
    picture = images.decode(heic(levels << 6, "RGB;16", bit_depth=10), "a.heic")
    np.testing.assert_array_equal(picture.rgb, np.rint(levels * (65535 / 1023)).astype(np.uint16))
    again = images.decode(images.encode(picture, ".heic"), "b.heic")
    assert again.encoding.bits == 10
    assert np.abs(again.rgb.astype(int) - picture.rgb).mean() < 600
    assert images.not_held(picture, ".heic") == ()
    assert images.not_held(Picture(picture.rgb), ".heic")[0].startswith("16 bits reduced to 12")


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_transparency_and_grey_stay_in_containers(suffix: str, grey: bool):
    rgb = np.dstack([RGB[..., 0]] * 3) if grey else RGB
    again = images.decode(images.encode(Picture(rgb, HOLE, grey=grey), suffix), "a")
    assert np.abs(again.alpha.astype(int) - HOLE).mean() < 2
    assert np.abs(again.rgb.astype(int) - rgb)[HOLE == 255].mean() < 4


def test_phones_turn_heic_files_by_a_box_and_not_by_exif_data():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[40962] = WIDTH
    exif.get_ifd(ExifTags.IFD.Exif)[40963] = HEIGHT
    picture = images.decode(heic(RGB, exif=exif.tobytes()), "a.heic")
    assert picture.size == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(picture.rgb, np.rot90(RGB, 3))
    written = images.decode(images.encode(picture, ".jpg"), "a.jpg")
    below = opened(images.encode(written, ".jpg")).getexif().get_ifd(ExifTags.IFD.Exif)
    assert (written.size, below[40962], below[40963]) == ((HEIGHT, WIDTH), HEIGHT, WIDTH)


def test_without_the_extra_heic_files_are_refused_and_passed_over_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path
):
    monkeypatch.setattr(heif, "readable", lambda kind: kind != "HEIC")
    known = images.SUFFIXES - heif.HEIC_SUFFIXES
    monkeypatch.setitem(images.find.__globals__, "SUFFIXES", known)
    for name in ("1.heic", "2.HEIC", "3.hif", "4.png"):
        (tmp_path / name).touch()
    assert [each.path.name for each in images.find([tmp_path])] == ["4.png"]
    assert images.left_out([tmp_path]) == (
        "3 files passed over (2 HEIC, 1 HIF); to read HEIC, pip install pillow-heif",
    )
    start = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"
    with pytest.raises(ImageError, match=r"^a.heic: is a HEIC file; .* pip install pillow-heif"):
        images.decode(start + bytes(99), "a.heic")
    with pytest.raises(ImageError, match=r"HEIC files cannot be written here: pip install"):
        images.encode(Picture(RGB), ".heic")


def test_avif_files_go_along_and_lose_no_word_about_bits():
    exif = Image.Exif()
    exif[ExifTags.Base.Model], exif[ExifTags.Base.Orientation] = "Camera", 6
    image = Image.fromarray(RGB)
    data = saved(image, "AVIF", quality=100, exif=exif, icc_profile=P3, subsampling="4:4:4")
    picture = images.decode(data, "a.avif")
    assert picture.size == (HEIGHT, WIDTH)
    assert np.abs(picture.rgb.astype(int) - np.rot90(RGB, 3)).mean() < 2
    again = opened(images.encode(picture, ".avif"))
    assert (again.size, again.info["icc_profile"]) == ((HEIGHT, WIDTH), P3)
    assert again.getexif()[ExifTags.Base.Model] == "Camera"
    moving = images.decode(animation("AVIF"), "a.avif", every_frame=True)
    assert (len(moving.following), moving.animation.durations[1]) == (3, 240)
    assert opened(images.encode(moving, ".avif")).n_frames == 4


@pytest.mark.parametrize("moving", [False, True])
def test_the_colour_space_of_an_avif_file_goes_along(moving: bool):
    plain = animation("AVIF") if moving else saved(Image.fromarray(RGB), "AVIF", quality=90)
    p3 = plain.replace(b"colrnclx\0\x01\0\x0d", b"colrnclx\0\x0c\0\x0d")
    assert p3 != plain
    picture = images.decode(p3, "a.avif", every_frame=True)
    again = images.encode(picture, ".avif")
    assert b"colrnclx\0\x0c\0\x0d" in again
    assert b"colrnclx\0\x01\0\x0d" not in again
    assert images.decode(again, "a.avif").chunks == ((b"cICP", bytes((12, 13, 0, 1))),)
    assert not images.not_held(picture, ".avif")
    assert any("colour space left out" in said for said in images.not_held(picture, ".jpg"))
    same = images.decode(plain, "a.avif")
    assert not same.chunks
    assert b"colrnclx\0\x01\0\x0d" in images.encode(same, ".avif")


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description rdf:about="" dc:format="a"
 hdrgm:Version="1.0" hdrgm:GainMapMax='2.1' GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1">
 <Container:Directory><rdf:Seq><rdf:li Item:Semantic="GainMap"/></rdf:Seq></Container:Directory>
 <hdrgm:Gamma><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:Gamma><dc:title>rain</dc:title>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


def test_a_jpeg_whose_further_pictures_are_left_out_says_so_and_promises_none():
    frame = Image.fromarray(RGB)
    data = saved(frame, "MPO", save_all=True, append_images=[frame], xmp=XMP)
    picture = images.decode(data, "a.jpg")
    assert picture.notes == (  # Pillow takes Ultra HDR for one picture
        "the video of the motion photo left out",
        "the gain map of its bright parts left out",
    )
    for kept in (b"dc:format", b"<dc:title>rain</dc:title>", b"</rdf:Description>"):
        assert kept in picture.xmp
    for gone in (b"hdrgm", b"Motion", b"Container", b"GainMap"):
        assert gone not in picture.xmp
    stereo = images.decode(saved(frame, "MPO", save_all=True, append_images=[frame]), "a.jpg")
    assert stereo.notes == ("1 further picture of the file left out",)
    plain = images.decode(saved(frame, "JPEG", xmp=b'<x dc:a="1"/>'), "a.jpg")
    assert (plain.notes, plain.xmp) == ((), b'<x dc:a="1"/>')


@pytest.mark.parametrize("sampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("quality", [31, 88])
def test_jpeg_results_keep_quality_and_subsampling(sampling: str, quality: int):
    source = saved(Image.fromarray(RGB), "JPEG", quality=quality, subsampling=sampling)
    picture = images.decode(source, "a.jpg")
    again = opened(images.encode(picture, ".jpg"))
    assert again.quantization == opened(source).quantization
    assert JpegImagePlugin.get_sampling(again) == JpegImagePlugin.get_sampling(opened(source))
    asked = opened(images.encode(picture, ".jpg", quality=70))
    assert (
        asked.quantization
        == opened(saved(Image.new("RGB", (8, 8)), "JPEG", quality=70)).quantization
    )
    assert opened(images.encode(images.decode(source, "a"), ".webp")).size == (WIDTH, HEIGHT)


def test_other_kinds_of_jpeg_keep_their_kind():
    grey = saved(Image.fromarray(RGB[..., 0]), "JPEG", quality=40, progressive=True)
    again = opened(images.encode(images.decode(grey, "a.jpg"), ".jpg"))
    assert (again.mode, again.quantization) == ("L", opened(grey).quantization)
    assert again.info["progressive"]
    rgb = saved(Image.fromarray(RGB), "JPEG", quality=80, keep_rgb=True)
    again = opened(images.encode(images.decode(rgb, "a.jpg"), ".jpg"))
    assert again.info.get("adobe_transform") == 0
    assert again.quantization == opened(rgb).quantization
    lossless = saved(Image.fromarray(RGB), "WEBP", lossless=True)
    picture = images.decode(lossless, "a.webp")
    np.testing.assert_array_equal(np.array(opened(images.encode(picture, ".webp"))), RGB)
    assert images.encode(picture, ".webp", quality=50) != images.encode(picture, ".webp")


def test_cmyk_is_converted_and_said():
    data = saved(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    picture = images.decode(data, "a.jpg")
    assert picture.notes[0].startswith("converted from CMYK to sRGB by a rule of thumb")
    assert picture.encoding is None
    assert images.decode(images.encode(picture, ".jpg"), "b.jpg").notes == ()


@pytest.mark.parametrize("mode", ["LA", "P"])
def test_grey_stays_grey_with_its_transparency(mode: str):
    image = Image.fromarray(np.dstack([RGB[..., 0], HOLE]))
    if mode == "P":
        image = Image.fromarray(np.minimum(RGB[..., 0], 250)).convert("P")
        image.info["transparency"] = 250
    picture = images.decode(saved(image, "PNG"), "a.png")
    assert picture.grey
    assert picture.alpha is not None
    assert opened(images.encode(picture, ".png")).mode == "LA"


@pytest.mark.parametrize(
    ("picture", "suffix", "said"),
    [
        (Picture(RGB, HOLE), ".jpg", "transparency left out, which JPEG files cannot hold"),
        (Picture(RGB.astype(np.uint16) * 257), ".jpg", "16 bits reduced to 8"),
        (Picture(RGB.astype(np.uint16) * 257), ".webp", "since WebP files hold no more"),
        (Picture(RGB), ".gif", "colours reduced to 256"),
        (Picture(RGB, exif=b"Exif\0\0" + bytes(70_000)), ".jpg", "EXIF data left out"),
        (Picture(RGB, xmp=bytes(70_000)), ".jpg", "XMP data left out, which are too long"),
        (Picture(RGB, chunks=((b"cICP", b"\x09\x10\0\1"),)), ".jpg", "code of the colour space"),
        (Picture(RGB, icc=P3), ".bmp", "colour profile left out, which BMP files cannot hold"),
    ],
)
def test_what_a_format_cannot_hold_is_said(picture: Picture, suffix: str, said: str):
    assert any(said in each for each in images.not_held(picture, suffix))
    assert images.not_held(picture, ".png" if "colour" in said else ".tif") == () or "cICP" in str(
        picture.chunks
    )
    if not picture.exif:
        assert opened(images.encode(picture, suffix)).size == (WIDTH, HEIGHT)
