"""The page and the HTTP interface, as an application of FastAPI."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client import generate_latest as metrics_text
from pydantic import BaseModel, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import rainkit
from rainkit.choices import unknown
from rainkit.errors import ImageError, RainkitError, UsageError, described
from rainkit.runtime_options import STRONGEST
from rainkit.serving.clips import ClipJob, Clips
from rainkit.serving.jobs import Job, Jobs, Limits, Memory
from rainkit.serving.metrics import Metrics
from rainkit.serving.page import Page, page
from rainkit.serving.pool import BusyError, OverTimeError, Pool, Ticket
from rainkit.serving.uploads import Receiver
from rainkit.serving.work import Answer, Offer, StoppedError, Task

__all__ = [
    "ClipLimitsInfo",
    "ClipStatus",
    "Health",
    "JobStatus",
    "LimitsInfo",
    "MethodInfo",
    "MethodsInfo",
    "PictureStatus",
    "Problem",
    "create_app",
    "is_loopback",
]

_SWEEP = 30.0
"""Seconds between searches for jobs that are too old."""

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_OPEN = ("/", "/health", "/openapi.json")
_PIECE = 1 << 16
"""Paths that need no token: the page asks for it, and monitors have none."""

_ABOUT = """Takes rain out of photographs and clips.

Errors are JSON with one line, `detail`. 401: the token is missing or wrong. 403: the request comes
from a page of another site. 413: the file is too large. 422: it is no picture or clip that can be
read, has too many pixels, or an option is wrong. 429: the queue, the memory or the disk space is
full; try again after `Retry-After` seconds. 500: the network failed. 501: the server takes no
clips. 503: the server is about to end. 504: the picture took too long.
"""

_NO_CLIPS = "clips need PyAV where this server runs: pip install av, and start it again"


class Problem(BaseModel):
    """What went wrong."""

    detail: str = Field(description="One line with the remedy.")


class MethodInfo(BaseModel):
    """A method with weights."""

    name: str = Field(description="What the parameter `method` takes.")
    title: str
    summary: str
    weights: str


class ClipLimitsInfo(BaseModel):
    """What clips may be."""

    upload_bytes: int = Field(description="Largest file of a clip.")
    length: float = Field(description="Longest playing time in seconds.")
    pixels: int = Field(description="Largest number of pixels of a frame.")
    seconds: float = Field(description="Longest time of a clip in its worker.")


class LimitsInfo(BaseModel):
    """What clients may use."""

    upload_bytes: int = Field(description="Largest file of a picture.")
    pixels: int = Field(description="Largest number of pixels of a picture.")
    seconds: float = Field(description="Longest time of a picture in the network.")
    job_pictures: int = Field(description="Largest number of pictures of a job.")
    keep_seconds: float = Field(description="How long a finished job is kept after its last use.")
    strength: float = Field(description="Largest strength.")
    clip: ClipLimitsInfo | None = Field(description="None if the server takes no clips.")


class MethodsInfo(BaseModel):
    """All methods, and the limits."""

    default: str
    methods: list[MethodInfo]
    limits: LimitsInfo


class PictureStatus(BaseModel):
    """A picture of a job."""

    name: str
    state: str = Field(description="waiting, running, done, failed or cancelled.")
    progress: float = Field(description="Share that is done, 0 to 1.")
    error: str | None = None
    result: str | None = Field(None, description="Where its result is, once it is done.")
    result_name: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    seconds: float | None = None


class JobStatus(BaseModel):
    """A job."""

    id: str
    state: str = Field(description="running, or done if nothing will change any more.")
    method: str
    strength: float
    done: int
    failed: int
    pictures: list[PictureStatus]
    results: str = Field(description="Where the zip archive of all results is, once it is done.")


class ClipStatus(BaseModel):
    """A clip."""

    id: str
    name: str
    state: str = Field(description="waiting, running, done or failed.")
    progress: float = Field(description="Share that is done, 0 to 1; 0 if its length is unknown.")
    before: int = Field(description="Number of clips that come first, while it waits.")
    method: str
    strength: float
    steady: bool
    error: str | None = None
    result: str | None = Field(None, description="Where its result is, once it is done.")
    result_name: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    frames: int | None = None
    seconds: float | None = None
    notes: list[str] = Field(
        default=[], description="What was wrong with it, and what its result does not keep."
    )


class Health(BaseModel):
    """Whether the server works."""

    status: str
    version: str
    waiting: int
    running: int


def is_loopback(host: str) -> bool:
    """Return whether a name or address is that of this machine for itself."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def create_app(
    offers: Sequence[Offer],
    pool: Pool,
    limits: Limits,
    *,
    clip_pool: Pool | None = None,
    token: str | None = None,
    metrics: Metrics | None = None,
) -> FastAPI:
    """Return the application; its pools must be started, and are closed when it ends.

    Args:
        offers: what clients may choose; the first is the default.
        pool: what works on pictures.
        limits: what clients may use.
        clip_pool: what works on clips; None if none are taken.
        token: what clients must send; None if only programs and pages of this machine may ask.
        metrics: what was counted before.
    """
    metrics = metrics or Metrics()
    memory = Memory(limits.memory_bytes)
    jobs = Jobs(pool, memory, limits)
    receiver = Receiver(pool, memory, most_bytes=limits.upload_bytes, seconds=limits.seconds)
    receivers = [receiver]
    disk = Memory(limits.disk_bytes, "the disk space for clips")
    clips = Clips(clip_pool, disk, limits) if clip_pool is not None else None
    names = [offer.name for offer in offers]
    metrics.gauge("rainkit_pictures_waiting", "Pictures in the queue.", lambda: pool.waiting)
    metrics.gauge("rainkit_pictures_running", "Pictures in workers.", lambda: pool.running)
    metrics.gauge("rainkit_jobs", "Jobs that are kept.", lambda: len(jobs))
    metrics.gauge("rainkit_memory_bytes", "Bytes of files that are held.", lambda: memory.used)
    if clip_pool is not None and clips is not None:
        metrics.gauge("rainkit_clips_waiting", "Clips in the queue.", lambda: clip_pool.waiting)
        metrics.gauge("rainkit_clips_running", "Clips in workers.", lambda: clip_pool.running)
        metrics.gauge("rainkit_clips_kept", "Clips that are kept.", lambda: len(clips))
        metrics.gauge("rainkit_disk_bytes", "Bytes of files of clips.", lambda: disk.used)
    stopping = False

    def stop() -> None:
        """Give jobs up and take nothing more; what is being answered goes on."""
        nonlocal stopping
        stopping = True
        for each in receivers:
            each.stop()
        jobs.cancel_all()
        if clips is not None:
            clips.cancel_all()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(_SWEEP)
                jobs.forget_old()
                if clips is not None:
                    clips.forget_old()

        sweeping = asyncio.create_task(sweep())
        yield
        sweeping.cancel()
        stop()
        await asyncio.to_thread(pool.close)
        if clip_pool is not None and clips is not None:
            await asyncio.to_thread(clip_pool.close)
            clips.close()

    app = FastAPI(
        title="rainkit",
        version=rainkit.__version__,
        description=_ABOUT,
        docs_url=None,  # FastAPI's page loads its scripts from another site
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.stop = stop
    app.add_middleware(_Guard, token=token, metrics=metrics)
    _handle_errors(app)
    shown = page(
        Page(
            offers=tuple(offers),
            limits=limits,
            strongest=STRONGEST,
            clips=clips is not None,
            needs_token=token is not None,
        )
    )

    def chosen(method: str | None) -> str:
        if method is None:
            return names[0]
        if method not in names:
            raise unknown("method", method, names)
        return method

    def refuse_if_stopping() -> None:
        if stopping:
            raise HTTPException(503, "the server is about to end; try again later")

    async def answered(request: Request, offer: str | None, strength: float) -> Answer:
        """Receive a picture and wait for its answer, whose bytes the memory then counts."""
        refuse_if_stopping()
        (upload,) = await receiver.receive(request, most=1)
        if upload.error is not None:
            raise HTTPException(413 if upload.too_large else 422, upload.error)
        task = Task(data=upload.data, name=upload.name, offer=offer, strength=strength)
        ticket = pool.submit(task)
        metrics.watch(ticket)
        try:
            answer = await _wait(request, ticket)
        finally:
            # Before the answer is counted, which may fill the place of what was sent.
            memory.give(len(upload.data))
        memory.take(len(answer.data))
        return answer

    def sent(answer: Answer, name: str) -> Response:
        return _Held(
            answer.data,
            media_type=answer.media_type,
            headers={
                "content-disposition": f"attachment; filename*=UTF-8''{quote(name)}",
                "server-timing": f"derain;dur={1e3 * answer.seconds:.0f}",
            },
            over=lambda: memory.give(len(answer.data)),
        )

    @app.get("/", include_in_schema=False)
    def read_page() -> HTMLResponse:
        return HTMLResponse(shown.html, headers={"content-security-policy": shown.policy})

    @app.get("/health", summary="Say whether the server works")
    def health() -> Health:
        refuse_if_stopping()
        return Health(
            status="ok", version=rainkit.__version__, waiting=pool.waiting, running=pool.running
        )

    @app.get("/metrics", summary="Counters for Prometheus", response_class=Response)
    def read_metrics() -> Response:
        return Response(metrics_text(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/api/methods", summary="List the methods and the limits")
    def methods() -> MethodsInfo:
        return MethodsInfo(
            default=names[0],
            methods=[
                MethodInfo(
                    name=offer.name,
                    title=offer.title,
                    summary=offer.summary,
                    weights=offer.weights_name,
                )
                for offer in offers
            ],
            limits=LimitsInfo(
                upload_bytes=limits.upload_bytes,
                pixels=limits.pixels,
                seconds=limits.seconds,
                job_pictures=limits.places,
                keep_seconds=limits.keep_seconds,
                strength=STRONGEST,
                clip=None
                if clips is None
                else ClipLimitsInfo(
                    upload_bytes=limits.clip_bytes,
                    length=limits.clip_length,
                    pixels=limits.clip_pixels,
                    seconds=limits.clip_seconds,
                ),
            ),
        )

    @app.post(
        "/api/derain",
        summary="Send a picture and get it back without its rain",
        description="The result has the format of the picture and keeps its metadata.",
        response_class=Response,
        openapi_extra=_body("file"),
        responses=_responses(200, _PICTURES),
    )
    async def derain(request: Request, method: _Method = None, strength: _Strength = 1.0) -> Any:
        offer = chosen(method)
        answer = await answered(request, offer, strength)
        return sent(answer, f"derained{answer.suffix}")

    @app.post(
        "/api/view",
        summary="Send a picture and get it back as a JPEG file that browsers show",
        description="For TIFF files and others that browsers do not know; at most 4096 pixels.",
        response_class=Response,
        openapi_extra=_body("file"),
        responses=_responses(200, ("image/jpeg",)),
    )
    async def view(request: Request) -> Any:
        answer = await answered(request, None, 1.0)
        return sent(answer, "view.jpg")

    @app.post(
        "/api/jobs",
        status_code=202,
        summary="Send several pictures, and fetch their results later",
        description="A picture that cannot be read fails, and the others go on.",
        openapi_extra=_body("files", several=True),
        responses=_responses(202, ()),
    )
    async def create_job(
        request: Request, response: Response, method: _Method = None, strength: _Strength = 1.0
    ) -> JobStatus:
        refuse_if_stopping()
        offer = chosen(method)
        jobs.check_room()
        uploads = await receiver.receive(request, most=limits.places)
        job = jobs.add(uploads, offer=offer, strength=strength, watch=metrics.watch)
        response.headers["location"] = f"/api/jobs/{job.id}"
        return _status(job)

    def found(job: str) -> Job:
        known = jobs.get(job)
        if known is None:
            raise HTTPException(404, "there is no such job: it may be too old, or deleted")
        return known

    @app.get("/api/jobs/{job}", summary="Say how far a job is", responses={404: {"model": Problem}})
    async def read_job(job: str) -> JobStatus:
        return _status(found(job))

    @app.delete(
        "/api/jobs/{job}",
        status_code=204,
        summary="Give a job up and forget its results",
        responses={404: {"model": Problem}},
    )
    async def delete_job(job: str) -> None:
        jobs.delete(found(job))

    @app.get(
        "/api/jobs/{job}/pictures/{number}",
        summary="Fetch the result of one picture",
        description="Pictures are numbered from 0. 409: it is not done yet. 422: it failed.",
        response_class=Response,
        responses=_responses(200, _PICTURES) | {409: {"model": Problem}, 404: {"model": Problem}},
    )
    async def read_result(job: str, number: int) -> Response:
        known = found(job)
        if not 0 <= number < len(known.pictures):
            raise HTTPException(404, f"the job has {len(known.pictures)} pictures, from 0 on")
        each = known.pictures[number]
        if each.error is not None:
            raise HTTPException(422, each.error)
        if each.answer is None:
            raise HTTPException(409, f"{each.name} is not done yet", {"retry-after": "1"})
        memory.hold(len(each.answer.data))  # until it is sent, even if the job is deleted
        return sent(each.answer, known.result_name(number))

    @app.get(
        "/api/jobs/{job}/results.zip",
        summary="Fetch all results in a zip archive",
        description="It holds the reasons in failed.txt if pictures failed. 409: not done yet.",
        response_class=Response,
        responses=_responses(200, ("application/zip",))
        | {409: {"model": Problem}, 404: {"model": Problem}},
    )
    async def read_results(job: str) -> StreamingResponse:
        known = found(job)
        if not known.over:
            raise HTTPException(409, "the job is not done yet", {"retry-after": "1"})
        return StreamingResponse(
            known.zipped(),
            media_type="application/zip",
            headers={"content-disposition": 'attachment; filename="derained.zip"'},
        )

    if clip_pool is None or clips is None:

        @app.api_route("/api/clips", methods=["GET", "POST"], include_in_schema=False)
        @app.api_route("/api/clips/{rest:path}", methods=["GET"], include_in_schema=False)
        def no_clips() -> None:
            raise HTTPException(501, _NO_CLIPS)

    else:
        receivers.append(
            _add_clips(app, clip_pool, clips, limits, chosen, refuse_if_stopping, metrics)
        )
    return app


def _add_clips(
    app: FastAPI,
    pool: Pool,
    clips: Clips,
    limits: Limits,
    chosen: Callable[[str | None], str],
    refuse_if_stopping: Callable[[], None],
    metrics: Metrics,
) -> Receiver:
    """Add what answers requests about clips; return what receives them."""
    receiver = Receiver(
        pool,
        clips.held,
        most_bytes=limits.clip_bytes,
        seconds=limits.clip_seconds,
        folder=clips.folder,
    )
    unknown_clip: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}

    def found(clip: str) -> ClipJob:
        known = clips.get(clip)
        if known is None:
            raise HTTPException(404, "there is no such clip: it may be too old, or deleted")
        return known

    @app.post(
        "/api/clips",
        status_code=202,
        summary="Send a clip, and fetch its result later",
        description="MP4, MOV, MKV or WebM. The result has the format of the clip and keeps its "
        "sound.",
        openapi_extra=_body("file", kinds=_CLIPS),
        responses=_responses(202, ()),
    )
    async def create_clip(
        request: Request,
        response: Response,
        method: _Method = None,
        strength: _Strength = 1.0,
        steady: _Steady = False,
    ) -> ClipStatus:
        refuse_if_stopping()
        offer = chosen(method)
        clips.check_room()
        (upload,) = await receiver.receive(request)
        if upload.error is not None:
            raise HTTPException(413 if upload.too_large else 422, upload.error)
        job = clips.add(upload, offer=offer, strength=strength, steady=steady, watch=metrics.watch)
        response.headers["location"] = f"/api/clips/{job.id}"
        return _clip_status(job, clips.before(job))

    @app.get("/api/clips/{clip}", summary="Say how far a clip is", responses=unknown_clip)
    async def read_clip(clip: str) -> ClipStatus:
        job = found(clip)
        return _clip_status(job, clips.before(job))

    @app.delete(
        "/api/clips/{clip}",
        status_code=204,
        summary="Give a clip up and forget its result",
        responses=unknown_clip,
    )
    async def delete_clip(clip: str) -> None:
        clips.delete(found(clip))

    @app.get(
        "/api/clips/{clip}/result",
        summary="Fetch the result of a clip",
        description="Ranges of bytes can be asked for. 409: it is not done yet. 422: it failed.",
        response_class=FileResponse,
        responses=_responses(200, _CLIPS) | unknown_clip | {409: {"model": Problem}},
    )
    async def read_clip_result(clip: str) -> FileResponse:
        job = found(clip)
        if job.error is not None:
            raise HTTPException(422, job.error)
        if job.answer is None:
            raise HTTPException(409, f"{job.name} is not done yet", {"retry-after": "1"})
        return FileResponse(job.result, media_type=job.answer.media_type, filename=job.result_name)

    return receiver


_Method = Annotated[
    str | None,
    Query(description="A method of /api/methods; by default the first.", max_length=200),
]
_Strength = Annotated[
    float,
    Query(
        ge=0,
        le=STRONGEST,
        allow_inf_nan=False,
        description="How much of the rain is taken off; 1 is what the network was trained for.",
    ),
]

_Steady = Annotated[bool, Query(description="Whether to reduce flicker where nothing moves.")]

_CLIPS = ("video/mp4", "video/quicktime", "video/x-matroska", "video/webm")
_PICTURES = tuple(
    f"image/{kind}" for kind in ("jpeg", "png", "webp", "tiff", "bmp", "gif", "heic", "avif")
)


def _body(field: str, *, several: bool = False, kinds: Sequence[str] = _PICTURES) -> dict[str, Any]:
    """Return the description of a body: a form with files, or the bytes of one file."""
    file: dict[str, Any] = {"type": "string", "format": "binary"}
    files = {"type": "array", "items": file} if several else file
    form = {"schema": {"type": "object", "properties": {field: files}, "required": [field]}}
    plain = {kind: {"schema": file} for kind in kinds}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form} | plain}}


