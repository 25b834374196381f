"""EXIF data and colour profiles, which a restored picture takes over from its input."""

from __future__ import annotations

from PIL import ExifTags, Image

__all__ = ["metadata", "orientation", "profile_fits"]

_KEPT_TAGS = (
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model),
    *(ExifTags.Base.XResolution, ExifTags.Base.YResolution, ExifTags.Base.ResolutionUnit),
    *(ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist),
    *(ExifTags.Base.HostComputer, ExifTags.Base.Rating, ExifTags.Base.Copyright),
    *(ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo),
)
"""Tags that are kept. The others of a TIFF describe the layout of its file, and a thumbnail would
still show the rain."""


def metadata(image: Image.Image) -> tuple[bytes | None, int]:
    """Return the EXIF data to keep, without the orientation, and the orientation to apply.

    Raises:
        Exception: The pixels, which are decoded first, are damaged.
    """
    image.load()  # or else the parser would decode them, and their errors would pass for its own
    try:
        exif = image.getexif()
        kept = Image.Exif()
        for tag in _KEPT_TAGS:
            if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                if directory := exif.get_ifd(tag):
                    kept[tag] = directory
            elif tag in exif:
                kept[tag] = exif[tag]
        data = kept.tobytes() if len(kept) else None
    except Exception:  # Pillow's parser raises errors of many classes
        return None, 1  # a picture with broken metadata is not refused
    return data, orientation(image)


def orientation(image: Image.Image) -> int:
    """Return the orientation to apply, 1 to 8; 1 is upright.

    Raises:
        Exception: The pixels of a PNG file, which its metadata may follow, are damaged.
    """
    if image.format == "TIFF":  # Pillow turns TIFF files itself, and no others
        return 1
    if image.format == "PNG":
        image.load()
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's parser raises errors of many classes
        return 1
    return value if value in range(1, 9) else 1


def profile_fits(icc: bytes | None, *, grey: bool) -> bool:
    """Return whether a colour profile is for grey (or else RGB) pictures (ICC.1, section 7.2.6)."""
    return icc is not None and icc[16:20] == (b"GRAY" if grey else b"RGB ")
