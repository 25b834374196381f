"""Videos: frames are decoded, derained and encoded one after another, and all else is copied.

The derained frames are encoded in segments of a hundred frames, which are kept in a hidden folder
beside the result until all are there. A run that was killed goes on after its last whole segment.
Frames keep their timestamps, so that rates may vary.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rainkit.errors import FileError, ImageError, described
from rainkit.files import atomic_path, counted, sha256
from rainkit.images import Pixels
from rainkit.images.containers import (
    CONVERT,
    Clip,
    Frame,
    Heard,
    av_errors,
    load_av,
    looks,
    read_frames,
)
from rainkit.images.encoding import Done, Encoding, Segments, Writer, check_output, copied_streams
from rainkit.inference.steady import REACH, steadied
from rainkit.inference.work_size import longest_seen
from rainkit.ledger import Ledger

if TYPE_CHECKING:
    from rainkit.inference.derainer import Derainer

__all__ = ["MakeFile", "OnFrame", "VideoResult", "derain_video"]


OnFrame = Callable[[int, int], None]
"""Called after each frame with the number of frames done, and of all as far as is known."""


class MakeFile(Protocol):
    """Gives a temporary file to write to, as :func:`rainkit.files.atomic_path` does."""

    def __call__(self, path: Path, /, *, overwrite: bool) -> AbstractContextManager[Path]:
        """Return a context that gives the temporary file."""


_SEGMENT = 100
"""Number of frames of a segment, which begins with a key frame."""

_AHEAD = 3
"""Largest number of frames that wait for the network, and for the encoder."""

_TOLD = 5
"""Number of damaged frames that are named one by one."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoResult:
    """A derained video.

    Attributes:
        output: the file that was written.
        frames: number of its frames.
        size: width and height in pixels, as they are shown.
        seconds: wall time.
        ready: number of frames that an earlier run, which was stopped, had finished.
        work_size: longest side in pixels of what the network saw, if frames were shrunk or enlarged
            for it; else None.
        damage: what could not be read or derained, a line each. Frames that were damaged, or on
            which the network failed, are in the result as they were in the source.
        notes: what the result does not keep of its source, a line each.
    """

    output: Path
    frames: int
    size: tuple[int, int]
    seconds: float
    ready: int = 0
    work_size: int | None = None
    damage: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def derain_video(
    derainer: Derainer,
    path: Path,
    output: Path,
    *,
    steady: bool = False,
    overwrite: bool = False,
    on_frame: OnFrame | None = None,
    on_whole: Callable[[Path], None] | None = None,
    file: MakeFile = atomic_path,
    segment: int = _SEGMENT,
) -> VideoResult:
    """Take the rain out of a video.

    Sound, subtitles, chapters, timestamps, rotation and colour tags are kept. The work size is
    chosen once. A run that is repeated after it was stopped goes on after the last whole segment;
    until then the result is not there.

    Args:
        derainer: the method.
        path: the video.
        output: the file to write; its suffix, one of :data:`OUTPUTS`, decides on the format.
        steady: reduce flicker, see :mod:`rainkit.inference.steady`.
        overwrite: replace an existing file.
        on_frame: called after each frame.
        on_whole: called with the whole file before it gets its name.
        file: gives the temporary file to write to.
        segment: number of frames of a segment.

    Raises:
        UsageError: PyAV is missing, the output cannot hold what the video holds, or another run is
            making it.
        ImageError: the video cannot be read.
        FileError: the result cannot be written.
    """
    started = time.monotonic()
    check_output(path, output)
    load_av()
    if output.exists() and not overwrite:
        raise FileError(f"{output}: exists; pass --overwrite, or write somewhere else")
    clip = Clip.of(path)
    target = Encoding.of(clip, output)
    copied, notes = copied_streams(clip, output)
    derainer = derainer.suited_to(looks(clip))
    if derainer.work_size is None:
        derainer = derainer.at_work_size(_suited_work_size(derainer, clip))
    full = max(clip.shown)
    seen = longest_seen(derainer.work_size or 0, full)
    settings = _settings(derainer, clip, target, steady=steady, segment=segment)
    folder = output.with_name(f".{output.name}.rainkit-part")
    ledger = Ledger[Any].open(
        folder / "ledger.jsonl", settings=settings, restart=True, writer="rainkit infer"
    )
    with ledger:
        parts = Segments(folder, ledger)
        ready = parts.frames
        damage = _derain_rest(
            derainer, clip, target, parts, steady=steady, segment=segment, tell=on_frame
        )
        if not parts.frames:
            raise ImageError(f"{path}: no frame can be decoded; {CONVERT}")
        with file(output, overwrite=overwrite) as temporary:
            with av_errors(path, output):
                target.assemble(clip, parts, copied, temporary)
            if on_whole is not None:
                on_whole(temporary)
        ledger.remove()
    shutil.rmtree(folder, ignore_errors=True)
    return VideoResult(
        output=output,
        frames=parts.frames,
        size=clip.shown,
        seconds=time.monotonic() - started,
        ready=ready,
        work_size=None if seen == full else seen,
        damage=damage,
        notes=(*clip.notes, *target.notes, *notes),
    )


def _suited_work_size(derainer: Derainer, clip: Clip) -> int:
    """Return the longest side at which the network sees all frames; 0 for their full size.

    It is the median of what suits a few frames that are spread over the video.
    """
    sizes = [derainer.suited_work_size(rgb) for rgb in looks(clip)]
    return round(statistics.median_low(sizes)) if sizes else 0


