"""EXIF data and colour profiles, which a restored picture takes over from its input."""

from __future__ import annotations

from PIL import ExifTags, Image

__all__ = ["metadata", "profile_fits"]

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
    """Return the EXIF data to keep, without the orientation, and the orientation to apply."""
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
        # Pillow and OpenCV turn TIFF files themselves, and no others.
        orientation = 1 if image.format == "TIFF" else exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's parser raises errors of many classes
        return None, 1  # a picture with broken metadata is not refused
    return data, orientation


def profile_fits(icc: bytes | None, *, grey: bool) -> bool:
    """Return whether a colour profile is for grey (or else RGB) pictures (ICC.1, section 7.2.6)."""
    return icc is not None and icc[16:20] == (b"GRAY" if grey else b"RGB ")
