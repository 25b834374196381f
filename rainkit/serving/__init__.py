"""A page and an HTTP interface that take rain out of the photographs and clips they are sent.

``uploads`` reads what is sent, ``pool`` runs networks in worker processes (``work`` is what they
do), ``jobs`` keeps results until they are fetched, ``clips`` does so for clips, and ``app`` answers
requests. Photographs are never written to the disk; clips are, in folders of our own. The modules
``app``, ``metrics`` and ``uploads`` need ``rainkit[serve]``, and clips need ``rainkit[video]``.
"""

from __future__ import annotations

from rainkit.serving.work import Offer, offers

__all__ = ["Offer", "offers"]
