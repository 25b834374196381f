"""Depth of photographs: from depth maps, from monocular networks, or by a heuristic."""

from __future__ import annotations

from rainkit.datasets.depth.finding import maps_among
from rainkit.datasets.depth.maps import FORMATS
from rainkit.datasets.depth.source import Source
from rainkit.datasets.depth.sources import open_source
from rainkit.datasets.depth.values import Depth, decode, encode

__all__ = ["FORMATS", "Depth", "Source", "decode", "encode", "maps_among", "open_source"]
