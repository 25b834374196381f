"""The ways to execute a network: torch eager, torch.compile, OpenVINO, ONNX Runtime; and export.

``convert`` turns a network into a file for another runtime and checks it, ``execute`` runs such
files and decides which backend a prepared network uses, and ``cache`` keeps converted networks and
measured times on disk. :mod:`rainkit.networks` prepares the network that all of them start from.
"""

from __future__ import annotations

from rainkit.backends.cache import Measurement, fastest, folder, place, remember
from rainkit.backends.convert import Exported, decibels, export
from rainkit.backends.execute import (
    Auto,
    attach,
    attach_file,
    converted,
    identity,
    installed,
    precision_for,
)

__all__ = [
    "Auto",
    "Exported",
    "Measurement",
    "attach",
    "attach_file",
    "converted",
    "decibels",
    "export",
    "fastest",
    "folder",
    "identity",
    "installed",
    "place",
    "precision_for",
    "remember",
]
