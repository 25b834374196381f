"""The layouts in which datasets are written.

To add a layout, derive from :class:`~rainkit.datasets.writers.base.Layout`, add it to
:data:`LAYOUTS`, and name it in :class:`rainkit.choices.WrittenLayout`.
"""

from __future__ import annotations

from collections.abc import Mapping

from rainkit.datasets.writers.base import Entry, Layout, Place, portable
from rainkit.datasets.writers.dataset_card import CARD, write_card
from rainkit.datasets.writers.folders import Ddn, Did, HuggingFace, Rain100, Restormer, Spa
from rainkit.datasets.writers.webdataset import STAGING, WebDataset

__all__ = [
    "CARD",
    "LAYOUTS",
    "STAGING",
    "Ddn",
    "Did",
    "Entry",
    "HuggingFace",
    "Layout",
    "Place",
    "Rain100",
    "Restormer",
    "Spa",
    "WebDataset",
    "portable",
    "write_card",
]

LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (Restormer(), Rain100(), Ddn(), Did(), Spa(), HuggingFace(), WebDataset())
}
"""Layouts by name; the first is the default."""
