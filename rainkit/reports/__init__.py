"""Pages to look at results with: single HTML files that need no network."""

from __future__ import annotations

from rainkit.reports.compare import Compared, ComparePage, compare_page
from rainkit.reports.thumbnails import MOST_SHOWN, thumbnail, thumbnail_side

__all__ = [
    "MOST_SHOWN",
    "ComparePage",
    "Compared",
    "compare_page",
    "thumbnail",
    "thumbnail_side",
]