def _responses(status: int, kinds: Sequence[str]) -> dict[int | str, dict[str, Any]]:
    file = {"schema": {"type": "string", "format": "binary"}}
    good: dict[int | str, dict[str, Any]] = {}
    if kinds:
        good[status] = {"content": dict.fromkeys(kinds, file), "description": "The file."}
    codes = (400, 401, 403, 413, 422, 429, 500, 503, 504)
    return good | {code: {"model": Problem} for code in codes}


def _status(job: Job) -> JobStatus:
    pictures = []
    for number, each in enumerate(job.pictures):
        done = each.answer
        pictures.append(
            PictureStatus(
                name=each.name,
                state=each.state,
                progress=round(each.progress, 3),
                error=each.error,
                result=f"/api/jobs/{job.id}/pictures/{number}" if done else None,
                result_name=job.result_name(number) if done else None,
                bytes=len(done.data) if done else None,
                width=done.width if done else None,
                height=done.height if done else None,
                seconds=round(done.seconds, 3) if done else None,
            )
        )
    return JobStatus(
        id=job.id,
        state="done" if job.over else "running",
        method=job.offer,
        strength=job.strength,
        done=sum(each.answer is not None for each in job.pictures),
        failed=sum(each.error is not None for each in job.pictures),
        pictures=pictures,
        results=f"/api/jobs/{job.id}/results.zip",
    )


