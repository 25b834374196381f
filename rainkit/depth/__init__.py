"""Depth of photographs: from depth maps, from monocular networks, or by a heuristic."""

from __future__ import annotations

from rainkit.depth.depth_map import DepthMap, DepthSource, decode, encode
from rainkit.depth.files import FORMATS
from rainkit.depth.sources import maps_among, open_source

__all__ = ["FORMATS", "DepthMap", "DepthSource", "decode", "encode", "maps_among", "open_source"]
