"""The sources of training samples: clean photos degraded on the fly, and folders on disk.

Sample ``k`` of a run is a pure function of the run's seed and ``k``: its picture, its crop and its
rain. It does not depend on the number of workers or processes, or on a resume.
"""

from __future__ import annotations

from rainkit.datasets.sources.base import DataRequest, Source, SourceContext
from rainkit.datasets.sources.disk import FrameScenes, PairFolder, Photos, SceneAverages
from rainkit.datasets.sources.mixed import MixedDataset, open_sources

__all__ = [
    "DataRequest",
    "FrameScenes",
    "MixedDataset",
    "PairFolder",
    "Photos",
    "SceneAverages",
    "Source",
    "SourceContext",
    "open_sources",
]
