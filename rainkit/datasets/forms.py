"""Forms in which a dataset keeps pictures and depth maps."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rainkit import images
from rainkit.datasets import depth as depths

__all__ = ["QUALITY", "as_stored", "encoding", "grey_picture", "save_depth"]

QUALITY = 95
"""Of JPEG."""

Picture = NDArray[np.uint8]


def encoding(form: str) -> dict[str, str | int]:
    """What a record says of files of format ``png`` or ``jpg``."""
    return {"fmt": form, "quality": QUALITY} if form == "jpg" else {"fmt": form}


def save_depth(path: Path, z: NDArray[np.float32]) -> NDArray[np.float32]:
    """Write a depth map, metres [H, W], and return what the file holds of it."""
    code = depths.encode(z)
    images.write(path, grey_picture(code), overwrite=True)
    return depths.decode(code)


def as_stored(rgb: Picture, form: str) -> Picture:
    """What a file of format ``png`` or ``jpg`` holds of a picture."""
    if form == "png":
        return rgb
    data = images.encode(images.Picture(rgb), f".{form}", quality=QUALITY)
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def grey_picture(samples: images.Pixels) -> images.Picture:
    """Samples [H, W], uint8 or uint16, as a picture with one channel."""
    return images.Picture(np.dstack([samples] * 3), grey=True)
