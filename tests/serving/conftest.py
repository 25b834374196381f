"""The application of `rainkit serve` with workers that run in threads of the tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

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


@pytest.fixture
def serve(offered) -> Iterator[Callable[..., TestClient]]:
    """Make clients of the application; without a worker, one that derains."""
    with ExitStack() as stack:

        def make(
            worker: Worker | None = None, token: str | None = None, **limits: float
        ) -> TestClient:
            bounds = Limits(**{"places": 8, "upload_bytes": 100_000} | limits)  # type: ignore[arg-type]
            pool = Pool([worker or Here(offered)], places=bounds.places)
            pool.start()
            app = create_app(offered, pool, bounds, token=token)
            client = TestClient(app, "http://127.0.0.1:8000", raise_server_exceptions=False)
            return stack.enter_context(client)

        yield make