def _derain_rest(
    derainer: Derainer,
    clip: Clip,
    target: Encoding,
    parts: Segments,
    *,
    steady: bool,
    segment: int,
    tell: OnFrame | None,
) -> tuple[str, ...]:
    """Derain what is not in the finished segments; return what was wrong, a line each."""
    stamps = parts.stamps
    heard = Heard()
    parts.lost = lambda: heard.lost
    done = len(stamps)
    after, finished = None, None
    if stamps:
        finished = stamps[-1]
        # The filter against flicker sees some frames before the first one that is left.
        after = stamps[max(0, len(stamps) - REACH)]
    total = max(clip.count, done)
    if tell is not None:
        tell(done, total)
    with (
        ThreadPoolExecutor(1, thread_name_prefix="rainkit-decode") as decoder,
        ThreadPoolExecutor(1, thread_name_prefix="rainkit-encode") as encoder,
        closing(read_frames(clip, heard, after)) as source,
        closing(_ahead(decoder, _from(source, after))) as frames,
    ):
        pairs = _derained(derainer, frames)
        made = _steadied(pairs) if steady else (done for _, done in pairs)
        waiting: deque[Future[None]] = deque()
        writer = Writer(target, parts, segment)
        try:
            for each in made:
                if finished is not None and each.pts <= finished:
                    continue
                waiting.append(encoder.submit(writer.add, each))
                while len(waiting) > _AHEAD:
                    waiting.popleft().result()
                done += 1
                if tell is not None:
                    tell(done, max(total, done))
            waiting.append(encoder.submit(writer.flush))
        finally:
            while waiting:
                waiting.popleft().result()
    return _damage(clip, heard, parts)


def _from(frames: Iterable[Frame], first: int | None) -> Iterator[Frame]:
    """Leave out what comes before a timestamp."""
    return (frame for frame in frames if first is None or frame.pts >= first)


def _ahead(pool: ThreadPoolExecutor, items: Iterator[T]) -> Generator[T, None, None]:
    """Yield items that a thread makes a few ahead."""
    end = object()
    coming: deque[Future[Any]] = deque()

    def ask() -> None:
        coming.append(pool.submit(next, items, end))

    try:
        for _ in range(_AHEAD):
            ask()
        while (item := coming.popleft().result()) is not end:
            ask()
            yield item
    finally:
        while coming:  # the generator must not be closed while it runs
            with suppress(Exception):
                coming.popleft().result()


def _derained(derainer: Derainer, frames: Iterable[Frame]) -> Iterator[tuple[Pixels, Done]]:
    """Yield each frame with its result; one on which the network fails goes through as it is."""
    for frame in frames:
        clean, reason = frame.rgb, None
        if frame.damaged:
            reason = "damaged"
        else:
            try:
                clean = derainer.derain(frame.rgb)
            except Exception as error:  # the other frames can be derained
                reason = described(error)
        yield frame.rgb, Done(frame.pts, frame.duration, clean, reason)


def _steadied(pairs: Iterable[tuple[Pixels, Done]]) -> Iterator[Done]:
    frames = ((rainy, done.rgb, done, done.damage is None) for rainy, done in pairs)
    for rgb, done in steadied(frames):
        yield replace(done, rgb=rgb)


def _damage(clip: Clip, heard: Heard, parts: Segments) -> tuple[str, ...]:
    """Return what was wrong with a video, a line each."""

    def at(pts: int) -> str:
        return f"{float(pts * clip.time_base):.2f} s"

    lines = []
    reasons: dict[str, list[int]] = {}
    for entry in parts.entries:
        for pts, reason in entry["damage"]:
            reasons.setdefault(reason, []).append(pts)
    for reason, stamps in reasons.items():
        what = f"{counted(len(stamps), 'frame')} passed through as found ({reason})"
        lines.append(f"{what}, at {_listed(map(at, stamps))}")
    before = {pts for entry in parts.entries for pts in entry.get("lost", ())}
    stamps = sorted((heard.lost | before) - set(parts.stamps))
    if stamps:
        what = f"{counted(len(stamps), 'frame')} cannot be decoded"
        lines.append(f"{what}, at {_listed(map(at, stamps))}: the frame before stays")
    frames = parts.frames
    last = parts.entries[-1] if parts.entries else None
    if last is not None and frames + len(stamps) < clip.count:
        end = float((last["pts"][-1] + last["last"]) * clip.time_base)
        # The header counts frames, too, that an edit list hides: then the time is not short.
        if clip.counted and (clip.end is None or end < clip.end - 1.5 / float(clip.rate)):
            lines.append(f"the file ends early: {frames} of {clip.count} frames are there")
        elif (
            not clip.counted and clip.end is not None and end < clip.end - max(0.5, 0.02 * clip.end)
        ):
            lines.append(f"the file ends early: {end:.2f} of {clip.end:.2f} s are there")
    if heard.ended is not None and not any(line.startswith("the file") for line in lines):
        lines.append(f"the file ends with an error ({heard.ended})")
    return tuple(lines)


def _listed(words: Iterable[str]) -> str:
    every = list(words)
    more = f" and {len(every) - _TOLD} more" if len(every) > _TOLD else ""
    return ", ".join(every[:_TOLD]) + more


def _settings(
    derainer: Derainer, clip: Clip, target: Encoding, *, steady: bool, segment: int
) -> dict[str, Any]:
    """Return what decides the bytes of segments."""
    import av

    return {
        "source": sha256(clip.path),
        "method": derainer.method.name,
        "weights": derainer.weights.sha256,
        "derainer": derainer.settings(),
        "steady": steady,
        "segment": segment,
        "encoder": [target.codec, target.pix_fmt, target.options],
        "av": av.__version__,
    }
