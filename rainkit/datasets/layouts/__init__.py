"""Writing datasets: names of files and folders as those who read them expect."""

from __future__ import annotations

from collections.abc import Mapping

from rainkit.datasets.layouts.base import Layout
from rainkit.datasets.layouts.cards import CARD, write_card
from rainkit.datasets.layouts.entries import Entry, Place, portable
from rainkit.datasets.layouts.folders import Ddn, Did, Rain100, Restormer, Spa
from rainkit.datasets.layouts.huggingface import HuggingFace
from rainkit.datasets.layouts.webdataset import STAGING, WebDataset

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
"""By name; the first is the default."""
