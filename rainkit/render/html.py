"""Pages and other files from templates, and pictures small enough to be embedded in a page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from rainkit.images import Picture, Pixels, encode, shrink, to_uint8

__all__ = ["MOST_SHOWN", "render", "shown_at_most", "thumbnail", "thumbnail_side"]

MOST_SHOWN = 300
"""Largest number of photographs on a page, before and after; more would be slow to open."""

_LONGEST, _SHORTEST = 1600, 640
_PIXELS = 2 * 24 * 1600 * 1200
"""Of all pictures of a page together: about 30 MB of JPEG."""

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
    import jinja2  # most runs make no page

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


def shown_at_most(versions: int) -> int:
    """Return the largest number of photographs on a page that shows so many versions of each."""
    return max(1, 2 * MOST_SHOWN // versions)


def thumbnail_side(pictures: int, versions: int = 2) -> int:
    """Return the longest side in pixels of the pictures on a page.

    Args:
        pictures: number of photographs.
        versions: number of versions of each that are shown.
    """
    shown = max(1, min(pictures, shown_at_most(versions)))
    side = int((_PIXELS / (shown * versions) * 4 / 3) ** 0.5)
    return max(_SHORTEST, min(_LONGEST, side))


def thumbnail(rgb: Pixels, side: int) -> bytes:
    """Return a JPEG file of [H,W,3] uint8 or uint16, shrunk to ``side`` if it is larger."""
    return encode(Picture(to_uint8(shrink(rgb, side))), ".jpg", quality=_QUALITY)
