"""The application of `rainkit serve` with workers that run in threads of the tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi.testclient import TestClient

from rainkit.runtime_options import RuntimeOptions
from rainkit.serving import Offer, offers
from rainkit.serving.app import create_app
from rainkit.serving.jobs import Limits
from rainkit.serving.pool import Pool, Ticket, Worker
from rainkit.serving.work import Answer, Derainers, StoppedError, Task

OPTIONS = RuntimeOptions(device="cpu")


class Here:
    """A worker that derains in its thread of the pool."""

    def __init__(self, offered: tuple[Offer, ...], largest: int = 1_000_000) -> None:
        self.derainers = Derainers(offered, OPTIONS, largest)

    def start(self) -> None:
        pass

    def work(self, task: Task, ticket: Ticket) -> Answer:
        def on_tile(done: int, total: int) -> None:
            if ticket.stopped:
                raise StoppedError
            ticket.progress = done / total

        return self.derainers.run(task, on_tile)

    def close(self) -> None:
        pass


@pytest.fixture(scope="session")
def offered(tiny_method, tiny_weights: Path) -> tuple[Offer, ...]:
    return offers([f"tiny={tiny_weights}@tiny"], OPTIONS)


@pytest.fixture(scope="session")
def here() -> type[Here]:
    """A worker that derains in a thread."""
    return Here


def film(suffix: str = ".mp4", frames: int = 6, options: dict[str, str] | None = None) -> bytes:
    """The bytes of a clip of ten frames a second, with sound if it is an MP4 file."""
    width, height = 48, 32
    av = pytest.importorskip("av")
    file = io.BytesIO()
    file.name = f"clip{suffix}"  # by which PyAV knows the format
    rng = np.random.default_rng(0)
    with av.open(file, "w", container_options=options or {}) as made:
        stream = made.add_stream("libvpx-vp9" if suffix == ".webm" else "libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        sound = made.add_stream("aac", rate=8000, layout="mono") if suffix == ".mp4" else None
        for number in range(frames):
            coarse = rng.integers(0, 256, (4, 5, 3)).astype(np.uint8)
            rgb = np.asarray(cv2.resize(coarse, (width, height)), np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 8000, 0
            made.mux(sound.encode(frame))
            made.mux(sound.encode(None))
    return file.getvalue()


@pytest.fixture(scope="session")
def clip() -> Callable[..., bytes]:
    """Make the bytes of a clip."""
    return film


@pytest.fixture
def serve(offered) -> Iterator[Callable[..., TestClient]]:
    """Make clients of the application; without a worker, one that derains."""
    with ExitStack() as stack:

        def make(
            worker: Worker | None = None,
            token: str | None = None,
            *,
            takes_clips: bool = True,
            **limits: float,
        ) -> TestClient:
            bounds = Limits(**{"places": 8, "upload_bytes": 100_000} | limits)  # type: ignore[arg-type]
            pool, clip_pool = (
                Pool([worker or Here(offered)], places=bounds.places, eager=eager)
                for eager in (True, False)
            )
            pool.start()
            clip_pool.start()
            taken = clip_pool if takes_clips else None
            app = create_app(offered, pool, bounds, clip_pool=taken, token=token)
            client = TestClient(app, "http://127.0.0.1:8000", raise_server_exceptions=False)
            return stack.enter_context(client)

        yield make