def _clip_status(job: ClipJob, before: int) -> ClipStatus:
    done = job.answer
    return ClipStatus(
        id=job.id,
        name=job.name,
        state=job.state,
        progress=round(job.ticket.progress, 3),
        before=before,
        method=job.offer,
        strength=job.strength,
        steady=job.steady,
        error=job.error,
        result=f"/api/clips/{job.id}/result" if done else None,
        result_name=job.result_name if done else None,
        bytes=job.bytes if done else None,
        width=done.width if done else None,
        height=done.height if done else None,
        frames=done.frames if done else None,
        seconds=round(done.seconds, 3) if done else None,
        notes=list(done.notes) if done else [],
    )


async def _wait(request: Request, ticket: Ticket) -> Answer:
    """Return the answer to a picture; give it up if the client has left.

    Raises:
        RainkitError: the picture cannot be worked on.
        StoppedError: the client has left, or the server ends.
    """
    answer = asyncio.wrap_future(ticket.answer)
    try:
        while not answer.done():
            await asyncio.wait({answer}, timeout=0.5)
            if not answer.done() and await request.is_disconnected():
                ticket.cancel()
                break
        return await answer
    except asyncio.CancelledError:
        ticket.cancel()
        raise


def _handle_errors(app: FastAPI) -> None:
    """Answer every error with one line of JSON."""

    def problem(status: int, text: str, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"detail": text}, status, headers)

    async def busy(_: Request, error: Exception) -> Response:
        assert isinstance(error, BusyError)  # noqa: S101
        wait = str(min(600, max(1, math.ceil(error.seconds))))
        return problem(429, f"{error}; try again in {wait} s", {"retry-after": wait})

    async def failed(_: Request, error: Exception) -> Response:
        status = 500
        if isinstance(error, OverTimeError):
            status = 504
        elif isinstance(error, (ImageError, UsageError)):
            status = 422
        return problem(status, described(error))

    async def stopped(_: Request, error: Exception) -> Response:
        return problem(503, "the picture was given up: the client has left, or the server ends")

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        told = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
        return problem(422, "; ".join(told))

    async def unexpected(_: Request, error: Exception) -> Response:
        return problem(500, "the server failed; its log says why")

    app.add_exception_handler(BusyError, busy)
    app.add_exception_handler(RainkitError, failed)
    app.add_exception_handler(StoppedError, stopped)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(Exception, unexpected)


