"""Pages and other files from templates, and pictures small enough to be embedded in a page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import jinja2

from rainkit.images import Picture, Pixels, encode, shrink, to_uint8

__all__ = ["MOST_SHOWN", "render", "thumbnail", "thumbnail_side"]

MOST_SHOWN = 300
"""Largest number of pictures on a page; a page of more would be slow to open."""

_LONGEST, _SHORTEST = 1600, 640
_PIXELS = 24 * 1600 * 1200
"""About 30 MB of JPEG, both versions of every picture together."""

_QUALITY = 85


def render(
    package: str,
    template: str,
    filters: Mapping[str, Callable[..., Any]] | None = None,
    **values: Any,
) -> str:
    """Return a template filled with values.

    Values are escaped, but not in Markdown (``.md.j2``). The filter ``jpeg`` turns the bytes of a
    JPEG file into an address that an ``img`` can show.

    Args:
        package: the package that holds the folder ``templates``.
        template: name of the file.
        filters: further filters by name.
        values: what the template names.
    """
    markdown = template.endswith(".md.j2")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=jinja2.select_autoescape(disabled_extensions=("md.j2",), default=True),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=markdown,
    )
    environment.filters.update({"jpeg": _data_uri, **(filters or {})})
    return environment.get_template(template).render(**values)


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def thumbnail_side(pictures: int) -> int:
    """Return the longest side in pixels of the thumbnails of a page of so many pictures."""
    shown = max(1, min(pictures, MOST_SHOWN))
    side = int((_PIXELS / shown * 4 / 3) ** 0.5)
    return max(_SHORTEST, min(_LONGEST, side))


def thumbnail(rgb: Pixels, side: int) -> bytes:
    """Return a JPEG file of [H,W,3] uint8 or uint16, shrunk to ``side`` if it is larger."""
    return encode(Picture(to_uint8(shrink(rgb, side))), ".jpg", quality=_QUALITY)
