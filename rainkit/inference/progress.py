"""What a run tells while it goes on."""

from __future__ import annotations

from pathlib import Path

from rainkit.inference.result import Outcome

__all__ = ["Progress"]


class Progress:
    """Told how a run goes, in the thread that runs it; override what matters to you."""

    def start(self, total: int) -> None:
        """Before anything is loaded: how many pictures there are."""

    def tile(self, picture: Path, done: int, total: int) -> None:
        """After each tile of a picture in the network: how many are done, of how many."""

    def advance(self, outcome: Outcome) -> None:
        """After each picture, in the order of the inputs."""