class _Held(Response):
    """An answer that is sent piece by piece, so that it is over when the client has taken it.

    A server takes a whole body at once into its buffer, however slowly the client reads it.
    """

    def __init__(self, content: bytes, *, over: Callable[[], None], **more: Any) -> None:
        super().__init__(content, **more)
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            for place in range(0, len(self.body), _PIECE):
                piece = bytes(self.body[place : place + _PIECE])
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._over()


class _Guard:
    """Refuses what must not be answered, adds headers to all answers, and counts them.

    Without a token, only this machine can connect. Pages of other sites in a browser of this
    machine could, too: one that sends requests here has its own ``Origin``, and one whose name was
    made to point here (DNS rebinding) has its own ``Host``.
    """

    def __init__(self, app: ASGIApp, token: str | None, metrics: Metrics) -> None:
        self._app = app
        self._token = None if token is None else token.encode()
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        refused = self._refused(scope["path"], Headers(scope=scope))
        try:
            await (refused or self._app)(scope, receive, answer)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "other")
            self._metrics.requests.labels(path, str(status)).inc()

    def _refused(self, path: str, headers: Headers) -> Response | None:
        if self._token is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            same = hmac.compare_digest(given.strip().encode(), self._token)
            if path in _OPEN or (scheme.lower() == "bearer" and same):
                return None
            text = "the token is missing or wrong: send Authorization: Bearer TOKEN"
            return JSONResponse({"detail": text}, 401, {"www-authenticate": "Bearer"})
        host, origin = headers.get("host", ""), headers.get("origin")
        name: str | None = None
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname
        text = ""
        foreign = headers.get("sec-fetch-site") == "cross-site" and path not in _OPEN
        if name is None or not is_loopback(name):
            text = f"the host {name} is not this machine: use 127.0.0.1, or start with --token"
        elif foreign or (origin is not None and origin != f"http://{host}"):
            text = "requests from pages of other sites are refused"
        return JSONResponse({"detail": text}, 403) if text else None
