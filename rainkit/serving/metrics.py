"""Counters of the server for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from rainkit.files import counted
from rainkit.serving.pool import Ticket

__all__ = ["Metrics"]


class Metrics:
    """What Prometheus is told.

    Attributes:
        lost: number of worker processes that were lost; the pool's workers count them.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.lost = Counter(
            "rainkit_workers_lost",
            "Worker processes that died or were ended because a picture took too long.",
            registry=self.registry,
        )
        self.requests = Counter(
            "rainkit_http_requests", "Answers.", ("path", "status"), registry=self.registry
        )
        self.pixels = Counter("rainkit_pixels", "Pixels of results.", registry=self.registry)
        self.frames = Counter("rainkit_frames", "Frames of clips.", registry=self.registry)
        self.pictures, self._picture_seconds = self._work("picture", 0.1)
        self.clips, self._clip_seconds = self._work("clip", 1.0)

    def _work(self, what: str, least: float) -> tuple[Counter, Histogram]:
        outcomes = Counter(
            f"rainkit_{what}s",
            f"{what.capitalize()}s that left the queue.",
            ("method", "outcome"),
            registry=self.registry,
        )
        seconds = Histogram(
            f"rainkit_{what}_seconds",
            f"Time of a {what} in a worker.",
            ("method",),
            buckets=[least * each for each in (1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)],
            registry=self.registry,
        )
        return outcomes, seconds

    def watch(self, ticket: Ticket) -> None:
        """Count a picture or a clip when it leaves the queue."""
        task = ticket.task
        method = "view" if task is None or task.offer is None else task.offer
        clip = task is not None and task.clip is not None
        outcomes = self.clips if clip else self.pictures
        times = self._clip_seconds if clip else self._picture_seconds

        def count(_: Any) -> None:
            outcomes.labels(method, ticket.state).inc()
            if ticket.state == "done":
                answer = ticket.answer.result()
                times.labels(method).observe(answer.seconds)
                if clip:
                    self.frames.inc(answer.frames)
                else:
                    self.pixels.inc(answer.width * answer.height)

        ticket.answer.add_done_callback(count)

    def derained(self) -> str:
        """Return how many pictures and clips were derained, in words."""
        words = []
        for what, outcomes in (("picture", self.pictures), ("clip", self.clips)):
            counts = {"done": 0, "failed": 0}
            for family in outcomes.collect():
                for sample in family.samples:
                    if sample.name.endswith("_total") and sample.labels["method"] != "view":
                        outcome = sample.labels["outcome"]
                        counts[outcome] = counts.get(outcome, 0) + int(sample.value)
            failed = f", {counts['failed']} failed" if counts["failed"] else ""
            if counts["done"] or failed or what == "picture":
                words.append(f"{counted(counts['done'], what)} derained{failed}")
        return "; ".join(words)

    def gauge(self, name: str, about: str, read: Callable[[], float]) -> None:
        """Add a value that is read when Prometheus asks."""
        Gauge(name, about, registry=self.registry).set_function(read)
