"""The before/after page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import jinja2

import rainkit
from rainkit.files import atomic_path
from rainkit.reports.thumbnails import MOST_SHOWN

__all__ = ["ComparePage", "Compared", "compare_page"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One picture of the page.

    Attributes:
        name: its caption.
        before: a JPEG file.
        after: a JPEG file of the same size.
        size: width and height of the picture itself.
        seconds: how long it took.
        blocks: how many blocks of the network ran; None = it has none.
    """

    name: str
    before: bytes
    after: bytes
    size: tuple[int, int]
    seconds: float
    blocks: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparePage:
    """What a page shows.

    Attributes:
        title: its heading.
        facts: what to know about the run: method, weights, device, times.
        pictures: of which the first :data:`~rainkit.reports.MOST_SHOWN` are shown.
        failures: file and reason of each picture that failed.
        notes: lines on the pictures that are neither shown nor failed.
    """

    title: str
    facts: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[Compared, ...] = ()
    failures: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def compare_page(page: ComparePage, path: Path, *, overwrite: bool = False) -> None:
    """Write a self-contained HTML page with a before/after slider for each picture.

    Raises:
        FileError: the file exists, or the system refuses to write.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rainkit.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["jpeg"] = _data_uri
    html = environment.get_template("compare.html.j2").render(
        page=page,
        shown=page.pictures[:MOST_SHOWN],
        left_out=max(0, len(page.pictures) - MOST_SHOWN),
        version=rainkit.__version__,
    )
    with atomic_path(path, overwrite=overwrite) as temporary:
        # File names may hold bytes that are no UTF-8; they are shown as question marks.
        temporary.write_text(html, encoding="utf-8", errors="replace")


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
