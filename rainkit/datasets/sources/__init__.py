"""What training draws its pairs from: clean photos degraded on the fly, and folders on disk.

Sample ``k`` of a run is a pure function of (run seed, k): which picture, which crop, which rain.
The worker count, the number of processes and a resume change nothing.
"""

from __future__ import annotations

from rainkit.datasets.sources.base import Common, Source
from rainkit.datasets.sources.mixed import Mixed, open_sources
from rainkit.datasets.sources.photos import Photos
from rainkit.datasets.sources.request import DataRequest
from rainkit.datasets.sources.stored import FrameScenes, PairFolder, SceneAverages

__all__ = [
    "Common",
    "DataRequest",
    "FrameScenes",
    "Mixed",
    "PairFolder",
    "Photos",
    "SceneAverages",
    "Source",
    "open_sources",
]
