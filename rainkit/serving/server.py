"""The server: it listens, answers, and ends when it is told to."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import uvicorn

from rainkit.errors import RainkitError, UsageError
from rainkit.files import system_reason
from rainkit.runtime_options import RuntimeOptions
from rainkit.serving.app import create_app, is_loopback
from rainkit.serving.clips import remove_left_behind
from rainkit.serving.jobs import Limits
from rainkit.serving.metrics import Metrics
from rainkit.serving.pool import Pool, ProcessWorker, WorkerSettings
from rainkit.serving.work import offers, takes_clips

__all__ = ["ServeRequest", "serve"]

_SHORTEST_TOKEN = 16
_GRACE = 15.0
"""Seconds beyond the longest time of a picture in which answers may be finished."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeRequest(Limits):
    """What is served, to whom, and within which limits.

    Attributes:
        methods: methods to offer as ``NAME[=WEIGHTS][@LABEL]``; empty for all that ship weights.
        host: address to listen at.
        port: port to listen at; 0 for a free one.
        token: secret that clients must send; None for none on this machine alone, or else for one
            that is made up.
        workers: number of worker processes.
        options: how networks run.
    """

    methods: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    workers: int = 1
    options: RuntimeOptions = field(default_factory=RuntimeOptions)


_CLIP_SECONDS = 30.0
"""Estimate of the time of a clip before there was one, so that nobody sends it again at once."""

_BACKLOG = 2048
"""Connections that may wait to be accepted, as many as uvicorn's own default."""


class _Server(uvicorn.Server):
    """A server that gives jobs up as soon as it is told to end."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self.config.loaded_app.state.stop()


def serve(request: ServeRequest, started: Callable[[str], None]) -> str:
    """Serve until Ctrl-C or SIGTERM, and finish what is being answered then.

    Args:
        request: what is served.
        started: called with the address of the page once it can be opened.

    Returns:
        How many pictures and clips were derained, in words.

    Raises:
        UsageError: the address cannot be used, or methods, token or device are wrong.
        RainkitError: the network cannot be loaded.
    """
    token, told = request.token, ""
    if token is not None:
        token = token.strip()  # files of secrets end with a line end
        if len(token) < _SHORTEST_TOKEN:
            raise UsageError(f"--token: give at least {_SHORTEST_TOKEN} characters")
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise UsageError("--token: give letters, digits and signs of ASCII, without spaces")
    if token is None and not is_loopback(request.host):
        token = secrets.token_urlsafe(24)
        told = f"#token={token}"
    offered = offers(request.methods, request.options)
    metrics = Metrics()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    settings = WorkerSettings(
        offers=offered,
        options=request.options,
        largest=request.pixels,
        threads=max(1, (cores or 1) // request.workers) if request.workers > 1 else None,
    )

    def worker(seconds: float, number: int) -> ProcessWorker:
        return ProcessWorker(settings, seconds=seconds, number=number, on_lost=metrics.lost.inc)

    pool = Pool(
        [worker(request.seconds, number) for number in range(request.workers)],
        places=request.places,
    )
    # Clips have a worker of their own, so that pictures need not wait for minutes.
    clip_pool = None
    if takes_clips():
        remove_left_behind()
        clip_pool = Pool(
            [worker(request.clip_seconds, request.workers)],
            places=request.places,
            eager=False,
            expected=_CLIP_SECONDS,
        )
    with _listening(request.host, request.port) as listener, _signals() as ends:
        pool.start()
        try:
            if clip_pool is not None:
                clip_pool.start()
            app = create_app(
                offered, pool, request, clip_pool=clip_pool, token=token, metrics=metrics
            )
            server = _Server(
                uvicorn.Config(
                    app,
                    log_level="warning",
                    access_log=False,
                    proxy_headers=False,
                    server_header=False,
                    timeout_graceful_shutdown=int(request.seconds + _GRACE),
                )
            )
            host = f"[{request.host}]" if ":" in request.host else request.host
            ends.clear()
            listener.listen(_BACKLOG)  # before anyone is told the address
            started(f"http://{host}:{listener.getsockname()[1]}/{told}")
            server.run([listener])
        finally:
            pool.close()
            if clip_pool is not None:
                clip_pool.close()
    if not server.started:
        raise RainkitError("the server could not start; its log says why")
    return metrics.derained()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """Listen at an address within a block.

    Raises:
        UsageError: there is no such address, or it is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host {host}: no such address ({system_reason(error)})") from error
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            raise UsageError(
                f"--host {host} --port {port}: cannot listen there ({system_reason(error)}); "
                "name another --port"
            ) from error
        yield listener


@contextmanager
def _signals() -> Iterator[list[bool]]:
    """Let SIGTERM end what is being started as Ctrl-C does, within a block.

    The list that is yielded is to be cleared once the server handles them itself: it raises them
    again after it has ended, which then means nothing.
    """
    starting = [True]

    def end(number: int, frame: FrameType | None) -> None:
        if starting:
            raise KeyboardInterrupt

    before = {each: signal.signal(each, end) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield starting
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
