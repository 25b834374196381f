"""What ``rainkit infer`` shows while it runs: a bar, a line every few seconds, or JSON lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from rainkit.cli.console import errors, print_event, progress_bars, warn
from rainkit.files import counted
from rainkit.inference import Outcome, Progress

__all__ = ["Following"]

_EVERY = 5.0
"""Seconds between two lines where standard error is no terminal."""


class Following(Progress):
    """Hooks that show how far a run is, and say what has failed.

    On a terminal there is a bar, which moves with the tiles of a large picture, too; elsewhere a
    line every few seconds; with ``events`` a JSON line for each step. All go to standard error.

    Args:
        methods: the number of methods.
        quiet: show nothing but failures.
        events: write JSON lines instead of anything else.
        watched: say each picture, since nobody knows how many there will be.
        first: why the methods were chosen, said once there are pictures for them.
    """

    def __init__(
        self,
        methods: int,
        *,
        quiet: bool = False,
        events: bool = False,
        watched: bool = False,
        first: str | None = None,
    ) -> None:
        self._first = first
        self._several = methods > 1
        self._events = events and not quiet
        self._lines = not (quiet or events or watched or errors.is_terminal)
        self._each = watched and not (quiet or events)
        columns = (
            TextColumn("deraining"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._bar = progress_bars(*columns, quiet=quiet or events or watched)
        self._task = self._bar.add_task("", total=None)
        self._by = ""
        self._told: set[str] = set()
        self._over: Counter[str] = Counter()
        self._total = 0
        self._began = self._said = time.monotonic()
        self._video: Path | None = None
        self._video_began = self._video_said = self._began
        self._video_first = 0

    @property
    def ended(self) -> int:
        """Number of pictures that are over with, whatever became of them."""
        return self._over.total()

    def __enter__(self) -> Following:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def start(self, total: int) -> None:
        """Take in how many pictures there are."""
        if self._first is not None:
            warn(self._first, label="auto:", style="yellow")
            self._first = None
        if not self._total:  # the pace leaves out what was imported before
            self._began = time.monotonic()
        self._total += total
        self._bar.update(self._task, total=self._total)
        self._event("start", total=self._total)

    def method(self, title: str) -> None:
        """Take in whose turn it is."""
        self._by = f"{title}: " if self._several else ""
        self._event("method", title=title)

    def tile(self, picture: Path, done: int, total: int) -> None:
        """Move on within a picture of several tiles."""
        if total > 1:
            now = f"{self._by}{picture.name}, tile {done} of {total}"
            self._bar.update(self._task, completed=self.ended + done / total, description=now)
            self._event("tile", input=str(picture), done=done, total=total)
            self._line(f", {picture.name} at tile {done} of {total}")

    def frame(self, video: Path, done: int, total: int) -> None:
        """Move on within a video, and say how long it will still take."""
        now = time.monotonic()
        if self._video != video:
            self._video, self._video_began, self._video_first = video, now, done
        made, left = done - self._video_first, ""
        if made and total > done:
            pace = (now - self._video_began) / made
            left = f", {_figure(1 / pace)} frames/s, about {_duration(pace * (total - done))} left"
        shown = f"{self._by}{video.name}, frame {done} of {total or '?'}{left}"
        share = min(1.0, done / total) if total else 0.0
        self._bar.update(self._task, completed=self.ended + share, description=shown)
        if now - self._video_said >= _EVERY / 5 or done == total:
            self._video_said = now
            self._event("frame", input=str(video), done=done, total=total)
        if self._lines and now - self._said >= _EVERY:
            self._said = now
            warn(shown)

    def advance(self, outcome: Outcome) -> None:
        """Count a picture, and say why it failed."""
        self._over[outcome.status] += 1
        now = f"{self._by}{outcome.input.name}"
        self._bar.update(self._task, completed=self.ended, description=now)
        error = outcome.error or ""
        self._event(
            "picture",
            done=self.ended,
            total=self._total,
            input=str(outcome.input),
            output=str(outcome.output),
            status=outcome.status,
            seconds=round(outcome.seconds, 4),
            error=outcome.error,
        )
        # What no method can read is told once.
        if outcome.status == "failed" and error not in self._told and not self._events:
            self._told.add(error)
            warn(error, label="failed:", style="red")
        elif outcome.status == "done" and outcome.error is not None and not self._events:
            warn(error, label="damaged:", style="red")
        elif self._each and outcome.status == "done":
            warn(f"{self._by}{outcome.output}", label="done:", style="green")
        if self.ended < self._total:
            self._line("")

    def page(self, done: int, total: int) -> None:
        """Move on while the page is made."""
        self._bar.update(self._task, description=f"picture {done} of {total} of the page")
        self._event("page", done=done, total=total)

    def stopped(self) -> str:
        """Return how many pictures are over with, such as ``2 of 8 pictures done, 1 failed``."""
        if not self._total:
            return "no picture done"
        parts = [f"{self._over['done']} of {counted(self._total)} done"]
        parts += [
            f"{self._over[status]} {words}"
            for status, words in (
                ("skipped", "already there"),
                ("kept", "made otherwise and kept"),
                ("failed", "failed"),
            )
            if self._over[status]
        ]
        return ", ".join(parts)

    def _line(self, more: str) -> None:
        now = time.monotonic()
        if not self._lines or now - self._said < _EVERY:
            return
        self._said = now
        done = self._over["done"] + self._over["failed"]
        if done:
            pace = (now - self._began) / done
            left = pace * (self._total - self.ended)
            more += f", {_figure(pace)} s each, about {_duration(left)} left"
        warn(f"{self._by}{self.ended} of {counted(self._total)}{more}")

    def _event(self, name: str, **facts: Any) -> None:
        if self._events:
            data: Mapping[str, Any] = {"event": name, **facts}
            print_event(data)


def _figure(number: float) -> str:
    """Return a number with two digits, or as a whole number, such as ``0.35`` or ``112``."""
    return f"{number:.2g}" if number < 99 else f"{number:.0f}"


def _duration(seconds: float) -> str:
    """Return a time for people, such as ``40 s``, ``3 min`` or ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
