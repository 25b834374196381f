"""What a picture says about itself, of which the worthwhile part goes along with its result."""

from __future__ import annotations

from PIL import ExifTags, Image

__all__ = ["fits", "metadata"]

_KEPT_TAGS = (
    *(ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model),
    *(ExifTags.Base.XResolution, ExifTags.Base.YResolution, ExifTags.Base.ResolutionUnit),
    *(ExifTags.Base.Software, ExifTags.Base.DateTime, ExifTags.Base.Artist),
    *(ExifTags.Base.HostComputer, ExifTags.Base.Rating, ExifTags.Base.Copyright),
    *(ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo),
)
"""The rest of a TIFF's directory says how its file is laid out, and a thumbnail would still show
the rain."""


def metadata(image: Image.Image) -> tuple[bytes | None, int]:
    """EXIF data worth keeping, without the orientation, and the orientation left to apply."""
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
        # Pillow and OpenCV turn TIFFs themselves, and nothing else.
        orientation = 1 if image.format == "TIFF" else exif.get(ExifTags.Base.Orientation, 1)
    except Exception:  # broken metadata, of which Pillow's parser raises many kinds
        return None, 1  # is no reason to refuse a picture
    return data, orientation


def fits(icc: bytes | None, *, grey: bool) -> bool:
    """Whether a colour profile is for grey, or else for RGB (ICC.1, section 7.2.6)."""
    return icc is not None and icc[16:20] == (b"GRAY" if grey else b"RGB ")
