"""A page and an HTTP interface that take rain out of the photographs that are sent to them.

``uploads`` reads what is sent, ``pool`` runs networks in worker processes (``work`` is what they
do), ``jobs`` keeps results until they are fetched, and ``app`` answers requests. Nothing that is
sent is written to the disk. The modules ``app`` and ``uploads`` need ``rainkit[serve]``.
"""

from __future__ import annotations

from rainkit.serving.work import Offer, offers

__all__ = ["Offer", "offers"]
